import { resolve } from "node:path";
import Table from "cli-table3";
import type { Command } from "commander";
import { FunprmError } from "../../domain/errors.ts";
import { renderSteps } from "../../domain/render.ts";
import { AGGREGATIONS, type Aggregation } from "../../domain/reward.ts";
import { decodeSource, segment } from "../../domain/segment.ts";
import { VALIDATED_LANGUAGES } from "../../flows/review-change.ts";
import { boundedWords, scoreSteps } from "../../flows/score-candidates.ts";
import { scoreRows } from "../../flows/step-rows.ts";
import type { Files, RewardModel, Syntax } from "../../ports.ts";
import type { CommandContext } from "../context.ts";
import { type RowsOptions, runRows } from "../rows.ts";
import { languageOf, readSource } from "../source-files.ts";

type Options = RowsOptions & {
  problem?: string;
  model?: string;
  worker?: string;
  aggregate: string;
  language?: string;
};

/** `score FILE…`: files are candidates for one problem (contracts.md). */
export function addScoreCommand(
  program: Command,
  context: CommandContext,
  open: {
    syntax: () => Promise<Syntax>;
    rewardModel: (folder: string | null) => Promise<RewardModel>;
    worker: (url: string) => Promise<RewardModel>;
    files: () => Files;
  },
): void {
  program
    .command("score")
    .description("reward every function of candidate programs for one problem")
    .argument("[file...]", "candidates")
    .option("--problem <text|@file>", "problem statement, or @ and the file that holds it; default: empty")
    .option("--model <folder>", "model bundle; default: the one that ships with funprm")
    .option("--worker <url>", "a gpu-worker instead of a bundle; its token stands in WORKER_TOKEN")
    .option("--aggregate <name>", `step rewards to one score: ${AGGREGATIONS.join(", ")}`, "mean")
    .option("--language <name>", "language of the files; default: by extension")
    .option("--rows <file>", "candidate set (JSONL, .gz or not) instead of files")
    .option("--out <folder>", "where the rewards of --rows go; a second start takes over what is there")
    .option("--limit <n>", "first problems of --rows only")
    .option("--json", "print JSON")
    .action(async (paths: string[], options: Options) => {
      const aggregation = AGGREGATIONS.find((known): known is Aggregation => known === options.aggregate);
      if (aggregation === undefined)
        throw new FunprmError(
          "BAD_USAGE",
          `--aggregate ${options.aggregate} is unknown: use one of ${AGGREGATIONS.join(", ")}`,
        );
      if (options.worker !== undefined && options.model !== undefined)
        throw new FunprmError("BAD_USAGE", "--worker and --model exclude each other: the worker serves its own model");
      const openModel = () =>
        options.worker === undefined
          ? open.rewardModel(options.model === undefined ? null : resolve(context.cwd, options.model))
          : open.worker(options.worker);
      if (options.rows !== undefined)
        return runRows(context, options, paths, async (at, limits) => {
          const model = await openModel();
          try {
            const ports = { syntax: await open.syntax(), model };
            return await scoreRows(at, ports, open.files(), { ...limits, aggregation });
          } finally {
            await model.dispose();
          }
        });
      if (paths.length === 0) throw new FunprmError("BAD_USAGE", "name candidates, or --rows FILE");
      const statement = statementOf(context.cwd, options.problem ?? "");
      const files = paths.map((path) => {
        const language = languageOf(path, options.language);
        if (!VALIDATED_LANGUAGES.has(language))
          throw new FunprmError(
            "BAD_INPUT",
            `${path}: no reward for ${language}: the model was validated on ${[...VALIDATED_LANGUAGES].join(", ")} only`,
          );
        return { path, language, source: decodeSource(readSource(context.cwd, path)) };
      });
      const model = await openModel();
      try {
        const syntax = await open.syntax();
        const segmented = files.map(({ path, language, source }) => {
          const outline = syntax.outline(source.text, language);
          const file = segment(source, outline, path);
          return { path, file, rendered: renderSteps(file, outline) };
        });
        const chains = segmented.map(({ path, file, rendered }) => ({
          id: path,
          steps: file.steps.map((step, index) => ({ rendered: rendered[index]!, signature: step.signature })),
        }));
        const scored = await scoreSteps(boundedWords(model), statement, chains, { aggregation });
        const { name, version, sha256, renderVersion } = model.info;
        const result: ScoreResult = {
          model: { name, version, sha256, renderVersion },
          candidates: segmented.map(({ path, file }, index) => {
            const chain = scored[index]!;
            return {
              path,
              score: chain.score,
              truncatedTokens: chain.truncatedTokens,
              parsed: file.parsed,
              windowed: chain.windowed,
              reason: chain.reasons.find((reason) => reason !== null) ?? null,
              steps: file.steps.map((step, at) => ({
                name: step.name,
                startLine: step.startLine,
                endLine: step.endLine,
                reward: chain.rewards[at]!,
                attribution: chain.attribution[at]!,
                reason: chain.reasons[at]!,
              })),
            };
          }),
        };
        context.stdout(options.json === true ? `${JSON.stringify(result)}\n` : toText(result, aggregation));
      } finally {
        await model.dispose();
      }
    });
}

type ScoreResult = {
  model: { name: string; version: string; sha256: string; renderVersion: string };
  candidates: {
    path: string;
    score: number | null;
    truncatedTokens: number;
    parsed: boolean;
    windowed: boolean;
    reason: string | null;
    steps: {
      name: string;
      startLine: number;
      endLine: number;
      reward: number | null;
      attribution: number | null;
      reason: string | null;
    }[];
  }[];
};

function statementOf(cwd: string, problem: string): string {
  return problem.startsWith("@") ? decodeSource(readSource(cwd, problem.slice(1))).text : problem;
}

function toText(result: ScoreResult, aggregation: Aggregation): string {
  const number = (value: number | null) => (value === null ? "–" : value.toFixed(3));
  const ranked = result.candidates.toSorted((a, b) => (b.score ?? -1) - (a.score ?? -1));
  const table = new Table({
    head: ["candidate", "score", "function", "lines", "reward", "attribution"],
    style: { head: [], border: [] },
    colAligns: ["left", "right", "left", "right", "right", "right"],
  });
  for (const candidate of ranked) {
    candidate.steps.forEach((step, index) => {
      table.push([
        index === 0 ? candidate.path : "",
        index === 0 ? number(candidate.score) : "",
        step.name,
        `${step.startLine}–${step.endLine}`,
        step.reason ?? number(step.reward),
        number(step.attribution),
      ]);
    });
  }
  const notes = ranked.flatMap((candidate) => [
    ...(candidate.parsed ? [] : [`${candidate.path}: does not parse; scored as it stands`]),
    ...(candidate.windowed ? [`${candidate.path}: longer than the model's window; scored in windows`] : []),
    ...(candidate.truncatedTokens > 0
      ? [`${candidate.path}: ${candidate.truncatedTokens} tokens of the statement's middle left out`]
      : []),
  ]);
  const { model } = result;
  return `${table.toString()}\n${[`model ${model.name} ${model.version}, score = ${aggregation} of the rewards`, ...notes].join("\n")}\n`;
}
