/** A reward model that remembers: a push rescores only what changed (issue E item 8). */
import { sha256 } from "../domain/ids.ts";
import type { ScoredRow, ScoreRow } from "../domain/model.ts";
import type { ReviewStore, RewardModel } from "../ports.ts";

/** Rewards are kept per installation, so that none learns from another's timing what it reviews. */
export function cachedRewards(
  model: RewardModel,
  reviews: Pick<ReviewStore, "rewards" | "saveRewards">,
  installationId: number,
): RewardModel {
  return {
    ...model,
    info: model.info,
    score: async (rows, signal) => {
      const keys = rows.map(keyOf);
      const known = await reviews.rewards(installationId, model.info.sha256, [...new Set(keys)]);
      const missing = new Map<string, ScoreRow>();
      for (const [index, row] of rows.entries()) if (!known.has(keys[index]!)) missing.set(keys[index]!, row);
      if (missing.size > 0) {
        const scored = await model.score([...missing.values()], signal);
        const fresh = new Map([...missing.keys()].map((key, index): [string, ScoredRow] => [key, scored[index]!]));
        await reviews.saveRewards(installationId, model.info.sha256, fresh);
        for (const [key, row] of fresh) known.set(key, row);
      }
      return rows.map((row, index) => ({ ...known.get(keys[index]!)!, id: row.id }));
    },
  };
}

function keyOf({ prompt, completions, signatures }: ScoreRow): string {
  return sha256(JSON.stringify([prompt, completions, signatures ?? null]));
}
