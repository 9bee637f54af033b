import { resolve } from "node:path";
import { Command, CommanderError } from "commander";
import manifest from "../../package.json" with { type: "json" };
import { createFiles } from "../adapters/files/files.ts";
import { openRowCache } from "../adapters/files/row-cache.ts";
import { openRewardModel } from "../adapters/onnx/reward-model.ts";
import { createPoolGenerator } from "../adapters/pool/pool-generator.ts";
import { createSandboxJudge } from "../adapters/sandbox/sandbox-judge.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { createLocalTrainer } from "../adapters/trainer/local-trainer.ts";
import { createSyntax } from "../adapters/tree-sitter/create-syntax.ts";
import { createWorkspace } from "../adapters/workspace/workspace.ts";
import {
  bundledModel,
  doctorChecks,
  EMBEDDED_MODEL,
  environments,
  GPU_WORKER,
  linkFor,
  matchesGlob,
  openBundles,
  openCheckpoint,
  openGenerator,
  openJobs,
  openJudge,
  openLlmJudge,
  openReplay,
  openWorker,
  REVIEW_MODEL,
  sealerOf,
  serve,
  signingKeyOf,
} from "../compose.ts";
import { gatePorts, openLearning, openRegistry, openReport } from "../compose-learning.ts";
import { invocationFolder, readEnvironment } from "../config/env.ts";
import { parseRepoConfig } from "../config/repo-config.ts";
import { STORIES } from "../demo-stories.ts";
import { createBudget } from "../domain/budget.ts";
import { FunprmError } from "../domain/errors.ts";
import { SNAPSHOTS } from "../flows/build-snapshot.ts";
import { runDemo } from "../run-demo.ts";
import { addCalibrateCommand } from "./commands/calibrate.ts";
import { addComplianceCommand } from "./commands/compliance.ts";
import { addDatasetCommand } from "./commands/dataset.ts";
import { addDemoCommand } from "./commands/demo.ts";
import { addDoctorCommand } from "./commands/doctor.ts";
import { addEvaluateCommand } from "./commands/evaluate.ts";
import { addJobsCommand } from "./commands/jobs.ts";
import { addJudgeCommand } from "./commands/judge.ts";
import { addLabelsCommand } from "./commands/labels.ts";
import { addLinkCommand } from "./commands/link.ts";
import { addModelsCommand } from "./commands/models.ts";
import { addPipelineCommands, type PipelineDependencies } from "./commands/pipeline.ts";
import { addReplayCommand } from "./commands/replay.ts";
import { addReportCommand } from "./commands/report.ts";
import { addReviewCommand } from "./commands/review.ts";
import { addRunsCommand } from "./commands/runs.ts";
import { addScoreCommand } from "./commands/score.ts";
import { addServeCommand } from "./commands/serve.ts";
import { addSolveCommand } from "./commands/solve.ts";
import { addStepsCommand } from "./commands/steps.ts";
import { addTrainCommand } from "./commands/train.ts";
import type { CommandContext } from "./context.ts";

/** As the app chooses it: the operator's bundle, else the one that ships for reviews. */
function openReviewModel(folder: string | null) {
  return openRewardModel(folder ?? readEnvironment().MODEL_DIR ?? bundledModel(REVIEW_MODEL));
}

/** Runs one command. Exit code: 0 done, 1 the work failed, 2 bad usage or bad input. */
export async function main(args: string[]): Promise<number> {
  const context: CommandContext = {
    cwd: invocationFolder(),
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    isTerminal: process.stderr.isTTY === true,
  };
  const program = new Command("funprm")
    .description("A GitHub App that turns a labelled issue into a pull request it can vouch for, function by function.")
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  addStepsCommand(program, context, { syntax: () => createSyntax(), files: createFiles });
  addScoreCommand(program, context, {
    syntax: () => createSyntax(),
    rewardModel: (folder) => openRewardModel(folder ?? EMBEDDED_MODEL),
    worker: (url) => openWorker(url, readEnvironment()),
    files: createFiles,
  });
  addReviewCommand(program, context, {
    workspace: createWorkspace,
    syntax: () => createSyntax(),
    rewardModel: openReviewModel,
    bundled: (name) => openRewardModel(bundledModel(name)),
    files: createFiles,
    parseConfig: parseRepoConfig,
    matches: matchesGlob,
    version: manifest.version,
  });
  addCalibrateCommand(program, context, {
    stores: openJobs,
    rewardModel: openReviewModel,
    files: createFiles,
    clock: systemClock,
  });
  addDatasetCommand(program, context, {
    syntax: () => createSyntax(),
    files: createFiles,
    learning: openJobs,
    snapshots: () => resolve(invocationFolder(), readEnvironment().LEARNING_DIR, SNAPSHOTS),
    clock: systemClock,
    judge: () => createSandboxJudge({ weakestTier: readEnvironment().SANDBOX_WEAKEST_TIER }),
  });
  addJudgeCommand(program, context, {
    judge: () => createSandboxJudge({ weakestTier: readEnvironment().SANDBOX_WEAKEST_TIER }),
    files: createFiles,
  });
  addEvaluateCommand(program, context, {
    syntax: () => createSyntax(),
    rewardModel: (folder) => openRewardModel(folder ?? EMBEDDED_MODEL),
    checkpoint: openCheckpoint,
    worker: (url) => openWorker(url, readEnvironment()),
    judge: () => createSandboxJudge({ weakestTier: readEnvironment().SANDBOX_WEAKEST_TIER }),
    files: createFiles,
    cache: openRowCache,
    clock: systemClock,
  });
  const pipeline: PipelineDependencies = {
    syntax: () => createSyntax(),
    judge: () => createSandboxJudge({ weakestTier: readEnvironment().SANDBOX_WEAKEST_TIER }),
    files: createFiles,
    generator: async (replay) =>
      replay === null
        ? openGenerator(readEnvironment(), { model: null, budget: createBudget(Number.POSITIVE_INFINITY) })
        : openReplay(replay),
    pool: (solutions, syntax) => createPoolGenerator(solutions, (source) => syntax.outline(source, "python")),
    trainer: () => createLocalTrainer(GPU_WORKER),
    openModel: openRewardModel,
    cache: openRowCache,
    clock: systemClock,
  };
  addPipelineCommands(program, context, pipeline);
  addTrainCommand(program, context, {
    trainer: pipeline.trainer,
    files: createFiles,
    clock: systemClock,
    learning: (worker) => openLearning(worker, context.stderr),
  });
  addReportCommand(program, context, { stores: openReport, files: createFiles });
  addModelsCommand(program, context, { registry: openRegistry, gate: gatePorts, files: createFiles });
  addComplianceCommand(program, context, pipeline);
  addRunsCommand(program, context, { files: createFiles });
  addSolveCommand(program, context, {
    files: createFiles,
    checkout: (path) => createWorkspace().checkout({ kind: "local", path, ref: null }),
    ports: async (replay, settings) => {
      const env = readEnvironment();
      const generator = replay === null ? openGenerator(env, settings) : await openReplay(replay);
      const log = {
        debug() {},
        info() {},
        warn: (message: string, fields?: object) =>
          context.stderr(`funprm: ${message} ${JSON.stringify(fields ?? {})}\n`),
        error() {},
      };
      return {
        syntax: await createSyntax(),
        generator,
        model: await openRewardModel(env.MODEL_DIR ?? EMBEDDED_MODEL),
        bundled: openBundles().bundled,
        judge: await openJudge(env, log),
      };
    },
    llmJudge: (settings) => openLlmJudge(readEnvironment(), settings),
    environment: (name) => environments(readEnvironment())(name),
    seal: (manifest) => sealerOf(readEnvironment())(manifest),
    now: () => systemClock.now(),
    parseConfig: parseRepoConfig,
    matches: matchesGlob,
  });
  addReplayCommand(program, context, {
    files: createFiles,
    checkout: (path, ref) => createWorkspace().checkout({ kind: "local", path, ref }),
    syntax: () => createSyntax(),
    rewardModel: (folder) => openRewardModel(folder ?? readEnvironment().MODEL_DIR ?? EMBEDDED_MODEL),
    worker: (url) => openWorker(url, readEnvironment()),
    matches: matchesGlob,
    signingKey: () => signingKeyOf(readEnvironment()),
  });
  addDemoCommand(program, context, { run: runDemo, stories: STORIES });
  addLabelsCommand(program, context, {
    learning: openJobs,
    files: createFiles,
    snapshots: () => resolve(invocationFolder(), readEnvironment().LEARNING_DIR, SNAPSHOTS),
    clock: systemClock,
  });
  addJobsCommand(program, context, { jobs: openJobs });
  addLinkCommand(program, context, { link: linkFor });
  addDoctorCommand(program, context, { checks: doctorChecks() });
  addServeCommand(program, context, { serve });
  try {
    await program.parseAsync(args, { from: "user" });
    return 0;
  } catch (error) {
    return report(error, context);
  }
}

/** One line on stderr, never a stack trace. */
function report(error: unknown, context: CommandContext): number {
  // Help and version end this way too, with exit code 0.
  if (error instanceof CommanderError && error.exitCode === 0) return 0;
  const unnamed = error instanceof CommanderError && error.code === "commander.help";
  const text = unnamed
    ? "name a command: funprm --help lists them"
    : error instanceof Error
      ? error.message
      : String(error);
  const line = text.replace(/^error: /, "").replace(/\s*\n\s*/g, " ");
  context.stderr(`funprm: ${line}\n`);
  if (error instanceof CommanderError) return 2;
  return error instanceof FunprmError && error.kind === "user" ? 2 : 1;
}
