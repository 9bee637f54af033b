/**
 * The app is uninstalled, or a repository taken from it, while it works: the run stops, what it writes afterwards is refused,
 * and nothing of it stays; everything else does.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { openDatabase } from "../../src/adapters/db/open-database.ts";
import { createFiles } from "../../src/adapters/files/files.ts";
import { receive, type Webhook } from "../../src/app/webhooks/receive.ts";
import {
  type ForgetInstallationPayload,
  forgetJob,
  recordJob,
  reviewJob,
  solveJob,
} from "../../src/domain/job-payloads.ts";
import { snapshotStore } from "../../src/flows/build-snapshot.ts";
import { forgetInstallation, forgetUnreached } from "../../src/flows/housekeeping.ts";
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
      forgetInstallation([runs], clock, job.payload as ForgetInstallationPayload, signal),
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

test("when GitHub does not say which were taken, those go that something is stored of and that are out of reach", async () => {
  const { runs, reviews, learning, jobs, close } = await openDatabase({
    path: ":memory:",
    now: clock.now,
    random: randomBytes,
  });
  const of = (repositoryId: number, installationId = 5) => ({ ...START, repositoryId, installationId });
  for (const start of [of(1), of(2), of(9, 6)]) await runs.openRun(start);
  await jobs.accept(null, solveJob({ ...of(3), options: {} }));
  await reviews.savePull({ ...of(4), pullRequest: 8, pausedBy: null, rounds: [] });
  for (const start of [of(5), of(6)]) await learning.saveRepository(start);
  const host = { reachedRepositories: async () => [2, 6, 7] };
  await jobs.accept(null, forgetJob({ installationId: 5, unnamed: true }));
  await forgetUnreached({ host, jobs, runs, reviews, learning }, 5);
  const forgotten = (await jobs.list()).map(({ payload }) => payload as ForgetInstallationPayload);
  expect(forgotten.flatMap(({ repositoryId, ...rest }) => ("startedBy" in rest ? [] : [repositoryId])).sort()).toEqual([
    1,
    3,
    4,
    5,
    undefined,
  ]);
  // Only what is out of reach is asked to stop.
  expect((await jobs.list()).filter((job) => job.cancelRequested).map(({ lane }) => lane)).toEqual(["issue:3:3"]);
  await close();
});

test("a repository taken from an installation goes whole, row by row; its neighbours keep every one of theirs", async () => {
  const folder = mkdtempSync(join(tmpdir(), "funprm-forget-"));
  const path = join(folder, "funprm.db");
  const database = await openDatabase({ path, now: clock.now, random: randomBytes });
  const { jobs, runs, reviews, learning } = database;
  const files = createFiles();
  const snapshots = join(folder, "snapshots");
  const [GONE, KEPT, MOVED, FAR] = [900000001, 900000002, 900000003, 900000004];
  // MOVED was given to another organisation before it was taken from this one.
  const places = [
    { installationId: 5, repositoryId: GONE, owner: "o", repo: "gone" },
    { installationId: 5, repositoryId: KEPT, owner: "o", repo: "kept" },
    { installationId: 6, repositoryId: MOVED, owner: "p", repo: "moved" },
    { installationId: 6, repositoryId: FAR, owner: "p", repo: "far" },
  ];
  for (const [index, ref] of places.entries()) {
    const { installationId, repositoryId } = ref;
    const of = { installationId, repositoryId, pullRequest: 4 };
    const { run } = await runs.openRun({ ...START, ...ref });
    await runs.saveCandidate({ runId: run.id, candidate: { index: 0, status: "scored" } as never }, 0);
    await runs.addEvent({ runId: run.id, at: "t", kind: "state", message: "m" });
    await runs.saveEffect({ runId: run.id, kind: "k", key: "k", state: "planned", remoteId: null }, 0);
    const function_ = { head: "h", bodyHash: "9f", language: "python" as const, modelVersion: "m@1" };
    const scores = { value: 0.4, attribution: 0.8, baseAttribution: null, finding: true };
    await reviews.saveReviewed([{ ...of, ...function_, ...scores, function: "a.py#f", sketch: "", reviewedAt: "t" }]);
    await reviews.saveFinding({
      ...of,
      ...function_,
      path: "a.py",
      name: "f",
      state: "posted",
      commentId: null,
      threadId: null,
    } as never);
    await reviews.savePull({ ...of, pausedBy: null, rounds: [] });
    await reviews.saveCalibration({ repositoryId, language: "python", modelVersion: "m@1", ece: index } as never);
    await learning.saveRepository(ref);
    const opened = { number: 4, head: `h${repositoryId}`, base: "b", defaultBranch: "main" };
    await learning.append(of, [{ id: "opened", at: 1, actor: "ann", kind: "opened", ...opened }]);
    await learning.saveTexts(of, [{ function: "a.py#f", candidate: null, hash: "9f" } as never]);
    await jobs.accept(null, recordJob({ ...ref, saw: { kind: "pull", number: 4 } }));
    await files.writeText(
      join(snapshots, `${index}`, "card.json"),
      JSON.stringify({ kind: "outcomes", repositories: [repositoryId, FAR] }),
    );
  }
  await reviews.saveRewards(5, "sha", new Map([["k", { id: "0", rewards: [0.5] } as never]]));
  await reviews.saveRewards(6, "sha", new Map([["k", { id: "0", rewards: [0.5] } as never]]));

  const raw = new DatabaseSync(path, { readOnly: true });
  /** Every row of every table that somebody's repository can stand in. */
  const rows = () =>
    raw
      .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('migrations', 'deliveries')")
      .all()
      .flatMap(({ name }) =>
        raw
          .prepare(`SELECT * FROM ${name}`)
          .all()
          .map((row) => ({ table: String(name), text: JSON.stringify(row) })),
      )
      .filter(({ text }) => !text.includes("forget-installation") && !text.includes("review-pull"));
  const runIds = new Map((await runs.listRuns({})).map((run) => [run.repositoryId, run.id]));
  const isGone = ({ text }: { text: string }) => text.includes(`${GONE}`) || text.includes(runIds.get(GONE)!);
  const before = rows();
  const tables = new Set(before.filter(isGone).map(({ table }) => table));
  expect([...tables].sort()).toEqual([
    ...["calibrations", "candidates", "effects", "findings", "jobs", "learning_repositories", "learning_texts"],
    ...["outcome_commits", "outcome_events", "reviewed_functions", "reviewed_pulls", "run_events", "runs"],
  ]);

  // A review of it and one of its neighbour are under way.
  const ended: string[] = [];
  const held = new Map<number, () => void>();
  const handlers = {
    "review-pull": (job: { payload: unknown }, signal: AbortSignal) => {
      const { repositoryId } = job.payload as { repositoryId: number };
      return new Promise<void>((resolve) => {
        signal.addEventListener("abort", () => resolve(void ended.push(`${repositoryId} cancelled`)));
        held.set(repositoryId, () => resolve(void ended.push(`${repositoryId} done`)));
      });
    },
    "forget-installation": (job: { payload: unknown }, signal: AbortSignal) =>
      forgetInstallation(
        [snapshotStore({ learning, files }, snapshots), runs, reviews, learning],
        clock,
        job.payload as ForgetInstallationPayload,
        signal,
      ),
  };
  const options = { name: "w", concurrency: 5, leaseSeconds: 15, pollSeconds: 1, graceSeconds: 1, random: () => 0 };
  const onlyThese: typeof jobs = {
    ...jobs,
    claim: (name, lease) => jobs.claim(name, lease, Object.keys(handlers) as never),
  };
  const worker = startWorker(
    { jobs: onlyThese, clock, log: silent },
    { ...options, handlers: handlers as never, onDead: async () => {} },
  );
  for (const repositoryId of [GONE, KEPT])
    await jobs.accept(
      null,
      reviewJob({
        ...{ ...PLACE, repositoryId, issueNumber: 8, trigger: "opened", head: "h" },
        ...{ asked: false, full: false, command: null },
      }),
    );
  await expect.poll(() => held.size).toBe(2);

  const removed = {
    id: "delivery",
    name: "installation_repositories",
    payload: { action: "removed", installation: { id: 5 }, repositories_removed: [{ id: GONE }, { id: MOVED }] },
  } as Webhook;
  expect(await receive(removed, jobs, () => worker.wake())).toBe("accepted");
  expect(await receive(removed, jobs, () => worker.wake())).toBe("duplicate");
  const forgotten = async () =>
    (await jobs.list({ state: "done" })).filter(({ kind }) => kind === "forget-installation").length;
  await expect.poll(forgotten, { timeout: 5_000 }).toBe(2);
  // Sent again when all is done: a repository that was given back meanwhile is not forgotten twice.
  expect(await receive(removed, jobs, () => worker.wake())).toBe("duplicate");
  held.get(KEPT)!();
  await worker.drain();

  expect(ended).toEqual([`${GONE} cancelled`, `${KEPT} done`]);
  expect((await jobs.list()).filter(({ kind }) => kind === "forget-installation")).toHaveLength(2);
  const after = rows();
  // Numbers of claims are never given twice: the row of the newest may stay, empty.
  expect(after.filter(isGone).filter(({ table }) => table !== "jobs")).toEqual([]);
  expect((await jobs.list()).filter(({ lane, payload }) => lane.includes(`${GONE}`) && payload !== null)).toEqual(
    (await jobs.list()).filter(({ kind, lane }) => kind === "forget-installation" && lane.includes(`${GONE}`)),
  );
  // Rewards are kept by hash of text, which names no repository: the installation's go, and are scored again.
  const isItsReward = ({ table, text }: { table: string; text: string }) =>
    table === "reward_cache" && text.includes('"installation_id":5');
  expect(after.filter((row) => !isGone(row))).toEqual(before.filter((row) => !isGone(row) && !isItsReward(row)));
  expect(await files.folders(snapshots)).toEqual(["1", "2", "3"]);
  raw.close();
  await database.close();
  rmSync(folder, { recursive: true, force: true });
});
