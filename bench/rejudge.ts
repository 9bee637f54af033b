/**
 * Do our verdicts agree with the published ones? `node bench/rejudge.ts DATA_FOLDER [SET…]` re-judges at least 500
 * candidates each of humaneval_codet and mint_codegen, and all labelled ClassEval candidates that need only the standard
 * library, and sorts every disagreement into a class. JSON on stdout.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { createSandboxJudge } from "../src/adapters/sandbox/sandbox-judge.ts";
import { sha256 } from "../src/domain/ids.ts";
import type { JudgeVerdict } from "../src/domain/judge.ts";
import { problemOfRow } from "../src/domain/test-forms.ts";
import { judgeCandidates } from "../src/flows/judge-candidates.ts";

type Row = {
  problem_id: string;
  io: "call" | "stdin";
  entry_point: string | null;
  tests: unknown;
  preamble?: string | null;
  candidates: { id: string; code: string; passed: boolean | null }[];
};

const [folder, ...named] = process.argv.slice(2);
if (folder === undefined) {
  process.stderr.write("usage: node bench/rejudge.ts FOLDER_WITH_CANDIDATE_SETS [SET…]\n");
  process.exit(2);
}
const standard = new Set(
  execFileSync("/usr/bin/python3", ["-I", "-c", "import sys; print(' '.join(sys.stdlib_module_names))"], {
    encoding: "utf8",
  })
    .trim()
    .split(" "),
);

const rowsOf = (set: string): Row[] =>
  gunzipSync(readFileSync(join(folder, `${set}.jsonl.gz`)))
    .toString("utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Row);

function needsMore(source: string): boolean {
  return [...source.matchAll(/^\s*(?:from|import)\s+([\w.]+)/gm)].some(
    (match) => !standard.has(match[1]!.split(".")[0]!),
  );
}

/** The same share of every problem, chosen by hash. */
function sample(row: Row, count: number): Row["candidates"] {
  const labelled = row.candidates.filter((one) => one.passed !== null);
  return labelled.sort((a, b) => sha256(a.id).localeCompare(sha256(b.id))).slice(0, count);
}

const sets: { name: string; perProblem: number; only: (row: Row, code: string) => boolean }[] = [
  { name: "humaneval_codet", perProblem: 6, only: () => true },
  { name: "mint_codegen", perProblem: 8, only: () => true },
  {
    name: "classeval",
    perProblem: Number.POSITIVE_INFINITY,
    only: (row, code) => !needsMore(`${row.tests}`) && !needsMore(code),
  },
];

const judge = await createSandboxJudge({ weakestTier: 1 });
const report: Record<string, unknown> = {};
for (const { name, perProblem, only } of sets.filter((set) => named.length === 0 || named.includes(set.name))) {
  const classes: Record<string, { count: number; examples: string[] }> = {};
  const verdicts: Record<string, number> = {};
  let judged = 0;
  let agree = 0;
  let problems = 0;
  let converted = 0;
  let skipped = 0;
  for (const row of rowsOf(name)) {
    const found = problemOfRow(row);
    if (found === null) continue;
    const chosen = sample(row, perProblem).filter((one) => only(row, one.code));
    skipped += sample(row, perProblem).length - chosen.length;
    if (chosen.length === 0) continue;
    problems += 1;
    if (found.converted) converted += 1;
    const batch = await judgeCandidates(
      judge,
      chosen.map(({ code }) => ({ problem: found.problem, candidate: { code, language: "python" } })),
      { slots: cpus().length, failFast: true },
    );
    chosen.forEach((candidate, index) => {
      const verdict = batch.verdicts[index]!;
      judged += 1;
      verdicts[verdict.verdict] = (verdicts[verdict.verdict] ?? 0) + 1;
      if ((verdict.verdict === "PASS") === candidate.passed) agree += 1;
      else {
        const key = disagreement(candidate.passed === true, verdict);
        classes[key] ??= { count: 0, examples: [] };
        classes[key].count += 1;
        if (classes[key].examples.length < 5)
          classes[key].examples.push(`${row.problem_id} ${candidate.id} ${verdict.detail ?? ""}`);
      }
    });
    process.stderr.write(`\r${name} ${judged}`);
  }
  report[name] = {
    problems,
    converted: converted / problems,
    skipped,
    judged,
    agree,
    share: agree / judged,
    verdicts,
    classes,
  };
  process.stderr.write("\n");
}
judge.dispose();
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);

function disagreement(published: boolean, verdict: JudgeVerdict): string {
  if (!published) return `published fail, ours PASS (${verdict.attested})`;
  const error = verdict.verdict === "RUNTIME_ERROR" ? ` ${verdict.detail?.split(":")[0]}` : "";
  const odd = verdict.detail?.startsWith("the answer is no plain value") ? ` ${verdict.detail}` : "";
  return `published pass, ours ${verdict.verdict}${error}${odd} (${verdict.attested})`;
}
