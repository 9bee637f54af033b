/** Calibration of reviews on simulated labels, where the true chance of every attribution is known. */
import { describe, expect, test } from "vitest";
import { calibrationOf, fitReviewCalibration, type ReviewLabel } from "../../src/domain/review-calibration.ts";

const KEY = { repositoryId: 1, language: "python" as const, modelVersion: "m@1" };

function generator(seed: number) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
/** Chance that a function with this attribution is right, in the world simulated. */
const truth = (score: number, shift = 0) => 1 / (1 + Math.exp(-(6 * (score - 0.7) + shift)));

function simulated(count: number, more: Partial<ReviewLabel> & { shift?: number } = {}, seed = 1): ReviewLabel[] {
  const random = generator(seed);
  const { shift, ...fields } = more;
  return Array.from({ length: count }, () => {
    const score = random() * 1.4;
    return { score, correct: random() < truth(score, shift), ...KEY, ...fields };
  });
}
const GRID = Array.from({ length: 27 }, (_, k) => 0.05 + k * 0.05);
/** Mean absolute error of the estimates against the truth. */
function error(labels: readonly ReviewLabel[], shift = 0): number {
  const calibration = calibrationOf({ ...fitReviewCalibration(labels, KEY)!, version: 1, fittedAt: "" }, 0.6);
  const errors = GRID.map((score) => Math.abs(calibration.estimate(score).probability - truth(score, shift)));
  return errors.reduce((sum, value) => sum + value, 0) / errors.length;
}

describe("the three states", () => {
  test("uncalibrated, benchmark, repository: from 100 labels on, of the repository itself, both right and wrong", () => {
    const state = (labels: ReviewLabel[]) => fitReviewCalibration(labels, KEY)?.state ?? "uncalibrated";
    expect(state([])).toBe("uncalibrated");
    expect(state(simulated(99))).toBe("uncalibrated");
    expect(state([...simulated(99), ...simulated(99, { repositoryId: null })])).toBe("uncalibrated");
    expect(state([...simulated(99), ...simulated(100, { repositoryId: null })])).toBe("benchmark");
    expect(state([...simulated(99), ...simulated(5_000, { repositoryId: 2 })])).toBe("benchmark");
    expect(state(simulated(100))).toBe("repository");
    expect(state(simulated(200).map((label) => ({ ...label, correct: true })))).toBe("uncalibrated");
    expect(state(simulated(200, { modelVersion: "m@2" }))).toBe("uncalibrated");
    expect(state(simulated(200, { language: "go" as never }))).toBe("uncalibrated");
  });
});

describe("the estimate", () => {
  test.each([1, 2, 3])("comes near the truth, and nearer with more labels (seed %i)", (seed) => {
    expect(error(simulated(100, {}, seed))).toBeLessThan(0.12);
    expect(error(simulated(500, {}, seed))).toBeLessThan(0.06);
    expect(error(simulated(5_000, {}, seed))).toBeLessThan(0.04);
  });

  test("is shrunk to what others say while the repository has said little, and its own once it has said enough", () => {
    const others = simulated(5_000, { repositoryId: null }, 9);
    const alike = Array.from({ length: 10 }, (_, seed) => [
      error(simulated(100, {}, seed)),
      error([...simulated(100, {}, seed), ...others]),
    ]);
    const mean = (at: number) => alike.reduce((sum, pair) => sum + pair[at]!, 0) / alike.length;
    expect(mean(1)).toBeLessThan(mean(0));
    // A repository where everything is worse than elsewhere.
    expect(error([...simulated(2_000, { shift: -2 }, 4), ...others], -2)).toBeLessThan(0.06);
  });

  test("never falls as the attribution rises, also on labels that say the opposite", () => {
    for (const labels of [
      simulated(150),
      simulated(3_000),
      simulated(150).map((one) => ({ ...one, correct: !one.correct })),
    ]) {
      const calibration = calibrationOf({ ...fitReviewCalibration(labels, KEY)!, version: 1, fittedAt: "" }, 0.6);
      const estimates = [...GRID, 2, 50].map((score) => calibration.estimate(score).probability);
      expect(estimates).toEqual(estimates.toSorted((a, b) => a - b));
      expect(Math.min(...estimates)).toBeGreaterThan(0);
      expect(Math.max(...estimates)).toBeLessThan(1);
    }
  });

  test("says how many past functions it rests on: every label in one bucket, within its interval", () => {
    const fitted = fitReviewCalibration(simulated(1_500), KEY)!;
    expect(fitted.buckets.reduce((sum, one) => sum + one.total, 0)).toBe(1_500);
    expect(fitted.ece).toBeLessThan(0.05);
    expect(fitted.brier).toBeLessThan(0.2);
    const { probability, bucket } = calibrationOf({ ...fitted, version: 3, fittedAt: "" }, 0.6).estimate(0.5);
    expect(bucket.low <= probability && probability < bucket.high).toBe(true);
    const share = bucket.correct / bucket.total;
    expect(bucket.wilson[0] < share && share < bucket.wilson[1]).toBe(true);
  });

  test("does not depend on the order in which labels came", () => {
    const labels = simulated(400);
    expect(fitReviewCalibration(labels.toReversed(), KEY)).toEqual(fitReviewCalibration(labels, KEY));
  });
});
