/** The papers' stages as commands: `generate`, `label`, `train`, `pipeline` (method.md section 10). */
import { cpus } from "node:os";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import type { PromptStyle } from "../../domain/chain-of-function.ts";
import { FunprmError } from "../../domain/errors.ts";
import { describePreset, PRESETS, type Preset } from "../../domain/presets.ts";
import { generateCandidates } from "../../flows/generate-candidates.ts";
import { labelCandidates } from "../../flows/label-candidates.ts";
import { loggedEvaluation, logRun } from "../../flows/log-run.ts";
import { runPipeline } from "../../flows/run-pipeline.ts";
import type { Clock, Files, Generator, Judge, RewardModel, RowCache, Sample, Syntax, Trainer } from "../../ports.ts";
import type { CommandContext } from "../context.ts";

export type PipelineDependencies = {
  syntax: () => Promise<Syntax>;
  judge: () => Promise<Judge & { dispose(): void }>;
  files: () => Files;
  /** `replay` is a file of recorded answers, `null` the configured LLM. */
  generator: (replay: string | null) => Promise<Generator>;
  pool: (solutions: ReadonlyMap<string, readonly string[]>, syntax: Syntax) => Generator;
  trainer: () => Trainer;
  openModel: (folder: string) => Promise<RewardModel>;
  cache: <Value>(path: string) => RowCache<Value>;
  clock: Clock;
};

type Common = { preset: string; seed: string; limit?: string; out: string; json?: boolean };

export function addPipelineCommands(program: Command, context: CommandContext, open: PipelineDependencies): void {
  const path = (given: string) => resolve(context.cwd, given);
  const progress = (line: string) => {
    if (context.isTerminal) context.stderr(`\r${line}        `);
  };
  const common = (command: Command, out: string) =>
    command
      .option("--preset <name>", `settings: ${Object.keys(PRESETS).join(", ")}`, "default")
      .option("--seed <number>", "seed of sampling and draws", "0")
      .option("--limit <n>", "first problems only")
      .option("--out <folder>", "where the result goes; a second start takes over what is there", out)
      .option("--json", "print JSON");

  common(program.command("generate"), "runs/generate")
    .description("sample N candidates a problem into a candidate set")
    .requiredOption("--problems <file>", "problems (JSONL, .gz or not)")
    .option("--n <count>", "candidates a problem; default: the preset's")
    .option("--prompt <cof|plain>", "prompt; default: the preset's")
    .option("--replay <file>", "recorded answers instead of an LLM")
    .option("--pool", "known solutions of the problems and mutants of them instead of an LLM")
    .action(
      async (options: Common & { problems: string; n?: string; prompt?: string; replay?: string; pool?: boolean }) => {
        const settings = settingsOf(options, context);
        const files = open.files();
        const syntax = await open.syntax();
        const generator = options.pool
          ? open.pool(await solutionsOf(files, path(options.problems)), syntax)
          : await open.generator(options.replay === undefined ? null : path(options.replay));
        const summary = await generateCandidates(
          { input: path(options.problems), out: path(options.out) },
          generator,
          syntax,
          files,
          open.cache(join(path(options.out), "samples.jsonl")),
          { ...settings, onProgress: (count) => progress(`${count} problems`) },
        );
        const file = join(options.out, "candidates.jsonl");
        print(context, options, { out: path(file), ...summary }, [
          `${summary.candidates} candidates of ${summary.problems} problems, ${summary.rejected} answers rejected${summary.costUsd === null ? "" : `, $${summary.costUsd.toFixed(2)}`}: ${file}`,
        ]);
      },
    );

  common(program.command("label"), "runs/label")
    .description("grade candidates in the sandbox and label their prefixes by completions")
    .requiredOption("--candidates <file>", "candidate set (JSONL, .gz or not)")
    .option(
      "--completions <pool|llm>",
      "what completes a prefix: functions of the other candidates, or the LLM, whose API must go on from a prefix",
      "pool",
    )
    .action(async (options: Common & { candidates: string; completions: string }) => {
      const settings = settingsOf(options, context);
      if (options.completions !== "pool" && options.completions !== "llm")
        throw new FunprmError("BAD_USAGE", `--completions ${options.completions}: pool or llm`);
      const llm =
        options.completions === "pool"
          ? null
          : {
              generator: await open.generator(null),
              samples: open.cache<Sample>(join(path(options.out), "completions.jsonl")),
              temperature: settings.temperature,
            };
      const judge = await open.judge();
      try {
        const summary = await labelCandidates(
          { input: path(options.candidates), out: path(options.out) },
          judge,
          await open.syntax(),
          open.files(),
          { ...settings, slots: cpus().length, llm, onProgress: (count) => progress(`${count} problems`) },
        );
        const spent = summary.completionsAtMost === 0 ? "" : ` (16 each would be ${summary.completionsAtMost})`;
        const file = join(options.out, "labelled.jsonl");
        print(context, options, { out: path(file), ...summary }, [
          `${summary.passed} of ${summary.candidates} candidates pass; ${summary.prefixes} prefixes labelled by ${summary.completions} completions${spent}${summary.costUsd === null ? "" : `, $${summary.costUsd.toFixed(2)}`}; ${summary.withoutTests} problems hold no tests that run here: ${file}`,
        ]);
      } finally {
        judge.dispose();
      }
    });

  common(program.command("pipeline"), "runs/pipeline")
    .description(
      "generate, label, train and evaluate on a problem set, without an LLM: solutions and mutants from a pool",
    )
    .requiredOption("--problems <file>", "problems with a passing solution (JSONL, .gz or not)")
    .option("--size <name>", "preset of gpu-worker to train", "toy")
    .option("--runs <folder>", "folder of the log of runs", "runs")
    .action(async (options: Common & { problems: string; size: string; runs: string }) => {
      const settings = settingsOf(options, context);
      const files = open.files();
      const syntax = await open.syntax();
      const judge = await open.judge();
      const silent = () => {};
      try {
        const result = await runPipeline(
          {
            syntax,
            judge,
            files,
            generator: open.pool(await solutionsOf(files, path(options.problems)), syntax),
            trainer: open.trainer(),
            openModel: open.openModel,
            cache: open.cache,
            log: { debug: silent, info: silent, warn: silent, error: silent },
          },
          {
            ...settings,
            problems: path(options.problems),
            out: path(options.out),
            size: options.size,
            slots: cpus().length,
            onStage: (stage, line) => progress(`${stage}: ${line.slice(0, 70)}`),
          },
        );
        await logRun(path(options.runs), files, open.clock.now(), loggedEvaluation(result.evaluate));
        const { pooled, reportN } = result.evaluate;
        const figure = (name: string) => pooled.selectors[name]?.[String(reportN)]?.pass.toFixed(3) ?? "n/a";
        print(context, options, result, [
          `generate: ${result.generate.candidates} candidates of ${result.generate.problems} problems`,
          `label: ${result.label.passed} pass; ${result.label.prefixes} prefixes by ${result.label.completions} completions`,
          `train: ${result.train.training} training, ${result.train.meta} meta, ${result.train.validation} validation rows; bundle ${result.train.bundle}`,
          `evaluate, Best-of-${reportN} on ${pooled.mixed} mixed problems: random ${figure("random")}, prm-mean ${figure("prm-mean")}, hybrid ${figure("hybrid")}, oracle ${figure("oracle")}`,
        ]);
      } finally {
        judge.dispose();
      }
    });
}

function settingsOf(options: Common & { n?: string; prompt?: string }, context: CommandContext) {
  const preset: Preset | undefined = PRESETS[options.preset];
  if (preset === undefined)
    throw new FunprmError("BAD_USAGE", `--preset ${options.preset}: use one of ${Object.keys(PRESETS).join(", ")}`);
  const number = (name: string, text: string | undefined, fallback: number, most: number) => {
    const value = text === undefined ? fallback : Number(text);
    if (!(Number.isInteger(value) && value >= 0 && value <= most))
      throw new FunprmError("BAD_USAGE", `--${name} ${text}: give a whole number up to ${most}`);
    return value;
  };
  const prompt = options.prompt ?? preset.prompt.value;
  if (prompt !== "cof" && prompt !== "plain") throw new FunprmError("BAD_USAGE", `--prompt ${prompt}: cof or plain`);
  const limit = number("limit", options.limit, 0, 1_000_000);
  const n = number("n", options.n, preset.candidates.value, 1_024);
  if (n === 0) throw new FunprmError("BAD_USAGE", "--n 0: at least one candidate");
  const overrides = [
    ...(options.n === undefined ? [] : [`n ${n}`]),
    ...(options.prompt === undefined ? [] : [`prompt ${prompt}`]),
  ];
  context.stderr(
    `preset ${options.preset}: ${describePreset(preset)}${overrides.length === 0 ? "" : `; instead: ${overrides.join(", ")}`}\n`,
  );
  return {
    n,
    prompt: prompt as PromptStyle,
    temperature: preset.temperature.value,
    trials: preset.trials.value,
    seed: number("seed", options.seed, 0, Number.MAX_SAFE_INTEGER),
    limit: limit === 0 ? null : limit,
  };
}

async function solutionsOf(files: Files, path: string): Promise<Map<string, string[]>> {
  const solutions = new Map<string, string[]>();
  for await (const problem of files.candidateSet(path)) {
    const passing = problem.candidates.filter((one) => one.passed === true).map((one) => one.code);
    if (passing.length > 0) solutions.set(problem.problem_id, passing);
  }
  return solutions;
}

function print(context: CommandContext, options: { json?: boolean }, result: unknown, lines: readonly string[]): void {
  if (context.isTerminal) context.stderr("\n");
  context.stdout(options.json === true ? `${JSON.stringify(result)}\n` : `${lines.join("\n")}\n`);
}
