/** How likely the chosen candidate is right, comparable between problems. */
import type { CandidateSignals } from "./hybrid.ts";

export function confidenceOf({ examples, agreement, consensus, reward }: CandidateSignals): number {
  return (examples ? examples.passed / examples.total : 0) + (agreement ?? 0) + (consensus ?? 0) + (reward ?? 0);
}
