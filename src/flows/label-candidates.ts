/**
 * Verdicts of final programs, then Monte Carlo labels of their prefixes (method.md section 5). Each completion begins with its
 * prefix byte for byte: from the pool, the counterparts of the remaining functions in the other candidates of the problem, or
 * from an LLM whose API goes on from a prefix.
 */
import { enoughTrials, MOST_TRIALS, type TrialRule } from "../domain/adaptive-trials.ts";
import { programPrompt } from "../domain/chain-of-function.ts";
import { type CandidateSetProblem, type SetCandidate, splitOf } from "../domain/dataset.ts";
import { FunprmError } from "../domain/errors.ts";
import type { FunctionStep } from "../domain/function-step.ts";
import { sha256 } from "../domain/ids.ts";
import { decodeSource, segment } from "../domain/segment.ts";
import { problemOfRow } from "../domain/test-forms.ts";
import type { Files, Generator, Judge, Syntax } from "../ports.ts";
import { type SampleCache, samplesOf } from "./generate-candidates.ts";
import { inShards, joinShards, type ShardPaths } from "./in-shards.ts";
import { judgeCandidates } from "./judge-candidates.ts";

export type LabelOptions = {
  trials: TrialRule;
  seed: number;
  limit: number | null;
  slots: number;
  /** Null: completions of the pool. */
  llm: Completions | null;
  onProgress(problems: number): void;
};

/** `samples` keeps each paid completion by all that it was asked with. */
export type Completions = { generator: Generator; samples: SampleCache; temperature: number | null };

export type LabelSummary = {
  problems: number;
  candidates: number;
  passed: number;
  /** Problems whose tests do not run here: their candidates stay unlabelled. */
  withoutTests: number;
  /** Prefixes that got a label, completions judged for them, and what 16 each would have cost. */
  prefixes: number;
  completions: number;
  completionsAtMost: number;
  /** Dollars of an LLM's completions; null when there were none, or no price is known. */
  costUsd: number | null;
};

type LabelledProblem = CandidateSetProblem & { completions: number; costUsd: number | null };
/** [passes, trials] of a prefix; null when there is no way, or but one way, to complete it. */
type Counts = { counts: [number, number] | null; costUsd: number | null };

export async function labelCandidates(
  paths: ShardPaths,
  judge: Judge,
  syntax: Syntax,
  files: Files,
  options: LabelOptions,
  signal?: AbortSignal,
): Promise<LabelSummary> {
  const summary: LabelSummary = {
    problems: 0,
    candidates: 0,
    passed: 0,
    withoutTests: 0,
    prefixes: 0,
    completions: 0,
    completionsAtMost: 0,
    costUsd: null,
  };
  const { llm } = options;
  if (llm !== null) await provePrefill(llm.generator, signal);
  await inShards<LabelledProblem>(paths, files, {
    name: "labelled",
    settings: {
      trials: options.trials,
      seed: options.seed,
      tier: judge.sandbox.tier,
      ...(llm === null ? {} : { completions: llm.generator.model, temperature: llm.temperature }),
    },
    problemsAShard: 1,
    limit: options.limit,
    work: async (problems) => {
      const rows: LabelledProblem[] = [];
      for (const problem of problems) rows.push(await labelOne(problem, judge, syntax, options, signal));
      return rows;
    },
    onShard: (rows) => {
      for (const row of rows) {
        summary.problems += 1;
        summary.candidates += row.candidates.length;
        if (row.candidates.every((one) => one.passed === null)) summary.withoutTests += 1;
        summary.passed += row.candidates.filter((one) => one.passed).length;
        const prefixes = row.candidates.flatMap((one) => one.monteCarlo ?? []).filter((one) => one !== null).length;
        summary.prefixes += prefixes;
        summary.completions += row.completions;
        summary.completionsAtMost += prefixes * MOST_TRIALS;
        if (row.costUsd !== null) summary.costUsd = (summary.costUsd ?? 0) + row.costUsd;
      }
      options.onProgress(summary.problems);
    },
  });
  await joinShards(files, paths.out, "labelled", summary.problems);
  return summary;
}

async function labelOne(
  problem: CandidateSetProblem,
  judge: Judge,
  syntax: Syntax,
  options: LabelOptions,
  signal: AbortSignal | undefined,
): Promise<LabelledProblem> {
  const found = problemOfRow(problem);
  if (found === null || (found.problem.io === "tests" && found.problem.style === "pytest"))
    return { ...problem, completions: 0, costUsd: null };
  const verdictsOf = async (programs: readonly string[]) => {
    const tasks = programs.map((code) => ({
      problem: found.problem,
      candidate: { code, language: "python" as const },
    }));
    const { verdicts } = await judgeCandidates(judge, tasks, { failFast: true, slots: options.slots }, signal);
    // INFRA says nothing of the program.
    return verdicts.map(({ verdict }) => (verdict === "INFRA" || verdict === "NOT_RUN" ? null : verdict === "PASS"));
  };
  const final = await verdictsOf(problem.candidates.map(({ code }) => code));
  const chains = problem.candidates.map(({ code }) => {
    const outline = syntax.outline(code, "python");
    return segment(decodeSource(Buffer.from(code)), outline, null).steps;
  });
  // A meta or validation problem is graded, never rolled out (method.md section 10).
  const rolledOut = splitOf(problem.group) === "training";
  let completions = 0;
  let costUsd: number | null = null;
  const candidates: SetCandidate[] = [];
  for (const [index, candidate] of problem.candidates.entries()) {
    const monteCarlo: ([number, number] | null)[] = [];
    const chain = chains[index]!;
    for (let k = 0; k < chain.length; k++) {
      const last = k === chain.length - 1;
      const key = `${options.seed}|${candidate.id}|${k}`;
      if (last || !rolledOut) {
        monteCarlo.push(null);
        continue;
      }
      const prefix = chain
        .slice(0, k + 1)
        .map((step) => step.source)
        .join("");
      const draw =
        options.llm === null
          ? pooled(prefix, chain, k, chains, key)
          : asked(prefix, problem, options.llm, options.seed);
      const found = await rollOut(draw, options.trials, verdictsOf, signal);
      monteCarlo.push(found.counts);
      completions += found.counts?.[1] ?? 0;
      if (found.costUsd !== null) costUsd = (costUsd ?? 0) + found.costUsd;
    }
    candidates.push({ ...candidate, passed: final[index]!, ...(rolledOut && chain.length > 1 ? { monteCarlo } : {}) });
  }
  return { ...problem, candidates, completions, costUsd };
}

/** Programs that begin with a prefix: trials `from` up to `to`, and what they cost. Null when there are none to draw. */
type Draw = (
  from: number,
  to: number,
  signal: AbortSignal | undefined,
) => Promise<{ programs: string[]; costUsd: number | null }>;

/** Null where the pool has but one way to complete the prefix. */
function pooled(
  prefix: string,
  chain: readonly FunctionStep[],
  k: number,
  chains: readonly (readonly FunctionStep[])[],
  key: string,
): Draw | null {
  const variants = chain
    .slice(k + 1)
    .map((step) => [
      ...new Set(chains.flatMap((other) => other.filter((one) => one.name === step.name).map((one) => one.source))),
    ]);
  if (variants.every((one) => one.length < 2)) return null;
  const program = (trial: number) =>
    prefix +
    variants
      .map((of, at) => of[Number.parseInt(sha256(`${key}|${trial}|${at}`).slice(0, 8), 16) % of.length]!)
      .join("");
  return async (from, to) => ({
    programs: Array.from({ length: to - from }, (_, at) => program(from + at)),
    costUsd: null,
  });
}

const FENCE = "```";

/** Continuations by an LLM inside the block that the prefix opens. One that it refuses is no trial. */
function asked(prefix: string, problem: CandidateSetProblem, llm: Completions, seed: number): Draw {
  const messages = programPrompt(
    { statement: problem.prompt, io: problem.io ?? "call", entryPoint: problem.entry_point ?? null, starter: null },
    "cof",
  );
  return async (from, to, signal) => {
    const request = {
      messages,
      prefix: `${FENCE}python\n${prefix}`,
      n: to,
      temperature: llm.temperature,
      seed,
      maxTokens: 4_096,
      problem: problem.problem_id,
    };
    const found = (await samplesOf(request, llm.generator, llm.samples, signal)).filter(({ index }) => index >= from);
    const costs = found.flatMap(({ facts }) => facts?.costUsd ?? []);
    return {
      programs: found.flatMap((one) => ("text" in one ? [prefix + untilFence(one.text)] : [])),
      costUsd: costs.length === 0 ? null : costs.reduce((sum, one) => sum + one, 0),
    };
  };
}

function untilFence(text: string): string {
  const close = /^[ \t]*```[ \t]*$/m.exec(text);
  return close === null ? text : text.slice(0, close.index);
}

async function rollOut(
  draw: Draw | null,
  rule: TrialRule,
  verdictsOf: (programs: readonly string[]) => Promise<(boolean | null)[]>,
  signal: AbortSignal | undefined,
): Promise<Counts> {
  if (draw === null) return { counts: null, costUsd: null };
  const most = rule.kind === "fixed" ? rule.trials : MOST_TRIALS;
  let [passes, trials] = [0, 0];
  let costUsd: number | null = null;
  // In groups: enough to keep the cores busy, few enough to stop early.
  for (let at = 0; at < most && !enoughTrials(rule, passes, trials); at += 2) {
    const drawn = await draw(at, Math.min(most, at + 2), signal);
    if (drawn.costUsd !== null) costUsd = (costUsd ?? 0) + drawn.costUsd;
    for (const verdict of await verdictsOf(drawn.programs))
      if (verdict !== null) {
        trials += 1;
        if (verdict) passes += 1;
      }
  }
  return { counts: trials === 0 ? null : [passes, trials], costUsd };
}

async function provePrefill(generator: Generator, signal: AbortSignal | undefined): Promise<void> {
  if (generator.provePrefill === undefined)
    throw new FunprmError(
      "GENERATOR_REFUSED",
      `${generator.name} answers cannot go on from a prefix: leave out --completions llm, and the pool completes`,
    );
  await generator.provePrefill(signal);
}
