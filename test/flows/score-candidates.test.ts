import { describe, expect, test } from "vitest";
import { scoreSteps } from "../../src/flows/score-candidates.ts";
import { createFakeRewardModel } from "../fakes/fake-reward-model.ts";

const chain = (id: string, ...texts: string[]) => ({
  id,
  steps: texts.map((rendered) => ({ rendered, signature: rendered.split(":")[0]! })),
});

describe("scoreSteps", () => {
  test("rewards are values, the attribution starts from the empty prefix, the score is their mean", async () => {
    const values: Record<string, number> = { "": 0.9, good: 0.9, bad: 0.2, fine: 0.2, last: 0.19 };
    const model = createFakeRewardModel((_, prefix) => values[prefix.at(-1)!]!);
    const [scored] = await scoreSteps(model, "s", [chain("a", "good", "bad", "fine", "last")]);
    expect(scored).toMatchObject({
      id: "a",
      v0: 0.9,
      rewards: [0.9, 0.2, 0.2, 0.19],
      reasons: [null, null, null, null],
    });
    expect(scored!.attribution.map((value) => Number(value!.toFixed(2)))).toEqual([1, 0.22, 1, 0.95]);
    expect(scored!.score).toBeCloseTo(0.3725, 10);
  });

  test("the order of candidates and their neighbours change nothing", async () => {
    const model = createFakeRewardModel();
    const chains = [chain("a", "x", "y"), chain("b", "z"), chain("c", "x", "y")];
    const forward = await scoreSteps(model, "s", chains);
    const backward = await scoreSteps(model, "s", chains.toReversed());
    expect(backward.toReversed()).toEqual(forward);
    expect({ ...forward[2], id: "a" }).toEqual(forward[0]);
  });

  test("context is part of the prompt: its chain has an empty prefix of its own", async () => {
    const model = createFakeRewardModel();
    const [plain, withContext] = await scoreSteps(model, "s", [
      chain("a", "x"),
      { ...chain("b", "x"), context: ["def f()"] },
    ]);
    expect(withContext!.v0).not.toBe(plain!.v0);
  });

  test("a step that is too long leaves no score, the reason stands at it", async () => {
    const [scored] = await scoreSteps(createFakeRewardModel(), "s", [chain("a", "x", "word ".repeat(600), "z")]);
    expect(scored!.score).toBeNull();
    expect(scored!.reasons).toEqual([null, "too_long", null]);
    expect(scored!.attribution[2]).toBeNull();
  });
});
