/** The learning half of the composition: registry, gate, trainer (architecture.md, "How one outcome flows back"). */
import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import { type Database, openDatabase } from "./adapters/db/open-database.ts";
import { createFiles } from "./adapters/files/files.ts";
import { openRewardModel } from "./adapters/onnx/reward-model.ts";
import { systemClock } from "./adapters/system/clock.ts";
import { createLocalTuner } from "./adapters/trainer/local-tuner.ts";
import { EMBEDDED_MODEL, GPU_WORKER } from "./compose.ts";
import { invocationFolder, readEnvironment } from "./config/env.ts";
import type { GatePorts } from "./flows/promote-model.ts";
import type { TrainPorts } from "./flows/train-model.ts";

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

export async function openLearning(
  say: (line: string) => void,
): Promise<{ ports: TrainPorts; folder: string; close(): Promise<void> }> {
  const { models, learning, close } = await openRegistry();
  const silent = () => {};
  return {
    ports: {
      ...gatePorts(),
      registry: models,
      learning,
      tuner: createLocalTuner(GPU_WORKER),
      files: createFiles(),
      embedded: EMBEDDED_MODEL,
      log: { debug: silent, info: silent, warn: (message) => say(`funprm: ${message}\n`), error: silent },
    },
    folder: resolve(invocationFolder(), readEnvironment().LEARNING_DIR),
    close,
  };
}
