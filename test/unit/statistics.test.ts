import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  brierScore,
  calibrated,
  expectedCalibrationError,
  fitIsotonic,
  fitPlatt,
  reliability,
  wilson,
} from "../../src/domain/calibration.ts";
import {
  bootstrap,
  groupSums,
  mcnemar,
  pairAuc,
  passAtK,
  seeded,
  subsetBootstrap,
  topOfK,
} from "../../src/evaluation/statistics.ts";

const pool = fc.array(fc.record({ score: fc.integer({ min: 0, max: 5 }), pass: fc.integer({ min: 0, max: 1 }) }), {
  minLength: 1,
  maxLength: 7,
});

/** All subsets of size k, the slow way. */
function byHand(scores: number[], passes: number[], k: number): number {
  let [sum, count] = [0, 0];
  for (let mask = 0; mask < 1 << scores.length; mask++) {
    const drawn = scores.map((_, i) => i).filter((i) => mask & (1 << i));
    if (drawn.length !== k) continue;
    const best = Math.max(...drawn.map((i) => scores[i]!));
    const tied = drawn.filter((i) => scores[i] === best);
    sum += tied.reduce((total, i) => total + passes[i]!, 0) / tied.length;
    count += 1;
  }
  return sum / count;
}

describe("selection figures", () => {
  test("pass@k has its known answers: n=8, c=2", () => {
    expect(passAtK(8, 2, 1)).toBeCloseTo(0.25, 12);
    expect(passAtK(8, 2, 4)).toBeCloseTo(0.785714285714, 10);
    expect([passAtK(8, 0, 4), passAtK(8, 8, 1), passAtK(8, 5, 4)]).toEqual([0, 1, 1]);
  });

  test("the exact top of k equals all subsets counted one by one", () => {
    fc.assert(
      fc.property(pool, fc.nat(6), (members, at) => {
        const k = 1 + (at % members.length);
        const [scores, passes] = [members.map((one) => one.score), members.map((one) => one.pass)];
        expect(topOfK(scores, passes, k)).toBeCloseTo(byHand(scores, passes, k), 10);
      }),
    );
  });

  test("N=1 is pass@1, constant scores are the pass rate, oracle scores are pass@N", () => {
    fc.assert(
      fc.property(pool, fc.nat(6), (members, at) => {
        const k = 1 + (at % members.length);
        const [scores, passes] = [members.map((one) => one.score), members.map((one) => one.pass)];
        const right = passes.reduce((sum, one) => sum + one, 0);
        expect(topOfK(scores, passes, 1)).toBeCloseTo(right / passes.length, 12);
        expect(
          topOfK(
            passes.map(() => 3),
            passes,
            k,
          ),
        ).toBeCloseTo(right / passes.length, 12);
        expect(topOfK(passes, passes, k)).toBeCloseTo(passAtK(passes.length, right, k), 12);
      }),
    );
  });

  test("the bootstrap interval covers the truth at about its nominal rate", () => {
    const random = seeded(7);
    let covered = 0;
    for (let trial = 0; trial < 200; trial++) {
      const sums = Array.from({ length: 60 }, (_, k) => ({
        group: `${k}`,
        numerator: Number(random() < 0.4),
        denominator: 1,
      }));
      const { ci } = bootstrap(sums, trial)!;
      if (ci[0] <= 0.4 && 0.4 <= ci[1]) covered += 1;
    }
    // 95 % of 200 with a standard error of 1.5 points, a little less for the small sample.
    expect(covered / 200).toBeGreaterThan(0.89);
    expect(covered / 200).toBeLessThan(0.99);
    expect(bootstrap([], 0)).toBeNull();
  });

  test("over problems and subsets: one subset of each pool is the plain bootstrap, several never narrow it, one value has no width", () => {
    const random = seeded(5);
    const groups = Array.from({ length: 40 }, (_, k) => `g${k % 25}`);
    const one = groups.map(() => random());
    const plain = bootstrap(groupSums(groups.map((group, k) => [group, one[k]!])), 3)!;
    const single = subsetBootstrap(
      groups,
      groups.map(() => 1),
      3,
    )(Float64Array.from(one))!;
    // Groups come in another order, so other problems are drawn.
    single.forEach((end, at) => {
      expect(end).toBeCloseTo(plain.ci[at]!, 1);
    });
    const spread = one.flatMap((value) => [value - 0.4, value, value + 0.4]);
    const wide = subsetBootstrap(
      groups,
      groups.map(() => 3),
      3,
    )(Float64Array.from(spread))!;
    expect(wide[1] - wide[0]).toBeGreaterThan(single[1] - single[0]);
    expect(subsetBootstrap(["a"], [2])(Float64Array.from([0.5, 0.5]))).toEqual([0.5, 0.5]);
    expect(subsetBootstrap([], [])(new Float64Array(0))).toBeNull();
  });

  test("McNemar's exact p against the binomial table", () => {
    // Two-sided sign test, n = b + c (e.g. Siegel & Castellan, table D, doubled).
    for (const [b, c, p] of [
      [0, 5, 0.0625],
      [0, 6, 0.03125],
      [1, 8, 0.0390625],
      [2, 8, 0.109375],
      [5, 5, 1],
      [0, 0, 1],
    ] as const)
      expect(mcnemar(b, c)).toBeCloseTo(p, 10);
    expect(mcnemar(3, 12)).toBe(mcnemar(12, 3));
  });

  test("AUC counts pairs, ties half, and has no value where all are alike", () => {
    fc.assert(
      fc.property(pool, (members) => {
        const pairs = members.flatMap((a) => members.flatMap((b) => (a.pass === 1 && b.pass === 0 ? [[a, b]] : [])));
        const good = pairs.map(([a, b]) => (a!.score > b!.score ? 1 : a!.score === b!.score ? 0.5 : 0) as number);
        const expected = good.length === 0 ? null : good.reduce((sum, x) => sum + x, 0) / good.length;
        const found = pairAuc(
          members.map((one) => one.score),
          members.map((one) => one.pass),
        );
        if (expected === null) expect(found).toBeNull();
        else expect(found).toBeCloseTo(expected, 12);
      }),
    );
    expect(pairAuc([0.9, 0.1, 0.5], [1, 0, 0])).toBe(1);
    expect(pairAuc([1, 1], [1, 0])).toBe(0.5);
    expect(pairAuc([1, 2], [1, 1])).toBeNull();
  });
});

describe("calibration", () => {
  const simulate = (n: number, chance: (score: number) => number, seed = 1) => {
    const random = seeded(seed);
    return Array.from({ length: n }, () => {
      const score = random();
      return { score, correct: random() < chance(score) };
    });
  };

  test("a perfectly calibrated simulation has an ECE below 0.02; a constant lie has the size of the lie", () => {
    expect(expectedCalibrationError(simulate(20_000, (p) => p))).toBeLessThan(0.02);
    const lie = simulate(20_000, () => 0.3).map((one) => ({ ...one, score: 0.8 }));
    expect(expectedCalibrationError(lie)).toBeCloseTo(0.5, 1);
    expect(
      brierScore([
        { score: 1, correct: true },
        { score: 0.5, correct: false },
      ]),
    ).toBe(0.125);
  });

  test("isotonic is the monotone least-squares fit, on any labels", () => {
    expect(
      fitIsotonic([
        { score: 1, correct: true },
        { score: 2, correct: false },
        { score: 3, correct: true },
      ]),
    ).toMatchObject({
      scores: [1, 3],
      chances: [0.5, 1],
    });
    const labels = fc.array(fc.record({ score: fc.integer({ min: 0, max: 9 }), correct: fc.boolean() }), {
      minLength: 1,
      maxLength: 30,
    });
    fc.assert(
      fc.property(labels, (all) => {
        const fit = fitIsotonic(all);
        const values = Array.from({ length: 10 }, (_, score) => calibrated(fit, score));
        for (let k = 1; k < 10; k++) expect(values[k]!).toBeGreaterThanOrEqual(values[k - 1]!);
        // Of a least-squares fit the mean over the labels is the mean of the labels.
        const mean = (of: number[]) => of.reduce((sum, one) => sum + one, 0) / of.length;
        expect(mean(all.map((one) => calibrated(fit, one.score)))).toBeCloseTo(
          mean(all.map((one) => Number(one.correct))),
          10,
        );
      }),
    );
  });

  test("Platt finds the sigmoid that made the labels; both mend a miscalibrated score on fresh data", () => {
    const truth = (score: number) => 1 / (1 + Math.exp(-(4 * score - 3)));
    const fit = fitPlatt(simulate(20_000, truth));
    expect(fit).toMatchObject({ kind: "platt" });
    expect(Math.abs((fit as { slope: number }).slope - 4)).toBeLessThan(0.25);
    const fresh = simulate(20_000, truth, 2);
    for (const one of [fit, fitIsotonic(simulate(20_000, truth))])
      expect(
        expectedCalibrationError(fresh.map(({ score, correct }) => ({ score: calibrated(one, score), correct }))),
      ).toBeLessThan(0.02);
    expect(Number.isFinite((fitPlatt([{ score: 1, correct: true }]) as { slope: number }).slope)).toBe(true);
  });

  test("every prediction is in one bin; Wilson's interval has its textbook values and stays in [0,1]", () => {
    expect(
      reliability(
        [
          { score: 0, correct: false },
          { score: 1, correct: true },
        ],
        4,
      ).map((bin) => bin.count),
    ).toEqual([1, 0, 0, 1]);
    const [low, high] = wilson(8, 10);
    expect([low.toFixed(4), high.toFixed(4)]).toEqual(["0.4902", "0.9433"]);
    expect(wilson(0, 0)).toEqual([0, 1]);
    expect(wilson(5, 5)[1]).toBe(1);
  });
});

test("McNemar's p stays right where 2 to the minus n is no number any more", () => {
  expect(mcnemar(600, 600)).toBe(1);
  // Two-sided normal approximation with continuity correction, z = (|b − c| − 1) / √(b + c) = 3.00.
  expect(mcnemar(945, 1080)).toBeCloseTo(0.0029, 3);
  expect(mcnemar(0, 5000)).toBe(0);
});
