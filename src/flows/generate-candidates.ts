/** N candidates a problem from any generator, as rows of a candidate set (method.md section 10). Private tests are never read. */

import type { Compliance } from "../domain/candidate.ts";
import { COF_PROMPT_VERSION, type PromptStyle, programPrompt, promptSha256 } from "../domain/chain-of-function.ts";
import { parseProgramAnswer, programCompliance } from "../domain/cof-answer.ts";
import type { CandidateSetProblem, SetCandidate } from "../domain/dataset.ts";
import { type ErrorCode, FunprmError } from "../domain/errors.ts";
import { sha256 } from "../domain/ids.ts";
import type { FailedSample, Files, Generator, RowCache, Sample, SampleRequest, Syntax } from "../ports.ts";
import { inShards, joinShards, type ShardPaths } from "./in-shards.ts";

export type GeneratedProblem = CandidateSetProblem & {
  candidates: (SetCandidate & { compliance: Compliance; costUsd: number | null })[];
  rejected: { index: number; reason: string }[];
};

export type GenerateOptions = {
  n: number;
  prompt: PromptStyle;
  temperature: number | null;
  seed: number;
  limit: number | null;
  onProgress(problems: number): void;
};

/** Samples by the hash of all that they were asked with: nothing is paid twice, also after a failure inside a problem. */
export type SampleCache = RowCache<Sample>;

export type GenerateSummary = { problems: number; candidates: number; rejected: number; costUsd: number | null };

export async function generateCandidates(
  paths: ShardPaths,
  generator: Generator,
  syntax: Syntax,
  files: Files,
  samples: SampleCache,
  options: GenerateOptions,
  signal?: AbortSignal,
): Promise<GenerateSummary> {
  const { n, prompt, temperature, seed } = options;
  const settings = { n, prompt, temperature, seed, generator: generator.name, model: generator.model };
  const summary: GenerateSummary = { problems: 0, candidates: 0, rejected: 0, costUsd: null };
  await inShards<GeneratedProblem>(paths, files, {
    name: "candidates",
    settings,
    problemsAShard: 1,
    limit: options.limit,
    work: async (problems) => {
      const rows: GeneratedProblem[] = [];
      for (const problem of problems)
        rows.push(await generateOne(problem, generator, syntax, samples, options, signal));
      return rows;
    },
    onShard: (rows) => {
      for (const row of rows) {
        summary.problems += 1;
        summary.candidates += row.candidates.length;
        summary.rejected += row.rejected.length;
        for (const { costUsd } of row.candidates)
          if (costUsd !== null) summary.costUsd = (summary.costUsd ?? 0) + costUsd;
      }
      options.onProgress(summary.problems);
    },
  });
  await joinShards(files, paths.out, "candidates", summary.problems);
  const facts = { ...settings, promptVersion: COF_PROMPT_VERSION, ...summary };
  await files.writeText(`${paths.out}/summary.json`, `${JSON.stringify(facts, null, 2)}\n`);
  return summary;
}

async function generateOne(
  problem: CandidateSetProblem,
  generator: Generator,
  syntax: Syntax,
  samples: SampleCache,
  { n, prompt, temperature, seed }: GenerateOptions,
  signal: AbortSignal | undefined,
): Promise<GeneratedProblem> {
  const outline = (source: string) => syntax.outline(source, "python");
  const entryPoint = problem.entry_point ?? null;
  const messages = programPrompt(
    { statement: problem.prompt, io: problem.io ?? "call", entryPoint, starter: null },
    prompt,
  );
  const request = { messages, n, temperature, seed, maxTokens: 8_192, problem: problem.problem_id, prompt };
  const row: GeneratedProblem = { ...problem, candidates: [], rejected: [] };
  for (const sample of await samplesOf(request, generator, samples, signal)) {
    if (!("text" in sample)) {
      row.rejected.push({ index: sample.index, reason: `${sample.error.code}: ${sample.error.message}` });
      continue;
    }
    const answer = parseProgramAnswer(sample.text, { finishReason: sample.facts.finishReason, entryPoint, outline });
    if (!answer.ok) {
      row.rejected.push({ index: sample.index, reason: `${answer.rule}: ${answer.reason}` });
      continue;
    }
    const { selfCertainty, completionTokens, costUsd } = sample.facts;
    row.candidates.push({
      id: `${problem.problem_id}@${prompt}#${sample.index}`,
      model: sample.facts.model || generator.model,
      variant: `${prompt}-${promptSha256(messages).slice(0, 8)}`,
      code: answer.code,
      passed: null,
      ...(selfCertainty === null ? {} : { selfCertainty: selfCertainty.value, topK: selfCertainty.topK }),
      ...(completionTokens === null ? {} : { tokens: completionTokens }),
      compliance: programCompliance(answer.code, entryPoint, outline),
      costUsd,
    });
  }
  return row;
}

/** Those that are kept, then those that are missing, by index. What an LLM may answer later ends the stage. */
export async function samplesOf(
  request: SampleRequest,
  generator: Generator,
  samples: SampleCache,
  signal: AbortSignal | undefined,
): Promise<(Sample | FailedSample)[]> {
  const asked = { generator: generator.name, model: generator.model, ...request, n: null };
  const keyOf = (index: number) => sha256(JSON.stringify([asked, index]));
  const found = new Map<number, Sample | FailedSample>();
  // Files and pools answer at no price, and may have changed since.
  const paid = generator.origin === "llm";
  for (let index = 0; paid && index < request.n; index++) {
    const kept = samples.get(keyOf(index));
    if (kept !== undefined) found.set(index, kept);
  }
  if (found.size < request.n)
    for await (const sample of generator.sample({ ...request, skip: new Set(found.keys()) }, signal)) {
      if ("text" in sample) {
        if (paid) samples.put(keyOf(sample.index), sample);
      } else {
        const code = STOPS.find((one) => one === sample.error.code);
        if (code !== undefined)
          throw new FunprmError(
            code,
            `${request.problem}: ${sample.error.message}; the same command goes on from here`,
          );
      }
      found.set(sample.index, sample);
    }
  return [...found.values()].sort((a, b) => a.index - b.index);
}

const STOPS: readonly ErrorCode[] = ["GENERATOR_TRANSIENT", "BUDGET_SPENT"];
