/** Self-certainty of a sample: how far the model's next-token distributions are from uniform. */

/** KL(uniform‖p) in nats for one complete distribution; zeros count as 1e-12. p = (.9, .1) gives 0.5108. */
export function klFromUniform(probabilities: readonly number[]): number {
  const size = probabilities.length;
  let sum = 0;
  for (const p of probabilities) sum -= Math.log(Math.max(p, 1e-12) * size) / size;
  return sum;
}

/**
 * KL(uniform‖p) in nats when only the log-probabilities of the k most probable tokens are known: what they leave is one
 * more outcome, so the result is that of k + 1 outcomes. A complete distribution (rest below 1e-6) is taken as it is.
 */
export function klFromTopK(logprobs: readonly number[]): number {
  const probabilities = logprobs.map((value) => Math.exp(Math.min(0, value)));
  const rest = 1 - probabilities.reduce((sum, p) => sum + p, 0);
  return klFromUniform(rest < 1e-6 ? probabilities : [...probabilities, rest]);
}

/**
 * Mean over the tokens of a sample. `topK` is the fewest log-probabilities that any token came with. Null when no token
 * has at least two: one number says nothing of a distribution.
 */
export function selfCertainty(tokens: readonly (readonly number[])[]): { value: number; topK: number } | null {
  const usable = tokens.filter((logprobs) => logprobs.length >= 2 && logprobs.every((value) => !Number.isNaN(value)));
  if (usable.length === 0) return null;
  const value = usable.reduce((sum, logprobs) => sum + klFromTopK(logprobs), 0) / usable.length;
  return { value, topK: Math.min(...usable.map((logprobs) => logprobs.length)) };
}
