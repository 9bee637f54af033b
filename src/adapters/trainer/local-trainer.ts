/** The trainer of gpu-worker as a child process (rulings 20): the only place that starts it. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { FunprmError } from "../../domain/errors.ts";
import type { Trainer } from "../../ports.ts";

/** @param worker folder of gpu-worker, with its virtual environment in `.venv` and its presets. */
export function createLocalTrainer(worker: string): Trainer {
  return {
    async train({ data, run, bundle, size, name, version, unlicensed }, onLine, signal) {
      const python = join(worker, ".venv/bin/python");
      if (!existsSync(python))
        throw new FunprmError(
          "TRAINING_FAILED",
          "gpu-worker is not installed: run `npm test` once, or make a virtual environment in gpu-worker/.venv and `pip install -e gpu-worker`",
        );
      const config = presetOf(worker, size)
        .replace(/^data = .*$/m, `data = ${JSON.stringify(data)}`)
        .replace(/^run = .*$/m, `run = ${JSON.stringify(run)}`);
      mkdirSync(run, { recursive: true });
      const file = join(run, "config.toml");
      writeFileSync(file, config);
      const call = (args: string[]) =>
        child(python, ["-m", "funprm_worker", ...args, "--config", file], worker, onLine, signal);
      const card = join(data, "card.json");
      const wanted = JSON.stringify([config, existsSync(card) ? readFileSync(card, "utf8") : null, name, version]);
      const done = join(run, "exported.json");
      if (existsSync(join(bundle, "manifest.json")) && existsSync(done) && readFileSync(done, "utf8") === wanted)
        return { bundle, config };
      await call(["train"]);
      const licences = unlicensed ? ["--unlicensed"] : [];
      await call(["export", "--name", name, "--version", version, "--out", bundle, ...licences]);
      writeFileSync(done, wanted);
      return { bundle, config };
    },
  };
}

function presetOf(worker: string, name: string): string {
  const folder = join(worker, "presets");
  const known = readdirSync(folder)
    .filter((file) => file.endsWith(".toml"))
    .map((file) => file.slice(0, -".toml".length));
  if (!known.includes(name))
    throw new FunprmError(
      "BAD_USAGE",
      `no preset ${name} in gpu-worker/presets: use one of ${known.sort().join(", ")}`,
    );
  return readFileSync(join(folder, `${name}.toml`), "utf8");
}

export function child(
  command: string,
  args: string[],
  cwd: string,
  onLine: (line: string) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const process = spawn(command, args, { cwd, stdio: ["ignore", "ignore", "pipe"] });
    let last = "";
    createInterface({ input: process.stderr }).on("line", (line) => {
      last = line;
      onLine(line);
    });
    // SIGTERM leaves the last checkpoint: the same command goes on from there.
    const stop = () => void process.kill("SIGTERM");
    signal?.addEventListener("abort", stop);
    process.on("error", (error) =>
      reject(new FunprmError("TRAINING_FAILED", `the trainer cannot be started (${error.message})`)),
    );
    process.on("close", (code) => {
      signal?.removeEventListener("abort", stop);
      if (signal?.aborted) reject(signal.reason);
      else if (code === 0) resolve();
      else reject(new FunprmError("TRAINING_FAILED", `the trainer ended with ${code}: ${last}`));
    });
  });
}
