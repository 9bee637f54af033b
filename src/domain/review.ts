/**
 * Review of a change, function by function: ranks, evidence, findings (issue E items 4 and 5). Each function is scored alone,
 * its attribution is v_1 against v_0 (method.md section 5a). What names a function is that against the same number of its
 * version on base: what the change did, not what stood there before.
 */
import type { Language } from "./function-step.ts";
import type { ModelInfo } from "./model.ts";
import {
  type ChangedFunction,
  type ChangeKind,
  coverageLine,
  type HiddenText,
  type NotScored,
  type ReviewScope,
} from "./review-scope.ts";

/** Findings are sought among so many first: what a reader reads. */
const FIRST = 5;
/** A comment more or less may shift a reward by this much (issue E item 3): a smaller drop says nothing. */
const NOISE = 0.02;
/** Without outcomes of the repository a finding is an attribution below this share of that on base (docs/adr/0019-review-model.md). */
const LOW = 0.5;
/** Attributions below it are all "lost already": ratios of them would amplify noise. */
const LEAST = 0.01;

export type EvidenceKind = "before-after" | "parse" | "tests" | "neighbours" | "population";
export type ReviewEvidence = { kind: EvidenceKind; text: string };

/** Rewards of one version of a function, scored alone. */
export type ScoredVersion = { reward: number | null; attribution: number | null; reason: string | null };

export type CalibrationState = "uncalibrated" | "benchmark" | "repository";

/** What past functions with a similar number turned out to be. */
export type Estimate = {
  /** Estimated chance in [0,1] that the function is correct. */
  probability: number;
  /** Past functions with known outcome that the fit was made for: the repository's, or the benchmarks'. */
  labels: number;
  /** The bucket of past functions it rests on, with the 95 % Wilson interval of their share that was correct. */
  bucket: { low: number; high: number; correct: number; total: number; wilson: [number, number] };
};

export type Calibration = {
  state: Exclude<CalibrationState, "uncalibrated">;
  /** Of the fit, for markers and records. */
  version: number;
  /** Estimates under it may become findings. */
  threshold: number;
  estimate(againstBase: number): Estimate;
};

export type ReviewedFunction = {
  path: string;
  name: string;
  language: Language;
  startLine: number;
  endLine: number;
  change: ChangeKind;
  /** Null for a deleted function, and with `reason` for one that cannot be scored. */
  reward: number | null;
  attribution: number | null;
  /** Of the version on the base branch, where there is one. */
  baseReward: number | null;
  baseAttribution: number | null;
  reason: string | null;
  /** 1 = lowest `againstBase` of the scored; null when not scored. */
  rank: number | null;
  estimate: Estimate | null;
  calibration: CalibrationState;
  /** Of the fit that the estimate comes from. */
  calibrationVersion: number | null;
  evidence: ReviewEvidence[];
  finding: boolean;
  bodyHash: string;
};

export type ReviewReport = {
  model: Pick<ModelInfo, "name" | "version" | "sha256" | "renderVersion">;
  /** Every estimate rests on the repository's own outcomes: only then is a number shown (product.md 3.3). */
  calibrated: boolean;
  coverage: { scored: number; inScope: number; notScored: NotScored[] };
  /** One line, `scored 41/47; 4 generated, …`. */
  ledger: string;
  otherFiles: number;
  /** A line of each file that has some. */
  hidden: HiddenText[];
  /** Lowest `againstBase` first, then what was not scored, then what was deleted. */
  functions: ReviewedFunction[];
};

/**
 * What the change did: the attribution in units of that on base, itself where nothing stood there; 1 where it changes nothing.
 * Orders functions, and is what calibrations are fitted to.
 */
export function againstBase(one: { attribution: number; baseAttribution: number | null }): number {
  if (one.baseAttribution === null) return one.attribution;
  return Math.max(one.attribution, LEAST) / Math.max(one.baseAttribution, LEAST);
}

export type ReviewOptions = {
  calibration(one: { language: Language; path: string }): Calibration | null;
  /** What else machines know of a function beside its rewards: tests, labelled neighbours, candidates. */
  evidence(one: ChangedFunction): ReviewEvidence[];
};

/** `after[i]` and `before[i]` are the scores of `functions[i]`; null where there is no such version. */
export function reviewReport(
  scope: ReviewScope,
  scores: readonly { after: ScoredVersion | null; before: ScoredVersion | null }[],
  model: ModelInfo,
  options: ReviewOptions,
): ReviewReport {
  const notScored = [...scope.notScored];
  const rows = scope.functions.map((one, index): ReviewedFunction => {
    const { after, before } = scores[index]!;
    const shown = (one.after ?? one.before)!;
    const calibration = options.calibration(one);
    const [attribution, baseAttribution] = [after?.attribution ?? null, before?.attribution ?? null];
    if (after !== null && after.reward === null)
      notScored.push({ path: one.path, name: one.name, reason: after.reason ?? "no reward" });
    return {
      path: one.path,
      name: one.name,
      language: one.language,
      startLine: shown.startLine,
      endLine: shown.endLine,
      change: one.change,
      reward: after?.reward ?? null,
      attribution,
      baseReward: before?.reward ?? null,
      baseAttribution,
      reason: after?.reason ?? null,
      rank: null,
      estimate:
        calibration !== null && attribution !== null
          ? calibration.estimate(changeOf({ change: one.change, attribution, baseAttribution }))
          : null,
      calibration: calibration?.state ?? "uncalibrated",
      calibrationVersion: calibration?.version ?? null,
      evidence: evidenceOf(one, after, before, options),
      finding: false,
      bodyHash: one.bodyHash,
    };
  });
  const scored = rows.filter((row) => row.attribution !== null).sort(byChange);
  // Equal ones share a rank: the order of files must not decide who is read first.
  for (const [at, row] of scored.entries()) {
    const above = scored[at - 1];
    row.rank = above !== undefined && changeOf(above) === changeOf(row) ? above.rank : at + 1;
  }
  for (const row of scored) row.finding = isFinding(row, options.calibration(row));
  const coverage = { scored: scored.length, inScope: scored.length + notScored.length, notScored };
  const { name, version, sha256, renderVersion } = model;
  return {
    model: { name, version, sha256, renderVersion },
    calibrated: scored.length > 0 && scored.every((row) => row.calibration === "repository"),
    coverage,
    ledger: coverageLine(coverage),
    otherFiles: scope.otherFiles,
    hidden: scope.hidden,
    functions: [
      ...scored,
      ...rows.filter((row) => row.attribution === null && row.change !== "deleted"),
      ...rows.filter((row) => row.change === "deleted"),
    ],
  };
}

/** Low by estimate, or uncalibrated by rank and against its own base; and never without a piece of evidence. */
function isFinding(row: ReviewedFunction, calibration: Calibration | null): boolean {
  if (row.change === "moved" || row.evidence.length === 0) return false;
  if (calibration !== null && calibration.state === "repository")
    return row.estimate!.probability < calibration.threshold;
  return row.rank! <= FIRST && row.baseAttribution !== null && changeOf(row) < LOW;
}

function evidenceOf(
  one: ChangedFunction,
  after: ScoredVersion | null,
  before: ScoredVersion | null,
  options: ReviewOptions,
): ReviewEvidence[] {
  const evidence: ReviewEvidence[] = [];
  if (one.change === "moved" || one.after === null) return evidence;
  if (!one.after.parsed && (one.before === null || one.before.parsed))
    evidence.push({ kind: "parse", text: "holds a syntax error that the base branch does not have" });
  if (after?.attribution != null && before?.attribution != null && before.attribution - after.attribution > NOISE)
    evidence.push({
      kind: "before-after",
      text: `attribution ${before.attribution.toFixed(2)} on base, ${after.attribution.toFixed(2)} here`,
    });
  return [...evidence, ...options.evidence(one)];
}

/** A function that moved is what it was. */
function changeOf({
  change,
  attribution,
  baseAttribution,
}: Pick<ReviewedFunction, "change" | "attribution" | "baseAttribution">): number {
  return change === "moved" ? 1 : againstBase({ attribution: attribution!, baseAttribution });
}

function byChange(a: ReviewedFunction, b: ReviewedFunction): number {
  return changeOf(a) - changeOf(b) || (a.path < b.path ? -1 : a.path > b.path ? 1 : a.startLine - b.startLine);
}
