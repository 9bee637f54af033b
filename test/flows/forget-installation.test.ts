/** The app is uninstalled while it works: the run stops, what it writes afterwards is refused, and nothing of it stays. */
import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { openDatabase } from "../../src/adapters/db/open-database.ts";
import { forgetJob, solveJob } from "../../src/domain/job-payloads.ts";
import { forgetInstallation } from "../../src/flows/housekeeping.ts";
import { type Interruption, type JobHandler, startWorker } from "../../src/flows/jobs.ts";
import type { Clock, Log, RunStore } from "../../src/ports.ts";

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const PLACE = { installationId: 5, repositoryId: 1, owner: "o", repo: "r", issueNumber: 3 };
const START = { ...PLACE, trigger: { kind: "label" as const, label: "funprm:fix" }, startedBy: "ann" };
/** A second passes in five milliseconds. */
const clock: Clock = {
  now: () => new Date(),
  sleep: (milliseconds, signal) =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds / 200);
      signal?.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    }),
};

async function uninstallDuring(solving: (store: RunStore) => JobHandler, concurrency: number) {
  const { runs, jobs, close } = await openDatabase({ path: ":memory:", now: clock.now, random: randomBytes });
  const handlers = {
    "solve-issue": solving(runs),
    "forget-installation": (job: { payload: unknown }, signal: AbortSignal) =>
      forgetInstallation([runs], clock, (job.payload as { installationId: number }).installationId, signal),
  };
  const worker = startWorker(
    { jobs, clock, log: silent },
    {
      name: "w",
      handlers: handlers as never,
      onDead: async () => {},
      concurrency,
      leaseSeconds: 15,
      pollSeconds: 1,
      graceSeconds: 1,
      random: () => 0,
    },
  );
  await jobs.accept(null, solveJob({ ...START, options: {} }));
  await expect.poll(async () => (await runs.listRuns({})).map(({ state }) => state)).toEqual(["sampling"]);
  const kept = await runs.openRun({ ...START, installationId: 6, repositoryId: 2 });
  await jobs.accept(null, solveJob({ ...START, issueNumber: 9, options: {} }));
  await jobs.accept(null, forgetJob({ installationId: 5 }));
  worker.wake();
  const done = async () => (await jobs.list({ state: "done" })).some(({ kind }) => kind === "forget-installation");
  await expect.poll(done, { timeout: 5_000 }).toBe(true);
  expect((await runs.listRuns({})).map(({ id }) => id)).toEqual([kept.run.id]);
  const others = (await jobs.list()).filter(({ kind }) => kind !== "forget-installation");
  expect(others.map(({ state, payload }) => [state, payload]).filter(([state]) => state !== "dead")).toEqual([]);
  // A row whose number must not be given twice may stay, empty.
  expect(others.every(({ payload }) => payload === null)).toBe(true);
  await worker.drain();
  await close();
}

test("a run that holds the only slot is cancelled, and nothing of the installation stays", async () => {
  const why: unknown[] = [];
  await uninstallDuring(
    (runs) => async (_, signal, fence) => {
      signal.throwIfAborted();
      const { run } = await runs.openRun(START);
      await runs.saveRun(run.id, { state: "sampling" }, fence);
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      why.push((signal.reason as Interruption).why);
      throw signal.reason;
    },
    1,
  );
  expect(why[0]).toBe("cancelled");
});

test("a run that does not stop has its late writes refused, and what it opens late goes too", async () => {
  const late: unknown[] = [];
  await uninstallDuring(
    (runs) => async (job, _, fence) => {
      if (job.cancelRequested) return;
      const { run } = await runs.openRun(START);
      await runs.saveRun(run.id, { state: "sampling" }, fence);
      while ((await runs.run(run.id)) !== null) await clock.sleep(100);
      late.push(await runs.saveRun(run.id, { state: "opened" }, fence).catch((error) => error.code));
      await runs.openRun({ ...START, issueNumber: 4 });
    },
    3,
  );
  expect(late).toEqual(["FENCED"]);
});
