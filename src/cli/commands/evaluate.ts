/** `funprm evaluate`: Best-of-N on candidates of real models, every selector with its interval (contracts.md). */
import { cpus } from "node:os";
import { basename, join, resolve } from "node:path";
import Table from "cli-table3";
import type { Command } from "commander";
import { FunprmError } from "../../domain/errors.ts";
import { GRANULARITIES, type Granularity } from "../../evaluation/granularity.ts";
import type { EvaluationReport, SelectorTable } from "../../evaluation/report.ts";
import { reportPage } from "../../evaluation/report-page.ts";
import { SELECTORS } from "../../evaluation/selectors.ts";
import { evaluateSets, type Reward } from "../../flows/evaluate-sets.ts";
import type { Evidence } from "../../flows/gather-evidence.ts";
import { loggedEvaluation, logRun } from "../../flows/log-run.ts";
import type { Clock, Files, Judge, RewardModel, RowCache, Syntax } from "../../ports.ts";
import type { CommandContext } from "../context.ts";

export type EvaluateDependencies = {
  syntax: () => Promise<Syntax>;
  rewardModel: (folder: string | null) => Promise<RewardModel>;
  /** A checkpoint with its adapter, served by a gpu-worker that ends with it. */
  checkpoint: (folder: string) => Promise<RewardModel>;
  worker: (url: string) => Promise<RewardModel>;
  judge: () => Promise<Judge & { dispose(): void }>;
  files: () => Files;
  cache: <Value>(path: string) => RowCache<Value>;
  clock: Clock;
};

type Options = {
  set: string[];
  n: string;
  within: string;
  selectors?: string;
  model?: string;
  checkpoint?: string;
  worker?: string;
  against?: string;
  granularity: string;
  seed: string;
  split?: string;
  limit?: string;
  runs: string;
  report?: string;
  execute: boolean;
  json?: boolean;
};

export function addEvaluateCommand(program: Command, context: CommandContext, open: EvaluateDependencies): void {
  program
    .command("evaluate")
    .description("measure selectors and the reward model on candidate sets")
    .requiredOption(
      "--set <file...>",
      "candidate sets (.jsonl), or results of LiveCodeBench's or BigCodeBench's runner (.json); .gz or not",
    )
    .option("--n <list>", "numbers of candidates to choose from", "1,2,4,8,16,32")
    .option(
      "--within <model|problem>",
      "draw groups inside one model and prompt variant, or from all of a problem",
      "model",
    )
    .option("--selectors <list>", `some of ${SELECTORS.map((one) => one.name).join(", ")}`)
    .option("--model <folder>", "model bundle; default: the one that ships with funprm")
    .option("--checkpoint <folder>", "a checkpoint (safetensors, LoRA or not) in a gpu-worker of this machine instead")
    .option("--worker <url>", "a running gpu-worker instead; its token stands in WORKER_TOKEN")
    .option("--against <folder>", "a second bundle beside it, as one trained without correction")
    .option(
      "--granularity <list>",
      `what a step is, in the table of aggregations: some of ${GRANULARITIES.join(", ")}`,
      GRANULARITIES.join(),
    )
    .option("--seed <number>", "seed of draws and ties", "0")
    .option("--split <name>", "validation, meta, train or all; default: validation for our own sets, all for others")
    .option("--limit <n>", "first problems of each set only")
    .option("--no-execute", "run no candidate: no examples, no agreement")
    .option("--runs <folder>", "folder of the log of runs and of results kept by content", "runs")
    .option("--report <folder>", "write report.json and a page with plots here")
    .option("--json", "print JSON")
    .action((options: Options) => run(options, context, open));
}

/** What made the report, without the paths of this machine. */
function commandOf(options: Options, split: string): string {
  const sets = options.set.map((path) => `DATA/${basename(path)}`).join(" ");
  const rest = [
    `--n ${options.n} --within ${options.within} --split ${split} --seed ${options.seed}`,
    ...(["model", "checkpoint", "against"] as const).flatMap((name) => {
      const folder = options[name];
      return folder === undefined ? [] : [`--${name} ${basename(folder)}`];
    }),
    ...(options.worker === undefined ? [] : ["--worker URL"]),
    ...(options.selectors === undefined ? [] : [`--selectors ${options.selectors}`]),
    ...(options.granularity === GRANULARITIES.join() ? [] : [`--granularity ${options.granularity}`]),
    ...(options.limit === undefined ? [] : [`--limit ${options.limit}`]),
    ...(options.execute ? [] : ["--no-execute"]),
  ].join(" ");
  return `npm run --silent funprm -- evaluate --set ${sets} ${rest}`;
}

/** Sets of shared/data: what the bundled model was trained on a part of. */
const OWN_SETS =
  /^(?:canaicode|classeval|codeforces_guni|debugbench|humaneval|leetcode_zsr|livecodebench_v1|mbpp|mint_codegen|realclasseval)/;

async function run(options: Options, context: CommandContext, open: EvaluateDependencies): Promise<void> {
  const n = options.n.split(",").map(Number);
  if (n.some((one) => !(Number.isInteger(one) && one >= 1 && one <= 1024)))
    throw new FunprmError("BAD_USAGE", `--n ${options.n}: give whole numbers from 1 up, as 1,2,4,8`);
  if (options.within !== "model" && options.within !== "problem")
    throw new FunprmError("BAD_USAGE", `--within ${options.within}: model or problem`);
  const seed = Number(options.seed);
  if (!Number.isSafeInteger(seed)) throw new FunprmError("BAD_USAGE", `--seed ${options.seed}: give a whole number`);
  const limit = options.limit === undefined ? null : Number(options.limit);
  if (limit !== null && !(Number.isInteger(limit) && limit >= 1))
    throw new FunprmError("BAD_USAGE", `--limit ${options.limit}: give a whole number from 1 up`);
  const names = options.set.map((path) => basename(path).replace(/\.jsonl?(\.gz)?$/, ""));
  const split = options.split ?? (names.every((name) => OWN_SETS.test(name)) ? "validation" : "all");
  if (split !== "validation" && split !== "meta" && split !== "train" && split !== "all")
    throw new FunprmError("BAD_USAGE", `--split ${split}: validation, meta, train or all`);
  const wanted = options.selectors?.split(",");
  const unknown = wanted?.find((name) => !SELECTORS.some((one) => one.name === name) && name !== "oracle");
  if (unknown !== undefined)
    throw new FunprmError(
      "BAD_USAGE",
      `--selectors: ${unknown} is none of ${SELECTORS.map((one) => one.name).join(", ")}`,
    );
  const selectors = SELECTORS.filter(
    (one) => wanted === undefined || wanted.includes(one.name) || one.name === "random",
  );
  const granularities = options.granularity.split(",") as Granularity[];
  const strange = granularities.find((one) => !GRANULARITIES.includes(one));
  if (strange !== undefined)
    throw new FunprmError("BAD_USAGE", `--granularity: ${strange} is none of ${GRANULARITIES.join(", ")}`);
  const files = open.files();
  const runs = resolve(context.cwd, options.runs);
  const model = await modelOf(options, context, open);
  const second = options.against === undefined ? null : await open.rewardModel(resolve(context.cwd, options.against));
  const rewardsOf = ({ info }: RewardModel) =>
    open.cache<Reward>(join(runs, "cache", `rewards-${info.sha256.slice(0, 12)}.jsonl`));
  const judge = options.execute ? await open.judge() : null;
  const abort = new AbortController();
  const interrupt = () => abort.abort(new FunprmError("INTERRUPTED", "interrupted; the same command goes on"));
  process.once("SIGINT", interrupt);
  try {
    const sizes = [...new Set(n)].sort((a, b) => a - b);
    const report = await evaluateSets(
      options.set.map((path, at) => ({ name: names[at]!, problems: files.candidateSet(resolve(context.cwd, path)) })),
      {
        syntax: await open.syntax(),
        model,
        judge,
        rewards: rewardsOf(model),
        second: second && { model: second, rewards: rewardsOf(second) },
        evidence: open.cache<Evidence>(join(runs, "cache", "evidence.jsonl")),
      },
      {
        n: sizes,
        reportN: sizes.includes(8) ? 8 : sizes.at(-1)!,
        seed,
        selectors,
        split,
        within: options.within,
        granularities,
        limit,
        slots: cpus().length,
        onProgress: ({ set, problems, candidates }) => {
          if (context.isTerminal) context.stderr(`\r${set}: ${problems} problems, ${candidates} candidates   `);
        },
      },
      abort.signal,
    );
    if (context.isTerminal) context.stderr("\n");
    if (options.report !== undefined) {
      const folder = resolve(context.cwd, options.report);
      await files.writeText(join(folder, "report.json"), `${JSON.stringify(report)}\n`);
      await files.writeText(join(folder, "index.html"), reportPage(report, commandOf(options, split)));
    }
    await logRun(runs, files, open.clock.now(), loggedEvaluation(report));
    context.stdout(options.json === true ? `${JSON.stringify(report)}\n` : toText(report));
  } finally {
    process.off("SIGINT", interrupt);
    judge?.dispose();
    await model.dispose();
    await second?.dispose();
  }
}

async function modelOf(options: Options, context: CommandContext, open: EvaluateDependencies): Promise<RewardModel> {
  const { model, checkpoint, worker } = options;
  if ([model, checkpoint, worker].filter((one) => one !== undefined).length > 1)
    throw new FunprmError("BAD_USAGE", "--model, --checkpoint and --worker exclude each other: one model is evaluated");
  if (worker !== undefined) return open.worker(worker);
  if (checkpoint !== undefined) return open.checkpoint(resolve(context.cwd, checkpoint));
  return open.rewardModel(model === undefined ? null : resolve(context.cwd, model));
}

function toText(report: EvaluationReport): string {
  const of = (value: { value: number; ci: [number, number]; problems: number } | null) =>
    value === null
      ? "n/a"
      : `${value.value.toFixed(3)} [${value.ci.map((one) => one.toFixed(3)).join(", ")}] (${value.problems})`;
  const all = report.sets.length > 1 ? [...report.sets, report.pooled] : report.sets;
  const parts = all.map((set) =>
    [
      `${set.set}: ${set.mixed} of ${set.problems} problems mixed, ${set.candidates} candidates, ${set.withExamples} mixed problems with examples, two steps or more in ${(100 * set.multiStep).toFixed(0)} % of groups`,
      `within-problem AUC ${of(set.auc)}${set.stepAuc ? `; step AUC value ${of(set.stepAuc.value)}, attribution ${of(set.stepAuc.own)}` : ""}`,
      selectorText(set.selectors, report.n),
    ].join("\n"),
  );
  return `${parts.join("\n\n")}\nsplit ${report.split}, groups within one ${report.within}, seed ${report.seed}\n`;
}

function selectorText(selectors: SelectorTable, n: readonly number[]): string {
  const table = new Table({
    head: ["selector", ...n.map((one) => `N=${one}`), "gap closed", "against random"],
    style: { head: [], border: [], compact: true },
  });
  for (const [name, figures] of Object.entries(selectors)) {
    if (figures === null) {
      table.push([name, ...n.map(() => "n/a"), "n/a", "n/a"]);
      continue;
    }
    const last = figures["8"] ?? figures[String(n.at(-1))];
    table.push([
      name,
      ...n.map((one) => {
        const figure = figures[one];
        return figure ? `${figure.pass.toFixed(3)} [${figure.ci.map((x) => x.toFixed(2)).join(", ")}]` : "–";
      }),
      last?.gapClosed == null ? "n/a" : last.gapClosed.toFixed(2),
      last?.vsRandom
        ? `${last.vsRandom.diff.toFixed(3)} [${last.vsRandom.ci.map((x) => x.toFixed(3)).join(", ")}]`
        : "",
    ]);
  }
  return table.toString();
}
