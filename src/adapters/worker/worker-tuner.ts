/** `Tuner` on a gpu-worker that trains: snapshots go up, the bundle comes back (rulings 19). */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FunprmError } from "../../domain/errors.ts";
import { sha256 } from "../../domain/ids.ts";
import type { Clock, TuneRequest, Tuner } from "../../ports.ts";
import {
  type Schema,
  type TrainingRequest,
  trainingStatusSchema,
  workerErrorSchema,
  workerInfoSchema,
} from "../../wire/worker.ts";

const POLL_MS = 2_000;
/** A worker that restarts goes on with its trainings: so long it may be away. */
const AWAY_MS = 10 * 60_000;
const TIMEOUT_MS = 120_000;
const SPLITS = ["training", "meta", "validation"] as const;

export function createWorkerTuner(options: { url: string; token: string; clock: Clock; pollMs?: number }): Tuner {
  const { clock, token, pollMs = POLL_MS } = options;
  const base = new URL(options.url.endsWith("/") ? options.url : `${options.url}/`);

  async function call(
    method: string,
    path: string,
    body: Uint8Array<ArrayBuffer> | string | null,
  ): Promise<Uint8Array> {
    let response: Response;
    let bytes: Uint8Array;
    try {
      response = await fetch(new URL(path, base), {
        method,
        // The token goes to the configured address and nowhere else.
        redirect: "error",
        headers: { authorization: `Bearer ${token}` },
        body,
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      bytes = await response.bytes();
    } catch (error) {
      throw new FunprmError(
        "WORKER_UNAVAILABLE",
        `worker ${base.origin}: does not answer; start it with funprm-worker serve`,
        {
          cause: error,
        },
      );
    }
    if (response.ok) return bytes;
    let said = `${response.status}`;
    try {
      said = workerErrorSchema.parse(JSON.parse(Buffer.from(bytes).toString("utf8"))).error.message.slice(0, 300);
    } catch {
      // A proxy's page, or nothing: the status says enough.
    }
    const code = response.status >= 500 || response.status === 429 ? "WORKER_UNAVAILABLE" : "TRAINING_FAILED";
    throw new FunprmError(code, `worker ${base.origin}: ${said}`);
  }

  async function ask<T>(method: string, path: string, body: string | null, schema: Schema<T>): Promise<T> {
    const text = Buffer.from(await call(method, path, body)).toString("utf8");
    try {
      return schema.parse(JSON.parse(text));
    } catch (error) {
      throw new FunprmError("TRAINING_FAILED", `worker ${base.origin}: answers ${path} with something else`, {
        cause: error,
      });
    }
  }

  /** Asks again while the worker is away, until it was away too long. */
  async function patiently<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    for (const since = clock.now().getTime(); ; ) {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof FunprmError) || error.kind !== "transient") throw error;
        if (clock.now().getTime() - since > AWAY_MS) throw error;
        await clock.sleep(pollMs, signal);
        signal?.throwIfAborted();
      }
    }
  }

  return {
    missing: async () => {
      const { trains } = await ask("GET", "v1/info", null, workerInfoSchema);
      return trains === true
        ? null
        : `the worker at ${base.origin} only scores: start it with funprm-worker serve --trainings FOLDER`;
    },
    async tune(request, onLine, signal) {
      const { training, uploads } = prepared(request);
      for (const [name, bytes] of uploads) await patiently(() => call("PUT", `v1/snapshots/${name}`, bytes), signal);
      let status = await patiently(
        () => ask("POST", "v1/trainings", JSON.stringify(training), trainingStatusSchema),
        signal,
      );
      for (let said = ""; status.state !== "done"; ) {
        if (status.line !== said) onLine(status.line);
        said = status.line;
        if (status.state === "failed")
          throw new FunprmError("TRAINING_FAILED", `the trainer on ${base.origin} ended: ${status.line}`);
        await clock.sleep(pollMs, signal);
        // It goes on there; the same command finds it again.
        signal?.throwIfAborted();
        status = await patiently(() => ask("GET", `v1/trainings/${training.id}`, null, trainingStatusSchema), signal);
      }
      mkdirSync(request.bundle, { recursive: true });
      mkdirSync(request.run, { recursive: true });
      // The manifest last: a folder with one is complete.
      for (const file of status.files.toSorted(
        (a, b) => Number(a === "manifest.json") - Number(b === "manifest.json"),
      )) {
        if (!/^[\w.-]{1,40}$/.test(file) || file.startsWith(".")) continue;
        const bytes = await patiently(() => call("GET", `v1/trainings/${training.id}/files/${file}`, null), signal);
        writeFileSync(join(file === "table.jsonl" ? request.run : request.bundle, file), bytes);
      }
    },
  };
}

/** What is sent: the same request has the same id on every machine. */
function prepared({ base, data, rehearsal, name, version, epochs, seed }: TuneRequest): {
  training: TrainingRequest;
  uploads: Map<string, Uint8Array<ArrayBuffer>>;
} {
  const uploads = new Map<string, Uint8Array<ArrayBuffer>>();
  const add = (path: string): string => {
    const bytes = new Uint8Array(readFileSync(path));
    const hash = sha256(bytes);
    uploads.set(hash, bytes);
    return hash;
  };
  const [training, meta, validation] = SPLITS.map((split) => add(join(data, `${split}.jsonl.gz`))) as [
    string,
    string,
    string,
  ];
  const content = {
    config: { name, version, epochs, seed },
    snapshots: { training, meta, validation, ...(rehearsal === null ? {} : { rehearsal: add(rehearsal) }) },
    base: String(
      (JSON.parse(readFileSync(join(base, "manifest.json"), "utf8")) as { modelSha256: unknown }).modelSha256,
    ),
  };
  return { training: { id: sha256(JSON.stringify(content)).slice(0, 32), ...content }, uploads };
}
