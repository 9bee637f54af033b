import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MIN_PROMPT_TOKENS } from "../../src/domain/encode.ts";
import { planWindows, type ScoreWindow } from "../../src/domain/windows.ts";

const shape = (window: ScoreWindow) =>
  window.parts.map((part) => `${part.as === "step" ? "S" : "s"}${part.index}`).join(" ");

describe("planWindows", () => {
  test("a chain that fits is one window that reads every step", () => {
    const plan = planWindows(20, [10, 10, 10], [3, 3, 3], 128);
    expect(plan).toMatchObject({ windowed: false, tooLong: [] });
    expect(plan.windows.map(shape)).toEqual(["S0 S1 S2"]);
    expect(plan.windows[0]!.targets).toEqual([0, 1, 2]);
  });

  test("beyond the window: all signatures, then whole steps nearest first", () => {
    // Room 128 − 64 = 64. S0+S1 = 62. For S2 (31): 33 left, signatures 4+4, then S1 whole needs 27 more of 25: no.
    const plan = planWindows(500, [30, 30, 30, 10], [3, 3, 3, 3], 128);
    expect(plan.windows.map(shape)).toEqual(["S0 S1", "s0 s1 S2", "s0 s1 S2 S3"]);
    expect(plan.windows.map((window) => window.targets)).toEqual([[0, 1], [2], [3]]);
    expect(plan.windowed).toBe(true);
  });

  test("one step longer than a window has none; the next one sees its signature", () => {
    const plan = planWindows(10, [200, 10], [3, 3], 128);
    expect(plan.tooLong).toEqual([0]);
    expect(plan.windows.map(shape)).toEqual(["s0 S1"]);
  });

  test("the signatures that do not fit are the farthest", () => {
    const plan = planWindows(500, [60, 50, 50, 50], [10, 10, 10, 10], 128);
    expect(shape(plan.windows.at(-1)!)).toBe("s2 S3");
  });

  test("every step is read exactly once or too long, in a window that fits and never shows a later step", () => {
    const sizes = fc.array(fc.record({ step: fc.nat({ max: 150 }), signature: fc.option(fc.nat({ max: 20 })) }), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(fc.nat({ max: 300 }), sizes, fc.integer({ min: 128, max: 300 }), (promptTokens, chain, maxTokens) => {
        const steps = chain.map((each) => each.step);
        const signatures = chain.map((each) => each.signature);
        const plan = planWindows(promptTokens, steps, signatures, maxTokens);
        const read = plan.windows.flatMap((window) => window.targets);
        expect([...read, ...plan.tooLong].sort((a, b) => a - b)).toEqual(steps.map((_, index) => index));
        for (const { parts, targets } of plan.windows) {
          const used = parts.reduce(
            (sum, part) => sum + 1 + (part.as === "step" ? steps[part.index]! : signatures[part.index]!),
            0,
          );
          expect(used + Math.min(promptTokens, MIN_PROMPT_TOKENS)).toBeLessThanOrEqual(maxTokens);
          expect(parts.at(-1)!.index).toBe(targets.at(-1));
          expect(parts.map((part) => part.index)).toEqual(
            [...new Set(parts.map((part) => part.index))].sort((a, b) => a - b),
          );
        }
      }),
    );
  });
});
