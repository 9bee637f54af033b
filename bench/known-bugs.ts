/**
 * What a review says of changes whose truth is known and whose bugs no code of this project made: people's and a language
 * model's bugs of HumanEvalFix and DebugBench put into a right program, their mends, and rewrites that pass the same tests
 * (`node bench/known-bugs.ts FOLDER [--model models/NAME]`, shared/data). Validation problems only: funprm-mini has seen others.
 * Each change is reviewed alone by the engine of `funprm review`.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createFiles } from "../src/adapters/files/files.ts";
import { openRewardModel } from "../src/adapters/onnx/reward-model.ts";
import { createSyntax } from "../src/adapters/tree-sitter/create-syntax.ts";
import { bundledModel, REVIEW_MODEL } from "../src/compose.ts";
import { wilson } from "../src/domain/calibration.ts";
import { splitOf } from "../src/domain/dataset.ts";
import { againstBase } from "../src/domain/review.ts";
import { bootstrap, groupSums } from "../src/evaluation/statistics.ts";
import { reviewChange } from "../src/flows/review-change.ts";

const SETS = ["humanevalfix_python", "debugbench_python"];
const REWRITES = 4;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { model: { type: "string", default: bundledModel(REVIEW_MODEL) } },
});
const folder = positionals[0];
if (folder === undefined) throw new Error("name the folder of the candidate sets");
const syntax = await createSyntax();
const model = await openRewardModel(values.model);

type Change = "bug" | "mend" | "rewrite";
type Seen = { group: string; change: Change; lowest: number; finding: boolean };
const seen: Seen[] = [];

async function look(group: string, change: Change, statement: string, before: string, after: string): Promise<void> {
  const bytes = (text: string) => Buffer.from(text);
  const file = { path: "m.py", previousPath: null, before: bytes(before), after: bytes(after), unreadable: null };
  const { functions } = await reviewChange(
    { syntax, model },
    { statement, files: [file], ignored: () => false, calibration: null },
  );
  const modified = functions.filter((one) => one.change === "modified" && one.attribution !== null);
  if (modified.length === 0) return;
  const lowest = Math.min(...modified.map((one) => againstBase({ ...one, attribution: one.attribution! })));
  seen.push({ group, change, lowest, finding: modified.some((one) => one.finding) });
}

for (const set of SETS)
  for await (const problem of createFiles().candidateSet(join(folder, `${set}.jsonl.gz`))) {
    if (splitOf(problem.group) !== "validation") continue;
    const right = problem.candidates.find((one) => one.kind === "oracle" || one.model === "canonical");
    if (right === undefined) continue;
    for (const wrong of problem.candidates.filter(
      (one) => one.kind === "buggy" || one.model === "human-injected-bug",
    )) {
      await look(problem.group, "bug", problem.prompt, right.code, wrong.code);
      await look(problem.group, "mend", problem.prompt, wrong.code, right.code);
    }
    const others = problem.candidates.filter(
      (one) => one.passed === true && one !== right && /debug/.test(one.kind ?? ""),
    );
    for (const other of others.slice(0, REWRITES))
      await look(problem.group, "rewrite", problem.prompt, right.code, other.code);
  }
await model.dispose();

console.log(`model ${model.info.name} ${model.info.version}; ${new Set(seen.map((one) => one.group)).size} problems`);
const of = (change: Change) => seen.filter((one) => one.change === change);
for (const change of ["bug", "mend", "rewrite"] as const) {
  const all = of(change);
  const found = all.filter((one) => one.finding).length;
  const [low, high] = wilson(found, all.length);
  console.log(
    `${change.padEnd(8)} ${all.length} changes, a finding on ${found}: ${(found / all.length).toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}] (Wilson)`,
  );
}
for (const other of ["mend", "rewrite"] as const) {
  // Chance that a bug lowers its function more than the other change of the same problem does.
  const rows = of("bug").flatMap(({ group, lowest }): [string, number][] =>
    of(other)
      .filter((one) => one.group === group)
      .map((one) => [group, lowest < one.lowest ? 1 : lowest === one.lowest ? 0.5 : 0]),
  );
  const one = bootstrap(groupSums(rows));
  console.log(
    `a bug lowers more than a ${other} of the same problem: ${one === null ? "–" : `${one.value.toFixed(3)} [${one.ci[0].toFixed(3)}, ${one.ci[1].toFixed(3)}]`}`,
  );
}
