/** Candidate sets → training rows, and the one split of everything (rulings 1 and 2; data README). */
import { createHash } from "node:crypto";

// ---------------------------------------------------------------- split

export const SPLITS = ["training", "meta", "validation"] as const;
export type Split = (typeof SPLITS)[number];

/** 0–99: first 4 bytes, big endian, of sha256("funprm-split-1:" + group), mod 100. */
export function fold(group: string): number {
  return createHash("sha256").update(`funprm-split-1:${group}`).digest().readUInt32BE(0) % 100;
}

/** 70 % training, 10 % meta, 20 % validation, disjoint by group whatever the set. */
export function splitOf(group: string): Split {
  const bucket = fold(group);
  return bucket < 70 ? "training" : bucket < 80 ? "meta" : "validation";
}

// ---------------------------------------------------------------- candidate sets

export type SetCandidate = {
  id: string;
  model: string;
  code: string;
  passed: boolean | null;
  variant?: string | null | undefined;
  from?: Record<string, number> | undefined;
  dups?: number | undefined;
  methods?: Record<string, boolean | null> | null | undefined;
  selfCertainty?: number | undefined;
  /** Log-probabilities a token that it rests on; null where all were there. */
  topK?: number | null | undefined;
  /** [passes, trials] of completions of each prefix; null where none were drawn. */
  monteCarlo?: ([number, number] | null)[] | undefined;
  /** What a language model as a judge says of each prefix, in [0,1]. */
  opinions?: (number | null)[] | undefined;
  /** Whether each step is right, where it is known by construction: one function of a passing program was mutated. */
  own?: (0 | 1)[] | undefined;
  kind?: string | undefined;
};

/** One problem with its candidates. Fields keep the data's snake_case (rulings 14). */
export type CandidateSetProblem = {
  set: string;
  problem_id: string;
  group: string;
  prompt: string;
  /** Signatures that stand beside the statement, as in a review; never steps. */
  context?: string[] | undefined;
  entry_point?: string | null | undefined;
  language?: string | undefined;
  date?: string | null | undefined;
  difficulty?: string | number | null | undefined;
  license?: string | undefined;
  io?: "call" | "stdin" | undefined;
  /** Many forms (rulings 16); the judge reads them. */
  tests?: unknown;
  /** Source that the set's own harness put before each program. */
  preamble?: string | null | undefined;
  candidates: SetCandidate[];
};

/** Pairs made by injecting bugs: one pool of their own, for localisation and contrast, never for Best-of-N figures. */
const CONSTRUCTED = /^(debugbench|humanevalfix|mutations)_/;
/** Labels of generated regression tests are noisy. */
const WEIGHTS: Record<string, number> = { realclasseval_csn: 0.3 };
const SUFFIXES: [RegExp, string][] = [
  [/_(javascript|js)$/, "javascript"],
  [/_(cpp|c\+\+)$/, "cpp"],
  [/_java$/, "java"],
  [/_go$/, "go"],
  [/_(rust|rs)$/, "rust"],
];

/** The row's own word, else what the set's name says, else Python. */
export function languageOf(problem: Pick<CandidateSetProblem, "set" | "language">): string {
  return problem.language ?? SUFFIXES.find(([suffix]) => suffix.test(problem.set))?.[1] ?? "python";
}

export function isConstructed(set: string): boolean {
  return CONSTRUCTED.test(set);
}

/** `model|variant`, `model` where the set has no variants, `constructed` for injected bugs. */
export function poolOf(set: string, candidate: Pick<SetCandidate, "model" | "variant">): string {
  if (isConstructed(set)) return "constructed";
  return candidate.variant ? `${candidate.model}|${candidate.variant}` : candidate.model;
}

/** How often each pool sampled this program: `from` where the set keeps it, else once plus its duplicates. */
export function samplesByPool(set: string, candidate: SetCandidate): Map<string, number> {
  if (!isConstructed(set) && candidate.from !== undefined) return new Map(Object.entries(candidate.from));
  return new Map([[poolOf(set, candidate), 1 + (candidate.dups ?? 0)]]);
}

// ---------------------------------------------------------------- training rows

/** Labels that only a training set may hold: what a language model thinks never stands beside clean labels (rulings 1). */
export type OpinionSource = "judge";

/** Noisy: `monte_carlo`, `broadcast` (the final verdict copied to an earlier step), `judge`. The others are clean. */
export type LabelSource =
  | "monte_carlo"
  | "broadcast"
  | "min_rule"
  | "mutation"
  | "unit_test"
  | "outcome"
  | OpinionSource;

/** One entry per completion in each list; null = no loss there. `labels` are values, `own` the step's own correctness. */
export type TrainingRow = {
  id: string;
  problem: string;
  group: string;
  date: string | null;
  language: string;
  pool: string | null;
  prompt: string;
  completions: string[];
  labels: (number | null)[];
  own: (0 | 1 | null)[];
  /** [passes, trials] of noisy labels. */
  counts: ([number, number] | null)[];
  source: (LabelSource | null)[];
  weight: number;
  renderVersion: string;
};

type Labels = Pick<TrainingRow, "labels" | "own" | "counts" | "source">;

/** Of a step, what finds its method's verdict: `Class.method`. */
export type NamedStep = { name: string; simpleName: string };

/** A row that a meta or validation set may hold. */
export type HeldOutRow = Omit<TrainingRow, "source"> & { source: (Exclude<LabelSource, OpinionSource> | null)[] };

/** The row without its opinions: those steps have no label. */
export function heldOut(row: TrainingRow): HeldOutRow {
  const kept = row.source.map((source) => (source === "judge" ? null : source));
  const only = <T>(all: readonly T[]) => all.map((one, k) => (row.source[k] === "judge" ? null : one));
  return { ...row, labels: only(row.labels), counts: only(row.counts), source: kept };
}

/**
 * Labels of a candidate: the last step has the verdict, earlier ones what their Monte Carlo completions gave, without any what
 * a judge thinks of them, without that a broadcast of the verdict — or, where every method has a verdict of its own, the rule v_k = min over j ≤ k of own_j.
 */
export function labelSteps(
  steps: readonly NamedStep[],
  passed: boolean,
  methods: Readonly<Record<string, boolean | null>> | null,
  entryPoint: string | null,
  monteCarlo: readonly ([number, number] | null)[] = [],
  opinions: readonly (number | null)[] = [],
): Labels {
  const verdict = passed ? 1 : 0;
  const own = steps.map((step) => ownVerdict(step, methods, entryPoint));
  const values = methods === null || !own.some((value) => value !== null) ? null : minRule(steps, own, passed);
  const labels: Labels = { labels: [], own, counts: [], source: [] };
  steps.forEach((_, index) => {
    const last = index === steps.length - 1;
    const drawn = last || values !== null ? null : (monteCarlo[index] ?? null);
    if (drawn !== null) {
      labels.labels.push(drawn[0] / drawn[1]);
      labels.source.push("monte_carlo");
      labels.counts.push([...drawn]);
      return;
    }
    const opinion = last || values !== null ? null : (opinions[index] ?? null);
    if (opinion !== null) {
      labels.labels.push(opinion);
      labels.source.push("judge");
      labels.counts.push(null);
      return;
    }
    const value = last ? verdict : values === null ? verdict : values[index]!;
    labels.labels.push(value);
    labels.source.push(last ? "unit_test" : values === null ? "broadcast" : value === null ? null : "min_rule");
    labels.counts.push(!last && values === null ? [verdict, 1] : null);
  });
  return labels;
}

/** Labels of a program whose steps are known to be right or wrong: v_k = min over j ≤ k of own_j (method.md section 5a). */
function knownLabels(own: readonly (0 | 1)[]): Labels {
  const values = own.map((_, index) => Math.min(...own.slice(0, index + 1)));
  const last = own.length - 1;
  return {
    labels: values,
    own: [...own],
    counts: own.map(() => null),
    source: own.map((_, index) => (index === last ? "unit_test" : "mutation")),
  };
}

function ownVerdict(
  step: NamedStep,
  methods: Readonly<Record<string, boolean | null>> | null,
  entryPoint: string | null,
): 0 | 1 | null {
  if (methods === null) return null;
  const ofClass =
    entryPoint === null || step.name === step.simpleName || step.name === `${entryPoint}.${step.simpleName}`;
  const verdict = ofClass && Object.hasOwn(methods, step.simpleName) ? methods[step.simpleName]! : null;
  return verdict === null ? null : verdict ? 1 : 0;
}

/**
 * A failing method makes every later prefix worthless; a passing program makes every prefix completable. Otherwise a prefix
 * is worth 1 only if each of its steps has passed. The constructor has no verdict of its own: every method's test runs it,
 * so a passing method of the prefix vouches for it. Any other step without a verdict leaves the value unknown.
 */
function minRule(steps: readonly NamedStep[], own: readonly (0 | 1 | null)[], passed: boolean): (number | null)[] {
  let failed = false;
  let unknown = false;
  let vouched = false;
  return own.map((value, index) => {
    if (value === 0) failed = true;
    else if (value === 1) vouched = true;
    else if (steps[index]!.simpleName !== "__init__") unknown = true;
    if (passed) return 1;
    if (failed) return 0;
    return unknown || !vouched ? null : 1;
  });
}

/** Facts that all rows of one problem share. `prompt` and completions are rendered. */
export type RowContext = { prompt: string; renderVersion: string };

export function candidateRow(
  problem: CandidateSetProblem,
  candidate: SetCandidate & { passed: boolean },
  steps: readonly (NamedStep & { text: string })[],
  context: RowContext,
): TrainingRow {
  return {
    ...rowFacts(problem, context),
    id: `${problem.set}/${candidate.id}`,
    pool: poolOf(problem.set, candidate),
    completions: steps.map((step) => step.text),
    ...(candidate.own?.length === steps.length
      ? knownLabels(candidate.own)
      : labelSteps(
          steps,
          candidate.passed,
          candidate.methods ?? null,
          problem.entry_point ?? null,
          candidate.monteCarlo,
          candidate.opinions,
        )),
  };
}

/** Programs that must share a prefix before their verdicts are its completions: below, a broadcast says as much. */
const PREFIX_MEMBERS = 4;

/** Prefixes of these rows, not the whole programs, that at least 2 and at least 4 different programs of one group begin with. */
export type SharedPrefixes = { two: number; four: number };

/**
 * Programs of one group that begin with the same rendered steps are completions of that prefix: their verdicts replace
 * broadcast labels of it, with passes and trials. Changes the rows; injected bugs neither give nor take.
 */
export function labelSharedPrefixes(rows: readonly TrainingRow[]): SharedPrefixes {
  const counts = new Map<string, [number, number]>();
  const real = rows.filter(
    (row) => row.pool !== "constructed" && (row.source.at(-1) === "unit_test" || row.source.at(-1) === "outcome"),
  );
  for (const row of real)
    for (const key of prefixKeys(row)) {
      const [passes, trials] = counts.get(key) ?? [0, 0];
      counts.set(key, [passes + row.labels.at(-1)!, trials + 1]);
    }
  for (const row of real)
    for (const [index, key] of prefixKeys(row).entries()) {
      const [passes, trials] = counts.get(key)!;
      if (trials < PREFIX_MEMBERS || (row.source[index] !== "broadcast" && row.source[index] !== "judge")) continue;
      row.labels[index] = passes / trials;
      row.counts[index] = [passes, trials];
      row.source[index] = "monte_carlo";
    }
  const shared = (least: number) => [...counts.values()].filter(([, trials]) => trials >= least).length;
  return { two: shared(2), four: shared(PREFIX_MEMBERS) };
}

/** One key for each step but the last. */
function prefixKeys({ group, completions }: TrainingRow): string[] {
  const hash = createHash("sha256").update(group);
  return completions.slice(0, -1).map((text) => hash.update(`\0${text}`).copy().digest("hex"));
}

/** One row per pool with the empty prefix: its label is the pool's pass rate over samples, so that v_0 means something. */
export function emptyPrefixRows(problem: CandidateSetProblem, context: RowContext): TrainingRow[] {
  const counts = new Map<string, [number, number]>();
  for (const candidate of problem.candidates) {
    // How many mutants were made says nothing of a generator.
    if (candidate.passed === null || candidate.own !== undefined) continue;
    for (const [pool, times] of samplesByPool(problem.set, candidate)) {
      const [passes, trials] = counts.get(pool) ?? [0, 0];
      counts.set(pool, [passes + (candidate.passed ? times : 0), trials + times]);
    }
  }
  return [...counts].map(([pool, [passes, trials]]) => ({
    ...rowFacts(problem, context),
    id: `${problem.set}/${problem.problem_id}@${pool}`,
    pool,
    completions: [""],
    labels: [passes / trials],
    own: [null],
    counts: [[passes, trials]],
    source: ["monte_carlo"],
  }));
}

function rowFacts(problem: CandidateSetProblem, context: RowContext) {
  return {
    problem: problem.problem_id,
    group: problem.group,
    date: problem.date ?? null,
    language: languageOf(problem),
    prompt: context.prompt,
    weight: WEIGHTS[problem.set] ?? 1,
    renderVersion: context.renderVersion,
  };
}
