/** The app: HTTP server and worker on one database, with the flows as job handlers. */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { Probot } from "probot";
import {
  type ForgetInstallationPayload,
  recordJob,
  reportJob,
  type SolveIssuePayload,
} from "../domain/job-payloads.ts";
import { replyCommand, stopRun } from "../flows/answer-command.ts";
import { answerFinding } from "../flows/answer-finding.ts";
import type { Scored, Scorer } from "../flows/choose-scorer.ts";
import { type Forgetful, forgetInstallation, forgetUnreached, startHousekeeping } from "../flows/housekeeping.ts";
import type { JobHandler } from "../flows/jobs.ts";
import { postReport, reportsDue } from "../flows/post-report.ts";
import { recordOutcome, repositoriesToSweep, shadowJob } from "../flows/record-outcome.ts";
import { refitCalibrations } from "../flows/refit-calibrations.ts";
import { noteDeadReview, reviewPull } from "../flows/review-pull.ts";
import { noteDeadRun, type SolveIssuePorts, solveIssue } from "../flows/solve-issue.ts";
import type {
  Artifacts,
  Clock,
  JobStore,
  LearningStore,
  Log,
  ModelRegistry,
  ReportStore,
  ReviewStore,
  RunStore,
} from "../ports.ts";
import { type RunningServer, startServer } from "./server.ts";
import { serveLearnedPage } from "./web/serve-learned-page.ts";
import { serveRunPage } from "./web/serve-run-page.ts";
import { runWorker } from "./worker.ts";

export type AppParts = {
  jobs: JobStore;
  runs: RunStore;
  reviews: ReviewStore;
  learning: LearningStore;
  reports: ReportStore;
  artifacts: Artifacts;
  /** Snapshots of labels on disk: they go with an installation or repository that they hold rows of. */
  snapshots: Forgetful;
  clock: Clock;
  log: Log;
  /** `model` is the embedded one; who scores a run is chosen when it starts. */
  solve: SolveIssuePorts;
  chooseScorer(scored: Scored): Promise<Scorer>;
  models: ModelRegistry;
  /** Trains a challenger when enough labels are new; null where nothing is to be learnt. */
  retrain: ((signal: AbortSignal) => Promise<void>) | null;
  register: (jobs: JobStore, wake: () => void) => (app: Probot) => void;
  identity: { appId: number; privateKey: string; webhookSecret: string };
  listen: { host: string; port: number; webhookPath: string };
  pages: { linkKey: string; operatorToken: string | null; open: boolean };
  concurrency: number;
  retentionDays: number;
  closed: () => Promise<void>;
};

/** Looks at an empty queue this often; a webhook wakes it at once. */
const POLL_SECONDS = 1;
/** A stop is seen at a heartbeat, every third of this. */
const LEASE_SECONDS = 15;
const GRACE_SECONDS = 25;

/** @returns the server's address, and `stop`, which drains both. */
export async function startApp(parts: AppParts): Promise<{ url: string; stop(): Promise<void> }> {
  const { jobs, runs, reviews, learning, reports, clock, log, solve } = parts;
  const commands = { host: solve.host, jobs, parseConfig: solve.parseConfig, markerKey: solve.markerKey };
  const review = async () => ({ ...solve, reviews, learning, model: (await parts.chooseScorer("functions")).model });
  const handlers: Record<string, JobHandler> = {
    "solve-issue": async (job, signal, fence) => {
      const { model, note } = await parts.chooseScorer("candidates");
      await solveIssue({ ...solve, model, scorerNote: note }, job, signal, fence);
      const { repositoryId, issueNumber } = job.payload as SolveIssuePayload;
      const run = await runs.latestRun(repositoryId, issueNumber);
      const shadow = run && shadowJob(run);
      if (shadow) await jobs.accept(null, shadow);
    },
    "stop-run": (job) => stopRun(commands, job),
    "reply-command": (job) => replyCommand(commands, job),
    "review-pull": async (job, signal) => await reviewPull(await review(), job, signal),
    "answer-finding": (job) => answerFinding({ ...commands, reviews, learning, clock }, job),
    "record-outcome": (job, signal) => recordOutcome({ ...solve, learning, artifacts: parts.artifacts }, job, signal),
    "report-learning": (job) => postReport({ ...solve, learning, reviews, reports, models: parts.models }, job),
    "forget-installation": (job, signal) => {
      const payload = job.payload as ForgetInstallationPayload;
      const stores = [parts.snapshots, runs, reviews, learning, reports];
      return payload.unnamed
        ? forgetUnreached({ host: solve.host, jobs, runs, reviews, learning }, payload.installationId)
        : forgetInstallation(stores, clock, payload, signal);
    },
  };
  let server: RunningServer | null = null;
  const stopping = new AbortController();
  let training: Promise<void> | null = null;
  const housekeeping = startHousekeeping(
    { host: solve.host, stores: [runs, reviews, learning, reports], clock, log },
    parts.retentionDays,
    [
      {
        what: "outcomes could not be swept",
        run: async () => {
          for (const ref of await repositoriesToSweep({ learning, clock }))
            await jobs.accept(null, recordJob({ ...ref, saw: { kind: "sweep" } }));
        },
      },
      {
        what: "calibrations could not be fitted again",
        run: async () => void (await refitCalibrations({ reviews, learning, clock })),
      },
      {
        what: "monthly reports could not be asked for",
        run: async () => {
          for (const due of await reportsDue({ learning, reports, clock })) await jobs.accept(null, reportJob(due));
        },
      },
      {
        what: "no challenger could be trained",
        // Minutes: the sweeps go on meanwhile.
        run: async () => {
          training ??= Promise.resolve(parts.retrain?.(stopping.signal))
            .catch((error) => log.warn("no challenger could be trained", { message: String(error?.message ?? error) }))
            .finally(() => {
              training = null;
            });
        },
      },
    ],
  );
  const close = async () => {
    stopping.abort();
    await housekeeping.stop();
    await training;
    await server?.close();
    await parts.closed();
  };
  const worker = runWorker(
    { jobs, clock, log },
    {
      name: `${hostname()}-${process.pid}-${randomBytes(3).toString("hex")}`,
      handlers: handlers as never,
      onDead: async (job, error) => {
        if (job.kind === "review-pull") await noteDeadReview(await review(), job);
        else await noteDeadRun(solve, job, error);
      },
      concurrency: parts.concurrency,
      leaseSeconds: LEASE_SECONDS,
      pollSeconds: POLL_SECONDS,
      graceSeconds: GRACE_SECONDS,
      random: Math.random,
    },
    close,
  );
  try {
    server = await startServer({
      ...parts.identity,
      ...parts.listen,
      register: parts.register(jobs, () => worker.wake()),
      health: async () => {
        const { running, draining } = worker.health();
        return {
          ok: !draining,
          jobs: await jobs.counts(),
          running: running.length,
          model: solve.model.info,
          sandbox: solve.judge?.sandbox ?? null,
        };
      },
      page: async (request, response) =>
        (await serveRunPage({ runs, ...parts.pages, now: () => clock.now() }, request, response)) ||
        (await serveLearnedPage(
          { learning, reviews, runs, models: parts.models, clock, ...parts.pages },
          request,
          response,
        )),
    });
  } catch (error) {
    await worker.drain();
    throw error;
  }
  log.info("listening", { url: server.url });
  return {
    url: server.url,
    stop: async () => {
      await worker.drain();
      await close();
    },
  };
}
