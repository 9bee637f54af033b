/**
 * How far the tests that a model wrote, and a judge's opinions, can be believed. Inside one group of candidates every
 * assignment of right and wrong is weighed by how well it explains what the tests did and what the judge said, with both error
 * rates integrated out: a test that contradicts the others and the judge loses its weight, and so does a judge who contradicts
 * tests that stand together (Dawid and Skene 1979, on one group). One group cannot tell a careful writer from a careless one;
 * earlier groups of the same writer and judge can, by how far they agree, without any outcome. docs/adr/0009.
 */

export type GroupEvidence = {
  /** `passes[i][t]`: whether candidate i passes written test t; rows of equal length. Equal programs stand once. */
  passes: readonly (readonly boolean[])[];
  /** What a judge says of each candidate, in [0,1]; null where it said nothing. */
  opinions: readonly (number | null)[];
  /** What else speaks for each candidate, as log-odds; only differences count. */
  prior: readonly number[];
};

/** Weights, summing to 1, of the error rates of `ERROR_RATES`: how often a test, or an opinion, is wrong. */
export type Belief = { wrongTests: number[]; wrongOpinions: number[] };

const GRID = 12;
/** Above a half a source would be believed in reverse. */
export const ERROR_RATES: readonly number[] = Array.from({ length: GRID }, (_, i) => ((i + 0.5) / GRID) * 0.5);

/**
 * Fitted on the training and meta groups of `bench/written-evidence.ts`. Pairs are of Beta distributions: of the share of right
 * candidates, and of wrong candidates that pass a right test and a wrong one.
 */
export const RELIABILITY = {
  right: [3, 5],
  passRight: [0.5, 0.7],
  passWrong: [1, 1],
  /** Chance that a right candidate fails a right test, or passes a wrong one. */
  slip: 0.03,
  /**
   * Chance that a candidate which behaves as a right one on k tests is wrong where no test looks: first · again^k. A judge who
   * says so does not contradict the tests.
   */
  unseen: [0.48, 0.75],
  /** By how much the judge's log-odds are sharpened before its error rate is applied. */
  sharpness: 2,
} satisfies Record<string, number | [number, number]>;
export type Reliability = typeof RELIABILITY;

/** Before anything was seen of a writer or a judge: small errors are likelier than large ones. */
export const UNKNOWN: Belief = { wrongTests: falling(4), wrongOpinions: falling(4) };

/** Assignments are enumerated: 4,096. */
const MOST = 12;

/**
 * Chance that each candidate is right, in [0,1], by the evidence of its group. Of more than twelve the twelve that pass the
 * most tests are weighed, the others rank below those.
 */
export function chancesRight(
  group: GroupEvidence,
  belief: Belief = UNKNOWN,
  settings: Reliability = RELIABILITY,
): number[] {
  const kept = leading(group);
  const { before, written, said, certain, size } = explanations(only(group, kept), settings);
  const right = new Array<number>(size).fill(0);
  let all = 0;
  for (const [z, prior] of before.entries()) {
    const tests = prior * dot(written[z]!, belief.wrongTests);
    for (const [a, weight] of belief.wrongOpinions.entries()) {
      const likelihood = tests * weight * said[z]![a]!;
      all += likelihood;
      for (let i = 0; i < size; i++) if (z & (1 << i)) right[i]! += likelihood * certain[a]![i]!;
    }
  }
  const chances = right.map((one) => (all > 0 ? one / all : 0));
  const least = Math.min(1, ...chances);
  return group.prior.map((prior, i) => {
    const at = kept.indexOf(i);
    return at < 0 ? least * logistic(prior) : chances[at]!;
  });
}

/** What earlier groups of one writer and one judge say of their error rates. No outcome is needed, and the order does not matter. */
export function learnErrors(past: readonly GroupEvidence[], settings: Reliability = RELIABILITY): Belief {
  const log = UNKNOWN.wrongTests.map((test) => UNKNOWN.wrongOpinions.map((opinion) => Math.log(test * opinion)));
  for (const group of past) {
    const { before, written, said } = explanations(only(group, leading(group)), settings);
    for (let r = 0; r < GRID; r++)
      for (let a = 0; a < GRID; a++) {
        let chance = 0;
        for (const [z, prior] of before.entries()) chance += prior * written[z]![r]! * said[z]![a]!;
        log[r]![a]! += Math.log(Math.max(chance, Number.MIN_VALUE));
      }
  }
  const most = Math.max(...log.flat());
  const joint = log.map((row) => row.map((one) => Math.exp(one - most)));
  return {
    wrongTests: normalized(joint.map((row) => row.reduce((sum, one) => sum + one, 0))),
    wrongOpinions: normalized(ERROR_RATES.map((_, a) => joint.reduce((sum, row) => sum + row[a]!, 0))),
  };
}

function leading({ passes, prior }: GroupEvidence): number[] {
  return passes
    .map((row, i) => ({ i, passed: row.filter(Boolean).length, prior: prior[i]! }))
    .sort((a, b) => b.passed - a.passed || b.prior - a.prior || a.i - b.i)
    .slice(0, MOST)
    .map(({ i }) => i);
}

function only({ passes, opinions, prior }: GroupEvidence, kept: readonly number[]): GroupEvidence {
  return {
    passes: kept.map((i) => passes[i]!),
    opinions: kept.map((i) => opinions[i]!),
    prior: kept.map((i) => prior[i]!),
  };
}

/**
 * By assignment z, whose bit i says that candidate i behaves as a right one wherever a test looks: how likely it is before
 * anything is seen, and how likely what was seen is under it, at each error rate. `certain[a][i]`: the chance that such a
 * candidate is right altogether, by the judge's opinion at error rate a.
 */
function explanations({ passes, opinions, prior }: GroupEvidence, settings: Reliability) {
  const size = passes.length;
  const { slip } = settings;
  const tests = (passes[0] ?? []).map((_, t) => passes.reduce((mask, row, i) => (row[t] ? mask | (1 << i) : mask), 0));
  const passRight = betaBinomials(size, settings.passRight);
  const passWrong = betaBinomials(size, settings.passWrong);
  const centre = prior.reduce((sum, one) => sum + one, 0) / Math.max(1, size);
  const shares = betaGrid(settings.right).map(({ at, weight }) => ({
    weight,
    chance: prior.map((one) => logistic(logit(at) + one - centre)),
  }));
  const unseen = tests.length === 0 ? 0 : settings.unseen[0] * settings.unseen[1] ** tests.length;
  const yes = ERROR_RATES.map((rate) => opinions.map((one) => agreeing(one, rate, settings.sharpness)));
  const behaving = yes.map((row) => row.map((p) => (1 - unseen) * p + unseen * (1 - p)));
  const certain = yes.map((row, a) => row.map((p, i) => ((1 - unseen) * p) / behaving[a]![i]!));
  const before: number[] = [];
  const written: number[][] = [];
  const said: number[][] = [];
  for (let z = 0; z < 1 << size; z++) {
    const count = ones(z);
    before.push(
      shares.reduce(
        (sum, { weight, chance }) =>
          sum + weight * chance.reduce((product, p, i) => product * (z & (1 << i) ? p : 1 - p), 1),
        0,
      ),
    );
    const rates = ERROR_RATES.map(() => 1);
    for (const test of tests) {
      const passed = ones(test & z);
      const wrongPassed = ones(test) - passed;
      const right = (1 - slip) ** passed * slip ** (count - passed) * passRight[size - count]![wrongPassed]!;
      const wrong = slip ** passed * (1 - slip) ** (count - passed) * passWrong[size - count]![wrongPassed]!;
      for (const [r, rate] of ERROR_RATES.entries()) rates[r]! *= (1 - rate) * right + rate * wrong;
    }
    written.push(rates);
    said.push(
      yes.map((row, a) => row.reduce((product, p, i) => product * (z & (1 << i) ? behaving[a]![i]! : 1 - p), 1)),
    );
  }
  return { before, written, said, certain, size };
}

/** Chance that a judge who errs so often says this of a candidate that is right; of a wrong one it is what is left of 1. */
function agreeing(opinion: number | null, rate: number, sharpness: number): number {
  // Nothing said is as likely of either.
  if (opinion === null) return 0.5;
  const sharp = logistic(sharpness * logit(Math.min(1 - 1e-6, Math.max(1e-6, opinion))));
  return (1 - rate) * sharp + rate * (1 - sharp);
}

/** `[n][k]`: chance of one sequence of k passes among n under Beta(a, b). */
function betaBinomials(most: number, [a, b]: [number, number]): number[][] {
  return Array.from({ length: most + 1 }, (_, n) =>
    Array.from({ length: n + 1 }, (_, k) => {
      let chance = 1;
      for (let i = 0; i < n; i++) chance *= (i < k ? a + i : b + i - k) / (a + b + i);
      return chance;
    }),
  );
}

/** Midpoints of (0,1) with the mass of Beta(a, b) at each. */
function betaGrid([a, b]: [number, number]): { at: number; weight: number }[] {
  const points = Array.from({ length: GRID }, (_, i) => (i + 0.5) / GRID);
  const weights = normalized(points.map((at) => at ** (a - 1) * (1 - at) ** (b - 1)));
  return points.map((at, i) => ({ at, weight: weights[i]! }));
}

/** Weights of `ERROR_RATES` that fall as e^(−steepness · rate). */
function falling(steepness: number): number[] {
  return normalized(ERROR_RATES.map((rate) => Math.exp(-steepness * rate)));
}

function normalized(weights: readonly number[]): number[] {
  const all = weights.reduce((sum, one) => sum + one, 0);
  return weights.map((one) => one / all);
}

function dot(a: readonly number[], b: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function ones(mask: number): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}

function logit(p: number): number {
  return Math.log(p / (1 - p));
}

function logistic(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
