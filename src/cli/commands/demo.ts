/** The main job on embedded defaults: no account, no key, no GPU. */
import Table from "cli-table3";
import type { Command } from "commander";
import type { Candidate } from "../../domain/candidate.ts";
import { number } from "../../domain/comment.ts";
import { FunprmError } from "../../domain/errors.ts";
import type { CommandContext } from "../context.ts";

/** What the demo did, as contracts.md promises it. */
export type DemoResult = {
  pullRequest: { number: number; branch: string; url: string; title: string } | null;
  abstention: string | null;
  candidates: Candidate[];
  selected: number | null;
  selectionReason: string | null;
  tests: string;
  /** What the tests that were written from the issue say; empty when none were asked for. */
  writtenTests: string;
  changedFunctions: number;
  reviewComments: number;
  commentsWithReward: number;
  checkRun: { conclusion: string } | null;
  model: string;
  pageFile: string;
  pageUrl: string;
  runUrl: string;
  violations: string[];
};

/**
 * Another story than the main one, by its name in `--story`. Plays to its end: `text` for a terminal, `json` for `--json`;
 * `broken` says which promise of the story was not kept, null when all were.
 */
export type Story = (options: {
  verbose: boolean;
  progress: (text: string) => void;
  /** Called with what to show while everything still stands; null where nobody looks. */
  hold: ((text: string) => Promise<void>) | null;
}) => Promise<{ text: string; json: object; broken: string | null }>;

export type DemoDependencies = {
  stories: Readonly<Record<string, Story>>;
  /** Runs the demo to its end; `hold` waits until the person is done looking. */
  run(options: {
    abstain: boolean;
    verbose: boolean;
    /** A gpu-worker of its own, on loopback, scores instead of the embedded model. */
    worker: boolean;
    progress: (text: string) => void;
    hold: ((result: DemoResult) => Promise<void>) | null;
  }): Promise<DemoResult>;
};

export function addDemoCommand(program: Command, context: CommandContext, dependencies: DemoDependencies): void {
  program
    .command("demo")
    .description(
      "label an issue of a small repository and watch it become a pull request (scripted generator, local GitHub)",
    )
    .option("--json", "print the result as JSON")
    .option("--abstain", "an issue that the app rightly leaves alone")
    .option("--worker", "start a gpu-worker on this machine and let it score")
    .option(
      "--story <name>",
      `another story than label to pull request: ${Object.keys(dependencies.stories).join(", ")}`,
    )
    .option("--verbose", "show the app's log")
    .action(async (options: DemoOptions) => {
      const stay = context.isTerminal && !options.json;
      if (options.story !== undefined) return tell(options, context, dependencies.stories);
      const result = await dependencies.run({
        abstain: options.abstain === true,
        verbose: options.verbose === true,
        worker: options.worker === true,
        progress: (text) => context.stderr(`demo: ${text}\n`),
        hold: stay
          ? (shown) => hold(`${textOf(shown)}Open ${shown.pageUrl}\nRun record ${shown.runUrl}\n`, context)
          : null,
      });
      if (options.json) context.stdout(`${JSON.stringify(jsonOf(result))}\n`);
      else if (!stay) context.stdout(textOf(result));
      check(result, options.abstain === true);
    });
}

type DemoOptions = { json?: boolean; abstain?: boolean; worker?: boolean; verbose?: boolean; story?: string };

async function tell(
  options: DemoOptions,
  context: CommandContext,
  stories: DemoDependencies["stories"],
): Promise<void> {
  const story = Object.hasOwn(stories, options.story!) ? stories[options.story!] : undefined;
  if (story === undefined)
    throw new FunprmError("BAD_USAGE", `--story ${options.story}: there is ${Object.keys(stories).join(", ")}`);
  if (options.abstain || options.worker)
    throw new FunprmError("BAD_USAGE", "--abstain and --worker belong to the main story: leave --story out");
  const stay = context.isTerminal && !options.json;
  const told = await story({
    verbose: options.verbose === true,
    progress: (text) => context.stderr(`demo: ${text}\n`),
    hold: stay ? (text) => hold(text, context) : null,
  });
  if (options.json) context.stdout(`${JSON.stringify(told.json)}\n`);
  else if (!stay) context.stdout(told.text);
  if (told.broken !== null) throw new FunprmError("INTERRUPTED", `the demo did not keep its promise: ${told.broken}`);
}

/** Ends with an error unless the promise of contracts.md was kept. */
function check(result: DemoResult, abstain: boolean): void {
  const fail = (why: string) => {
    throw new FunprmError("INTERRUPTED", `the demo did not keep its promise: ${why}`);
  };
  if (result.violations.length > 0) fail(`the fake GitHub refused or saw ${result.violations.slice(0, 5).join("; ")}`);
  if (abstain) {
    if (result.abstention === null || result.pullRequest !== null) fail("an abstention was expected");
    return;
  }
  if (!result.pullRequest) fail(`there is no pull request (${result.abstention ?? "unknown why"})`);
  if (result.reviewComments < 2 || result.reviewComments !== Math.min(20, result.changedFunctions))
    fail(`${result.reviewComments} review comments for ${result.changedFunctions} changed functions`);
  if (result.commentsWithReward !== result.reviewComments) fail("a review comment has no reward");
}

function jsonOf(result: DemoResult): object {
  const { pullRequest, candidates, selected, reviewComments, checkRun, abstention } = result;
  return {
    pullRequest,
    candidates: candidates.map(candidateJson),
    selected,
    abstention,
    reviewComments,
    checkRun,
    page: result.pageFile,
  };
}

/** The shape of rulings 14, the same in `demo` and `solve`. */
export function candidateJson(one: Candidate): object {
  return {
    index: one.index,
    status: one.status,
    reason: one.reason,
    duplicateOf: one.duplicateOf,
    score: one.score,
    verdict: one.verdict,
    steps: one.steps.map((step) => ({
      path: step.path,
      name: step.name,
      reward: step.reward,
      attribution: step.attribution,
    })),
  };
}

/** Candidates × functions, for a terminal. */
export function candidatesTable(candidates: readonly Candidate[], selected: number | null): string {
  const table = new Table({
    head: ["", "candidate", "mean reward", "functions: reward (attribution)", "verdict", "note"],
    style: { head: [], border: [] },
    wordWrap: true,
    colWidths: [3, 11, 13, 44, 15, 34],
  });
  for (const one of candidates) {
    const note =
      one.status === "rejected"
        ? (one.reason ?? "")
        : one.status === "duplicate"
          ? `same as ${one.duplicateOf}`
          : one.compliance?.monolithic
            ? "one step: outcome score only"
            : "";
    const steps = one.steps
      .map((step) => `${step.name} ${number(step.reward)} (${number(step.attribution)})`)
      .join("\n");
    table.push([one.index === selected ? "→" : "", `${one.index}`, number(one.score), steps, one.verdict, note]);
  }
  return table.toString();
}

function textOf(result: DemoResult): string {
  const lines = [
    candidatesTable(result.candidates, result.selected),
    `Reward model ${result.model}: uncalibrated, rewards order candidates and are no probabilities. Answers: scripted.`,
  ];
  if (result.pullRequest) {
    lines.push(
      `Candidate ${result.selected}: ${result.selectionReason}.`,
      result.tests,
      ...(result.writtenTests === "" ? [] : [result.writtenTests]),
      `Pull request #${result.pullRequest.number} "${result.pullRequest.title}" on ${result.pullRequest.branch}, ${result.reviewComments} review comments with rewards, check run ${result.checkRun?.conclusion ?? "missing"}.`,
    );
  } else lines.push(`No pull request: ${result.abstention}.`);
  lines.push(`Page: ${result.pageFile}`);
  return `${lines.join("\n")}\n`;
}

async function hold(text: string, context: CommandContext): Promise<void> {
  context.stdout(`${text}Ctrl-C ends the demo.\n`);
  await new Promise<void>((resolve) => process.once("SIGINT", () => resolve()));
}
