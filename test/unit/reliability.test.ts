/** Whom to believe where nobody knows who errs: the weights of tests and opinions, attacked by liars. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hybridChances } from "../../src/domain/hybrid.ts";
import {
  type Belief,
  chancesRight,
  ERROR_RATES,
  type GroupEvidence,
  learnErrors,
  UNKNOWN,
} from "../../src/domain/reliability.ts";
import { seeded } from "../../src/evaluation/statistics.ts";

const group = (rows: string[], opinions: (number | null)[] = rows.map(() => null)): GroupEvidence => ({
  passes: rows.map((row) => [...row].map((one) => one === "1")),
  opinions,
  prior: rows.map(() => 0),
});
const best = (chances: readonly number[]) => chances.indexOf(Math.max(...chances));
const meanOf = (weights: readonly number[]) => weights.reduce((sum, one, i) => sum + one * ERROR_RATES[i]!, 0);

const evidence = fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 4 })).chain(([size, tests]) =>
  fc.record({
    passes: fc.array(fc.array(fc.boolean(), { minLength: tests, maxLength: tests }), {
      minLength: size,
      maxLength: size,
    }),
    opinions: fc.array(fc.option(fc.double({ min: 0, max: 1, noNaN: true })), { minLength: size, maxLength: size }),
    prior: fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: size, maxLength: size }),
  }),
);

describe("the chance that a candidate is right", () => {
  test("is a chance, and the same whoever stands first", () => {
    fc.assert(
      fc.property(evidence, (one) => {
        const chances = chancesRight(one);
        for (const chance of chances) expect(chance >= 0 && chance <= 1).toBe(true);
        const turned = <T>(all: readonly T[]) => [...all].reverse();
        const back = chancesRight({
          passes: turned(one.passes),
          opinions: turned(one.opinions),
          prior: turned(one.prior),
        });
        for (const [i, chance] of turned(back).entries()) expect(chance).toBeCloseTo(chances[i]!, 9);
      }),
      { numRuns: 60 },
    );
  });

  test("grows with what else speaks for it, all else equal", () => {
    fc.assert(
      fc.property(evidence, fc.nat(), (one, which) => {
        const i = which % one.passes.length;
        const chance = chancesRight(one)[i]!;
        const liked = { ...one, prior: one.prior.map((value, k) => (k === i ? value + 1 : value)) };
        expect(chancesRight(liked)[i]!).toBeGreaterThanOrEqual(chance - 1e-9);
      }),
      { numRuns: 60 },
    );
  });

  test("without tests and opinions follows the prior alone", () => {
    const chances = chancesRight({ passes: [[], [], []], opinions: [null, null, null], prior: [0, 1, -1] });
    expect([1, 0, 2].map((i) => chances[i]!)).toEqual([...chances].sort((a, b) => b - a));
  });

  test("a test alone against two tests and the crowd loses its weight", () => {
    expect(best(chancesRight(group(["110", "110", "110", "110", "001"])))).not.toBe(4);
    // The same test, beside others that let its candidate pass, decides.
    expect(best(chancesRight(group(["110", "110", "110", "110", "111"])))).toBe(4);
  });

  test("a judge who contradicts tests that stand together is not followed; one who agrees with them decides the tie", () => {
    const tests = ["1111", "1111", "0000", "0010", "0000"];
    const liar = chancesRight(group(tests, [0.1, 0.1, 0.95, 0.9, 0.9]));
    expect([0, 1]).toContain(best(liar));
    const tie = chancesRight(group(tests, [0.2, 0.9, 0.1, 0.1, 0.1]));
    expect(best(tie)).toBe(1);
  });

  test("a judge known to be good outweighs a writer known to be bad, and the other way round", () => {
    const at = (rate: number) => ERROR_RATES.map((one) => Number(Math.abs(one - rate) < 0.021));
    const one = group(["11", "00", "00"], [0.1, 0.9, 0.1]);
    const beliefs: Belief[] = [
      { wrongTests: at(0.44), wrongOpinions: at(0.02) },
      { wrongTests: at(0.02), wrongOpinions: at(0.44) },
    ];
    expect(beliefs.map((belief) => best(chancesRight(one, belief)))).toEqual([1, 0]);
  });

  test("of many candidates those that pass the most tests are weighed, the others stay behind", () => {
    const rows = Array.from({ length: 40 }, (_, i) => (i === 33 ? "111" : i % 3 === 0 ? "100" : "000"));
    const chances = chancesRight(group(rows));
    expect(best(chances)).toBe(33);
    expect(chances.every((one) => one >= 0 && one <= 1)).toBe(true);
  });
});

describe("candidates that the same tests let pass", () => {
  const among = (rewards: number[], passes: boolean[]) =>
    rewards.map((reward, i) => ({ reward, consensus: [0.5, 0.6, 0.4][i]!, passes, opinion: null, refuted: false }));

  test("stand by consensus whatever their reward says; where nobody wrote or judged the reward orders", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 3, maxLength: 3 }), (rewards) => {
        expect(best(hybridChances(among(rewards, [true, true]), UNKNOWN))).toBe(1);
      }),
      { numRuns: 20 },
    );
    expect(best(hybridChances(among([0.1, 0.2, 0.9], []), UNKNOWN))).toBe(2);
  });
});

describe("error rates", () => {
  /** Groups of eight by the planted rates; wrong candidates pass a right test by chance. */
  const planted = (wrongTests: number, wrongOpinions: number, count: number): GroupEvidence[] => {
    const random = seeded(7);
    return Array.from({ length: count }, () => {
      const right = Array.from({ length: 8 }, () => random() < 0.4);
      const tests = Array.from({ length: 3 }, () => ({ wrong: random() < wrongTests, easy: random() ** 2 }));
      return {
        passes: right.map((one) =>
          tests.map(({ wrong, easy }) => (wrong ? !one && random() < 0.4 : one || random() < easy)),
        ),
        opinions: right.map((one) => (one !== random() < wrongOpinions ? 0.9 : 0.1)),
        prior: right.map(() => 0),
      };
    });
  };

  test("are learned from agreement alone, without an outcome, within 0.12", () => {
    for (const [tests, opinions] of [
      [0.05, 0.05],
      [0.05, 0.35],
      [0.35, 0.05],
      [0.3, 0.3],
    ] as const) {
      const belief = learnErrors(planted(tests, opinions, 40));
      expect(Math.abs(meanOf(belief.wrongTests) - tests)).toBeLessThan(0.12);
      expect(Math.abs(meanOf(belief.wrongOpinions) - opinions)).toBeLessThan(0.12);
    }
  });

  test("are what they were before anything was seen, whatever the order, and always weights", () => {
    const nothing = learnErrors([]);
    for (const [i, weight] of UNKNOWN.wrongTests.entries()) expect(nothing.wrongTests[i]).toBeCloseTo(weight, 12);
    const groups = planted(0.2, 0.2, 6);
    const [one, other] = [learnErrors(groups), learnErrors([...groups].reverse())];
    for (const key of ["wrongTests", "wrongOpinions"] as const) {
      expect(one[key].reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 9);
      for (const [i, weight] of one[key].entries()) expect(weight).toBeCloseTo(other[key][i]!, 9);
    }
  });
});
