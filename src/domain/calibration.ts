/**
 * From a score to an estimated chance, for evaluation, review and learning alike: isotonic regression or Platt's sigmoid,
 * with how sure the data make us. A calibrator is versioned with the model whose scores it was fitted on.
 */

export type LabelledScore = {
  score: number;
  correct: boolean;
  /** How much it counts in a fit; 1 unless told. */
  weight?: number;
};

export type Calibrator =
  /** Steps of a non-decreasing function: from `scores[i]` on the chance is `chances[i]`. */
  | { kind: "isotonic"; scores: number[]; chances: number[]; labels: number }
  /** σ(slope · score + intercept). */
  | { kind: "platt"; slope: number; intercept: number; labels: number };

/** Chance in [0,1]. */
export function calibrated(calibrator: Calibrator, score: number): number {
  if (calibrator.kind === "platt") return 1 / (1 + Math.exp(-(calibrator.slope * score + calibrator.intercept)));
  const { scores, chances } = calibrator;
  let at = 0;
  while (at + 1 < scores.length && scores[at + 1]! <= score) at += 1;
  return chances[at]!;
}

/** Pool-adjacent-violators: the non-decreasing step function with the least squared error. Needs at least one label. */
export function fitIsotonic(labels: readonly LabelledScore[]): Calibrator {
  // Equal scores are one point: the function cannot tell them apart.
  const points = new Map<number, { score: number; sum: number; count: number }>();
  for (const { score, correct, weight = 1 } of labels) {
    const point = points.get(score) ?? { score, sum: 0, count: 0 };
    points.set(score, { score, sum: point.sum + weight * Number(correct), count: point.count + weight });
  }
  const blocks: { score: number; sum: number; count: number }[] = [];
  for (const point of [...points.values()].sort((a, b) => a.score - b.score)) {
    blocks.push(point);
    while (blocks.length > 1) {
      const [a, b] = [blocks.at(-2)!, blocks.at(-1)!];
      if (a.sum / a.count < b.sum / b.count) break;
      blocks.splice(-2, 2, { score: a.score, sum: a.sum + b.sum, count: a.count + b.count });
    }
  }
  return {
    kind: "isotonic",
    scores: blocks.map((block) => block.score),
    chances: blocks.map((block) => block.sum / block.count),
    labels: labels.length,
  };
}

/** Platt (1999) with his smoothed targets, by Newton's method; converges within some ten steps or stops at 100. */
export function fitPlatt(labels: readonly LabelledScore[]): Calibrator {
  const total = labels.reduce((sum, { weight = 1 }) => sum + weight, 0);
  const positive = labels.reduce((sum, { correct, weight = 1 }) => sum + (correct ? weight : 0), 0);
  const high = (positive + 1) / (positive + 2);
  const low = 1 / (total - positive + 2);
  let slope = 0;
  let intercept = Math.log((positive + 1) / (total - positive + 1));
  for (let step = 0; step < 100; step++) {
    let [g1, g2, h11, h12, h22] = [0, 0, 1e-9, 0, 1e-9];
    for (const { score, correct, weight = 1 } of labels) {
      const p = 1 / (1 + Math.exp(-(slope * score + intercept)));
      const error = weight * (p - (correct ? high : low));
      const curvature = weight * p * (1 - p);
      g1 += error * score;
      g2 += error;
      h11 += curvature * score * score;
      h12 += curvature * score;
      h22 += curvature;
    }
    const determinant = h11 * h22 - h12 * h12;
    if (Math.abs(determinant) < 1e-18) break;
    const [d1, d2] = [(h22 * g1 - h12 * g2) / determinant, (h11 * g2 - h12 * g1) / determinant];
    slope -= d1;
    intercept -= d2;
    if (Math.abs(d1) + Math.abs(d2) < 1e-10) break;
  }
  return { kind: "platt", slope, intercept, labels: labels.length };
}

export type ReliabilityBin = {
  low: number;
  high: number;
  count: number;
  /** Means over the bin; null when it is empty. */
  predicted: number | null;
  correct: number | null;
  /** 95 % Wilson interval of `correct`. */
  wilson: [number, number] | null;
};

/** Equal-width bins of [0,1] over predicted chances. */
export function reliability(predictions: readonly LabelledScore[], bins = 10): ReliabilityBin[] {
  return Array.from({ length: bins }, (_, index): ReliabilityBin => {
    const [low, high] = [index / bins, (index + 1) / bins];
    const inside = predictions.filter(({ score }) => Math.min(bins - 1, Math.floor(score * bins)) === index);
    const correct = inside.filter((one) => one.correct).length;
    if (inside.length === 0) return { low, high, count: 0, predicted: null, correct: null, wilson: null };
    return {
      low,
      high,
      count: inside.length,
      predicted: inside.reduce((sum, one) => sum + one.score, 0) / inside.length,
      correct: correct / inside.length,
      wilson: wilson(correct, inside.length),
    };
  });
}

/** Expected calibration error in [0,1]: mean over predictions of |share that was correct − predicted| of their bin. */
export function expectedCalibrationError(predictions: readonly LabelledScore[], bins = 10): number {
  const filled = reliability(predictions, bins).filter((bin) => bin.count > 0);
  return filled.reduce((sum, bin) => sum + bin.count * Math.abs(bin.correct! - bin.predicted!), 0) / predictions.length;
}

/** Mean squared error of the predicted chances, in [0,1]. */
export function brierScore(predictions: readonly LabelledScore[]): number {
  return predictions.reduce((sum, { score, correct }) => sum + (score - Number(correct)) ** 2, 0) / predictions.length;
}

/** 95 % Wilson score interval of a share. */
export function wilson(successes: number, trials: number): [number, number] {
  if (trials === 0) return [0, 1];
  const z = 1.959963984540054;
  const share = successes / trials;
  const denominator = 1 + z ** 2 / trials;
  const centre = (share + z ** 2 / (2 * trials)) / denominator;
  const half = (z / denominator) * Math.sqrt((share * (1 - share)) / trials + z ** 2 / (4 * trials ** 2));
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}
