/** `judge --rows`: the candidates of a candidate set under its own tests, in shards that a second start takes over. */
import { type CandidateSetProblem, languageOf } from "../domain/dataset.ts";
import { FunprmError } from "../domain/errors.ts";
import { sha256 } from "../domain/ids.ts";
import type { JudgeOptions, JudgeVerdict } from "../domain/judge.ts";
import { problemOfRow } from "../domain/test-forms.ts";
import type { Files, Judge } from "../ports.ts";
import { judgeCandidates } from "./judge-candidates.ts";

/** Problems of one shard: what a crash can cost. */
const SHARD = 10;

export type JudgedCandidate = {
  id: string;
  verdict: JudgeVerdict["verdict"];
  /** What the set says; null where it does not. */
  published: boolean | null;
  attested: JudgeVerdict["attested"];
  cpuMs: number;
  detail: string | null;
};
export type JudgedRow = {
  set: string;
  problem_id: string;
  group: string;
  /** Null when the row holds no tests that can run here; then no candidate is judged. */
  form: "call" | "stdin" | "tests" | null;
  converted: boolean;
  candidates: JudgedCandidate[];
};

export type JudgeRowsSummary = {
  rows: number;
  judgedRows: number;
  /** Share of judged problems whose tests became cases compared out of process. */
  converted: number | null;
  candidates: number;
  verdicts: Record<string, number>;
  /** Candidates with a published label and a verdict; how many say the same. */
  labelled: number;
  agree: number;
  executions: number;
};

type RowOptions = JudgeOptions & { slots: number; onProgress?: (rows: number) => void };

export async function judgeRows(
  paths: { input: string; out: string },
  judge: Judge,
  files: Files,
  options: RowOptions,
  signal?: AbortSignal,
): Promise<JudgeRowsSummary> {
  const { onProgress, ...judging } = options;
  await claimFolder(paths, judge, files, judging);
  const summary: JudgeRowsSummary = {
    rows: 0,
    judgedRows: 0,
    converted: null,
    candidates: 0,
    verdicts: {},
    labelled: 0,
    agree: 0,
    executions: 0,
  };
  let shard: CandidateSetProblem[] = [];
  let number = 0;
  const flush = async () => {
    if (shard.length === 0) return;
    const path = `${paths.out}/verdicts-${String(number).padStart(5, "0")}.jsonl`;
    let rows = await finishedShard(path, files);
    if (rows === null) {
      rows = [];
      for (const row of shard) {
        const judged = await judgeRow(row, judge, judging, signal);
        summary.executions += judged.executions;
        rows.push(judged.row);
      }
      await files.writeRows(path, rows);
    }
    for (const row of rows) count(summary, row);
    number += 1;
    shard = [];
    onProgress?.(summary.rows);
  };
  for await (const row of files.candidateSet(paths.input)) {
    shard.push(row);
    if (shard.length === SHARD) await flush();
  }
  await flush();
  return summary;
}

/** A folder belongs to one input and one setting: shards of two runs never mix. */
async function claimFolder(
  paths: { input: string; out: string },
  judge: Judge,
  files: Files,
  options: JudgeOptions & { slots: number },
): Promise<void> {
  const { cpuSeconds, memoryMb, repeat, failFast } = options;
  const judging = { cpuSeconds, memoryMb, repeat, failFast };
  const ids: string[] = [];
  for await (const row of files.candidateSet(paths.input)) ids.push(sha256(JSON.stringify(row)));
  const input = sha256(ids.join());
  const claim = `${JSON.stringify({ input, judging, tier: judge.sandbox.tier })}\n`;
  const path = `${paths.out}/manifest.json`;
  const found = await files.text(path).catch(() => null);
  if (found !== null && found !== claim) {
    throw new FunprmError("BAD_INPUT", `${paths.out}: holds verdicts of another input or setting; name another --out`);
  }
  if (found === null) await files.writeText(path, claim);
}

async function finishedShard(path: string, files: Files): Promise<JudgedRow[] | null> {
  const text = await files.text(path).catch(() => null);
  return (
    text
      ?.split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as JudgedRow) ?? null
  );
}

async function judgeRow(
  row: CandidateSetProblem,
  judge: Judge,
  options: RowOptions,
  signal: AbortSignal | undefined,
): Promise<{ row: JudgedRow; executions: number }> {
  const { set, problem_id, group } = row;
  const language = languageOf(row);
  const found = language === "python" ? problemOfRow(row) : null;
  const empty: JudgedRow = { set, problem_id, group, form: null, converted: false, candidates: [] };
  if (found === null || (found.problem.io === "tests" && found.problem.style === "pytest"))
    return { row: empty, executions: 0 };
  const tasks = row.candidates.map(({ code }) => ({
    problem: found.problem,
    candidate: { code, language: "python" as const },
  }));
  const batch = await judgeCandidates(judge, tasks, options, signal);
  const candidates = row.candidates.map((candidate, index): JudgedCandidate => {
    const { verdict, attested, cpuMs, detail } = batch.verdicts[index]!;
    return { id: candidate.id, verdict, published: candidate.passed, attested, cpuMs, detail };
  });
  const judged = { ...empty, form: found.problem.io, converted: found.converted, candidates };
  return { row: judged, executions: batch.executions };
}

function count(summary: JudgeRowsSummary, row: JudgedRow): void {
  summary.rows += 1;
  if (row.form === null) return;
  const convertedSoFar = (summary.converted ?? 0) * summary.judgedRows;
  summary.judgedRows += 1;
  summary.converted = (convertedSoFar + (row.converted ? 1 : 0)) / summary.judgedRows;
  for (const { verdict, published } of row.candidates) {
    summary.candidates += 1;
    summary.verdicts[verdict] = (summary.verdicts[verdict] ?? 0) + 1;
    if (published === null || verdict === "INFRA" || verdict === "NOT_RUN") continue;
    summary.labelled += 1;
    if ((verdict === "PASS") === published) summary.agree += 1;
  }
}
