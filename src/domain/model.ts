/** What a reward model takes and gives, and what identifies it. */

/** Identifies a scorer wherever a reward is shown. Two rewards may be ranked together only when this is equal. */
export type ModelInfo = {
  name: string;
  version: string;
  /** Hex SHA-256 of the weights file. */
  sha256: string;
  renderVersion: string;
  /** `causal`: one pass gives every step's reward. */
  attention: "causal" | "bidirectional";
  maxTokens: number;
};

/** Text as rendered by `domain/render.ts`. `signatures[k]` stands for step k when it falls out of a window (rulings 5). */
export type ScoreRow = { id: string; prompt: string; completions: string[]; signatures?: string[] };

export type ScoredRow = {
  id: string;
  /** One per completion, in [0,1], or null with the reason at the same index. */
  rewards: (number | null)[];
  reasons: (string | null)[];
  /** Length of each completion in tokens, its step token not counted: the weights of the `weighted` aggregation. */
  tokens: number[];
  /** Tokens of the statement's middle that were dropped. */
  truncatedTokens: number;
  windowed: boolean;
};
