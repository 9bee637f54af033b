/** The learning half of the composition: registry, gate, trainer (architecture.md, "How one outcome flows back"). */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Database, openDatabase } from "./adapters/db/open-database.ts";
import { createFiles } from "./adapters/files/files.ts";
import { openRewardModel } from "./adapters/onnx/reward-model.ts";
import { systemClock } from "./adapters/system/clock.ts";
import { createLocalTuner } from "./adapters/trainer/local-tuner.ts";
import { createSyntax } from "./adapters/tree-sitter/create-syntax.ts";
import { createWorkerTuner } from "./adapters/worker/worker-tuner.ts";
import { invocationFolder, readEnvironment } from "./config/env.ts";
import { EMBEDDED_MODEL, GPU_WORKER } from "./config/places.ts";
import { FunprmError } from "./domain/errors.ts";
import { type KnownFunction, knownFunctions } from "./evaluation/known-functions.ts";
import type { GatePorts } from "./flows/promote-model.ts";
import { refitCalibrations } from "./flows/refit-calibrations.ts";
import type { ReportPorts } from "./flows/report-learning.ts";
import { retrainWhenDue } from "./flows/retrain-when-due.ts";
import type { TrainPorts } from "./flows/train-model.ts";
import type { JobStore, Log, Syntax, Tuner } from "./ports.ts";

export function gatePorts(): GatePorts {
  return {
    open: ({ folder }) => openRewardModel(folder ?? EMBEDDED_MODEL),
    cpuSeconds: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
    clock: systemClock,
  };
}

export async function openRegistry(): Promise<Database> {
  return await openDatabase({
    path: readEnvironment().DATABASE_PATH,
    now: () => systemClock.now(),
    random: (bytes) => randomBytes(bytes),
  });
}

/** `worker`: address of a gpu-worker that trains; null = WORKER_URL where that trains, else this machine. */
export async function openLearning(
  worker: string | null,
  say: (line: string) => void,
): Promise<{ ports: TrainPorts; folder: string; close(): Promise<void> }> {
  const database = await openRegistry();
  return {
    ports: { ...trainPorts(database, say), tuner: await tunerOf(worker) },
    folder: resolve(invocationFolder(), readEnvironment().LEARNING_DIR),
    close: database.close,
  };
}

async function tunerOf(given: string | null): Promise<Tuner> {
  const { WORKER_URL, WORKER_TOKEN } = readEnvironment();
  const url = given ?? WORKER_URL;
  const local = createLocalTuner(GPU_WORKER);
  if (url === undefined) return local;
  if (WORKER_TOKEN === undefined)
    throw new FunprmError("BAD_CONFIG", "WORKER_TOKEN is not set: it is the text of the worker's --token-file");
  const remote = createWorkerTuner({ url, token: WORKER_TOKEN, clock: systemClock });
  // A worker that only scores, or that is down, does not keep this machine from training; one that was asked for does.
  if (given !== null) return remote;
  return (await remote.missing().catch(() => "down")) === null ? remote : local;
}

type Stores = Pick<Database, "models" | "learning" | "reviews">;

function trainPorts({ models, learning, reviews }: Stores, say: (line: string) => void): TrainPorts {
  const silent = () => {};
  return {
    ...gatePorts(),
    registry: models,
    learning,
    refit: async () => (await refitCalibrations({ reviews, learning, clock: systemClock })).length,
    tuner: createLocalTuner(GPU_WORKER),
    files: createFiles(),
    embedded: EMBEDDED_MODEL,
    log: { debug: silent, info: silent, warn: (message) => say(`funprm: ${message}\n`), error: silent },
  };
}

/** What the app does once a day; a training that was stopped with it goes on the day after, from its checkpoint. */
export function retrainer(stores: Stores, log: Log): (signal: AbortSignal) => Promise<void> {
  return async (signal) => {
    const ports = { ...trainPorts(stores, () => {}), tuner: await tunerOf(null), log };
    await retrainWhenDue(ports, resolve(invocationFolder(), readEnvironment().LEARNING_DIR), signal);
  };
}

/** A loop of its own, in memory: for the demo and for measuring. */
export async function openSyntheticLearning(say: (line: string) => void) {
  const database = await openDatabase({
    path: ":memory:",
    now: () => systemClock.now(),
    random: (bytes) => randomBytes(bytes),
  });
  return { database, ports: trainPorts(database, say), syntax: await createSyntax() };
}

/** The functions of Python's standard library on this machine; `BAD_CONFIG` without one. */
export async function standardLibrary(syntax: Syntax): Promise<KnownFunction[]> {
  const asked = spawnSync("python3", ["-c", "import sysconfig; print(sysconfig.get_paths()['stdlib'])"], {
    encoding: "utf8",
  });
  const folder = asked.stdout?.trim() ?? "";
  if (asked.status !== 0 || folder === "")
    throw new FunprmError(
      "BAD_CONFIG",
      "python3 is not on PATH: the synthetic organisation is made of its standard library",
    );
  const files = readdirSync(folder).filter((name) => name.endsWith(".py"));
  return files
    .sort()
    .flatMap((name) =>
      knownFunctions(name, readFileSync(join(folder, name), "utf8"), (source, language) =>
        syntax.outline(source, language),
      ),
    );
}

export async function openReport(): Promise<ReportPorts & { jobs: JobStore; close(): Promise<void> }> {
  const { jobs, learning, reviews, runs, models, close } = await openRegistry();
  return { jobs, learning, reviews, runs, models, clock: systemClock, close };
}
