import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { openDatabase } from "../../src/adapters/db/open-database.ts";
import type { Job, NewJob } from "../../src/domain/run.ts";
import type { JobStore } from "../../src/ports.ts";

/** A clock that only the test moves, and bytes that only the test draws. */
function world(start = Date.UTC(2026, 0, 1)) {
  let time = start;
  let draws = 0;
  return {
    now: () => new Date(time),
    pass: (seconds: number) => {
      time += seconds * 1000;
    },
    random: (bytes: number) => new Uint8Array(bytes).map((_, index) => (draws++ * 31 + index * 7) % 256),
  };
}

function solve(key: string, more: Partial<NewJob> = {}): NewJob {
  return { kind: "solve-issue", dedupeKey: key, lane: key, payload: { installationId: 7, key }, ...more };
}

const delivery = (id: string) => ({ id, event: "issues", action: "labeled" });

/** What every `JobStore` promises (src/ports.ts). */
function jobStorePromises(open: (now: () => Date, random: (bytes: number) => Uint8Array) => Promise<JobStore>): void {
  const fresh = async () => {
    const w = world();
    return { ...w, store: await open(w.now, w.random) };
  };

  it("makes one job of ten identical deliveries in parallel", async () => {
    const { store } = await fresh();
    const answers = await Promise.all(Array.from({ length: 10 }, () => store.accept(delivery("d1"), solve("issue:1"))));
    expect(answers.filter(({ outcome }) => outcome === "accepted")).toHaveLength(1);
    expect(new Set(answers.map(({ job }) => job?.id)).size).toBe(1);
    expect(await store.counts()).toEqual({ queued: 1, running: 0, done: 0, dead: 0 });
  });

  it("knows a delivery again after its job is done, and takes a new delivery for the same key", async () => {
    const { store } = await fresh();
    await store.accept(delivery("d1"), solve("issue:1"));
    await store.complete((await store.claim("w", 30))!);
    const again = await store.accept(delivery("d1"), solve("issue:1"));
    expect([again.outcome, again.job?.state]).toEqual(["duplicate", "done"]);
    expect((await store.accept(delivery("d2"), solve("issue:1"))).outcome).toBe("accepted");
  });

  it("joins another delivery to the live job of the same key, queued or running", async () => {
    const { store } = await fresh();
    const first = await store.accept(delivery("d1"), solve("issue:1"));
    const queued = await store.accept(delivery("d2"), solve("issue:1"));
    await store.claim("w", 30);
    const running = await store.accept(delivery("d3"), solve("issue:1"));
    expect([queued.outcome, running.outcome]).toEqual(["duplicate", "duplicate"]);
    expect([queued.job?.id, running.job?.id]).toEqual([first.job?.id, first.job?.id]);
  });

  it("records a delivery without a job, and a job without a delivery", async () => {
    const { store } = await fresh();
    expect(await store.accept(delivery("ping"), null)).toEqual({ outcome: "accepted", job: null });
    expect(await store.accept(delivery("ping"), null)).toEqual({ outcome: "duplicate", job: null });
    expect((await store.accept(null, solve("a"))).outcome).toBe("accepted");
  });

  it("gives parallel claims different jobs, oldest first, and counts the attempt", async () => {
    const { store } = await fresh();
    for (const key of ["a", "b", "c"]) await store.accept(null, solve(key));
    const claimed = await Promise.all(["w1", "w2", "w3", "w4"].map((worker) => store.claim(worker, 30)));
    expect(claimed.map((job) => job?.dedupeKey)).toEqual(["a", "b", "c", undefined]);
    expect(claimed.slice(0, 3).map((job) => [job!.attempts, job!.state])).toEqual(Array(3).fill([1, "running"]));
    expect(new Set(claimed.slice(0, 3).map((job) => job!.fence)).size).toBe(3);
  });

  it("runs one job of a lane at a time and other lanes beside it", async () => {
    const { store } = await fresh();
    await store.accept(null, solve("a1", { lane: "a" }));
    await store.accept(null, solve("a2", { lane: "a" }));
    await store.accept(null, solve("b1", { lane: "b" }));
    const first = await store.claim("w", 30);
    expect([first?.dedupeKey, (await store.claim("w", 30))?.dedupeKey, await store.claim("w", 30)]).toEqual([
      "a1",
      "b1",
      null,
    ]);
    await store.complete(first!);
    expect((await store.claim("w", 30))?.dedupeKey).toBe("a2");
  });

  it("claims only the kinds asked for, and nothing before its time", async () => {
    const { store, pass } = await fresh();
    await store.accept(null, solve("later", { delaySeconds: 60 }));
    await store.accept(null, solve("stop", { kind: "stop-run" }));
    expect(await store.claim("w", 30, ["reply-command"])).toBeNull();
    expect((await store.claim("w", 300, ["reply-command", "stop-run"]))?.dedupeKey).toBe("stop");
    expect(await store.claim("w", 30)).toBeNull();
    pass(60);
    expect((await store.claim("w", 30))?.dedupeKey).toBe("later");
  });

  it("hands an expired lease to another worker and refuses every write of the first", async () => {
    const { store, pass } = await fresh();
    await store.accept(null, solve("a"));
    const stale = (await store.claim("w1", 30))!;
    pass(20);
    await store.heartbeat(stale, 30);
    pass(29);
    expect(await store.claim("w2", 30)).toBeNull();
    pass(1);
    const holder = (await store.claim("w2", 30))!;
    expect([holder.id, holder.attempts]).toEqual([stale.id, 2]);
    expect(holder.fence).toBeGreaterThan(stale.fence);
    const error = { code: "X", message: "x" };
    for (const write of [
      () => store.heartbeat(stale, 30),
      () => store.complete(stale),
      () => store.retry(stale, error, 0),
      () => store.release(stale),
      () => store.bury(stale, error),
    ]) {
      await expect(write()).rejects.toMatchObject({ code: "FENCED" });
    }
    await store.complete(holder);
    await expect(store.complete(holder)).rejects.toMatchObject({ code: "FENCED" });
  });

  it("queues a retry after its delay, keeps the error, and is dead after the last attempt", async () => {
    const { store, pass } = await fresh();
    await store.accept(null, solve("a", { maxAttempts: 2 }));
    const error = { code: "GITHUB_TRANSIENT", message: "502" };
    expect(await store.retry((await store.claim("w", 30))!, error, 10)).toBe("queued");
    expect(await store.claim("w", 30)).toBeNull();
    pass(10);
    const last = (await store.claim("w", 30))!;
    expect([last.attempts, last.error]).toEqual([2, error]);
    expect(await store.retry(last, error, 10)).toBe("dead");
    pass(1000);
    expect(await store.claim("w", 30)).toBeNull();
    expect(await store.list({ state: "dead" })).toMatchObject([{ id: last.id, error }]);
  });

  it("gives a released job to the next claim without counting the attempt", async () => {
    const { store } = await fresh();
    await store.accept(null, solve("a"));
    await store.release((await store.claim("w1", 30))!);
    expect(await store.claim("w2", 30)).toMatchObject({ dedupeKey: "a", attempts: 1, worker: "w2" });
  });

  it("revives a dead job with all attempts, and joins a live one of the same key instead", async () => {
    const { store } = await fresh();
    await store.accept(null, solve("a"));
    const dead = (await store.claim("w", 30))!;
    expect(await store.revive(dead.id)).toBeNull();
    await store.bury(dead, { code: "X", message: "x" });
    expect(await store.revive(dead.id)).toMatchObject({ id: dead.id, state: "queued", attempts: 0 });
    await store.bury((await store.claim("w", 30))!, { code: "X", message: "x" });
    const { job: live } = await store.accept(null, solve("a"));
    expect((await store.revive(dead.id))?.id).toBe(live?.id);
    expect(await store.job("none")).toBeNull();
  });

  it("asks only a live job to stop, and its next holder still knows", async () => {
    const { store } = await fresh();
    expect(await store.requestCancel("a")).toBe(false);
    await store.accept(null, solve("a"));
    const job = (await store.claim("w", 30))!;
    expect(await store.isCancelRequested(job)).toBe(false);
    expect(await store.requestCancel("a")).toBe(true);
    expect(await store.isCancelRequested(job)).toBe(true);
    await store.release(job);
    const next = (await store.claim("w", 30))!;
    expect(next.cancelRequested).toBe(true);
    await store.complete(next);
    expect(await store.requestCancel("a")).toBe(false);
  });

  it("behaves as the model of its state machine under any sequence of calls", async () => {
    type Modelled = {
      id: string;
      key: string;
      lane: string;
      state: Job["state"];
      attempts: number;
      due: number;
      lease: number;
      fence: number;
    };
    const call = fc.oneof(
      fc.record({
        do: fc.constant("accept" as const),
        key: fc.constantFrom("a", "b", "c", "d"),
        lane: fc.constantFrom("x", "y"),
        delay: fc.constantFrom(0, 5),
      }),
      fc.record({ do: fc.constant("claim" as const) }),
      fc.record({
        do: fc.constantFrom("complete" as const, "bury" as const, "release" as const, "heartbeat" as const),
        pick: fc.nat(20),
      }),
      fc.record({ do: fc.constant("retry" as const), pick: fc.nat(20), delay: fc.constantFrom(0, 5) }),
      fc.record({ do: fc.constant("pass" as const), seconds: fc.constantFrom(1, 5, 12) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 40 }), async (calls) => {
        const { store, now, pass } = await fresh();
        const model: Modelled[] = [];
        const claims: Job[] = [];
        const time = () => now().getTime() / 1000;
        for (const step of calls) {
          if (step.do === "pass") pass(step.seconds);
          else if (step.do === "accept") {
            const answer = await store.accept(
              null,
              solve(step.key, { lane: step.lane, delaySeconds: step.delay, maxAttempts: 2 }),
            );
            const live = model.find(
              (job) => job.key === step.key && (job.state === "queued" || job.state === "running"),
            );
            expect([answer.outcome, answer.job?.id]).toEqual(
              live ? ["duplicate", live.id] : ["accepted", answer.job?.id],
            );
            if (!live)
              model.push({
                id: answer.job!.id,
                key: step.key,
                lane: step.lane,
                state: "queued",
                attempts: 0,
                due: time() + step.delay,
                lease: 0,
                fence: 0,
              });
          } else if (step.do === "claim") {
            const due = model
              .filter(
                (job) =>
                  (job.state === "queued" && job.due <= time()) || (job.state === "running" && job.lease <= time()),
              )
              .filter(
                (job) => !model.some((other) => other !== job && other.lane === job.lane && other.state === "running"),
              )
              .sort((one, two) => one.due - two.due || (one.id < two.id ? -1 : 1))[0];
            const claimed = await store.claim("w", 10);
            expect(claimed?.id).toBe(due?.id);
            if (!due || !claimed) continue;
            expect(claimed.fence).toBeGreaterThan(Math.max(0, ...model.map((job) => job.fence)));
            Object.assign(due, {
              state: "running",
              attempts: due.attempts + 1,
              lease: time() + 10,
              fence: claimed.fence,
            });
            expect(claimed.attempts).toBe(due.attempts);
            claims.push(claimed);
          } else {
            const claim = claims[step.pick % Math.max(1, claims.length)];
            if (!claim) continue;
            const job = model.find(({ id }) => id === claim.id)!;
            const holds = job.state === "running" && job.fence === claim.fence;
            const error = { code: "X", message: "x" };
            const written = await (step.do === "retry"
              ? store.retry(claim, error, step.delay)
              : step.do === "bury"
                ? store.bury(claim, error)
                : step.do === "heartbeat"
                  ? store.heartbeat(claim, 10)
                  : store[step.do](claim)
            ).then(
              () => true,
              (refused) => {
                expect(refused.code).toBe("FENCED");
                return false;
              },
            );
            expect(written).toBe(holds);
            if (!holds) continue;
            if (step.do === "heartbeat") job.lease = time() + 10;
            if (step.do === "complete") job.state = "done";
            if (step.do === "bury") job.state = "dead";
            if (step.do === "release") Object.assign(job, { state: "queued", attempts: job.attempts - 1, due: time() });
            if (step.do === "retry")
              Object.assign(job, job.attempts >= 2 ? { state: "dead" } : { state: "queued", due: time() + step.delay });
          }
          const counts = { queued: 0, running: 0, done: 0, dead: 0 };
          for (const job of model) counts[job.state]++;
          expect(await store.counts()).toEqual(counts);
        }
      }),
      { numRuns: process.env["FUNPRM_LONG"] ? 2000 : 150 },
    );
  });
}

describe("JobStore on SQLite", () => {
  jobStorePromises(async (now, random) => (await openDatabase({ path: ":memory:", now, random })).jobs);
});

describe("JobStore on one SQLite file", () => {
  const folder = mkdtempSync(join(tmpdir(), "funprm-jobs-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("makes one job of ten deliveries that reach two connections", async () => {
    const w = world();
    const path = join(folder, "two.db");
    const one = await openDatabase({ path, ...w });
    const two = await openDatabase({ path, ...w });
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => (index % 2 ? one : two).jobs.accept(delivery("d"), solve("a"))),
    );
    expect(answers.filter(({ outcome }) => outcome === "accepted")).toHaveLength(1);
    expect(await one.jobs.counts()).toEqual(await two.jobs.counts());
    await one.close();
    await two.close();
  });

  it("reclaims the job of a worker process that was killed, and the queue works on", async () => {
    const path = join(folder, "killed.db");
    const w = world(Date.now());
    const database = await openDatabase({ path, ...w });
    await database.jobs.accept(delivery("d"), solve("a"));
    const child = spawn(
      process.execPath,
      [
        "--disable-warning=ExperimentalWarning",
        "--input-type=module-typescript",
        "--eval",
        `import { randomBytes } from "node:crypto";
         import { openDatabase } from ${JSON.stringify(join(import.meta.dirname, "../../src/adapters/db/open-database.ts"))};
         const { jobs } = await openDatabase({ path: ${JSON.stringify(path)}, now: () => new Date(${w.now().getTime()}), random: randomBytes });
         const job = await jobs.claim("child", 30);
         console.log(job.id);
         setInterval(() => {}, 1000);`,
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    const claimed = await new Promise<string>((resolve) =>
      child.stdout.once("data", (data) => resolve(String(data).trim())),
    );
    expect(await database.jobs.claim("parent", 30)).toBeNull();
    child.kill("SIGKILL");
    await new Promise((resolve) => child.once("close", resolve));
    w.pass(30);
    const job = (await database.jobs.claim("parent", 30))!;
    expect([job.id, job.attempts, job.worker]).toEqual([claimed, 2, "parent"]);
    await database.jobs.complete(job);
    await database.close();
  });
});
