/**
 * How often would reviews have spoken in a real history? Every commit of a repository that changes Python is reviewed by the
 * engine of `funprm review` (`node bench/own-history.ts [FOLDER] [--model models/NAME] [--commits N] [--head REV]`, this repository
 * by default). Nobody says which of its changes were wrong: what is printed is how much was said, and of what.
 */
import { execFileSync } from "node:child_process";
import { parseArgs } from "node:util";
import { openRewardModel } from "../src/adapters/onnx/reward-model.ts";
import { createSyntax } from "../src/adapters/tree-sitter/create-syntax.ts";
import { createWorkspace } from "../src/adapters/workspace/workspace.ts";
import { bundledModel, REVIEW_MODEL } from "../src/compose.ts";
import { ROOT } from "../src/config/places.ts";
import { wilson } from "../src/domain/calibration.ts";
import { againstBase } from "../src/domain/review.ts";
import { reviewChange } from "../src/flows/review-change.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string", default: bundledModel(REVIEW_MODEL) },
    commits: { type: "string", default: "200" },
    head: { type: "string", default: "HEAD" },
  },
});
const folder = positionals[0] ?? ROOT;
const log = [
  "log",
  "--no-merges",
  "--min-parents=1",
  `--max-count=${Number(values.commits)}`,
  "--format=%H",
  values.head,
  "--",
  "*.py",
];
const commits = execFileSync("git", log, { cwd: folder, encoding: "utf8" }).trim().split("\n");
const syntax = await createSyntax();
const model = await openRewardModel(values.model);
const workspace = createWorkspace();

const shares: number[] = [];
let [scored, findings] = [0, 0];
for (const [at, sha] of commits.entries()) {
  const { files, messages } = await workspace.compare(folder, `${sha}~1`, sha);
  const { functions } = await reviewChange(
    { syntax, model },
    { statement: messages.join("\n\n"), files, ignored: () => false, calibration: null },
  );
  for (const one of functions) {
    if (one.attribution === null) continue;
    scored += 1;
    if (one.change === "modified") shares.push(againstBase({ ...one, attribution: one.attribution }));
    if (!one.finding) continue;
    findings += 1;
    console.log(`${sha.slice(0, 10)} ${one.path}: ${one.name}, ${one.evidence.map(({ text }) => text).join("; ")}`);
  }
  process.stderr.write(`\r${at + 1}/${commits.length} commits   `);
}
await model.dispose();
process.stderr.write("\n");
shares.sort((a, b) => a - b);
const [low, high] = wilson(findings, shares.length);
console.log(
  `model ${model.info.name} ${model.info.version}: ${commits.length} commits, ${scored} functions scored, ${shares.length} of them modified; findings on ${findings} (${(findings / shares.length).toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}], Wilson)`,
);
console.log(
  `attribution against base: ${[0.01, 0.1, 0.5, 0.9].map((q) => `${100 * q} % under ${shares[Math.floor(q * shares.length)]?.toFixed(2)}`).join(", ")}`,
);
