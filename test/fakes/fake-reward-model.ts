/** A reward model whose rewards are a hash of prompt and prefix: causal and deterministic, like the real one. */
import { createHash } from "node:crypto";
import type { ModelInfo, ScoreRow } from "../../src/domain/model.ts";
import { RENDER_VERSION } from "../../src/domain/render.ts";
import type { RewardModel } from "../../src/ports.ts";

const INFO: ModelInfo = {
  name: "fake",
  version: "0",
  sha256: "0".repeat(64),
  renderVersion: RENDER_VERSION,
  attention: "causal",
  maxTokens: 512,
};

/** `rewardOf` overrides the hash: prompt and the steps up to and including the one that is scored. One token a word. */
export function createFakeRewardModel(
  rewardOf: (prompt: string, prefix: readonly string[]) => number = hashed,
): RewardModel {
  const words = (text: string) => text.split(/\s+/).filter((word) => word !== "").length;
  return {
    info: INFO,
    score: async (rows: readonly ScoreRow[]) =>
      rows.map((row) => {
        const tokens = row.completions.map(words);
        const tooLong = tokens.map((count) => count >= INFO.maxTokens);
        return {
          id: row.id,
          rewards: row.completions.map((_, at) =>
            tooLong[at] ? null : rewardOf(row.prompt, row.completions.slice(0, at + 1)),
          ),
          reasons: tooLong.map((is) => (is ? "too_long" : null)),
          tokens,
          truncatedTokens: 0,
          windowed: false,
        };
      }),
    dispose: async () => {},
  };
}

function hashed(prompt: string, prefix: readonly string[]): number {
  return (
    createHash("sha256")
      .update(JSON.stringify([prompt, prefix]))
      .digest()
      .readUInt32BE(0) /
    2 ** 32
  );
}
