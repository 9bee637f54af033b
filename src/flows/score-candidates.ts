/** Chains of rendered steps → rewards, attributions and one score each (method.md sections 5a, 6 and 8). */

import type { ScoreRow } from "../domain/model.ts";
import { renderPrompt } from "../domain/render.ts";
import { type Aggregation, type AttributionRule, aggregate, attribute } from "../domain/reward.ts";
import { boundedByWords, withoutWords } from "../domain/words.ts";
import type { RewardModel } from "../ports.ts";

/** A candidate as its steps in chain order. `context`: signatures that stand in the prompt and are never steps. */
export type Chain = {
  id: string;
  steps: readonly { rendered: string; signature: string }[];
  context?: readonly string[];
};

export type ScoredChain = {
  id: string;
  /** Reward of the empty prefix: what the statement alone promises. */
  v0: number | null;
  /** One entry per step in each list. A reward is the value of the prefix; only the attribution may name a function. */
  rewards: (number | null)[];
  attribution: (number | null)[];
  reasons: (string | null)[];
  /** Length of each step in tokens. */
  tokens: number[];
  /** Null when a step has no reward: the candidate ranks last. */
  score: number | null;
  truncatedTokens: number;
  windowed: boolean;
};

/** `statement` and every step are of one problem; results in the order of `chains`. */
export async function scoreSteps(
  model: RewardModel,
  statement: string,
  chains: readonly Chain[],
  options: { aggregation?: Aggregation; attribution?: AttributionRule } = {},
  signal?: AbortSignal,
): Promise<ScoredChain[]> {
  const prompts = chains.map((chain) => renderPrompt(statement, chain.context));
  const distinct = [...new Set(prompts)];
  const scored = await model.score(
    [
      ...distinct.map((prompt, index) => ({ id: `empty-prefix-${index}`, prompt, completions: [""] })),
      ...chains.map((chain, index) => ({
        id: chain.id,
        prompt: prompts[index]!,
        completions: chain.steps.map((step) => step.rendered),
        signatures: chain.steps.map((step) => step.signature),
      })),
    ],
    signal,
  );
  const emptyPrefix = new Map(distinct.map((prompt, index) => [prompt, scored[index]!.rewards[0]!]));
  return chains.map((chain, index) => {
    const { rewards, reasons, tokens, truncatedTokens, windowed } = scored[distinct.length + index]!;
    const v0 = emptyPrefix.get(prompts[index]!)!;
    return {
      id: chain.id,
      v0,
      rewards,
      attribution: attribute(v0, rewards, options.attribution),
      reasons,
      tokens,
      score: aggregate(rewards, options.aggregation ?? "mean", tokens),
      truncatedTokens,
      windowed,
    };
  });
}

/**
 * A reward model that words cannot talk into a choice between candidates (docs/adr/0020-words.md). Rows with words in them are
 * scored twice, in one call: as they are, and without.
 */
export function boundedWords(model: RewardModel): RewardModel {
  return {
    ...model,
    info: model.info,
    score: async (rows, signal) => {
      const bare = rows.map((row): ScoreRow => ({ ...row, completions: row.completions.map(withoutWords) }));
      const worded = [...rows.keys()].filter((at) =>
        bare[at]!.completions.some((text, step) => text !== rows[at]!.completions[step]),
      );
      const scored = await model.score([...rows, ...worded.map((at) => bare[at]!)], signal);
      const without = new Map(worded.map((at, k) => [at, scored[rows.length + k]!.rewards]));
      return scored.slice(0, rows.length).map((row, at) => {
        const others = without.get(at);
        if (others === undefined) return row;
        return { ...row, rewards: row.rewards.map((reward, step) => boundedByWords(reward, others[step]!)) };
      });
    },
  };
}
