/** One attempt to solve one issue, its jobs and its effects (method.md section 2, security.md section 5). Types only. */
import type { Candidate } from "./candidate.ts";
import type { ExamplesReport, KnockoutReport, ReproductionReport, TestsReport } from "./evidence.ts";
import type { ModelInfo } from "./model.ts";
import type { SealedManifest } from "./run-manifest.ts";

/** `queued` … `publishing` are live; the last four are terminal. */
export const LIVE_RUN_STATES = ["queued", "reading", "sampling", "scoring", "testing", "publishing"] as const;
export const TERMINAL_RUN_STATES = ["opened", "abstained", "failed", "stopped"] as const;
export type RunState = (typeof LIVE_RUN_STATES)[number] | (typeof TERMINAL_RUN_STATES)[number];

export type RunTrigger =
  | { kind: "label"; label: string }
  | { kind: "command"; commentId: number; verb: "fix" | "retry" }
  | { kind: "local" };

export type Run = {
  /** Sortable unique text id. */
  id: string;
  repositoryId: number;
  installationId: number;
  owner: string;
  repo: string;
  issueNumber: number;
  generation: number;
  state: RunState;
  trigger: RunTrigger;
  /** Login of who labelled or commanded. */
  startedBy: string;
  /** Seed of ties and sampling, derived from the run's id. */
  seed: number;
  baseBranch: string | null;
  baseSha: string | null;
  /** Issue text frozen when the run first read it. */
  issue: { title: string; body: string; author: string; url: string } | null;
  /** Effective settings with the origin of each value, frozen at the first read. */
  settings: unknown;
  generator: { name: string; model: string; origin: string } | null;
  model: ModelInfo | null;
  promptSha256: string | null;
  /** What the prompt held: the functions found, best first. */
  relevant: { path: string; name: string; score: number }[];
  /** Files looked at for the issue, where the repository is too large for all; null when all were. */
  lookedAt: { files: number; of: number } | null;
  rule: string | null;
  selected: number | null;
  selectionReason: string | null;
  abstention: { reason: string; help: string[] } | null;
  failure: { code: string; message: string } | null;
  pullRequest: {
    number: number;
    url: string;
    branch: string;
    title: string;
    headSha: string;
    reviewComments: number;
  } | null;
  checkRun: { id: number; conclusion: string } | null;
  costUsd: number | null;
  promptTokens: number;
  completionTokens: number;
  /** Evidence of repository tests; null while nothing ran. */
  tests: TestsReport | null;
  /** Examples of the issue, run on base and on each survivor; null while nothing ran. */
  examples: ExamplesReport | null;
  /** Tests written from the issue by the model; null while none were asked for. */
  reproduction: ReproductionReport | null;
  /** Null where none was held. */
  knockout: KnockoutReport | null;
  /** What a language model as a judge has cost; null where none was asked. */
  judged: { costUsd: number | null; promptTokens: number; completionTokens: number } | null;
  /** Evidence that the settings ask for and that could not be had, one line each. */
  missing: string[];
  /** What a replay starts from, made before anything is published; null while nothing was chosen. */
  manifest: SealedManifest | null;
  createdAt: string;
  updatedAt: string;
  finishedAt: string | null;
};

export type RunCandidate = { runId: string; candidate: Candidate };
export type RunEvent = { runId: string; seq: number; at: string; kind: string; message: string };

export type EffectState = "planned" | "sent" | "confirmed";
export type Effect = { runId: string; kind: string; key: string; state: EffectState; remoteId: string | null };

export type JobKind =
  | "solve-issue"
  | "stop-run"
  | "reply-command"
  | "review-pull"
  | "answer-finding"
  | "record-outcome"
  | "report-learning"
  | "forget-installation";
export type NewJob = {
  kind: JobKind;
  /** Unique among live jobs (queued or running). */
  dedupeKey: string;
  /** Only one job of a lane runs at a time (fair share: one lane an issue); jobs of different lanes run side by side. */
  lane: string;
  payload: unknown;
  /** Seconds from now before it may be claimed. */
  delaySeconds?: number;
  maxAttempts?: number;
};
export type Job = {
  id: string;
  kind: JobKind;
  dedupeKey: string;
  lane: string;
  payload: unknown;
  state: "queued" | "running" | "done" | "dead";
  attempts: number;
  maxAttempts: number;
  /** Grows with every claim of this job: the fencing number of all its writes. */
  fence: number;
  worker: string | null;
  leaseUntil: string | null;
  cancelRequested: boolean;
  error: { code: string; message: string } | null;
  createdAt: string;
  runAfter: string;
};
