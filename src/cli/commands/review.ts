/** `funprm review`: the reviewer of pull requests on a local repository, without GitHub. */
import { resolve } from "node:path";
import Table from "cli-table3";
import type { Command } from "commander";
import { FunprmError } from "../../domain/errors.ts";
import { sanitizeIssueText } from "../../domain/issue-text.ts";
import { type BundledModel, type ParsedRepoConfig, reviewSettings } from "../../domain/repo-config.ts";
import type { ReviewReport } from "../../domain/review.ts";
import { hiddenLines, otherFilesLine } from "../../domain/review-check.ts";
import { sarif } from "../../domain/sarif.ts";
import { reviewChange } from "../../flows/review-change.ts";
import type { Files, RewardModel, Syntax, Workspace } from "../../ports.ts";
import { type CommandContext, settingsOf } from "../context.ts";

export type ReviewDependencies = {
  workspace: () => Workspace;
  syntax: () => Promise<Syntax>;
  rewardModel: (folder: string | null) => Promise<RewardModel>;
  bundled: (name: BundledModel) => Promise<RewardModel>;
  files: () => Files;
  parseConfig: (text: string | null) => ParsedRepoConfig;
  matches: (glob: string, path: string) => boolean;
  version: string;
};

type Options = {
  repo: string;
  base: string;
  head: string;
  problem?: string;
  model?: string;
  failUnder?: string;
  json?: boolean;
  sarif?: boolean;
};

export function addReviewCommand(program: Command, context: CommandContext, dependencies: ReviewDependencies): void {
  program
    .command("review")
    .description(
      "reward every function that a change touches, against the version it replaces; .github/funprm.yml is read as base holds it",
    )
    .requiredOption("--repo <dir>", "folder of the repository")
    .requiredOption("--base <ref>", "what the change is to be merged into")
    .requiredOption("--head <ref>", "the change")
    .option("--problem <text|@file>", "what the change is meant to do; default: the messages of its commits")
    .option("--model <folder>", "model bundle; default: MODEL_DIR, else models/funprm-mini-review")
    .option("--fail-under <attribution>", "exit 1 when a finding's attribution is lower")
    .option("--json", "print JSON")
    .option("--sarif", "print SARIF 2.1.0")
    .action((options: Options) => run(options, context, dependencies));
}

async function run(options: Options, context: CommandContext, dependencies: ReviewDependencies): Promise<void> {
  const limit = options.failUnder === undefined ? null : Number(options.failUnder);
  if (limit !== null && !(limit > 0 && Number.isFinite(limit)))
    throw new FunprmError("BAD_USAGE", `--fail-under ${options.failUnder}: give a number above 0, 1 is no change`);
  if (options.json && options.sarif) throw new FunprmError("BAD_USAGE", "--json and --sarif: choose one");
  const workspace = dependencies.workspace();
  const repository = resolve(context.cwd, options.repo);
  const change = await workspace.compare(repository, options.base, options.head);
  // As the app does: what a change says about its own review does not count.
  const bytes = await workspace.fileAt(repository, options.base, ".github/funprm.yml");
  const config = settingsOf(bytes, dependencies.parseConfig, context);
  const settingsAt = reviewSettings(config, dependencies.matches);
  const given = options.problem;
  const statement =
    given === undefined
      ? change.messages.join("\n\n")
      : given.startsWith("@")
        ? await dependencies.files().text(resolve(context.cwd, given.slice(1)))
        : given;
  const model =
    options.model === undefined && config.prm.model !== null
      ? await dependencies.bundled(config.prm.model)
      : await dependencies.rewardModel(options.model === undefined ? null : resolve(context.cwd, options.model));
  try {
    const report = await reviewChange(
      { syntax: await dependencies.syntax(), model },
      {
        statement: sanitizeIssueText(statement).text,
        files: change.files,
        ignored: (path) => config.review.ignore_paths.some((glob) => dependencies.matches(glob, path)),
        calibration: null,
      },
    );
    if (options.sarif) context.stdout(`${JSON.stringify(sarif(report, dependencies.version))}\n`);
    else if (options.json) context.stdout(`${JSON.stringify(jsonOf(report))}\n`);
    else context.stdout(toText(report));
    const low = report.functions.filter((one) => one.finding && limit !== null && one.attribution! < limit);
    if (low.length > 0)
      throw new FunprmError(
        "REVIEW_FAILED",
        `${low.length} of ${report.coverage.scored} functions under ${limit}: ${low.map((one) => one.name).join(", ")}`,
      );
    const failing = report.functions.filter((one) => one.finding && settingsAt(one.path).fail_on === "finding");
    if (failing.length > 0)
      throw new FunprmError(
        "REVIEW_FAILED",
        `${failing.length} findings where check.fail_on of .github/funprm.yml is finding: ${failing.map((one) => one.name).join(", ")}`,
      );
  } finally {
    await model.dispose();
  }
}

/** Contracts.md and rulings 14. */
function jsonOf(report: ReviewReport) {
  return { ...report, functions: report.functions.map(({ bodyHash: _, ...one }) => one) };
}

/** Names of files and functions may hold what a terminal obeys, or a line end. */
function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (one) => `\\u{${one.codePointAt(0)!.toString(16)}}`);
}

function toText(report: ReviewReport): string {
  const number = (value: number | null) => (value === null ? "–" : value.toFixed(2));
  const table = new Table({
    head: ["rank", "function", "lines", "change", "reward", "attribution", "on base", "finding"],
    style: { head: [], border: [] },
    colAligns: ["right", "left", "right", "left", "right", "right", "right", "left"],
  });
  for (const one of report.functions) {
    table.push([
      one.rank ?? "–",
      visible(`${one.path}: ${one.name}`),
      `${one.startLine}–${one.endLine}`,
      one.change,
      one.reason ?? number(one.reward),
      number(one.attribution),
      number(one.baseAttribution),
      one.finding ? visible(one.evidence.map(({ text }) => text).join("; ")) : "",
    ]);
  }
  const lines = [
    report.functions.length === 0 ? "No function in scope." : table.toString(),
    `${report.ledger}${otherFilesLine(report)}`,
    ...report.coverage.notScored.map(({ path, name, reason }) => visible(`not scored: ${path}: ${name}: ${reason}`)),
    ...hiddenLines(report).map(visible),
    `model ${report.model.name} ${report.model.version}, ${report.calibrated ? "calibrated" : "uncalibrated: a rank, not a probability"}; tests not run`,
  ];
  return `${lines.join("\n")}\n`;
}
