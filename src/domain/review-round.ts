/**
 * What a review says given what earlier reviews of the pull request said: nothing twice, nothing that a person declined, no new
 * finding on a function that did not change (product.md section 2, pains 2 to 4).
 */
import { type Finding, isSilenced, LIVE_STATES, sameFunction } from "./finding.ts";
import { functionId } from "./outcome.ts";
import type { ReviewedFunction, ReviewReport } from "./review.ts";
import { UNLISTED } from "./review-scope.ts";

export type ReviewHistory = {
  findings: readonly Finding[];
  /** `functionId` and body hash of every function that this model has reviewed in this pull request. */
  reviewed: ReadonlySet<string>;
  /** A person asked for a fresh look at every function; what was said or declined stays so. */
  full: boolean;
};

export type ReviewRound = {
  report: ReviewReport;
  /** Findings to be said for the first time, the gravest first. */
  fresh: ReviewedFunction[];
  /** Said before and still there. */
  standing: { finding: Finding; now: ReviewedFunction }[];
  /** A person wants silence about these. */
  silenced: ReviewedFunction[];
  /** Their body is gone from the head. */
  fixed: Finding[];
};

/** Key of a body in `ReviewHistory.reviewed`. */
export function reviewedKey(id: string, bodyHash: string): string {
  return `${id}\n${bodyHash}`;
}

export function reviewRound(report: ReviewReport, history: ReviewHistory): ReviewRound {
  const round: ReviewRound = { report, fresh: [], standing: [], silenced: [], fixed: [] };
  const here = new Set(report.functions.filter((one) => one.change !== "deleted").map(keyOf));
  const matched = new Set<Finding>();
  const functions = report.functions.map((one): ReviewedFunction => {
    if (one.change === "deleted" || one.attribution === null) return one;
    const earlier = earlierFinding(one, history.findings, here);
    if (earlier !== undefined) {
      for (const finding of history.findings) if (sameFunction(finding, earlier)) matched.add(finding);
      const now = { ...one, finding: !isSilenced(earlier) };
      if (isSilenced(earlier)) round.silenced.push(now);
      else round.standing.push({ finding: earlier, now });
      return now;
    }
    if (!one.finding) return one;
    const seen = history.reviewed.has(reviewedKey(functionId(one.path, one.name), one.bodyHash));
    if (seen && !history.full) return { ...one, finding: false };
    round.fresh.push(one);
    return one;
  });
  round.fixed = history.findings.filter(
    (one) => LIVE_STATES.includes(one.state) && !matched.has(one) && !here.has(keyOf(one)) && !isUnknown(one, report),
  );
  return { ...round, report: { ...report, functions } };
}

/** The finding of this body: the newest under this name, else one that moved here with its file. */
function earlierFinding(
  one: ReviewedFunction,
  findings: readonly Finding[],
  here: ReadonlySet<string>,
): Finding | undefined {
  const same = findings.filter((finding) => finding.name === one.name && finding.bodyHash === one.bodyHash);
  return (
    // What a person said outlives the model version that was spoken of.
    same.findLast((finding) => finding.path === one.path && isSilenced(finding)) ??
    same.findLast((finding) => finding.path === one.path) ??
    same.findLast((finding) => !here.has(keyOf(finding)))
  );
}

function keyOf(one: { path: string; name: string; bodyHash: string }): string {
  return JSON.stringify([one.path, one.name, one.bodyHash]);
}

/** A function that was not looked at may stand as it was: nothing is said of it. */
function isUnknown(finding: Finding, report: ReviewReport): boolean {
  return report.coverage.notScored.some(
    (one) =>
      one.name === UNLISTED || (one.path === finding.path && (one.name === finding.name || one.name === "<file>")),
  );
}
