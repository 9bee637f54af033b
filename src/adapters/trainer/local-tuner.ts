/** `Tuner` on this machine: gpu-worker's `tune` as a child process (rulings 20). */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { FunprmError } from "../../domain/errors.ts";
import type { Tuner } from "../../ports.ts";
import { child } from "./local-trainer.ts";

/** @param worker folder of gpu-worker, with its virtual environment in `.venv`. */
export function createLocalTuner(worker: string): Tuner {
  const python = join(worker, ".venv/bin/python");
  const missing = async () =>
    existsSync(python)
      ? null
      : "gpu-worker is not installed here: run `node scripts/setup.mjs --test`, or set WORKER_URL to a worker that trains";
  return {
    missing,
    async tune({ base, data, rehearsal, run, bundle, name, version, epochs, seed }, onLine, signal) {
      const lacks = await missing();
      if (lacks !== null) throw new FunprmError("TRAINING_FAILED", lacks);
      const wanted = JSON.stringify([base, data, rehearsal, name, version, epochs, seed]);
      const done = join(run, "exported.json");
      if (existsSync(join(bundle, "manifest.json")) && existsSync(done) && readFileSync(done, "utf8") === wanted)
        return;
      mkdirSync(run, { recursive: true });
      const settings = { bundle: base, data, run, out: bundle, name, version, epochs, seed, threads: cpus().length };
      const given = rehearsal === null ? settings : { ...settings, rehearsal };
      const args = Object.entries(given).flatMap(([key, value]) => [`--${key}`, String(value)]);
      await child(python, ["-m", "funprm_worker", "tune", ...args], worker, onLine, signal);
      writeFileSync(done, wanted);
    },
  };
}
