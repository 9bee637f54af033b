/** How likely the chosen candidate is right, comparable between problems, and below what chance none is chosen. */
import type { CandidateSignals } from "./hybrid.ts";

/** What people wrote and what came of it: tests of the repository and examples of the issue. */
export type EvidenceLevel = "met" | "unmet" | "none";

export function evidenceLevel({ tests, examples }: Pick<CandidateSignals, "tests" | "examples">): EvidenceLevel {
  const asked = [tests, examples].filter((one) => one !== null && one.total > 0);
  if (asked.length === 0) return "none";
  return asked.every((one) => one!.passed === one!.total) ? "met" : "unmet";
}

/**
 * Share of picks of the hybrid rule that are right, N = 8, by problem: `node bench/abstention.ts DATA RUNS`, meta groups
 * (docs/adr/0012-abstention.md). Inside a level neither reward nor consensus nor agreement tells right picks from wrong ones
 * on groups that were not fitted, so none of them is in it; and nothing of it depends on a model.
 */
export const CONFIDENCE: Record<EvidenceLevel, number> = { met: 0.91, none: 0.48, unmet: 0.19 };

/** Where the chances come from, for who reads an abstention. */
export const CONFIDENCE_ORIGIN = "on benchmark problems (N = 8) at most one such choice in five was right";

/**
 * From the risk–coverage curve of the meta groups: none is opened where the whole interval lies below ½ (`unmet`, up to .39).
 * Where nothing ran it holds ½, and the pull request says that nothing ran.
 */
export const ABSTAIN_BELOW = 0.4;

/** Chance in [0,1]. */
export function confidenceOf(signals: Pick<CandidateSignals, "tests" | "examples">): number {
  return CONFIDENCE[evidenceLevel(signals)];
}
