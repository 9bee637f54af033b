/**
 * E item 8: wall time of a review of 50 changed functions with the bundled model, first without anything remembered, then of a
 * push that changes one of them. Real functions of the standard library, each with one line changed. JSON on stdout.
 *
 *   node bench/review.ts [ROUNDS]
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { openDatabase } from "../src/adapters/db/open-database.ts";
import { openRewardModel } from "../src/adapters/onnx/reward-model.ts";
import { createSyntax } from "../src/adapters/tree-sitter/create-syntax.ts";
import { bundledModel, REVIEW_MODEL } from "../src/compose.ts";
import type { ReviewedFile } from "../src/domain/review-scope.ts";
import { cachedRewards } from "../src/flows/cached-rewards.ts";
import { reviewChange } from "../src/flows/review-change.ts";

const FUNCTIONS = 50;
const LINES = { least: 8, most: 60 };
const rounds = Number(process.argv[2] ?? 10);

const syntax = await createSyntax();
const model = await openRewardModel(bundledModel(REVIEW_MODEL));
const root = execFileSync("python3", ["-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"], {
  encoding: "utf8",
}).trim();
const library = readdirSync(root)
  .filter((name) => name.endsWith(".py"))
  .sort()
  .map((name) => ({ name, text: readFileSync(join(root, name), "latin1") }));

/** `count` functions changed, a few a file, another choice of files for every seed. */
function change(seed: number, count: number): ReviewedFile[] {
  const files: ReviewedFile[] = [];
  let left = count;
  for (let step = 0; left > 0 && step < library.length; step++) {
    const { name, text } = library[(seed * 31 + step * 7) % library.length]!;
    const ends = syntax
      .outline(text, "python")
      .definitions.filter(({ startLine, endLine }) => {
        const lines = endLine - startLine + 1;
        return lines >= LINES.least && lines <= LINES.most;
      })
      .slice(0, Math.min(left, 5))
      .map(({ span }) => span.end);
    if (ends.length === 0) continue;
    left -= ends.length;
    const after = ends.toReversed().reduce((now, end) => `${now.slice(0, end)} or None${now.slice(end)}`, text);
    files.push({
      path: name,
      previousPath: null,
      before: Buffer.from(text),
      after: Buffer.from(after),
      unreadable: null,
    });
  }
  return files;
}

async function timed(scorer: typeof model, files: ReviewedFile[]) {
  const start = performance.now();
  const report = await reviewChange(
    { syntax, model: scorer },
    { statement: "Return None where nothing is there.", files, ignored: () => false, calibration: null },
  );
  return { seconds: (performance.now() - start) / 1000, scored: report.coverage.scored };
}

const quantile = (values: number[], share: number) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.ceil(share * values.length) - 1)]!;

const [cold, warm, scored]: number[][] = [[], [], []];
for (let round = 0; round < rounds; round++) {
  const { reviews, close } = await openDatabase({
    path: ":memory:",
    now: () => new Date(),
    random: (bytes) => new Uint8Array(bytes),
  });
  const remembered = cachedRewards(model, reviews, 1);
  const files = change(round, FUNCTIONS);
  const first = await timed(remembered, files);
  cold!.push(first.seconds);
  scored!.push(first.scored);
  const [one, ...rest] = files;
  const again = Buffer.from(Buffer.from(one!.after!).toString().replace(" or None", " or 0"));
  warm!.push((await timed(remembered, [{ ...one!, after: again }, ...rest])).seconds);
  await close();
}
await model.dispose();
console.log(
  JSON.stringify({
    cores: cpus().length,
    rounds,
    functions: { least: Math.min(...scored!), most: Math.max(...scored!) },
    firstReview: { p50: quantile(cold!, 0.5), p95: quantile(cold!, 0.95) },
    pushOfOne: { p50: quantile(warm!, 0.5), p95: quantile(warm!, 0.95) },
  }),
);
