/**
 * The hybrid rule: execution evidence first, the population of candidates and the reward model inside what evidence leaves
 * (method.md section 8). Every signal is optional; a signal that nobody has changes nothing.
 */
import { type Belief, chancesRight, type GroupEvidence } from "./reliability.ts";

export type Passed = { passed: number; total: number };

/** What is known of one candidate. Nothing here may come from a private verdict. */
export type CandidateSignals = {
  /** False when its code holds a syntax error. */
  parsed: boolean;
  /** Tests of the repository, or public tests of a problem. */
  tests: Passed | null;
  /** Examples extracted from the statement or the issue. */
  examples: Passed | null;
  /** Mean share of generated inputs on which another candidate gives the same output, in [0,1]. */
  agreement: number | null;
  /** Mean similarity to the other candidates, in [0,1] (consensus.ts). */
  consensus: number | null;
  /** Aggregate of the step rewards, in [0,1]. */
  reward: number | null;
};

/**
 * Weights of the soft signals. Chosen by `bench/hybrid.ts` on the meta groups, which neither the model nor any figure rests
 * on (docs/adr/0007-hybrid.md): what ran outweighs what a model thinks.
 */
export const HYBRID_WEIGHTS = { agreement: 20, consensus: 0.1, reward: 2 };
export type HybridWeights = typeof HYBRID_WEIGHTS;

/**
 * One number to rank by, higher is better: what people wrote (tests of the repository, examples of the issue) comes before
 * everything that a model thinks. Comparable only among candidates of one problem, which have the same tests.
 */
export function hybridScore(signals: CandidateSignals, weights: HybridWeights = HYBRID_WEIGHTS): number {
  const { parsed, tests, examples } = signals;
  const hard = [tests, examples].filter((one) => one !== null && one.total > 0) as Passed[];
  const share = hard.length === 0 ? 0 : hard.reduce((sum, one) => sum + one.passed / one.total, 0) / hard.length;
  const soft = weights.agreement * (signals.agreement ?? 0) + softScore(signals, weights);
  const most = weights.agreement + weights.consensus + weights.reward;
  return 2_000 * Number(parsed) + 1_000 * share + soft / most;
}

/** What a language model wrote and thinks of one candidate, beside the signals that have no error rate of their own. */
export type Witnessed = Pick<CandidateSignals, "consensus" | "reward"> & {
  /** Whether it passes each test that the model wrote; empty without any. */
  passes: readonly boolean[];
  /** What a judge says of it, in [0,1]. */
  opinion: number | null;
  /** What people wrote speaks against it: it stands behind anyway, and says which written test is to be believed. */
  refuted: boolean;
};

/** Log-odds against a candidate that fails what another one passes. */
const REFUTED = 3;
/** Decides only what chances leave equal. */
const TIE = 1e-9;

/** Candidates as `chancesRight` weighs them; equal candidates must stand once. */
export function witnesses(group: readonly Witnessed[]): GroupEvidence {
  return {
    passes: group.map((one) => one.passes),
    opinions: group.map((one) => one.opinion),
    prior: group.map((one) => (one.refuted ? -REFUTED : 0)),
  };
}

/**
 * One number to rank by where a model wrote tests or judged: the chance that each candidate is right, with the reliability of
 * both estimated, then consensus. Among candidates that pass the same tests the reward has not been shown to rank better than
 * a coin (docs/adr/0009). Where nobody wrote or judged the soft signals order as in `hybridScore`.
 */
export function hybridChances(group: readonly Witnessed[], belief: Belief): number[] {
  const weighed = group.some((one) => one.passes.length > 0 || one.opinion !== null);
  if (!weighed) return group.map((one) => TIE * softScore(one, HYBRID_WEIGHTS));
  const chances = chancesRight(witnesses(group), belief);
  return group.map((one, i) => chances[i]! + TIE * (one.consensus ?? 0));
}

function softScore({ consensus, reward }: Pick<CandidateSignals, "consensus" | "reward">, weights: HybridWeights) {
  return weights.consensus * (consensus ?? 0) + weights.reward * (reward ?? 0);
}
