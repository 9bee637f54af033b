/**
 * Calibration of reviews: from what a change did to an attribution to an estimated chance, per model version, language and
 * repository, shrunk to what other repositories and benchmarks say (issue E item 5). Built from labels alone, so a refit gives
 * the same.
 */
import {
  brierScore,
  type Calibrator,
  calibrated,
  expectedCalibrationError,
  fitIsotonic,
  fitPlatt,
  type LabelledScore,
  wilson,
} from "./calibration.ts";
import type { Language } from "./function-step.ts";
import type { Calibration, CalibrationState, Estimate } from "./review.ts";

/** Labels of the repository itself, both right and wrong among them, from which on a number is shown (product.md 3.3). */
export const REPOSITORY_LABELS = 100;
/** The labels of all others together weigh as many of the repository's own. */
const GLOBAL_WEIGHT = 50;
/** Under so many a step function follows the noise (Niculescu-Mizil and Caruana 2005): a sigmoid. */
const ISOTONIC_LABELS = 1_000;
/** A ratio of two small values may be large; above this it says no more. */
const HIGHEST = 2;
const FOLDS = 5;
const BUCKETS = 5;

/** What a change did (`againstBase`), and whether the function turned out right. `repositoryId` null: a benchmark's. */
export type ReviewLabel = {
  score: number;
  correct: boolean;
  language: Language;
  repositoryId: number | null;
  modelVersion: string;
};

/** Labels of a benchmark in short: `correct` of `total` had about this score. */
export type BenchmarkPoint = { score: number; correct: number; total: number };
/** Stands for no repository: what benchmarks alone say. */
export const BENCHMARK = 0;
const POINT_WIDTH = 0.05;

export type Bucket = { low: number; high: number; correct: number; total: number };

export type StoredCalibration = {
  repositoryId: number;
  language: Language;
  modelVersion: string;
  state: Exclude<CalibrationState, "uncalibrated">;
  labels: { repository: number; others: number };
  calibrator: Calibrator;
  /** Of the labels that the state is named for, each estimated by a fit that has not seen it. */
  buckets: Bucket[];
  /** Of the same estimates. */
  brier: number;
  ece: number;
  /** Of `BENCHMARK` only: what its labels were, for the fits of repositories. */
  points: BenchmarkPoint[];
  /** Counts up with every fit that differs. */
  version: number;
  fittedAt: string;
};

/**
 * `repository` from 100 of its own labels on, `benchmark` from 100 of others, else null: uncalibrated. Labels of other models
 * and languages are left out.
 */
export function fitReviewCalibration(
  labels: readonly ReviewLabel[],
  key: Pick<StoredCalibration, "repositoryId" | "language" | "modelVersion">,
): Omit<StoredCalibration, "version" | "fittedAt"> | null {
  const fitting = labels
    .filter((label) => label.modelVersion === key.modelVersion && label.language === key.language)
    .map((label) => ({ ...label, score: Math.min(HIGHEST, label.score) }))
    .sort((a, b) => a.score - b.score || Number(a.correct) - Number(b.correct));
  const own = fitting.filter((label) => label.repositoryId === key.repositoryId);
  const others = fitting.filter((label) => label.repositoryId !== key.repositoryId);
  const state = isEnough(own) ? "repository" : isEnough(others) ? "benchmark" : null;
  if (state === null) return null;
  const shown = state === "repository" ? own : others;
  const rest = state === "repository" ? others : [];
  // Neighbours in score go to different folds: every fit sees the whole range.
  const held = shown.map((label, index) => ({ label, fold: index % FOLDS }));
  const estimates = Array.from({ length: FOLDS }, (_, fold) => {
    const calibrator = fitShrunk(
      held.flatMap((one) => (one.fold === fold ? [] : [one.label])),
      rest,
    );
    return held.flatMap(({ label, fold: mine }) =>
      mine === fold ? [{ score: bounded(calibrator, label.score), correct: label.correct }] : [],
    );
  }).flat();
  return {
    repositoryId: key.repositoryId,
    language: key.language,
    modelVersion: key.modelVersion,
    state,
    labels: { repository: own.length, others: others.length },
    calibrator: fitShrunk(shown, rest),
    buckets: Array.from({ length: BUCKETS }, (_, index): Bucket => {
      const inside = estimates.filter(({ score }) => bucketOf(score) === index);
      return {
        low: index / BUCKETS,
        high: (index + 1) / BUCKETS,
        correct: inside.filter((one) => one.correct).length,
        total: inside.length,
      };
    }),
    brier: brierScore(estimates),
    ece: expectedCalibrationError(estimates, BUCKETS),
    points: key.repositoryId === BENCHMARK ? pointsOf(fitting) : [],
  };
}

function pointsOf(labels: readonly ReviewLabel[]): BenchmarkPoint[] {
  const groups = Map.groupBy(labels, ({ score }) => Math.round(score / POINT_WIDTH));
  return [...groups].map(([place, group]) => ({
    score: place * POINT_WIDTH,
    correct: group.filter((one) => one.correct).length,
    total: group.length,
  }));
}

/** The labels that a benchmark's calibration was fitted on, to within the width of a point. */
export function benchmarkLabels({ points, language, modelVersion }: StoredCalibration): ReviewLabel[] {
  return points.flatMap(({ score, correct, total }) =>
    Array.from(
      { length: total },
      (_, index): ReviewLabel => ({
        score,
        correct: index < correct,
        repositoryId: null,
        language,
        modelVersion,
      }),
    ),
  );
}

/** `minPrecision`: a finding's estimated chance of being wrong is above it. */
export function calibrationOf(stored: StoredCalibration, minPrecision: number): Calibration {
  const labels = stored.state === "repository" ? stored.labels.repository : stored.labels.others;
  return {
    state: stored.state,
    version: stored.version,
    threshold: 1 - minPrecision,
    estimate: (againstBase): Estimate => {
      const probability = bounded(stored.calibrator, Math.min(HIGHEST, againstBase));
      const bucket = stored.buckets[bucketOf(probability)]!;
      return { probability, labels, bucket: { ...bucket, wilson: wilson(bucket.correct, bucket.total) } };
    },
  };
}

function isEnough(labels: readonly ReviewLabel[]): boolean {
  return labels.length >= REPOSITORY_LABELS && new Set(labels.map((label) => label.correct)).size === 2;
}

/** The others weigh `GLOBAL_WEIGHT` labels at most, so that the repository's own decide the more the more they are. */
function fitShrunk(own: readonly LabelledScore[], others: readonly LabelledScore[]): Calibrator {
  const weight = Math.min(1, GLOBAL_WEIGHT / Math.max(1, others.length));
  const labels = [...own, ...others.map((label) => ({ score: label.score, correct: label.correct, weight }))];
  if (own.length >= ISOTONIC_LABELS) return fitIsotonic(labels);
  const sigmoid = fitPlatt(labels);
  // A falling sigmoid would name the functions that the model likes best; the nearest rising one is flat.
  return sigmoid.kind === "platt" && sigmoid.slope >= 0 ? sigmoid : fitIsotonic(labels);
}

/** No estimate is surer than one wrong among all labels, and one more, would make it. */
function bounded(calibrator: Calibrator, score: number): number {
  const margin = 1 / (calibrator.labels + 2);
  return Math.min(1 - margin, Math.max(margin, calibrated(calibrator, score)));
}

function bucketOf(probability: number): number {
  return Math.min(BUCKETS - 1, Math.floor(probability * BUCKETS));
}
