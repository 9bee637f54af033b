import { cpus } from "node:os";
import { resolve } from "node:path";
import Table from "cli-table3";
import { type Command, InvalidArgumentError } from "commander";
import { FunprmError } from "../../domain/errors.ts";
import type { JudgeOptions, JudgeVerdict, SandboxReport } from "../../domain/judge.ts";
import { parseProblem } from "../../domain/judge-problem.ts";
import { decodeSource } from "../../domain/segment.ts";
import { judgeCandidates } from "../../flows/judge-candidates.ts";
import { judgeRows } from "../../flows/judge-rows.ts";
import type { Files, Judge } from "../../ports.ts";
import type { CommandContext } from "../context.ts";
import { readSource } from "../source-files.ts";

type Options = {
  problem?: string;
  rows?: string;
  out?: string;
  repeat: number;
  cpuSeconds: number;
  memoryMb: number;
  failFast?: boolean;
  json?: boolean;
};

type Open = { judge: () => Promise<Judge & { dispose(): void }>; files: () => Files };

/** `judge --problem FILE.json CANDIDATE…` and `judge --rows IN.jsonl[.gz] --out DIR`. Exit 0 whatever the verdicts. */
export function addJudgeCommand(program: Command, context: CommandContext, open: Open): void {
  program
    .command("judge")
    .description("run candidate programs against tests in the sandbox")
    .argument("[candidate...]", "programs: Python, or JavaScript by extension (.js, .mjs, .cjs)")
    .option("--problem <file>", "problem as JSON: call, stdin or tests")
    .option("--rows <file>", "candidate set (JSONL, .gz or not), judged under its own tests")
    .option("--out <folder>", "where the verdicts of --rows go; a second start takes over what is there")
    .option("--repeat <k>", "runs of each test; FLAKY when they differ", wholeNumber, 1)
    .option("--cpu-seconds <s>", "CPU time of each test", positive, 2)
    .option("--memory-mb <m>", "memory of each test", wholeNumber, 512)
    .option("--fail-fast", "stop a candidate at its first case that does not pass")
    .option("--json", "print JSON")
    .action(async (candidates: string[], options: Options) => {
      const { repeat, cpuSeconds, memoryMb } = options;
      const judging = { repeat, cpuSeconds, memoryMb, failFast: options.failFast === true, slots: cpus().length };
      if (options.rows !== undefined) return judgeSet(context, open, options, judging);
      if (options.problem === undefined)
        throw new FunprmError("BAD_USAGE", "--problem FILE.json or --rows FILE is missing");
      if (candidates.length === 0) throw new FunprmError("BAD_USAGE", "no candidate named; give at least one program");
      const problem = parseProblem(decodeSource(readSource(context.cwd, options.problem)).text, options.problem);
      const tasks = candidates.map((path) => ({
        problem,
        candidate: { code: decodeSource(readSource(context.cwd, path)).text, language: languageOf(path) },
      }));
      const judge = await open.judge();
      try {
        const batch = await judgeCandidates(judge, tasks, { ...judging, onProgress: progress(context, "candidates") });
        const verdicts = batch.verdicts.map((verdict, index) => ({ path: candidates[index]!, ...shown(verdict) }));
        const result = { sandbox: judge.sandbox, verdicts };
        context.stdout(options.json === true ? `${JSON.stringify(result)}\n` : toText(judge.sandbox, verdicts));
      } finally {
        judge.dispose();
      }
    });
}

async function judgeSet(
  context: CommandContext,
  open: Open,
  options: Options,
  judging: JudgeOptions & { slots: number },
): Promise<void> {
  if (options.out === undefined) throw new FunprmError("BAD_USAGE", "--rows needs --out FOLDER for the verdicts");
  const paths = { input: resolve(context.cwd, options.rows!), out: resolve(context.cwd, options.out) };
  const judge = await open.judge();
  try {
    const draw = progress(context, "problems");
    const onProgress = (rows: number) => draw(rows, null);
    const summary = await judgeRows(paths, judge, open.files(), { ...judging, onProgress });
    const result = { sandbox: judge.sandbox, out: paths.out, ...summary };
    const text = `${paths.out}: ${summary.candidates} candidates of ${summary.judgedRows} problems judged (${summary.rows - summary.judgedRows} problems hold no tests that run here); ${summary.agree} of ${summary.labelled} agree with the published labels\n`;
    context.stdout(options.json === true ? `${JSON.stringify(result)}\n` : text);
  } finally {
    judge.dispose();
  }
}

function progress(context: CommandContext, what: string): (done: number, all: number | null) => void {
  if (!context.isTerminal) return () => {};
  return (done, all) =>
    context.stderr(`\r${done}${all === null ? "" : ` of ${all}`} ${what}${done === all ? "\n" : ""}`);
}

/** The contract's fields; `detail` and a test's `id` where there are any. */
function shown(verdict: JudgeVerdict) {
  const cases = verdict.cases.map(({ verdict: said, cpuMs, wallMs, detail, id }) => ({
    verdict: said,
    cpuMs,
    wallMs,
    ...(detail === null ? {} : { detail }),
    ...(id === undefined ? {} : { id }),
  }));
  const { cpuMs, wallMs, peakMemoryMb, attested, tier, interpreter, detail } = verdict;
  return { verdict: verdict.verdict, cases, cpuMs, wallMs, peakMemoryMb, attested, tier, interpreter, detail };
}

function languageOf(path: string): "python" | "javascript" {
  return /\.[cm]?js$/i.test(path) ? "javascript" : "python";
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("a whole number from 1 up");
  return value;
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0) || !Number.isFinite(value)) throw new InvalidArgumentError("a number above 0");
  return value;
}

function toText(sandbox: SandboxReport, verdicts: ({ path: string } & ReturnType<typeof shown>)[]): string {
  const table = new Table({
    head: ["candidate", "verdict", "cases passed", "CPU ms", "peak MB", "why"],
    style: { head: [], border: [] },
    colAligns: ["left", "left", "right", "right", "right", "left"],
  });
  for (const { path, verdict, cases, cpuMs, peakMemoryMb, detail } of verdicts) {
    const passed = cases.filter((one) => one.verdict === "PASS").length;
    table.push([path, verdict, `${passed}/${cases.length}`, cpuMs, peakMemoryMb, (detail ?? "").slice(0, 60)]);
  }
  const attested = verdicts.some((one) => one.attested === "in-process")
    ? "in the candidate's own process"
    : "out of process";
  return `${table.toString()}\nsandbox tier ${sandbox.tier}; compared ${attested}\n`;
}
