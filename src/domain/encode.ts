/**
 * Encode rule v1 (method.md section 6), the same in `gpu-worker/funprm_worker/encode.py`; `test/vectors/encode/` holds both
 * to it. No BOS: ids(prompt), then for each completion its ids and one step token, where its reward is read.
 */

/** Tokens of the prompt that truncation always leaves, half of them head and half tail. */
export const MIN_PROMPT_TOKENS = 64;

export type Encoded = {
  ids: number[];
  /** Index in `ids` of each completion's step token. */
  stepPositions: number[];
  /** Tokens dropped from the middle of the prompt. */
  truncatedTokens: number;
};

/**
 * Pieces of a text that are tokenized apart and concatenated: cut after every `<` that a `|` follows, so that a program
 * holding the literal text of an added token cannot inject one.
 */
export function pieces(text: string): string[] {
  return text === "" ? [] : text.split(/(?<=<)(?=\|)/);
}

/** Tokens that the steps alone take. */
export function stepTokens(completions: readonly (readonly number[])[]): number {
  return completions.reduce((sum, ids) => sum + ids.length + 1, 0);
}

/** Null when the steps leave less than `MIN_PROMPT_TOKENS` (or the whole of a shorter prompt): window first (rulings 5). */
export function encode(
  prompt: readonly number[],
  completions: readonly (readonly number[])[],
  stepId: number,
  maxTokens: number,
): Encoded | null {
  const room = maxTokens - stepTokens(completions);
  if (room < Math.min(prompt.length, MIN_PROMPT_TOKENS)) return null;
  const keep = Math.min(prompt.length, room);
  const head = Math.ceil(keep / 2);
  const ids = [...prompt.slice(0, head), ...prompt.slice(prompt.length - (keep - head))];
  const stepPositions: number[] = [];
  for (const completion of completions) {
    for (const id of completion) ids.push(id);
    stepPositions.push(ids.length);
    ids.push(stepId);
  }
  return { ids, stepPositions, truncatedTokens: prompt.length - keep };
}
