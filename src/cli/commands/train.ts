/** `funprm train`: a model from built rows, or the active one further on a snapshot of outcomes and through the gate. */
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { FunprmError } from "../../domain/errors.ts";
import { logRun } from "../../flows/log-run.ts";
import { type TrainPorts, trainModel } from "../../flows/train-model.ts";
import type { Clock, Files, Trainer } from "../../ports.ts";
import type { CommandContext } from "../context.ts";
import { decisionText } from "./models.ts";

type TrainDependencies = {
  trainer(): Trainer;
  files(): Files;
  clock: Clock;
  /** `worker` is the address of a gpu-worker that trains; null = this machine. `folder` is where runs and bundles go. */
  learning(worker: string | null): Promise<{ ports: TrainPorts; folder: string; close(): Promise<void> }>;
};

type Options = {
  data?: string;
  snapshot?: string;
  worker?: string;
  epochs: string;
  seed: string;
  promote: boolean;
  preset: string;
  run: string;
  bundle: string;
  name: string;
  bundleVersion: string;
  unlicensed?: boolean;
  runs: string;
  json?: boolean;
};

export function addTrainCommand(program: Command, context: CommandContext, open: TrainDependencies): void {
  program
    .command("train")
    .description(
      "train a reward model: --data from scratch, --snapshot the active one further on outcomes, then the gate",
    )
    .option("--data <folder>", "rows, made by `dataset build` from candidate sets")
    .option("--snapshot <folder>", "rows, made by `dataset build` from outcomes of pull requests")
    .option("--worker <url>", "with --snapshot: a gpu-worker that trains; default: WORKER_URL, else this machine")
    .option("--epochs <n>", "with --snapshot: times that every labelled row is seen", "8")
    .option("--seed <n>", "with --snapshot: seed of the order of rows", "0")
    .option("--no-promote", "with --snapshot: leave a challenger that passes the gate waiting")
    .option("--preset <name>", "with --data: a file of gpu-worker/presets by its name", "funprm-mini")
    .option("--run <folder>", "with --data: checkpoints and metrics; a run that was stopped goes on", "runs/train")
    .option("--bundle <folder>", "with --data: where the bundle goes", "runs/bundle")
    .option("--name <name>", "with --data: name of the bundle", "funprm-mini")
    .option("--bundle-version <version>", "with --data: version of the bundle", "0.0.1")
    .option("--unlicensed", "with --data: let sets without a stated permissive licence into the bundle")
    .option("--runs <folder>", "folder of the log of runs", "runs")
    .option("--json", "print JSON")
    .action(async (options: Options) => {
      if ((options.data === undefined) === (options.snapshot === undefined))
        throw new FunprmError("BAD_USAGE", "give --data (a model from scratch) or --snapshot (the active one further)");
      if (options.snapshot === undefined) await fromScratch(options.data!, options, context, open);
      else await further(options.snapshot, options, context, open);
    });
}

async function further(snapshot: string, options: Options, context: CommandContext, open: TrainDependencies) {
  const number = (name: string, text: string, least: number) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least || value > 1_000_000)
      throw new FunprmError("BAD_USAGE", `--${name} ${text}: give a whole number from ${least} on`);
    return value;
  };
  const epochs = number("epochs", options.epochs, 1);
  const seed = number("seed", options.seed, 0);
  const { ports, folder, close } = await open.learning(options.worker ?? null);
  try {
    const { version, decision, active } = await trainModel(ports, {
      snapshot: resolve(context.cwd, snapshot),
      learning: folder,
      epochs,
      seed,
      by: options.promote ? "gate" : null,
      onLine: (line) => context.stderr(`${line}\n`),
    });
    const auc = decision.checks.find((check) => check.name === "within-problem AUC")?.figure;
    await logRun(resolve(context.cwd, options.runs), ports.files, ports.clock.now(), {
      kind: "train",
      settings: {
        model: `${version.name} ${version.version}`,
        snapshot: version.snapshot?.slice(0, 12) ?? null,
        epochs,
        seed,
      },
      // The interval is that of the difference, carried to the challenger's value.
      figures: {
        "held-out auc": auc
          ? { value: auc.challenger, ci: [auc.champion + auc.difference.ci[0], auc.champion + auc.difference.ci[1]] }
          : null,
      },
    });
    const next =
      decision.verdict === "refused"
        ? `${decision.champion.version} goes on scoring`
        : active
          ? `${version.version} scores from the next run on`
          : `\`funprm models promote ${version.version}\` lets it score`;
    context.stdout(
      options.json === true
        ? `${JSON.stringify({ model: version, active })}\n`
        : `${version.name} ${version.version}, ${decisionText(decision)}${next}\n`,
    );
  } finally {
    await close();
  }
}

async function fromScratch(data: string, options: Options, context: CommandContext, open: TrainDependencies) {
  const path = (given: string) => resolve(context.cwd, given);
  const files = open.files();
  const { bundle } = await open.trainer().train(
    {
      data: path(data),
      run: path(options.run),
      bundle: path(options.bundle),
      size: options.preset,
      name: options.name,
      version: options.bundleVersion,
      unlicensed: options.unlicensed === true,
    },
    (line) => context.stderr(`${line}\n`),
  );
  const manifest = JSON.parse(await files.text(join(bundle, "manifest.json"))) as Manifest;
  const figures = manifest.metrics.solution;
  const logged = await logRun(path(options.runs), files, open.clock.now(), {
    kind: "train",
    settings: {
      preset: options.preset,
      model: `${manifest.name} ${manifest.version}`,
      parameters: manifest.parameters,
      rows: manifest.trainedOn.rows,
    },
    figures: { auc: figures.auc, "prm-mean N=8": figures.bestOf, "random N=8": figures.random },
  });
  context.stdout(
    options.json === true
      ? `${JSON.stringify({ bundle, run: logged })}\n`
      : `bundle ${bundle}, run ${logged.id}; compare with \`funprm runs --compare\`\n`,
  );
}

type Figure = { value: number; ci: [number, number] } | null;
type Manifest = {
  name: string;
  version: string;
  parameters: number;
  trainedOn: { rows: number };
  metrics: { solution: { auc: Figure; bestOf: Figure; random: Figure } };
};
