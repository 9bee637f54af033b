/** `funprm calibrate`: fits the calibration of reviews again from the labels stored so far, as the app does every night. */
import { resolve } from "node:path";
import Table from "cli-table3";
import type { Command } from "commander";
import { FunprmError } from "../../domain/errors.ts";
import type { StoredCalibration } from "../../domain/review-calibration.ts";
import { calibrateOnBenchmark, type Refit, refitCalibrations } from "../../flows/refit-calibrations.ts";
import type { Clock, Files, LearningStore, ReviewStore, RewardModel } from "../../ports.ts";
import type { CommandContext } from "../context.ts";

export type CalibrateDependencies = {
  stores: () => Promise<{ reviews: ReviewStore; learning: LearningStore; close(): Promise<void> }>;
  rewardModel: (folder: string | null) => Promise<RewardModel>;
  files: () => Files;
  clock: Clock;
};

type Options = { benchmark?: string; limit: string; model?: string; json?: boolean };

export function addCalibrateCommand(
  program: Command,
  context: CommandContext,
  dependencies: CalibrateDependencies,
): void {
  program
    .command("calibrate")
    .description("fit the calibration of reviews again from the labels stored so far")
    .option("--benchmark <rows>", "training rows with verdicts of functions that the model was not trained on")
    .option("--limit <n>", "functions of the benchmark that are scored", "2000")
    .option(
      "--model <folder>",
      "model bundle the benchmark is scored with; default: MODEL_DIR, else models/funprm-mini-review",
    )
    .option("--json", "print JSON")
    .action((options: Options) => run(options, context, dependencies));
}

async function run(options: Options, context: CommandContext, dependencies: CalibrateDependencies): Promise<void> {
  const limit = Number(options.limit);
  if (!Number.isInteger(limit) || limit < 1)
    throw new FunprmError("BAD_USAGE", `--limit ${options.limit}: give a whole number above 0`);
  const { reviews, learning, close } = await dependencies.stores();
  try {
    let benchmark: StoredCalibration | null = null;
    if (options.benchmark !== undefined) {
      const folder = options.model === undefined ? null : resolve(context.cwd, options.model);
      const model = await dependencies.rewardModel(folder);
      try {
        const rows = dependencies.files().trainingRows(resolve(context.cwd, options.benchmark));
        benchmark = await calibrateOnBenchmark({ reviews, model }, rows, limit);
      } finally {
        await model.dispose();
      }
      if (benchmark === null)
        throw new FunprmError(
          "BAD_INPUT",
          `${options.benchmark}: under 100 verdicts of functions, or all of one kind; give rows with own verdicts`,
        );
    }
    const refits = await refitCalibrations({ reviews, learning, clock: dependencies.clock });
    if (options.json)
      context.stdout(
        `${JSON.stringify({ benchmark: benchmark && figures(benchmark), repositories: refits.map(rowOf) })}\n`,
      );
    else context.stdout(toText(benchmark, refits));
  } finally {
    await close();
  }
}

function figures({ labels, brier, ece, buckets, version, language, modelVersion }: StoredCalibration) {
  return { language, modelVersion, version, labels, brier, ece, buckets };
}

function rowOf({ repositoryId, language, modelVersion, calibration }: Refit) {
  return {
    repositoryId,
    language,
    modelVersion,
    state: calibration?.state ?? "uncalibrated",
    ...(calibration === null ? {} : figures(calibration)),
  };
}

function toText(benchmark: StoredCalibration | null, refits: readonly Refit[]): string {
  const table = new Table({
    head: ["repository", "language", "model", "state", "own labels", "others'", "Brier", "ECE", "version"],
    style: { head: [], border: [] },
  });
  const row = (
    name: string,
    state: string,
    one: Pick<Refit, "language" | "modelVersion">,
    fit: StoredCalibration | null,
  ) =>
    table.push([
      name,
      one.language,
      one.modelVersion,
      state,
      ...(fit === null
        ? ["–", "–", "–", "–", "–"]
        : [fit.labels.repository, fit.labels.others, fit.brier.toFixed(3), fit.ece.toFixed(3), fit.version]),
    ]);
  if (benchmark !== null) row("–", "benchmark", benchmark, benchmark);
  for (const one of refits) row(`${one.repositoryId}`, one.calibration?.state ?? "uncalibrated", one, one.calibration);
  return table.length === 0 ? "Nothing was reviewed yet.\n" : `${table.toString()}\n`;
}
