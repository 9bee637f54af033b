/** `funprm report`: what the app learned, as a page, as the text of an issue comment, or as JSON. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { FunprmError } from "../../domain/errors.ts";
import { reportJob } from "../../domain/job-payloads.ts";
import { learnedComment, learnedPage } from "../../evaluation/learned-report.ts";
import { type ReportPorts, reportLearning } from "../../flows/report-learning.ts";
import type { Files, JobStore } from "../../ports.ts";
import type { CommandContext } from "../context.ts";

type Options = {
  days: string;
  repository?: string;
  minPrecision: string;
  out?: string;
  post?: boolean;
  json?: boolean;
};

export function addReportCommand(
  program: Command,
  context: CommandContext,
  open: { stores(): Promise<ReportPorts & { jobs: JobStore; close(): Promise<void> }>; files(): Files },
): void {
  program
    .command("report")
    .description("what the app learned: labels, before and after, mistakes, cost, precision of findings")
    .option("--days <n>", "how far back", "30")
    .option("--repository <id>", "one repository by its number on GitHub; default: all")
    .option("--min-precision <share>", "precision that findings must keep", "0.6")
    .option("--out <file>", "write the page there; without it the text of an issue comment is printed")
    .option(
      "--post",
      "has the running app post this month so far in the issue that the repository's learn.report names",
    )
    .option("--json", "print JSON")
    .action(async (options: Options) => {
      const days = numberOf("days", options.days, 1, 3_650);
      const wanted = numberOf("min-precision", options.minPrecision, 0, 1);
      const repositoryId =
        options.repository === undefined
          ? null
          : numberOf("repository", options.repository, 1, Number.MAX_SAFE_INTEGER);
      if (options.post === true && repositoryId === null)
        throw new FunprmError("BAD_USAGE", "--post: name the repository with --repository ID");
      const { close, jobs, ...ports } = await open.stores();
      try {
        if (options.post === true) {
          const ref = (await ports.learning.repositories()).find((one) => one.repositoryId === repositoryId);
          if (ref === undefined)
            throw new FunprmError(
              "BAD_USAGE",
              `--repository ${repositoryId}: nothing was learned there, as far as this database knows`,
            );
          const { job } = await jobs.accept(null, reportJob({ ...ref, month: null, command: null }));
          context.stdout(
            options.json === true
              ? `${JSON.stringify({ job: job!.id })}\n`
              : `queued as job ${job!.id}: funprm jobs show ${job!.id}\n`,
          );
          return;
        }
        const report = await reportLearning(ports, { days, repositoryId, wanted });
        const page = options.out === undefined ? null : resolve(context.cwd, options.out);
        if (page !== null) await open.files().writeText(page, learnedPage(report));
        if (options.json === true) context.stdout(`${JSON.stringify({ ...report, page })}\n`);
        else context.stdout(page === null ? learnedComment(report, null) : `${page}\n`);
      } finally {
        await close();
      }
    });
}

function numberOf(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= least && value <= most))
    throw new FunprmError("BAD_USAGE", `--${name} ${text}: give a number from ${least} to ${most}`);
  return value;
}
