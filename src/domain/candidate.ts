/** What a generator sampled and what became of it (method.md section 2). Types only. */
import type { FunctionStep } from "./function-step.ts";

/** Verdicts everywhere (rulings 14). FAIL does not exist as a word of its own: it is one of WRONG … OUTPUT_LIMIT. */
export const VERDICTS = [
  "PASS",
  "WRONG",
  "RUNTIME_ERROR",
  "TIME_LIMIT",
  "MEMORY_LIMIT",
  "OUTPUT_LIMIT",
  "FLAKY",
  "TAMPERED",
  "INFRA",
  "NOT_RUN",
] as const;
export type Verdict = (typeof VERDICTS)[number];

/** Facts of one sampling, as the generator reported them. `costUsd` is null when the price is unknown. */
export type SamplingFacts = {
  model: string;
  temperature: number | null;
  seed: number | null;
  /** `stop`, `length` (cut), `content_filter`, `refusal`, or what the provider said. */
  finishReason: string;
  promptTokens: number | null;
  completionTokens: number | null;
  costUsd: number | null;
  /** Mean KL(uniform‖p) over tokens when log-probabilities were offered; `topK` when only the top k were (approximate). */
  selfCertainty: { value: number; topK: number | null } | null;
};

/** One complete function put in place of, or added to, a file of the repository. */
export type FunctionEdit = {
  path: string;
  /** Qualified name. A name the file does not define adds the function (to the class when `Class.method`). */
  name: string;
  /** Complete new source of the function, decorators and docstring included, dedented to column 0, `\n` line ends. */
  source: string;
};

/** Import lines and module-level constants that a file needs. */
export type HeaderEdit = { path: string; imports: string[]; constants: string[] };

/** A repository answer, in the order of the answer: the solving function first, helpers after. */
export type RepositoryEdits = { functions: FunctionEdit[]; headers: HeaderEdit[] };

/** One file as a candidate leaves it. `before` is null for a new file. */
export type ChangedFile = { path: string; before: Uint8Array | null; after: Uint8Array };

/** How far an answer followed the Chain-of-Function prompt (method.md section 3). */
export type Compliance = {
  functions: number;
  withDocstrings: number;
  mainFirst: boolean;
  nested: number;
  /** ≥ 2 functions, every one with a docstring, main first, nothing nested. */
  strict: boolean;
  /** One function only: the reward is an outcome score. */
  monolithic: boolean;
};

/** A step with what the reward model said. `reward` is the value of the prefix; only `attribution` may name a function. */
export type RewardedStep = FunctionStep & {
  /** In [0,1]; null with a `reason` (`too_long`). */
  reward: number | null;
  attribution: number | null;
  reason: string | null;
};

export type CandidateStatus = "sampled" | "scored" | "duplicate" | "rejected";

export type Candidate = {
  index: number;
  status: CandidateStatus;
  /** Why it was rejected, one line. */
  reason: string | null;
  duplicateOf: number | null;
  /** The answer's text as it came. */
  raw: string;
  sampling: SamplingFacts;
  edits: RepositoryEdits | null;
  compliance: Compliance | null;
  /** In chain order. Empty until segmented. */
  steps: RewardedStep[];
  /** Aggregate of the step rewards; null until scored or when a step is `too_long`. */
  score: number | null;
  verdict: Verdict;
};
