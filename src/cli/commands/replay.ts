/** `funprm replay run.json`: a recorded run again, offline: the same rewards, choice and tree, or what differs. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { FunprmError } from "../../domain/errors.ts";
import { openRunFile } from "../../domain/run-manifest.ts";
import { replayRun } from "../../flows/replay-run.ts";
import type { Checkout, Files, RewardModel, Syntax } from "../../ports.ts";
import type { CommandContext } from "../context.ts";

export type ReplayDependencies = {
  files: () => Files;
  /** `ref` null: the folder as it stands. */
  checkout(path: string, ref: string | null): Promise<Checkout>;
  syntax(): Promise<Syntax>;
  /** The bundle in a folder, or the embedded one. */
  rewardModel(folder: string | null): Promise<RewardModel>;
  worker(url: string): Promise<RewardModel>;
  matches(glob: string, path: string): boolean;
  /** PEM of the operator's own signing key, where one is configured. */
  signingKey(): string | null;
};

type Options = { repo: string; model?: string; worker?: string; publicKey?: string; json?: boolean };

export function addReplayCommand(program: Command, context: CommandContext, dependencies: ReplayDependencies): void {
  program
    .command("replay")
    .argument("<file>", "run.json of a run: `solve --manifest`, or /runs/ID/run.json of the app")
    .description("a recorded run again, offline: identical rewards and tree, or what differs")
    .option("--repo <dir>", "a clone that holds the run's base commit", ".")
    .option("--model <dir>", "bundle that scored the run (default: the embedded one)")
    .option("--worker <url>", "gpu-worker that scored the run")
    .option("--public-key <file>", "PEM of the key that must have signed it (default: the one of SIGNING_KEY_PATH)")
    .option("--json", "print the result as JSON")
    .action((file: string, options: Options) => run(file, options, context, dependencies));
}

async function run(
  name: string,
  options: Options,
  context: CommandContext,
  dependencies: ReplayDependencies,
): Promise<void> {
  const path = (given: string) => resolve(context.cwd, given);
  const files = dependencies.files();
  const file = await files.runFile(path(name));
  const trusted =
    options.publicKey === undefined ? dependencies.signingKey() : await files.text(path(options.publicKey));
  const attestation = openRunFile(file, name, trusted);
  const { manifest } = file;
  const local = manifest.base.sha === "working copy";
  const checkout = await dependencies.checkout(path(options.repo), local ? null : manifest.base.sha);
  const abort = new AbortController();
  const interrupt = () => abort.abort(new FunprmError("INTERRUPTED", "interrupted"));
  process.once("SIGINT", interrupt);
  try {
    const model =
      options.worker === undefined
        ? await dependencies.rewardModel(options.model === undefined ? null : path(options.model))
        : await dependencies.worker(options.worker);
    const report = await replayRun(
      file,
      checkout,
      { syntax: await dependencies.syntax(), model },
      dependencies.matches,
      abort.signal,
    );
    await model.dispose();
    const { rewards, selected, tree, differences } = report;
    if (options.json) {
      context.stdout(
        `${JSON.stringify({ manifest: file.seal.sha256, signature: attestation, base: manifest.base, ...report, same: differences.length === 0 })}\n`,
      );
    } else {
      const source =
        rewards.source === "recorded"
          ? `${rewards.compared} rewards as recorded: ${manifest.scorer.name} is not asked again`
          : `${rewards.compared} rewards by ${manifest.scorer.name} ${manifest.scorer.version}, largest difference ${rewards.maxDifference.toExponential(1)}`;
      context.stdout(
        [
          `Manifest ${file.seal.sha256.slice(0, 16)}, ${attestation.text}`,
          `Base     ${manifest.base.sha}, tree ${manifest.base.tree}`,
          `Rewards  ${source}`,
          `Tests    as recorded: nothing of the repository is executed`,
          selected === null ? "Chosen   none" : `Chosen   candidate ${selected}, tree ${tree}`,
          ...differences.map((one) => `DIFFERS  ${one}`),
          "",
        ].join("\n"),
      );
    }
    if (differences.length > 0)
      throw new FunprmError(
        "REPLAY_DIFFERS",
        `${name}: not reproduced, ${differences.length} ${differences.length === 1 ? "difference" : "differences"}; the first: ${differences[0]}`,
      );
  } finally {
    process.off("SIGINT", interrupt);
    await checkout.dispose();
  }
}
