/** `steps --rows` and `score --rows`: every candidate of a candidate set split, and scored, in shards. */
import { languageOf } from "../domain/dataset.ts";
import { RENDER_VERSION, renderSteps } from "../domain/render.ts";
import type { Aggregation } from "../domain/reward.ts";
import { decodeSource, segment } from "../domain/segment.ts";
import { WORDS_VERSION } from "../domain/words.ts";
import type { Files, RewardModel, Syntax } from "../ports.ts";
import { inShards, type ShardPaths } from "./in-shards.ts";
import { boundedWords, scoreSteps } from "./score-candidates.ts";

type RowKey = { set: string; problem_id: string; group: string; id: string };

/** A candidate in another language than Python has no steps and says why. */
export type StepsRow = RowKey & {
  parsed: boolean;
  steps: { name: string; startLine: number; endLine: number; startByte: number; endByte: number; docstring: boolean }[];
  reason: string | null;
};

export type ScoreRowOfSet = RowKey & {
  score: number | null;
  v0: number | null;
  rewards: (number | null)[];
  attribution: (number | null)[];
  steps: string[];
  reason: string | null;
  truncatedTokens: number;
  windowed: boolean;
};

export type RowsSummary = { rows: number; candidates: number; withReason: number; steps: number };
type RowsOptions = { limit: number | null; onProgress: (candidates: number) => void };

const NOT_PYTHON = "language not supported";

export async function stepRows(
  paths: ShardPaths,
  syntax: Syntax,
  files: Files,
  options: RowsOptions,
): Promise<RowsSummary> {
  const { summary, onShard } = counted<StepsRow>(options, (row) => row.steps.length);
  await inShards<StepsRow>(paths, files, {
    name: "steps",
    settings: {},
    problemsAShard: 50,
    limit: options.limit,
    work: async (problems) =>
      problems.flatMap((problem) =>
        problem.candidates.map(({ id, code }): StepsRow => {
          const key = { set: problem.set, problem_id: problem.problem_id, group: problem.group, id };
          if (languageOf(problem) !== "python") return { ...key, parsed: false, steps: [], reason: NOT_PYTHON };
          const file = split(syntax, code).file;
          const steps = file.steps.map(({ name, startLine, endLine, startByte, endByte, docstring }) => ({
            name,
            startLine,
            endLine,
            startByte,
            endByte,
            docstring,
          }));
          return { ...key, parsed: file.parsed, steps, reason: null };
        }),
      ),
    onShard,
  });
  return summary;
}

export async function scoreRows(
  paths: ShardPaths,
  ports: { syntax: Syntax; model: RewardModel },
  files: Files,
  options: RowsOptions & { aggregation: Aggregation },
  signal?: AbortSignal,
): Promise<RowsSummary> {
  const { summary, onShard } = counted<ScoreRowOfSet>(options, (row) => row.rewards.length);
  await inShards<ScoreRowOfSet>(paths, files, {
    name: "scores",
    settings: {
      ...{ model: ports.model.info.sha256, render: RENDER_VERSION, words: WORDS_VERSION },
      aggregation: options.aggregation,
    },
    problemsAShard: 5,
    limit: options.limit,
    work: async (problems) => {
      const rows: ScoreRowOfSet[] = [];
      for (const problem of problems) {
        const key = (id: string) => ({ set: problem.set, problem_id: problem.problem_id, group: problem.group, id });
        if (languageOf(problem) !== "python") {
          rows.push(...problem.candidates.map(({ id }) => ({ ...key(id), ...UNSCORED, reason: NOT_PYTHON })));
          continue;
        }
        const chains = problem.candidates.map(({ id, code }) => {
          const { file, rendered } = split(ports.syntax, code);
          const steps = file.steps.map((step, k) => ({ rendered: rendered[k]!, signature: step.signature }));
          return { id, steps, names: file.steps.map((step) => step.name) };
        });
        const scored = await scoreSteps(boundedWords(ports.model), problem.prompt, chains, options, signal);
        for (const [i, { id, names }] of chains.entries()) {
          const { score, v0, rewards, attribution, reasons, truncatedTokens, windowed } = scored[i]!;
          const reason = reasons.find((one) => one !== null) ?? null;
          rows.push({ ...key(id), score, v0, rewards, attribution, steps: names, reason, truncatedTokens, windowed });
        }
      }
      return rows;
    },
    onShard,
  });
  return summary;
}

const UNSCORED = {
  score: null,
  v0: null,
  rewards: [],
  attribution: [],
  steps: [],
  truncatedTokens: 0,
  windowed: false,
};

function split(syntax: Syntax, code: string) {
  const outline = syntax.outline(code, "python");
  const file = segment(decodeSource(Buffer.from(code)), outline, null);
  return { file, rendered: renderSteps(file, outline) };
}

function counted<Row extends { problem_id: string; set: string; reason: string | null }>(
  options: RowsOptions,
  steps: (row: Row) => number,
) {
  const summary: RowsSummary = { rows: 0, candidates: 0, withReason: 0, steps: 0 };
  return {
    summary,
    onShard: (rows: readonly Row[]) => {
      summary.rows += new Set(rows.map((row) => `${row.set}/${row.problem_id}`)).size;
      summary.candidates += rows.length;
      for (const row of rows) {
        summary.steps += steps(row);
        if (row.reason !== null) summary.withReason += 1;
      }
      options.onProgress(summary.candidates);
    },
  };
}
