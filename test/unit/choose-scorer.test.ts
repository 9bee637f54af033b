/** Who scores a run: attacked by a worker that is down, refused, or dies in the middle. */
import { expect, test } from "vitest";
import { FunprmError } from "../../src/domain/errors.ts";
import { createScorerChoice } from "../../src/flows/choose-scorer.ts";
import type { RewardModel } from "../../src/ports.ts";
import { createFakeRewardModel } from "../fakes/fake-reward-model.ts";

const embedded = createFakeRewardModel();
const worker: RewardModel = { ...createFakeRewardModel(() => 0.5), info: { ...embedded.info, name: "on the worker" } };
const down = new FunprmError("WORKER_UNAVAILABLE", "worker http://10.0.0.7:8700: ECONNREFUSED");

function choice(open: (() => Promise<RewardModel>) | null) {
  const warned: string[] = [];
  const time = { now: 0 };
  const quiet = () => {};
  const choose = createScorerChoice({
    embedded: async () => embedded,
    worker: open,
    clock: { now: () => new Date(time.now), sleep: async () => {} },
    log: { debug: quiet, info: quiet, error: quiet, warn: (message) => void warned.push(message) },
  });
  return { choose, warned, time };
}

test("without a worker the embedded model scores, and nothing is said", async () => {
  expect(await choice(null).choose("candidates")).toEqual({ model: embedded, note: null });
});

test("functions of a review have a model of their own, also where a worker is down; a worker scores both", async () => {
  const quiet = () => {};
  const parts = {
    embedded: async (scored: "candidates" | "functions") => ({ ...embedded, info: { ...embedded.info, name: scored } }),
    clock: { now: () => new Date(0), sleep: async () => {} },
    log: { debug: quiet, info: quiet, error: quiet, warn: quiet },
  };
  const namesOf = async (open: (() => Promise<RewardModel>) | null) => {
    const choose = createScorerChoice({ ...parts, worker: open });
    return [(await choose("functions")).model.info.name, (await choose("candidates")).model.info.name];
  };
  expect(await namesOf(null)).toEqual(["functions", "candidates"]);
  expect(await namesOf(() => Promise.reject(down))).toEqual(["functions", "candidates"]);
  expect(await namesOf(async () => worker)).toEqual(["on the worker", "on the worker"]);
});

test("a worker that is down is replaced for the whole run, said to the reader without its address", async () => {
  const { choose, warned } = choice(() => Promise.reject(down));
  const { model, note } = await choose("candidates");
  expect(model).toBe(embedded);
  expect(note).toContain("the embedded model fake 0 scored all");
  expect(note).not.toContain("10.0.0.7");
  expect(warned).toHaveLength(2);
});

test("a worker that fails while it scores fails that attempt: no other model finishes its ranking", async () => {
  const { choose } = choice(async () => ({ ...worker, score: () => Promise.reject(down) }));
  const { model } = await choose("candidates");
  await expect(model.score([])).rejects.toBe(down);
  expect(model.info.name).toBe("on the worker");
});

test("after five failures in a row it is not asked for 30 seconds, then again", async () => {
  let asked = 0;
  let broken = true;
  const { choose, time } = choice(() => {
    asked += 1;
    return broken ? Promise.reject(down) : Promise.resolve(worker);
  });
  for (let i = 0; i < 8; i++) await choose("candidates");
  expect(asked).toBe(5);
  time.now = 30_000;
  broken = false;
  const { model, note } = await choose("candidates");
  expect([model.info.name, note, asked]).toEqual(["on the worker", null, 6]);
});

test("one success forgets the failures before it", async () => {
  let answers = [1, 1, 1, 1, 0, 1, 1, 1, 1, 0];
  const { choose } = choice(async () => {
    const [fails, ...rest] = answers;
    answers = rest;
    if (fails) throw down;
    return worker;
  });
  const names: string[] = [];
  for (let i = 0; i < 10; i++) {
    const { model } = await choose("candidates");
    await model.score([]);
    names.push(model.info.name);
  }
  expect(names.filter((name) => name === "on the worker")).toHaveLength(2);
});
