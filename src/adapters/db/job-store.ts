/** `JobStore` on `Sql`. */
import { FunprmError } from "../../domain/errors.ts";
import type { ForgetInstallationPayload } from "../../domain/job-payloads.ts";
import type { Job, JobKind } from "../../domain/run.ts";
import type { JobStore } from "../../ports.ts";
import { ofInstallation, type Queryable, type Sql, type SqlRow } from "./sql.ts";

const MAX_ATTEMPTS = 5;
const LIVE = "state IN ('queued', 'running')";

export function createJobStore(sql: Sql, now: () => Date, newId: () => string): JobStore {
  const instant = (seconds = 0) => new Date(now().getTime() + seconds * 1000).toISOString();

  const one = async (on: Queryable, text: string, params: (string | number | null)[]): Promise<Job | null> => {
    const [row] = await on.query(text, params);
    return row ? jobFrom(row) : null;
  };

  /** Every write of a holder: refused unless its claim is the last one and the job still runs. */
  const held = async (job: Job, assignments: string, params: (string | number | null)[]): Promise<Job> => {
    const written = await one(
      sql,
      `UPDATE jobs SET ${assignments}, updated_at = $3 WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING *`,
      [job.id, job.fence, instant(), ...params],
    );
    if (!written) {
      throw new FunprmError(
        "FENCED",
        `job ${job.id}: claim ${job.fence} is no longer the holder; its write was refused`,
      );
    }
    return written;
  };

  return {
    accept: (delivery, job) =>
      sql.transaction(async (inside) => {
        const id = job ? newId() : null;
        if (delivery) {
          const [fresh] = await inside.query(
            `INSERT INTO deliveries (id, event, action, job_id, received_at) VALUES ($1, $2, $3, NULL, $4)
             ON CONFLICT (id) DO NOTHING RETURNING id`,
            [delivery.id, delivery.event, delivery.action, instant()],
          );
          if (!fresh) {
            const earlier = await one(
              inside,
              "SELECT jobs.* FROM jobs JOIN deliveries ON deliveries.job_id = jobs.id WHERE deliveries.id = $1",
              [delivery.id],
            );
            return { outcome: "duplicate", job: earlier };
          }
        }
        if (!job || !id) return { outcome: "accepted", job: null };
        const created = await one(
          inside,
          `INSERT INTO jobs (id, kind, dedupe_key, lane, installation_id, repository_id, payload, state, attempts,
             max_attempts, fence, cancel_requested, created_at, updated_at, run_after)
           VALUES ($1, $2, $3, $4, $5, $6, $7, 'queued', 0, $8, 0, 0, $9, $9, $10)
           ON CONFLICT (dedupe_key) WHERE ${LIVE} DO NOTHING RETURNING *`,
          [
            id,
            job.kind,
            job.dedupeKey,
            job.lane,
            idIn(job.payload, "installationId"),
            idIn(job.payload, "repositoryId"),
            JSON.stringify(job.payload ?? null),
            job.maxAttempts ?? MAX_ATTEMPTS,
            instant(),
            instant(job.delaySeconds ?? 0),
          ],
        );
        // At once, not when it is claimed: the jobs that it ends may hold every slot of the workers.
        const forgotten = created?.kind === "forget-installation" ? (job.payload as ForgetInstallationPayload) : null;
        if (created !== null && forgotten !== null && !forgotten.unnamed) {
          const { installationId, repositoryId } = forgotten;
          const { rows, params } = ofInstallation(installationId, repositoryId);
          await inside.query(
            `UPDATE jobs SET cancel_requested = 1, updated_at = $${params.length + 1}
             WHERE ${rows} AND id <> $${params.length + 2} AND ${LIVE}`,
            [...params, instant(), created.id],
          );
        }
        const live =
          created ?? (await one(inside, `SELECT * FROM jobs WHERE dedupe_key = $1 AND ${LIVE}`, [job.dedupeKey]));
        if (delivery && live) {
          await inside.query("UPDATE deliveries SET job_id = $2 WHERE id = $1", [delivery.id, live.id]);
        }
        return { outcome: created ? "accepted" : "duplicate", job: live };
      }),

    claim: (worker, leaseSeconds, kinds) => {
      const wanted = kinds ? `AND due.kind IN (${kinds.map((_, index) => `$${index + 4}`).join(", ")})` : "";
      // The fence is the next number over all jobs, so that it names one claim; jobs_running_lane refuses a second runner.
      return one(
        sql,
        `UPDATE jobs SET state = 'running', attempts = attempts + 1, worker = $1, lease_until = $2, updated_at = $3,
           fence = (SELECT COALESCE(MAX(fence), 0) + 1 FROM jobs)
         WHERE id = (
           SELECT due.id FROM jobs AS due
           WHERE ((due.state = 'queued' AND due.run_after <= $3) OR (due.state = 'running' AND due.lease_until <= $3))
             ${wanted}
             AND NOT EXISTS (SELECT 1 FROM jobs AS other
                             WHERE other.lane = due.lane AND other.id <> due.id AND other.state = 'running')
           ORDER BY due.run_after, due.id LIMIT 1 ${sql.skipLocked})
         RETURNING *`,
        [worker, instant(leaseSeconds), instant(), ...(kinds ?? [])],
      );
    },

    heartbeat: async (job, leaseSeconds) => {
      await held(job, "lease_until = $4", [instant(leaseSeconds)]);
    },
    complete: async (job) => {
      await held(job, "state = 'done', worker = NULL, lease_until = NULL, error_code = NULL, error_message = NULL", []);
    },
    retry: async (job, error, delaySeconds) => {
      const { state } = await held(
        job,
        `state = CASE WHEN attempts >= max_attempts THEN 'dead' ELSE 'queued' END,
         worker = NULL, lease_until = NULL, error_code = $4, error_message = $5, run_after = $6`,
        [error.code, error.message, instant(delaySeconds)],
      );
      return state === "dead" ? "dead" : "queued";
    },
    release: async (job) => {
      await held(
        job,
        "state = 'queued', attempts = attempts - 1, worker = NULL, lease_until = NULL, run_after = $3",
        [],
      );
    },
    bury: async (job, error) => {
      await held(job, "state = 'dead', worker = NULL, lease_until = NULL, error_code = $4, error_message = $5", [
        error.code,
        error.message,
      ]);
    },

    requestCancel: async (lane) => {
      const rows = await sql.query(
        `UPDATE jobs SET cancel_requested = 1, updated_at = $2 WHERE lane = $1 AND ${LIVE} RETURNING id`,
        [lane, instant()],
      );
      return rows.length > 0;
    },
    isCancelRequested: async (job) => {
      const [row] = await sql.query("SELECT cancel_requested FROM jobs WHERE id = $1", [job.id]);
      return Number(row?.["cancel_requested"] ?? 0) === 1;
    },

    job: (id) => one(sql, "SELECT * FROM jobs WHERE id = $1", [id]),
    revive: async (id) => {
      const live = await one(
        sql,
        `SELECT live.* FROM jobs AS live JOIN jobs AS dead ON dead.dedupe_key = live.dedupe_key
         WHERE dead.id = $1 AND dead.state = 'dead' AND live.state IN ('queued', 'running')`,
        [id],
      );
      if (live) return live;
      return one(
        sql,
        `UPDATE jobs SET state = 'queued', attempts = 0, cancel_requested = 0, run_after = $2, updated_at = $2
         WHERE id = $1 AND state = 'dead' RETURNING *`,
        [id, instant()],
      );
    },
    list: async (filter = {}) => {
      const params: (string | number)[] = [filter.limit ?? 100];
      if (filter.state) params.push(filter.state);
      const rows = await sql.query(
        `SELECT * FROM jobs ${filter.state ? "WHERE state = $2" : ""} ORDER BY id DESC LIMIT $1`,
        params,
      );
      return rows.map(jobFrom);
    },
    counts: async () => {
      const counts: Record<Job["state"], number> = { queued: 0, running: 0, done: 0, dead: 0 };
      for (const row of await sql.query("SELECT state, COUNT(*) AS jobs FROM jobs GROUP BY state")) {
        counts[row["state"] as Job["state"]] = Number(row["jobs"]);
      }
      return counts;
    },
  };
}

/** What the job goes with when it is forgotten: an id in the payload, or in an object directly in it. */
function idIn(payload: unknown, key: "installationId" | "repositoryId"): number | null {
  if (typeof payload !== "object" || payload === null) return null;
  for (const holder of [payload, ...Object.values(payload)]) {
    const id = (holder as Record<string, unknown> | null)?.[key];
    if (typeof id === "number") return id;
  }
  return null;
}

function jobFrom(row: SqlRow): Job {
  const text = (column: string) => (row[column] === null ? null : String(row[column]));
  return {
    id: String(row["id"]),
    kind: String(row["kind"]) as JobKind,
    dedupeKey: String(row["dedupe_key"]),
    lane: String(row["lane"]),
    payload: JSON.parse(String(row["payload"])),
    state: String(row["state"]) as Job["state"],
    attempts: Number(row["attempts"]),
    maxAttempts: Number(row["max_attempts"]),
    fence: Number(row["fence"]),
    worker: text("worker"),
    leaseUntil: text("lease_until"),
    cancelRequested: Number(row["cancel_requested"]) === 1,
    error:
      row["error_code"] === null ? null : { code: String(row["error_code"]), message: text("error_message") ?? "" },
    createdAt: String(row["created_at"]),
    runAfter: String(row["run_after"]),
  };
}
