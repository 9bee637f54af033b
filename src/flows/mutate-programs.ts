/**
 * Passing programs of several functions → mutants with one bug in one function, judged: exact truth of every step (method.md
 * section 5). A mutant that passes says nothing and is dropped.
 */
import { type CandidateSetProblem, languageOf, type SetCandidate } from "../domain/dataset.ts";
import type { Outline } from "../domain/function-step.ts";
import { inDrawnOrder } from "../domain/ids.ts";
import type { JudgeProblem, JudgeVerdict } from "../domain/judge.ts";
import { applyMutation, drawMutations, mutationsOf } from "../domain/mutate.ts";
import { problemOfRow } from "../domain/test-forms.ts";
import type { Files, Judge, Syntax } from "../ports.ts";
import { inShards, type ShardPaths } from "./in-shards.ts";
import { judgeCandidates } from "./judge-candidates.ts";

/** Problems of one shard: what a crash can cost. */
const SHARD = 5;
/** A wrong function shows as one of these; INFRA, FLAKY, TAMPERED say nothing of it. */
const KILLED: ReadonlySet<string> = new Set(["WRONG", "RUNTIME_ERROR", "TIME_LIMIT", "MEMORY_LIMIT", "OUTPUT_LIMIT"]);

export type MutateOptions = {
  /** Fewest functions of a base, passing programs a problem, mutants a function. */
  functions: number;
  bases: number;
  perFunction: number;
  seed: number;
  limit: number | null;
  slots: number;
  onProgress(problems: number): void;
};

export type MutateSummary = {
  problems: number;
  /** Problems with a base that passes here too. */
  withBases: number;
  bases: number;
  /** Passing programs by the set that do not pass here: dropped. */
  refuted: number;
  mutants: number;
  killed: number;
  /** Killed mutants by kind of bug, and by functions of the program. */
  byKind: Record<string, number>;
  byFunctions: Record<string, number>;
};

type MutatedProblem = CandidateSetProblem & { mutants: number; refuted: number };

export async function mutatePrograms(
  paths: ShardPaths,
  judge: Judge,
  syntax: Syntax,
  files: Files,
  options: MutateOptions,
  signal?: AbortSignal,
): Promise<{ summary: MutateSummary; rows: CandidateSetProblem[] }> {
  const { functions, bases, perFunction, seed, limit } = options;
  const rows: CandidateSetProblem[] = [];
  const summary: MutateSummary = {
    problems: 0,
    withBases: 0,
    bases: 0,
    refuted: 0,
    mutants: 0,
    killed: 0,
    byKind: {},
    byFunctions: {},
  };
  await inShards<MutatedProblem>(paths, files, {
    name: "mutants",
    settings: { functions, bases, perFunction, seed, tier: judge.sandbox.tier },
    problemsAShard: SHARD,
    limit,
    work: async (problems) => {
      const mutated: MutatedProblem[] = [];
      for (const problem of problems) mutated.push(await mutateOne(problem, judge, syntax, options, signal));
      return mutated;
    },
    onShard: (shard) => {
      for (const { mutants, refuted, ...row } of shard) {
        count(summary, row, mutants, refuted);
        if (row.candidates.length > 0) rows.push(row);
      }
      options.onProgress(summary.problems);
    },
  });
  return { summary, rows };
}

type Base = { candidate: SetCandidate; outline: Outline };

async function mutateOne(
  problem: CandidateSetProblem,
  judge: Judge,
  syntax: Syntax,
  options: MutateOptions,
  signal: AbortSignal | undefined,
): Promise<MutatedProblem> {
  const result: MutatedProblem = {
    ...problem,
    set: `mutations_${problem.set}`,
    candidates: [],
    mutants: 0,
    refuted: 0,
  };
  const found = languageOf(problem) === "python" ? problemOfRow(problem) : null;
  if (found === null || (found.problem.io === "tests" && found.problem.style === "pytest")) return result;
  const known = basesOf(problem, syntax, options);
  const verdicts = await run(
    judge,
    found.problem,
    known.map(({ candidate }) => candidate.code),
    options.slots,
    signal,
  );
  const bases = known.filter((_, at) => verdicts[at]!.verdict === "PASS");
  result.refuted = known.length - bases.length;
  const mutants = bases
    .flatMap((base) => mutantsOf(base, options))
    .filter(({ code }) => syntax.outline(code, "python").parsed);
  const judged = await run(
    judge,
    found.problem,
    mutants.map(({ code }) => code),
    options.slots,
    signal,
  );
  const killed = mutants.filter((_, at) => KILLED.has(judged[at]!.verdict));
  result.mutants = mutants.length;
  if (killed.length === 0) return result;
  const originals = bases.map(({ candidate, outline }) => ({
    id: `${candidate.id}~base`,
    model: "mutation",
    code: candidate.code,
    passed: true,
    kind: "base",
    own: outline.definitions.map(() => 1 as const),
  }));
  return { ...result, candidates: [...originals, ...killed] };
}

/** Different passing programs of enough functions, no two of one name, in an order drawn by the seed. */
function basesOf(problem: CandidateSetProblem, syntax: Syntax, options: MutateOptions): Base[] {
  const passing = new Map(problem.candidates.filter((one) => one.passed === true).map((one) => [one.code, one]));
  const bases: Base[] = [];
  for (const candidate of inDrawnOrder(passing.values(), (one) => `${options.seed}|${one.code}`)) {
    if (bases.length === options.bases) break;
    const outline = syntax.outline(candidate.code, "python");
    const names = new Set(outline.definitions.map((one) => one.name));
    if (outline.parsed && names.size === outline.definitions.length && names.size >= options.functions)
      bases.push({ candidate, outline });
  }
  return bases;
}

function mutantsOf({ candidate, outline }: Base, options: MutateOptions): SetCandidate[] {
  return outline.definitions.flatMap((definition, at) =>
    drawMutations(
      mutationsOf(candidate.code, definition),
      options.perFunction,
      `${options.seed}|${candidate.code}|${definition.name}`,
    ).map((mutation, index) => ({
      id: `${candidate.id}~${at}.${index}`,
      model: "mutation",
      code: applyMutation(candidate.code, mutation),
      passed: false,
      kind: mutation.kind,
      own: outline.definitions.map((_, step) => (step === at ? (0 as const) : (1 as const))),
    })),
  );
}

async function run(
  judge: Judge,
  problem: JudgeProblem,
  programs: readonly string[],
  slots: number,
  signal: AbortSignal | undefined,
): Promise<JudgeVerdict[]> {
  const tasks = programs.map((code) => ({ problem, candidate: { code, language: "python" as const } }));
  return (await judgeCandidates(judge, tasks, { failFast: true, slots }, signal)).verdicts;
}

function count(summary: MutateSummary, row: CandidateSetProblem, mutants: number, refuted: number): void {
  summary.problems += 1;
  summary.mutants += mutants;
  summary.refuted += refuted;
  if (row.candidates.length > 0) summary.withBases += 1;
  for (const { passed, kind = "", own = [] } of row.candidates) {
    if (passed) {
      summary.bases += 1;
      continue;
    }
    summary.killed += 1;
    summary.byKind[kind] = (summary.byKind[kind] ?? 0) + 1;
    const size = own.length >= 6 ? "6+" : String(own.length);
    summary.byFunctions[size] = (summary.byFunctions[size] ?? 0) + 1;
  }
}
