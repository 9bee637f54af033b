/** Rules that pick one of N (method.md section 8). What they see is a `Pool`; private verdicts are not in it. */
import { confidenceOf } from "../domain/confidence.ts";
import { type CandidateSignals, type HybridWeights, hybridScore } from "../domain/hybrid.ts";
import { AGGREGATIONS, type Aggregation, aggregate } from "../domain/reward.ts";
import type { Granularity } from "./granularity.ts";
import { FAILED, type Matrices, type Member, meanToOthers, type Pool } from "./pools.ts";

/** Higher is better, ties are broken at random. */
export type Selector =
  /** A score that does not depend on which others were drawn; null for the whole pool = the signal is not there. */
  | { name: string; kind: "own"; scores(pool: Pool): number[] | null }
  /** Scores of the drawn samples (member indices, repeats included) among themselves. */
  | {
      name: string;
      kind: "population";
      scorer(pool: Pool, similarities: Matrices): ((drawn: readonly number[]) => number[]) | null;
      /** How sure it is of each drawn one, comparable between problems; absent: its scores. */
      confidences?(pool: Pool, similarities: Matrices): (drawn: readonly number[]) => number[];
    };

/** Below every reward: what could not be scored ranks last. */
const UNSCORED = -1;

const own = (name: string, score: (member: Member) => number | null): Selector => ({
  name,
  kind: "own",
  scores(pool) {
    const scores = pool.members.map(score);
    return scores.every((one) => one === null) ? null : scores.map((one) => one ?? UNSCORED);
  },
});

/** Aggregate of the rewards of one cut of the program; null where nothing scored it. */
export function solutionScore(
  rewards: Member["rewards"],
  aggregation: Aggregation = "mean",
  granularity: Granularity = "function",
): number | null {
  const pieces = rewards[granularity];
  return pieces === undefined ? null : aggregate(pieces.rewards, aggregation, pieces.tokens);
}

function aggregated(name: string, aggregation: Aggregation, granularity: Granularity = "function"): Selector {
  return own(name, ({ rewards }) => solutionScore(rewards, aggregation, granularity));
}

/** Every selector of contracts.md and rulings 17 but `oracle`, which is no rule. */
export const SELECTORS: readonly Selector[] = [
  { name: "random", kind: "own", scores: (pool) => pool.members.map(() => 0) },
  own("first", (member) => -member.order),
  own("shortest", (member) => -member.length),
  own("self-certainty", (member) => member.selfCertainty),
  aggregated("orm", "last"),
  ...AGGREGATIONS.map((aggregation) => aggregated(`prm-${aggregation}`, aggregation)),
  aggregated("prm-line", "mean", "line"),
  aggregated("prm-block", "mean", "block"),
  aggregated("prm-whole", "mean", "whole"),
  own("public-tests", ({ examples }) => examples && examples.passed / examples.total),
  {
    name: "consensus",
    kind: "population",
    scorer: (pool, similarities) => (drawn) => meanToOthers(similarities.text(), pool.members.length, drawn),
  },
  {
    name: "consensus-functions",
    kind: "population",
    scorer: (pool, similarities) => (drawn) => meanToOthers(similarities.functions(), pool.members.length, drawn),
  },
  { name: "agreement", kind: "population", scorer: clusterSizes },
  hybrid("hybrid"),
];

/** Size of the candidate's cluster: the drawn samples with its very outputs. One that gives no output at all is alone. */
function clusterSizes(pool: Pool): ((drawn: readonly number[]) => number[]) | null {
  if (pool.members.every((member) => member.outputs === null)) return null;
  const keys = pool.members.map(({ outputs }) =>
    outputs === null || outputs.every((one) => one.startsWith(FAILED)) ? null : JSON.stringify(outputs),
  );
  return (drawn) =>
    drawn.map((member) => (keys[member] === null ? 0 : drawn.filter((other) => keys[other] === keys[member]).length));
}

/** The hybrid rule on a pool; `without` leaves signals out, for ablations. */
export function hybrid(
  name: string,
  weights?: HybridWeights,
  without: readonly (keyof CandidateSignals)[] = [],
): Selector {
  const signalsOf = (pool: Pool, similarities: Matrices) => {
    const size = pool.members.length;
    const outputs = similarities.outputs();
    return (drawn: readonly number[]): CandidateSignals[] => {
      const consensus = meanToOthers(similarities.text(), size, drawn);
      const agreement = outputs && meanToOthers(outputs, size, drawn);
      return drawn.map((index, at) => {
        const { parsed, examples, rewards } = pool.members[index]!;
        const signals: CandidateSignals = {
          parsed,
          tests: null,
          examples,
          agreement: agreement ? agreement[at]! : null,
          consensus: consensus[at]!,
          reward: solutionScore(rewards),
        };
        for (const key of without) (signals as Record<string, unknown>)[key] = key === "parsed" ? true : null;
        return signals;
      });
    };
  };
  return {
    name,
    kind: "population",
    scorer(pool, similarities) {
      const signals = signalsOf(pool, similarities);
      return (drawn) => signals(drawn).map((one) => hybridScore(one, weights));
    },
    confidences(pool, similarities) {
      const signals = signalsOf(pool, similarities);
      return (drawn) => signals(drawn).map(confidenceOf);
    },
  };
}
