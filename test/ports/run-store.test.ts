import { spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, describe, expect, it } from "vitest";
import { openDatabase } from "../../src/adapters/db/open-database.ts";
import type { Candidate } from "../../src/domain/candidate.ts";
import type { JobStore, RunStore } from "../../src/ports.ts";

function world() {
  let time = Date.UTC(2026, 0, 1);
  let draws = 0;
  return {
    now: () => new Date(time),
    pass: (seconds: number) => {
      time += seconds * 1000;
    },
    random: (bytes: number) => new Uint8Array(bytes).map((_, index) => (draws++ * 31 + index * 7) % 256),
  };
}

const start = (issueNumber: number, more: { repositoryId?: number; installationId?: number } = {}) => ({
  repositoryId: 5_000_000_001,
  installationId: 7,
  owner: "o",
  repo: "r",
  issueNumber,
  trigger: { kind: "label" as const, label: "funprm:fix" },
  startedBy: "maintainer",
  ...more,
});

const candidate = (index: number, raw: string): Candidate => ({
  index,
  status: "sampled",
  reason: null,
  duplicateOf: null,
  raw,
  sampling: {
    model: "m",
    temperature: 0.8,
    seed: null,
    finishReason: "stop",
    promptTokens: null,
    completionTokens: null,
    costUsd: null,
    selfCertainty: null,
  },
  edits: null,
  compliance: null,
  steps: [],
  score: null,
  verdict: "NOT_RUN",
});

/** What every `RunStore` promises (src/ports.ts), with the `JobStore` that gives its fences. */
function runStorePromises(
  open: (now: () => Date, random: (bytes: number) => Uint8Array) => Promise<{ runs: RunStore; jobs: JobStore }>,
): void {
  const fresh = async () => {
    const w = world();
    return { ...w, ...(await open(w.now, w.random)) };
  };
  const claim = async (jobs: JobStore, key: string) => {
    await jobs.accept(null, { kind: "solve-issue", dedupeKey: key, lane: key, payload: { installationId: 7 } });
    return (await jobs.claim("w", 30))!;
  };

  it("joins the live run of an issue, also from ten callers, and counts generations after it ended", async () => {
    const { runs } = await fresh();
    const opened = await Promise.all(Array.from({ length: 10 }, () => runs.openRun(start(1))));
    expect(opened.filter(({ joined }) => !joined)).toHaveLength(1);
    const { run } = opened[0]!;
    expect([run.generation, run.state, run.repositoryId]).toEqual([1, "queued", 5_000_000_001]);
    await runs.saveRun(run.id, { state: "abstained" }, 0);
    const second = await runs.openRun(start(1));
    expect([second.joined, second.run.generation]).toEqual([false, 2]);
    expect(second.run.id > run.id).toBe(true);
    expect((await runs.latestRun(5_000_000_001, 1))?.id).toBe(second.run.id);
    expect((await runs.listRuns({ limit: 9 })).map(({ id }) => id)).toEqual([second.run.id, run.id]);
    expect((await runs.listRuns({ repositoryId: 5_000_000_001 })).map(({ id }) => id)).toEqual([second.run.id, run.id]);
    expect(await runs.listRuns({ repositoryId: 1 })).toEqual([]);
    expect([await runs.run("none"), await runs.latestRun(5_000_000_001, 2)]).toEqual([null, null]);
  });

  it("merges the fields of a save, and stamps the end of a run once", async () => {
    const { runs, pass } = await fresh();
    const { run } = await runs.openRun(start(1));
    await runs.saveRun(run.id, { state: "sampling", baseSha: "abc" }, 0);
    pass(5);
    const ended = await runs.saveRun(run.id, { state: "opened", costUsd: 0.5 }, 0);
    expect(ended).toMatchObject({ baseSha: "abc", state: "opened", finishedAt: "2026-01-01T00:00:05.000Z" });
    pass(5);
    await runs.saveRun(run.id, { checkRun: { id: 1, conclusion: "neutral" } }, 0);
    expect(await runs.run(run.id)).toMatchObject({
      finishedAt: "2026-01-01T00:00:05.000Z",
      updatedAt: "2026-01-01T00:00:10.000Z",
    });
  });

  it("refuses every write of a stale fence from the moment that another worker holds the job", async () => {
    const { runs, jobs, pass } = await fresh();
    const { run } = await runs.openRun(start(1));
    const stale = await claim(jobs, "a");
    await runs.saveRun(run.id, { state: "reading" }, stale.fence);
    pass(30);
    const holder = (await jobs.claim("w2", 30))!;
    for (const write of [
      () => runs.saveRun(run.id, { state: "failed" }, stale.fence),
      () => runs.saveCandidate({ runId: run.id, candidate: candidate(0, "x") }, stale.fence),
      () => runs.saveEffect({ runId: run.id, kind: "branch", key: "k", state: "planned", remoteId: null }, stale.fence),
      () => runs.saveRun(run.id, { state: "failed" }, 0),
    ]) {
      await expect(write()).rejects.toMatchObject({ code: "FENCED" });
    }
    expect([(await runs.run(run.id))?.state, await runs.candidates(run.id), await runs.effects(run.id)]).toEqual([
      "reading",
      [],
      [],
    ]);
    await runs.saveRun(run.id, { state: "sampling" }, holder.fence);
  });

  it("gives a later job of the same run a higher fence, and refuses a job that is done", async () => {
    const { runs, jobs } = await fresh();
    const { run } = await runs.openRun(start(1));
    const first = await claim(jobs, "a");
    await runs.saveRun(run.id, { state: "reading" }, first.fence);
    await jobs.complete(first);
    await expect(runs.saveRun(run.id, { state: "failed" }, first.fence)).rejects.toMatchObject({ code: "FENCED" });
    const second = await claim(jobs, "a");
    expect(second.fence).toBeGreaterThan(first.fence);
    await runs.saveRun(run.id, { state: "sampling" }, second.fence);
  });

  it("keeps one row a candidate, the last one saved, in the order of their indices", async () => {
    const { runs } = await fresh();
    const { run } = await runs.openRun(start(1));
    for (const [index, raw] of [
      [2, "c"],
      [0, "a"],
      [2, "d ' \u0000 \u{1f600}"],
    ] as const) {
      await runs.saveCandidate({ runId: run.id, candidate: candidate(index, raw) }, 0);
    }
    expect((await runs.candidates(run.id)).map(({ candidate }) => [candidate.index, candidate.raw])).toEqual([
      [0, "a"],
      [2, "d ' \u0000 \u{1f600}"],
    ]);
  });

  it("moves an effect only forward and keeps what was confirmed", async () => {
    const { runs } = await fresh();
    const { run } = await runs.openRun(start(1));
    const save = (state: "planned" | "sent" | "confirmed", remoteId: string | null) =>
      runs.saveEffect({ runId: run.id, kind: "pull", key: "k", state, remoteId }, 0);
    const now = async () => {
      const effect = await runs.effect(run.id, "pull", "k");
      return [effect?.state, effect?.remoteId];
    };
    expect(await runs.effect(run.id, "pull", "k")).toBeNull();
    await save("planned", null);
    await save("sent", null);
    await save("planned", null);
    expect(await now()).toEqual(["sent", null]);
    await save("confirmed", "12");
    await save("sent", "13");
    await save("confirmed", "13");
    expect(await now()).toEqual(["confirmed", "12"]);
    expect(await runs.effects(run.id)).toHaveLength(1);
  });

  it("numbers the events of a run without a gap, also from parallel callers", async () => {
    const { runs } = await fresh();
    const { run } = await runs.openRun(start(1));
    const other = (await runs.openRun(start(2))).run;
    await Promise.all(
      Array.from({ length: 6 }, (_, index) =>
        runs.addEvent({ runId: index % 2 ? run.id : other.id, at: "t", kind: "state", message: `${index}` }),
      ),
    );
    expect((await runs.events(run.id)).map(({ seq }) => seq)).toEqual([1, 2, 3]);
  });

  it("adds up the money of runs that are open or ended since an instant", async () => {
    const { runs, now, pass } = await fresh();
    const old = (await runs.openRun(start(1))).run;
    await runs.saveRun(old.id, { state: "opened", costUsd: 1 }, 0);
    pass(100);
    const since = now();
    const open = (await runs.openRun(start(2))).run;
    await runs.saveRun(open.id, { costUsd: 0.25 }, 0);
    const elsewhere = (await runs.openRun(start(3, { repositoryId: 9 }))).run;
    await runs.saveRun(elsewhere.id, { state: "failed", costUsd: 0.5 }, 0);
    expect([
      await runs.spentUsd(since, null),
      await runs.spentUsd(since, 9),
      await runs.spentUsd(new Date(0), 4),
    ]).toEqual([0.75, 0.5, 0]);
  });

  it("deletes an installation with everything of it, and nothing of another", async () => {
    const { runs, jobs } = await fresh();
    const gone = (await runs.openRun(start(1))).run;
    const kept = (await runs.openRun(start(1, { repositoryId: 9, installationId: 8 }))).run;
    for (const { id } of [gone, kept]) {
      await runs.saveCandidate({ runId: id, candidate: candidate(0, "x") }, 0);
      await runs.addEvent({ runId: id, at: "t", kind: "state", message: "m" });
      await runs.saveEffect({ runId: id, kind: "k", key: "k", state: "planned", remoteId: null }, 0);
    }
    for (const installationId of [7, 8]) {
      await jobs.accept(null, {
        kind: "solve-issue",
        dedupeKey: `i${installationId}`,
        lane: `i${installationId}`,
        payload: { ref: { installationId } },
      });
    }
    await runs.deleteInstallation(7);
    expect([await runs.run(gone.id), await runs.candidates(gone.id), await runs.events(gone.id)]).toEqual([
      null,
      [],
      [],
    ]);
    expect(await runs.effects(gone.id)).toEqual([]);
    expect([(await runs.candidates(kept.id)).length, (await runs.events(kept.id)).length]).toEqual([1, 1]);
    expect((await jobs.list()).map(({ dedupeKey }) => dedupeKey)).toEqual(["i8"]);
  });

  it("keeps only hashes, states and costs of runs past their retention", async () => {
    const { runs, now, pass } = await fresh();
    const { run } = await runs.openRun(start(1));
    const issue = { title: "secret title", body: "b", author: "a", url: "u" };
    await runs.saveCandidate({ runId: run.id, candidate: candidate(0, "secret code") }, 0);
    await runs.saveRun(run.id, { state: "opened", costUsd: 1, issue, promptSha256: "aa" }, 0);
    pass(10);
    expect(await runs.expireBefore(new Date(now().getTime() - 10_000))).toBe(0);
    expect(await runs.expireBefore(now())).toBe(1);
    expect(await runs.run(run.id)).toMatchObject({ issue: null, state: "opened", costUsd: 1, promptSha256: "aa" });
    expect(await runs.candidates(run.id)).toEqual([]);
    expect(await runs.expireBefore(now())).toBe(0);
  });
}

describe("RunStore on SQLite", () => {
  runStorePromises((now, random) => openDatabase({ path: ":memory:", now, random }));
});

describe("a SQLite file", () => {
  const folder = mkdtempSync(join(tmpdir(), "funprm-runs-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const opening = (path: string, busyMilliseconds = 100) => openDatabase({ path, ...world(), busyMilliseconds });
  const module = JSON.stringify(join(import.meta.dirname, "../../src/adapters/db/open-database.ts"));
  const sqlite = JSON.stringify(join(import.meta.dirname, "../../src/adapters/db/sqlite.ts"));
  const flags = ["--disable-warning=ExperimentalWarning", "--input-type=module-typescript", "--eval"];

  it("keeps runs over a restart", async () => {
    const path = join(folder, "restart.db");
    const first = await opening(path);
    const { run } = await first.runs.openRun(start(1));
    await first.close();
    const second = await opening(path);
    expect(await second.runs.run(run.id)).toEqual(run);
    await second.close();
  });

  it("holds no half run when the process is killed in the middle of a transaction", async () => {
    const path = join(folder, "crash.db");
    await (await opening(path)).close();
    const child = spawn(
      process.execPath,
      [
        ...flags,
        `import { openSqlite } from ${sqlite};
         const sql = await openSqlite(${JSON.stringify(path)});
         await sql.transaction(async (inside) => {
           await inside.query("INSERT INTO runs (id, repository_id, installation_id, issue_number, generation, state, fence, created_at, updated_at, record) VALUES ('half', 1, 1, 1, 1, 'queued', 0, 't', 't', '{}')");
           console.log("written");
           await new Promise(() => setInterval(() => {}, 1000));
         });`,
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    await new Promise((resolve) => child.stdout.once("data", resolve));
    child.kill("SIGKILL");
    await new Promise((resolve) => child.once("close", resolve));
    const database = await opening(path);
    expect(await database.runs.run("half")).toBeNull();
    expect((await database.runs.openRun(start(1))).joined).toBe(false);
    await database.close();
  });

  it("rolls a failed transaction back and lets the next caller in", async () => {
    const { openSqlite } = await import("../../src/adapters/db/sqlite.ts");
    const sql = await openSqlite(":memory:");
    await sql.query("CREATE TABLE t (n INTEGER)");
    const failing = sql.transaction(async (inside) => {
      await inside.query("INSERT INTO t VALUES (1)");
      throw new Error("no");
    });
    const next = sql.transaction((inside) => inside.query("INSERT INTO t VALUES ($1) RETURNING n", [2]));
    await expect(failing).rejects.toThrow("no");
    expect(await next).toMatchObject([{ n: 2 }]);
    expect(await sql.query("SELECT n FROM t")).toMatchObject([{ n: 2 }]);
    await sql.close();
  });

  it("is refused untouched, with the cure, when a newer program has written it", async () => {
    const path = join(folder, "newer.db");
    await (await opening(path)).close();
    const raw = new DatabaseSync(path);
    raw.exec("INSERT INTO migrations VALUES (9999, '9999-future.sql', 't')");
    raw.close();
    await expect(opening(path)).rejects.toMatchObject({
      code: "DATABASE_UNUSABLE",
      message: expect.stringMatching(/newer FunPRM \(schema 9999, this program knows \d+\); upgrade/),
    });
  });

  it("is busy, not broken, while another process holds the lock", async () => {
    const path = join(folder, "locked.db");
    const database = await opening(path);
    const raw = new DatabaseSync(path);
    raw.exec("BEGIN IMMEDIATE");
    const busy = { code: "DATABASE_BUSY", message: expect.stringMatching(/locked by another process/) };
    await expect(database.runs.openRun(start(1))).rejects.toMatchObject(busy);
    await expect(opening(path)).rejects.toMatchObject(busy);
    raw.exec("ROLLBACK");
    raw.close();
    expect((await database.runs.openRun(start(1))).joined).toBe(false);
    await database.close();
  });

  it("is refused in one line when it is damaged, not a database, a folder, or nowhere", async () => {
    const other = join(folder, "other.db");
    writeFileSync(other, "this is no database, but it is longer than a hundred bytes ".repeat(9));
    const damaged = join(folder, "damaged.db");
    await (await opening(damaged)).close();
    const raw = new DatabaseSync(damaged);
    raw.exec("PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = 9999 WHERE name = 'migrations'");
    raw.close();
    mkdirSync(join(folder, "a-folder"));
    for (const [path, cure] of [
      [other, /not a SQLite database; set another path/],
      [damaged, /damaged; restore a backup/],
      [join(folder, "a-folder"), /must be a file/],
      [join(folder, "missing", "x.db"), /its folder does not exist; create it/],
    ] as const) {
      await expect(opening(path)).rejects.toMatchObject({
        code: "DATABASE_UNUSABLE",
        message: expect.stringMatching(cure),
      });
      await expect(opening(path)).rejects.toMatchObject({ message: expect.not.stringContaining("\n") });
    }
  });

  it("is refused with the cure when it is read-only", async () => {
    const path = join(folder, "readonly.db");
    await (await opening(path)).close();
    chmodSync(path, 0o444);
    chmodSync(folder, 0o555);
    // Root may write anything, so the child gives root up.
    const child = spawnSync(
      process.execPath,
      [
        ...flags,
        `import { openDatabase } from ${module};
         if (process.getuid() === 0) { process.setgroups([]); process.setgid(65534); process.setuid(65534); }
         await openDatabase({ path: ${JSON.stringify(path)}, now: () => new Date(0), random: (n) => new Uint8Array(n) })
           .catch((error) => console.log(error.code, error.message));`,
      ],
      { encoding: "utf8" },
    );
    chmodSync(folder, 0o755);
    expect(child.stdout).toMatch(/^DATABASE_UNUSABLE .*read-only; make the file and its folder writable/);
  });
});
