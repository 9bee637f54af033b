/** Chains longer than the model's context (rulings 5). Counts are tokens; every completion also takes its step token. */
import { MIN_PROMPT_TOKENS } from "./encode.ts";

/** What stands at one place of a window. */
export type WindowPart = { index: number; as: "step" | "signature" };

/** One sequence to run: the prompt, then `parts` in chain order. The rewards of `targets` are read from it. */
export type ScoreWindow = { parts: WindowPart[]; targets: number[] };

export type WindowPlan = {
  windows: ScoreWindow[];
  /** Steps that do not fit into a window even alone. */
  tooLong: number[];
  windowed: boolean;
};

/**
 * The longest prefix of the chain that fits is one window. Every later step has its own: the signatures of all earlier
 * steps (nearest first, should even these not fit), of which as many as fit are replaced by the whole step, nearest first.
 * @param signatures tokens of each step's signature; null where a step has none to stand for it.
 */
export function planWindows(
  promptTokens: number,
  steps: readonly number[],
  signatures: readonly (number | null)[],
  maxTokens: number,
): WindowPlan {
  const room = maxTokens - Math.min(promptTokens, MIN_PROMPT_TOKENS);
  const plan: WindowPlan = { windows: [], tooLong: [], windowed: false };
  let used = 0;
  let whole = 0;
  while (whole < steps.length && used + steps[whole]! + 1 <= room) {
    used += steps[whole]! + 1;
    whole += 1;
  }
  if (whole > 0) {
    const targets = Array.from({ length: whole }, (_, index) => index);
    plan.windows.push({ parts: targets.map((index) => ({ index, as: "step" })), targets });
  }
  for (let target = whole; target < steps.length; target += 1) {
    plan.windowed = true;
    let left = room - steps[target]! - 1;
    if (left < 0) {
      plan.tooLong.push(target);
      continue;
    }
    const parts: WindowPart[] = [{ index: target, as: "step" }];
    for (let index = target - 1; index >= 0; index -= 1) {
      const cost = signatures[index] === null || signatures[index] === undefined ? null : signatures[index]! + 1;
      if (cost === null) continue;
      if (cost > left) break;
      left -= cost;
      parts.unshift({ index, as: "signature" });
    }
    for (let index = target - 1; index >= 0; index -= 1) {
      const standIn = parts.find((part) => part.index === index);
      const extra = steps[index]! + 1 - (standIn === undefined ? 0 : signatures[index]! + 1);
      if (extra > left) break;
      left -= extra;
      if (standIn !== undefined) standIn.as = "step";
      else parts.unshift({ index, as: "step" });
    }
    plan.windows.push({ parts: parts.sort((a, b) => a.index - b.index), targets: [target] });
  }
  return plan;
}
