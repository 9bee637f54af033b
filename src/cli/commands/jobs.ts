import Table from "cli-table3";
import type { Command } from "commander";
import { FunprmError } from "../../domain/errors.ts";
import type { Job } from "../../domain/run.ts";
import type { JobStore } from "../../ports.ts";
import type { CommandContext } from "../context.ts";

const LISTED = 200;

/** `jobs [list]`, `jobs show ID`, `jobs retry ID`: the queue of this installation's database. */
export function addJobsCommand(
  program: Command,
  context: CommandContext,
  open: { jobs: () => Promise<{ jobs: JobStore; close: () => Promise<void> }> },
): void {
  const command = program.command("jobs").description("waiting, running and dead jobs");
  const use = async (work: (jobs: JobStore) => Promise<void>): Promise<void> => {
    const { jobs, close } = await open.jobs();
    try {
      await work(jobs);
    } finally {
      await close();
    }
  };
  const print = (json: boolean | undefined, value: unknown, text: () => string) =>
    context.stdout(json === true ? `${JSON.stringify(value)}\n` : text());

  command
    .command("list", { isDefault: true })
    .description("live and dead jobs, and how many are done")
    .option("--json", "print JSON")
    .action(({ json }: { json?: boolean }) =>
      use(async (jobs) => {
        const counts = await jobs.counts();
        const states = ["running", "queued", "dead"] as const;
        const listed = await Promise.all(states.map((state) => jobs.list({ state, limit: LISTED })));
        print(json, { counts, jobs: listed.flat() }, () => overview(counts, listed.flat()));
      }),
    );

  command
    .command("show")
    .description("everything about one job")
    .argument("<id>")
    .option("--json", "print JSON")
    .action((id: string, { json }: { json?: boolean }) =>
      use(async (jobs) => {
        const job = await jobs.job(id);
        if (!job) throw unknown(id);
        print(json, job, () => detail(job));
      }),
    );

  command
    .command("retry")
    .description("put a dead job back in the queue with all its attempts")
    .argument("<id>")
    .option("--json", "print JSON")
    .action((id: string, { json }: { json?: boolean }) =>
      use(async (jobs) => {
        const job = await jobs.job(id);
        if (!job) throw unknown(id);
        if (job.state !== "dead") {
          throw new FunprmError("BAD_INPUT", `job ${id} is ${job.state}; only a dead job can be retried`);
        }
        const revived = await jobs.revive(id);
        if (!revived)
          throw new FunprmError("BAD_INPUT", `job ${id} is no longer dead; look at it with: jobs show ${id}`);
        print(json, revived, () =>
          revived.id === id
            ? `job ${id} is queued again\n`
            : `job ${revived.id} (${revived.state}) already does the same work; ${id} stays dead\n`,
        );
      }),
    );
}

function unknown(id: string): FunprmError {
  return new FunprmError("BAD_INPUT", `no job ${id}; list them with: funprm jobs`);
}

function overview(counts: Record<Job["state"], number>, jobs: Job[]): string {
  const summary = `${counts.running} running, ${counts.queued} queued, ${counts.dead} dead, ${counts.done} done\n`;
  if (jobs.length === 0) return summary;
  const table = new Table({
    head: ["id", "state", "kind", "lane", "attempts", "due or lease", "error"],
    style: { head: [], border: [] },
    wordWrap: true,
  });
  for (const job of jobs) {
    table.push([
      job.id,
      job.cancelRequested && job.state !== "dead" ? `${job.state}, to be cancelled` : job.state,
      job.kind,
      printable(job.lane),
      `${job.attempts} of ${job.maxAttempts}`,
      job.state === "running" ? (job.leaseUntil ?? "") : job.state === "queued" ? job.runAfter : "",
      job.error ? printable(`${job.error.code}: ${job.error.message}`).slice(0, 160) : "",
    ]);
  }
  return `${table.toString()}\n${summary}`;
}

function detail(job: Job): string {
  const table = new Table({ style: { head: [], border: [] } });
  for (const [key, value] of Object.entries(job)) {
    table.push([key, printable(typeof value === "string" ? value : JSON.stringify(value))]);
  }
  return `${table.toString()}\n`;
}

/** Payloads and messages hold people's text: no control sequence of it reaches the terminal. */
function printable(text: string): string {
  return text.replace(/\p{Cc}|\p{Cf}/gu, "�");
}
