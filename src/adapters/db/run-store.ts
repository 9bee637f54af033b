/** `RunStore` on `Sql`. A run is one JSON record beside the columns that are searched, so a new field needs no migration. */
import type { Candidate } from "../../domain/candidate.ts";
import { FunprmError } from "../../domain/errors.ts";
import { sha256 } from "../../domain/ids.ts";
import { type Effect, LIVE_RUN_STATES, type Run, TERMINAL_RUN_STATES } from "../../domain/run.ts";
import type { RunStore } from "../../ports.ts";
import { ofInstallation, type Queryable, repositoriesIn, type Sql, type SqlRow, whereGiven } from "./sql.ts";

const LIVE = `state IN (${LIVE_RUN_STATES.map((state) => `'${state}'`).join(", ")})`;
/** Position of a state in planned → sent → confirmed. */
const progress = (column: string) => `CASE ${column} WHEN 'planned' THEN 0 WHEN 'sent' THEN 1 ELSE 2 END`;

export function createRunStore(sql: Sql, now: () => Date, newId: () => string): RunStore {
  /**
   * Takes the run for the holder of `fence`, locking its row. Fence 0 is a run that no job works on (a local solve); any
   * other number must be the claim of a job that still runs, and nobody with a higher one has written.
   */
  const take = async (inside: Queryable, runId: string, fence: number): Promise<Run> => {
    const [row] = await inside.query(
      `UPDATE runs SET fence = $2, updated_at = $3 WHERE id = $1 AND fence <= $2
         AND ($2 = 0 OR EXISTS (SELECT 1 FROM jobs WHERE jobs.fence = $2 AND jobs.state = 'running'))
       RETURNING *`,
      [runId, fence, now().toISOString()],
    );
    if (row) return runFrom(row);
    throw new FunprmError("FENCED", `run ${runId}: claim ${fence} is no longer the holder; its write was refused`);
  };

  return {
    openRun: (start) =>
      sql.transaction(async (inside) => {
        const key = [start.repositoryId, start.issueNumber];
        const [live] = await inside.query(
          `SELECT * FROM runs WHERE repository_id = $1 AND issue_number = $2 AND ${LIVE}`,
          key,
        );
        if (live) return { run: runFrom(live), joined: true };
        const [last] = await inside.query(
          "SELECT MAX(generation) AS generation FROM runs WHERE repository_id = $1 AND issue_number = $2",
          key,
        );
        const run = newRun(newId(), start, Number(last?.["generation"] ?? 0) + 1, now().toISOString());
        await inside.query(
          `INSERT INTO runs (id, repository_id, installation_id, issue_number, generation, state, cost_usd, fence,
             created_at, updated_at, finished_at, record)
           VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $8, NULL, $9)`,
          [
            run.id,
            run.repositoryId,
            run.installationId,
            run.issueNumber,
            run.generation,
            run.state,
            run.costUsd,
            run.createdAt,
            JSON.stringify(run),
          ],
        );
        return { run, joined: false };
      }),

    run: async (id) => {
      const [row] = await sql.query("SELECT * FROM runs WHERE id = $1", [id]);
      return row ? runFrom(row) : null;
    },
    latestRun: async (repositoryId, issueNumber) => {
      const [row] = await sql.query(
        "SELECT * FROM runs WHERE repository_id = $1 AND issue_number = $2 ORDER BY generation DESC LIMIT 1",
        [repositoryId, issueNumber],
      );
      return row ? runFrom(row) : null;
    },
    listRuns: async ({ repositoryId, installationId, limit }) => {
      const { where, params } = whereGiven([
        ["repository_id =", repositoryId],
        ["installation_id =", installationId],
      ]);
      const rows = await sql.query(`SELECT * FROM runs ${where} ORDER BY id DESC LIMIT $${params.length + 1}`, [
        ...params,
        limit ?? Number.MAX_SAFE_INTEGER,
      ]);
      return rows.map(runFrom);
    },

    saveRun: (id, change, fence) =>
      sql.transaction(async (inside) => {
        const before = await take(inside, id, fence);
        const at = now().toISOString();
        const run: Run = { ...before, ...change, id, updatedAt: at };
        const terminal = (TERMINAL_RUN_STATES as readonly string[]).includes(run.state);
        if (terminal) run.finishedAt ??= at;
        await inside.query(
          `UPDATE runs SET state = $2, cost_usd = $3, updated_at = $4, finished_at = $5, record = $6 WHERE id = $1`,
          [id, run.state, run.costUsd, at, run.finishedAt, JSON.stringify(run)],
        );
        return run;
      }),

    saveCandidate: ({ runId, candidate }, fence) =>
      sql.transaction(async (inside) => {
        await take(inside, runId, fence);
        const record = JSON.stringify(candidate);
        await inside.query(
          `INSERT INTO candidates (run_id, candidate_index, record, record_sha256, updated_at)
           VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (run_id, candidate_index) DO UPDATE
           SET record = excluded.record, record_sha256 = excluded.record_sha256, updated_at = excluded.updated_at`,
          [runId, candidate.index, record, sha256(record), now().toISOString()],
        );
      }),
    candidates: async (runId) => {
      const rows = await sql.query(
        "SELECT record FROM candidates WHERE run_id = $1 AND record IS NOT NULL ORDER BY candidate_index",
        [runId],
      );
      return rows.map((row) => ({ runId, candidate: JSON.parse(String(row["record"])) as Candidate }));
    },

    addEvent: async (event) => {
      await sql.query(
        `INSERT INTO run_events (run_id, seq, at, kind, message)
         SELECT $1, COALESCE(MAX(seq), 0) + 1, $2, $3, $4 FROM run_events WHERE run_id = $1`,
        [event.runId, event.at, event.kind, event.message],
      );
    },
    events: async (runId) => {
      const rows = await sql.query("SELECT * FROM run_events WHERE run_id = $1 ORDER BY seq", [runId]);
      return rows.map((row) => ({
        runId,
        seq: Number(row["seq"]),
        at: String(row["at"]),
        kind: String(row["kind"]),
        message: String(row["message"]),
      }));
    },

    effect: async (runId, kind, key) => {
      const [row] = await sql.query("SELECT * FROM effects WHERE run_id = $1 AND kind = $2 AND effect_key = $3", [
        runId,
        kind,
        key,
      ]);
      return row ? effectFrom(row) : null;
    },
    saveEffect: (effect, fence) =>
      sql.transaction(async (inside) => {
        await take(inside, effect.runId, fence);
        await inside.query(
          `INSERT INTO effects (run_id, kind, effect_key, state, remote_id, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
           ON CONFLICT (run_id, kind, effect_key) DO UPDATE
           SET state = excluded.state, remote_id = COALESCE(excluded.remote_id, effects.remote_id),
               updated_at = excluded.updated_at
           WHERE ${progress("excluded.state")} > ${progress("effects.state")}`,
          [effect.runId, effect.kind, effect.key, effect.state, effect.remoteId, now().toISOString()],
        );
      }),
    effects: async (runId) => {
      const rows = await sql.query("SELECT * FROM effects WHERE run_id = $1 ORDER BY kind, effect_key", [runId]);
      return rows.map(effectFrom);
    },

    spentUsd: async (since, repositoryId) => {
      // A run that was under way at `since` counts whole: a budget may stop early, never late.
      const [row] = await sql.query(
        `SELECT COALESCE(SUM(cost_usd), 0) AS spent FROM runs WHERE (finished_at IS NULL OR finished_at >= $1)
         ${repositoryId === null ? "" : "AND repository_id = $2"}`,
        repositoryId === null ? [since.toISOString()] : [since.toISOString(), repositoryId],
      );
      return Number(row?.["spent"] ?? 0);
    },

    repositoriesOf: (installationId) => repositoriesIn(sql, ["runs", "jobs"], installationId),
    deleteInstallation: (installationId, repositoryId) =>
      sql.transaction(async (inside) => {
        const { rows, params } = ofInstallation(installationId, repositoryId);
        const jobs = `${rows} AND kind <> 'forget-installation'`;
        // The highest fence stays: numbers of claims are never given twice.
        await inside.query(
          `DELETE FROM jobs WHERE ${jobs} AND state <> 'running' AND (fence = 0 OR fence < (SELECT MAX(fence) FROM jobs))`,
          params,
        );
        // The holder of a job that is no longer running is refused at its next heartbeat or write, and stops.
        await inside.query(
          `UPDATE jobs SET state = 'dead', payload = 'null', worker = NULL, lease_until = NULL, cancel_requested = 1,
             error_code = 'INTERRUPTED', error_message = 'the app was taken off the repository',
             updated_at = $${params.length + 1} WHERE ${jobs}`,
          [...params, now().toISOString()],
        );
        await inside.query(`DELETE FROM runs WHERE ${rows}`, params);
      }),
    expireBefore: (instant) =>
      sql.transaction(async (inside) => {
        const rows = await inside.query("SELECT * FROM runs WHERE finished_at < $1 AND expired_at IS NULL", [
          instant.toISOString(),
        ]);
        for (const row of rows) {
          const run = runFrom(row);
          const kept: Run = {
            ...run,
            issue: null,
            settings: null,
            relevant: [],
            tests: null,
            examples: null,
            reproduction: null,
            knockout: null,
            manifest: null,
          };
          await inside.query("UPDATE runs SET record = $2, expired_at = $3 WHERE id = $1", [
            run.id,
            JSON.stringify(kept),
            now().toISOString(),
          ]);
          await inside.query("UPDATE candidates SET record = NULL WHERE run_id = $1", [run.id]);
          await inside.query("DELETE FROM run_events WHERE run_id = $1", [run.id]);
        }
        // The highest fence stays: numbers of claims are never given twice.
        await inside.query(
          `DELETE FROM jobs WHERE state IN ('done', 'dead') AND updated_at < $1
             AND fence < (SELECT MAX(fence) FROM jobs)`,
          [instant.toISOString()],
        );
        await inside.query("DELETE FROM deliveries WHERE received_at < $1", [instant.toISOString()]);
        return rows.length;
      }),
  };
}

function newRun(id: string, start: Parameters<RunStore["openRun"]>[0], generation: number, at: string): Run {
  return {
    id,
    repositoryId: start.repositoryId,
    installationId: start.installationId,
    owner: start.owner,
    repo: start.repo,
    issueNumber: start.issueNumber,
    generation,
    state: "queued",
    trigger: start.trigger,
    startedBy: start.startedBy,
    seed: Number.parseInt(sha256(id).slice(0, 8), 16),
    baseBranch: null,
    baseSha: null,
    issue: null,
    settings: null,
    generator: null,
    model: null,
    promptSha256: null,
    relevant: [],
    lookedAt: null,
    rule: null,
    selected: null,
    selectionReason: null,
    abstention: null,
    failure: null,
    pullRequest: null,
    checkRun: null,
    costUsd: null,
    promptTokens: 0,
    completionTokens: 0,
    tests: null,
    examples: null,
    reproduction: null,
    knockout: null,
    judged: null,
    missing: [],
    manifest: null,
    createdAt: at,
    updatedAt: at,
    finishedAt: null,
  };
}

function runFrom(row: SqlRow): Run {
  return JSON.parse(String(row["record"])) as Run;
}

function effectFrom(row: SqlRow): Effect {
  return {
    runId: String(row["run_id"]),
    kind: String(row["kind"]),
    key: String(row["effect_key"]),
    state: String(row["state"]) as Effect["state"],
    remoteId: row["remote_id"] === null ? null : String(row["remote_id"]),
  };
}
