/**
 * Learning from outcomes on a synthetic organisation at full size (issue H, "Measured and tested"):
 *
 *     node bench/learning.ts [--data FOLDER] [--pulls 320] [--functions 700] [--epochs 10] [--seed 0] [--poison] [--out FOLDER]
 *
 * Functions are those of Python's standard library on this machine; with --data also the reference solutions of the
 * `problems_*` sets in that folder. --poison turns round every outcome of one person, who opens about 30 % of the pull
 * requests. Prints one JSON object and writes the page; a stopped run goes on where it was.
 */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { openSyntheticLearning, standardLibrary } from "../src/compose-learning.ts";
import { knownFigures } from "../src/demo-learn.ts";
import { knownFunctions } from "../src/evaluation/known-functions.ts";
import { learnedPage } from "../src/evaluation/learned-report.ts";
import { ORGANISATION } from "../src/evaluation/organisation.ts";
import { measureLearning } from "../src/flows/measure-learning.ts";
import { reportLearning } from "../src/flows/report-learning.ts";

const { values } = parseArgs({
  options: {
    data: { type: "string" },
    pulls: { type: "string", default: "320" },
    functions: { type: "string", default: "700" },
    epochs: { type: "string", default: "10" },
    seed: { type: "string", default: "0" },
    poison: { type: "boolean", default: false },
    out: { type: "string", default: "runs/learning" },
  },
});
const out = resolve(values.out);
mkdirSync(out, { recursive: true });
const say = (line: string) => void process.stderr.write(`${line}\n`);
const started = process.hrtime.bigint();
const { database, ports, syntax } = await openSyntheticLearning(say);
const known = await standardLibrary(syntax);
if (values.data !== undefined)
  for (const name of readdirSync(values.data).filter((one) => /^problems_.*\.jsonl\.gz$/.test(one)))
    for await (const problem of ports.files.candidateSet(join(values.data, name))) {
      const solution = problem.candidates.find((one) => one.passed === true);
      if (solution !== undefined)
        known.push(
          ...knownFunctions(`${name}/${problem.problem_id}`, solution.code, (source, language) =>
            syntax.outline(source, language),
          ),
        );
    }
say(`${known.length} functions, ${known.filter((one) => one.family.length > 0).length} with a place for the family`);
const settings = {
  ...ORGANISATION,
  pulls: Number(values.pulls),
  seed: Number(values.seed) + 1,
  // Three people: one of them is nearly a third of all.
  people: values.poison ? 3 : ORGANISATION.people,
};
const measure = await measureLearning(ports, known, {
  settings,
  liar: values.poison ? "person-2" : null,
  functions: Number(values.functions),
  epochs: Number(values.epochs),
  seed: Number(values.seed),
  learning: out,
  onLine: say,
});
const clock = { ...ports.clock, now: () => new Date(measure.end) };
const report = await reportLearning({ ...database, clock }, { days: 120, repositoryId: null, wanted: 0.6 });
writeFileSync(join(out, "learned.html"), learnedPage({ ...report, known: knownFigures(measure) }));
const { training, snapshot, family, others } = measure;
const seconds = Number(process.hrtime.bigint() - started) / 1e9;
process.stdout.write(
  `${JSON.stringify({ settings, functions: known.length, labels: snapshot.labels, splits: snapshot.splits, gate: training.decision, active: training.active, family, others, noisyLabels: measure.labels, seconds, cpuSecondsHere: ports.cpuSeconds(), costUsd: 0 })}\n`,
);
await database.close();
