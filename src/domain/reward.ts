/** From step rewards to a SolutionScore and to what may name a function (method.md sections 2, 5a and 8). */

export const AGGREGATIONS = ["mean", "median", "min", "max", "product", "last", "logodds", "weighted"] as const;
export type Aggregation = (typeof AGGREGATIONS)[number];

/** Logits are taken of values this far from 0 and 1. */
const CLAMP = 1e-6;
/** Below this a value says only "lost already": ratios to it would amplify noise. */
const EPSILON = 0.01;

const logit = (value: number) => {
  const inside = Math.min(1 - CLAMP, Math.max(CLAMP, value));
  return Math.log(inside / (1 - inside));
};

/**
 * One number in [0,1] a candidate. `mean` is the papers'; `logodds` is the sigmoid of the mean logit; `weighted` is the mean
 * weighted by `tokens` of each step (an empty step weighs 1). Null when there is no step or one has no reward: such a
 * candidate ranks last.
 */
export function aggregate(
  rewards: readonly (number | null)[],
  aggregation: Aggregation,
  tokens: readonly number[] = [],
): number | null {
  if (rewards.length === 0 || rewards.includes(null)) return null;
  const values = rewards as readonly number[];
  const mean = (of: readonly number[]) => of.reduce((sum, value) => sum + value, 0) / of.length;
  switch (aggregation) {
    case "mean":
      return mean(values);
    case "median": {
      const sorted = values.toSorted((a, b) => a - b);
      const middle = Math.floor(sorted.length / 2);
      return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
    }
    case "min":
      return Math.min(...values);
    case "max":
      return Math.max(...values);
    case "product":
      return values.reduce((product, value) => product * value, 1);
    case "last":
      return values.at(-1)!;
    case "logodds":
      return 1 / (1 + Math.exp(-mean(values.map(logit))));
    case "weighted": {
      const weights = values.map((_, index) => Math.max(1, tokens[index] ?? 1));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      return values.reduce((sum, value, index) => sum + value * weights[index]!, 0) / total;
    }
  }
}

export type AttributionRule = "ratio" | "logit-difference";

/**
 * What of each value is that function's own doing, given `v0`, the value of the empty prefix. `ratio` (v_k / max(v_{k−1}, ε),
 * the default) is 1 where a function changes nothing and may exceed 1; `logit-difference` is 0 there. A value before or at k that
 * is null makes k's attribution null: a function is not lowered for what is not known.
 */
export function attribute(
  v0: number | null,
  rewards: readonly (number | null)[],
  rule: AttributionRule = "ratio",
): (number | null)[] {
  return rewards.map((value, index) => {
    const before = index === 0 ? v0 : rewards[index - 1]!;
    if (value === null || before === null) return null;
    return rule === "ratio" ? value / Math.max(before, EPSILON) : logit(value) - logit(before);
  });
}
