import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { openDatabase } from "../../src/adapters/db/open-database.ts";
import { redeliverFailed, startHousekeeping } from "../../src/flows/housekeeping.ts";
import type { Clock, Log } from "../../src/ports.ts";

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const DAY = 86_400_000;

/** Time passes only by sleeping; `stop` is called after so many sleeps. */
function virtualClock(start: number) {
  const clock = {
    at: start,
    sleeps: [] as number[],
    now: () => new Date(clock.at),
    sleep: async (milliseconds: number) => {
      clock.sleeps.push(milliseconds);
      clock.at += milliseconds;
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
  return clock satisfies Clock;
}

test("a finished run keeps its text for 180 days and its costs after that; younger ones are whole", async () => {
  const clock = virtualClock(Date.parse("2026-01-01T00:00:00Z"));
  const { runs, close } = await openDatabase({ path: ":memory:", now: clock.now, random: randomBytes });
  const open = async (issueNumber: number) => {
    const { run } = await runs.openRun({
      repositoryId: 1,
      installationId: 5,
      owner: "o",
      repo: "r",
      issueNumber,
      trigger: { kind: "label", label: "funprm:fix" },
      startedBy: "ann",
    });
    const issue = { title: "t", body: "private text", author: "ann", url: "u" };
    return runs.saveRun(run.id, { issue, costUsd: 0.5, state: "opened", finishedAt: clock.now().toISOString() }, 0);
  };
  const old = await open(1);
  clock.at += 100 * DAY;
  const young = await open(2);
  clock.at += 81 * DAY;
  const failing = { failedDeliveries: () => Promise.reject(new Error("no GitHub today")), redeliver: async () => {} };
  const housekeeping = startHousekeeping({ host: failing, stores: [runs], clock, log: silent }, 180);
  await new Promise((resolve) => setTimeout(resolve, 20));
  await housekeeping.stop();
  expect(await runs.run(old.id)).toMatchObject({ issue: null, costUsd: 0.5, state: "opened" });
  expect(await runs.run(young.id)).toMatchObject({ issue: { body: "private text" } });
  expect(new Set(clock.sleeps)).toEqual(new Set([300_000]));
  await close();
});

test("every lost delivery is asked for again, except one that was refused five times", async () => {
  const asked: number[] = [];
  const host = {
    failedDeliveries: async (since: Date) => {
      expect(since.toISOString()).toBe("2026-01-01T00:00:00.000Z");
      return [
        { id: 1, guid: "a", attempts: 1 },
        { id: 2, guid: "b", attempts: 5 },
      ];
    },
    redeliver: async (id: number) => void asked.push(id),
  };
  await redeliverFailed({ host, clock: virtualClock(Date.parse("2026-01-04T00:00:00Z")), log: silent });
  expect(asked).toEqual([1]);
});

test("a delivery that GitHub does not send again keeps none of the others back", async () => {
  const asked: number[] = [];
  const host = {
    failedDeliveries: async () => [1, 2, 3].map((id) => ({ id, guid: `${id}`, attempts: 1 })),
    redeliver: async (id: number) => {
      if (id === 1) throw new Error("422: too old");
      asked.push(id);
    },
  };
  await redeliverFailed({ host, clock: virtualClock(0), log: silent });
  expect(asked).toEqual([2, 3]);
});
