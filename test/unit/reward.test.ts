import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AGGREGATIONS, aggregate, attribute } from "../../src/domain/reward.ts";

describe("aggregate", () => {
  test.each([
    ["mean", 0.6],
    ["median", 0.7],
    ["min", 0.2],
    ["max", 0.9],
    ["product", 0.126],
    ["last", 0.7],
    // σ((logit .9 + logit .2 + logit .7) / 3)
    ["logodds", 0.6348],
    // (2·.9 + 6·.2 + 2·.7) / 10
    ["weighted", 0.44],
  ] as const)("%s of .9 .2 .7", (aggregation, expected) => {
    expect(aggregate([0.9, 0.2, 0.7], aggregation, [2, 6, 2])).toBeCloseTo(expected, 3);
  });

  test("known answers of method.md section 8", () => {
    const of =
      (rewards: number[], tokens: number[] = []) =>
      (name: (typeof AGGREGATIONS)[number]) =>
        aggregate(rewards, name, tokens)!.toFixed(2);
    const two = of([0.9, 0.5]);
    expect((["mean", "min", "product", "last", "logodds"] as const).map(two)).toEqual([
      "0.70",
      "0.50",
      "0.45",
      "0.50",
      "0.75",
    ]);
    const three = of([0.9, 0.5, 0.4], [10, 20, 70]);
    expect((["median", "max", "product", "weighted"] as const).map(three)).toEqual(["0.50", "0.90", "0.18", "0.47"]);
  });

  test("median of an even number is the middle", () => {
    expect(aggregate([0.1, 0.9, 0.3, 0.5], "median")).toBeCloseTo(0.4, 10);
  });

  test("no step, or a step without a reward: no score, whatever the rule", () => {
    for (const aggregation of AGGREGATIONS) {
      expect(aggregate([], aggregation)).toBeNull();
      expect(aggregate([0.9, null], aggregation)).toBeNull();
    }
  });

  test("one step: every rule but none gives that step's reward; always inside [0,1], even at 0 and 1", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 6 }), (rewards) => {
        for (const aggregation of AGGREGATIONS) {
          const score = aggregate(rewards, aggregation)!;
          expect(score).toBeGreaterThanOrEqual(0);
          expect(score).toBeLessThanOrEqual(1 + 1e-12);
          if (rewards.length === 1) expect(score).toBeCloseTo(rewards[0]!, 5);
        }
      }),
    );
  });
});

describe("attribute", () => {
  test("known answer of method.md 5a: only function 2 is named", () => {
    const rewards = [0.9, 0.2, 0.2, 0.19];
    const ratios = attribute(0.9, rewards);
    [1.0, 0.22, 1.0, 0.95].forEach((expected, index) => {
      expect(ratios[index]).toBeCloseTo(expected, 2);
    });
    const lowest = (values: (number | null)[]) => values.indexOf(Math.min(...(values as number[])));
    expect(lowest(ratios)).toBe(1);
    expect(lowest(attribute(0.9, rewards, "logit-difference"))).toBe(1);
    // The value itself would name the fourth.
    expect(lowest(rewards)).toBe(3);
  });

  test("what is not known lowers nobody: null before or at a step gives null there and only there", () => {
    expect(attribute(0.9, [null, 0.5, 0.5])).toEqual([null, null, 1]);
    expect(attribute(null, [0.5, 0.5])).toEqual([null, 1]);
  });

  test("a value near zero before the step does not blow the ratio up", () => {
    expect(attribute(0.9, [0.0001, 0.0002])[1]).toBeCloseTo(0.02, 10);
  });
});
