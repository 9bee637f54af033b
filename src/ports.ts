/**
 * Every seam of the program, in one file. A port makes one promise; one behavioural suite in `test/ports/` holds every
 * adapter and every fake to it.
 */
import type { SamplingFacts, Verdict } from "./domain/candidate.ts";
import type { CandidateSetProblem, TrainingRow } from "./domain/dataset.ts";
import type { Finding, ReviewedPull, ReviewedRow } from "./domain/finding.ts";
import type { Language, Outline } from "./domain/function-step.ts";
import type {
  JudgeInputs,
  JudgeOptions,
  JudgeOutputs,
  JudgeProblem,
  JudgeVerdict,
  RepositoryTestRun,
  SandboxReport,
} from "./domain/judge.ts";
import type { ModelInfo, ScoredRow, ScoreRow } from "./domain/model.ts";
import type { ModelSwitch, ModelVersion } from "./domain/model-version.ts";
import type { OutcomeEvent, SeenCheck } from "./domain/outcome.ts";
import type { StoredCalibration } from "./domain/review-calibration.ts";
import type { ReviewedFile } from "./domain/review-scope.ts";
import type { Effect, EffectState, Job, JobKind, NewJob, Run, RunCandidate, RunEvent } from "./domain/run.ts";
import type { RunFile } from "./domain/run-manifest.ts";
import type { ArtifactKind, FunctionAtLine, TestReport, WorkflowAttempt } from "./domain/test-report.ts";

// ---------------------------------------------------------------- Syntax

/** Outline of any source. Never throws on broken code; `parsed: false` says that the tree holds an error. */
export interface Syntax {
  outline(source: string, language: Language): Outline;
}

// ---------------------------------------------------------------- RewardModel

/**
 * Same number of rewards as completions, order kept, deterministic, each in [0,1] or null with a reason. Refuses a
 * render version it was not trained on (`MODEL_REFUSED`). The value of the empty prefix is a row with completions [""].
 */
export interface RewardModel {
  readonly info: ModelInfo;
  score(rows: readonly ScoreRow[], signal?: AbortSignal): Promise<ScoredRow[]>;
  /** What its calls have cost so far; absent where scoring costs nothing. */
  spent?(): Spend;
  dispose(): Promise<void>;
}

/** `costUsd` is null when the price is unknown. */
export type Spend = { costUsd: number | null; promptTokens: number; completionTokens: number };

/**
 * Whether the first of two solutions is likelier to be right than the second, in [0,1], one answer a pair in order; null
 * where there is none. Asked in one order only: who compares asks both.
 */
export interface PairJudge {
  compare(
    pairs: readonly { prompt: string; first: string; second: string }[],
    signal?: AbortSignal,
  ): Promise<(number | null)[]>;
}

// ---------------------------------------------------------------- Generator

export type ChatMessage = { role: "system" | "user"; content: string };

export type SampleRequest = {
  messages: ChatMessage[];
  /** How many samples; each is yielded as soon as it is complete, with its index. */
  n: number;
  /** Indices already stored from an earlier attempt: these are not sampled (and not paid) again. */
  skip?: ReadonlySet<number>;
  temperature: number | null;
  seed: number | null;
  maxTokens: number;
  /** Key of the problem, for recorded answers. */
  problem: string;
  /** What is asked for, for recorded answers; candidates unless told. */
  purpose?: SamplePurpose;
  /** Which prompt asks, for recorded answers of both. */
  prompt?: "cof" | "plain";
  /** What the answer begins with, byte for byte; each sample's text is what follows. Only after `provePrefill`. */
  prefix?: string;
};

export type SamplePurpose = "candidates" | "tests";

export type Sample = { index: number; text: string; facts: SamplingFacts };
/** A sample that could not be had; its cost, if any, is still reported. */
export type FailedSample = { index: number; error: { code: string; message: string }; facts: SamplingFacts | null };

/** Samples text with usage and log-probabilities when offered; retries in one place; reports cost even on failure. */
export interface Generator {
  readonly name: string;
  readonly model: string;
  /** `scripted` and `replayed` answers are named so wherever they are shown. */
  readonly origin: "llm" | "replayed" | "scripted";
  /** Throws GENERATOR_REFUSED where answers do not go on from a prefix but begin anew; absent: they never do. */
  provePrefill?(signal?: AbortSignal): Promise<void>;
  sample(request: SampleRequest, signal?: AbortSignal): AsyncIterable<Sample | FailedSample>;
}

/** One answer from a file (`--replay`). `problem: "*"` fits every problem. */
export type RecordedAnswer = {
  problem: string;
  purpose?: SamplePurpose;
  prompt?: "cof" | "plain";
  index: number;
  text: string;
  model: string;
  origin: "scripted" | "recorded";
  finishReason: string;
  promptTokens: number | null;
  completionTokens: number | null;
  costUsd: number | null;
};

// ---------------------------------------------------------------- Judge

/** Verdicts of section 2 of security.md; expected values never enter the sandbox. */
export interface Judge {
  readonly sandbox: SandboxReport;
  judge(
    problem: JudgeProblem,
    candidate: { code: string; language: "python" | "javascript" },
    options?: JudgeOptions,
    signal?: AbortSignal,
  ): Promise<JudgeVerdict>;
  /** Outputs without expected values, for agreement between candidates. */
  run(
    inputs: JudgeInputs,
    candidate: { code: string; language: "python" | "javascript" },
    options?: JudgeOptions,
    signal?: AbortSignal,
  ): Promise<JudgeOutputs>;
  /** Runs a repository's own test command on a tree of files. */
  runRepositoryTests(request: RepositoryTestRequest, signal?: AbortSignal): Promise<RepositoryTestRun>;
}

export type RepositoryTestRequest = {
  /** Folder of the checkout at base. Never written to. */
  root: string;
  /** Files of the candidate laid over it. Test files and runner configuration are not among them: they stay as on base. */
  overlay: { path: string; content: Uint8Array }[];
  /** Test files as they stand at a merged head, in place of base's; null: not there. Laid over before the candidate's files. */
  tests?: { path: string; content: Uint8Array | null }[];
  /** Paths of the Python files whose functions are watched: which test executes which. */
  trace?: string[];
  /** Test files of the app's own, laid over last. A path that is there already: `cannot-run`. */
  added?: { path: string; content: Uint8Array }[];
  /** Runs, however the first ends; a test whose outcome differs between them is `flaky`. Without it only failures are run again. */
  repeat?: number;
  /** argv, run in the root of the tree; null = find pytest, unittest or npm test. */
  command: string[] | null;
  /** Folder with the repository's dependencies, provided by the operator, mounted read-only; null for none. */
  environment: string | null;
  timeoutSeconds: number;
};

// ---------------------------------------------------------------- Trainer

export type TrainingRequest = {
  /** Folder with training, meta and validation rows. */
  data: string;
  /** Folder of the run: checkpoints, metrics. A run that was stopped goes on. */
  run: string;
  /** Where the bundle goes. */
  bundle: string;
  /** Name of a preset of gpu-worker: `funprm-mini`, `toy`. */
  size: string;
  name: string;
  version: string;
  /** Lets sets without a stated permissive licence into the bundle. */
  unlicensed: boolean;
};

/** Trains a reward model and exports its bundle; lines of progress as they come. `TRAINING_FAILED` with the trainer's last line. */
export interface Trainer {
  train(
    request: TrainingRequest,
    onLine: (line: string) => void,
    signal?: AbortSignal,
  ): Promise<{ bundle: string; config: string }>;
}

export type TuneRequest = {
  /** Bundle that training starts from. */
  base: string;
  /** Folder with training, meta and validation rows. */
  data: string;
  /** File of rows without labels, on which the new model is held to what the old one says; null for none. */
  rehearsal: string | null;
  /** Folder of the run. The same request goes on where it was stopped; a finished one is not run again. */
  run: string;
  /** Where the new bundle goes. */
  bundle: string;
  name: string;
  version: string;
  epochs: number;
  seed: number;
};

/** Trains a served bundle further on a snapshot; lines of progress as they come. `TRAINING_FAILED` with the trainer's last line. */
export interface Tuner {
  /** What is missing before it can train, with the cure; null when nothing is. */
  missing(): Promise<string | null>;
  tune(request: TuneRequest, onLine: (line: string) => void, signal?: AbortSignal): Promise<void>;
}

// ---------------------------------------------------------------- Artifacts

/** Test results and coverage in an artifact of CI; `BAD_INPUT` when any of it cannot be read: half a report is no report. */
export interface Artifacts {
  read(zip: Uint8Array, kind: ArtifactKind, functionAt: FunctionAtLine, signal: AbortSignal): Promise<TestReport>;
}

// ---------------------------------------------------------------- Workspace

export type CheckoutFile = { path: string; mode: "100644" | "100755" | "120000" | "160000"; size: number };

/** One tree of files at one commit. Reads only inside the repository; symbolic links are never followed. */
export interface Checkout {
  readonly sha: string;
  /** Folder on disk (for the judge). */
  readonly root: string;
  files(): Promise<CheckoutFile[]>;
  /** Bytes as committed; null when the path is not a regular file of the tree. */
  read(path: string): Promise<Uint8Array | null>;
  /** Git's id of the tree with these files laid over it, a new one as a plain file. Writes nothing. */
  tree(changes: readonly { path: string; after: Uint8Array }[]): Promise<string>;
  dispose(): Promise<void>;
}

/** Checkout and dispose; no inherited secrets (a token travels in `GIT_CONFIG_*`, never in argv or a URL). */
export interface Workspace {
  checkout(source: CheckoutSource, signal?: AbortSignal): Promise<Checkout>;
  /** What `head` changes against its merge base with `base`, in a repository on this machine; refs that do not exist: `BAD_INPUT`. */
  compare(path: string, base: string, head: string, signal?: AbortSignal): Promise<Comparison>;
  /** A regular file of a commit as committed; null when there is none of that name, or it is a link. */
  fileAt(path: string, ref: string, file: string): Promise<Uint8Array | null>;
}

export type Comparison = {
  /** The merge base; `base` itself when the two have none. */
  baseSha: string;
  headSha: string;
  /** Messages of the commits between, oldest first. */
  messages: string[];
  /** With contents where the path is of a language that the reviewer reads. */
  files: ReviewedFile[];
};

export type CheckoutSource =
  | { kind: "remote"; cloneUrl: string; sha: string; token: string | null }
  | { kind: "local"; path: string; ref: string | null };

// ---------------------------------------------------------------- GitHost

/** Where on GitHub. `repositoryId` is the key that survives renames. */
export type RepoRef = { installationId: number; repositoryId: number; owner: string; repo: string };

export type RepositoryFacts = {
  id: number;
  owner: string;
  repo: string;
  defaultBranch: string;
  private: boolean;
  archived: boolean;
  cloneUrl: string;
};

export type IssueFacts = {
  number: number;
  title: string;
  body: string;
  state: "open" | "closed";
  locked: boolean;
  labels: string[];
  author: string;
  isPullRequest: boolean;
  url: string;
};

export type Role = "admin" | "write" | "read" | "none";
export type ReactionContent = "eyes" | "rocket" | "+1" | "-1" | "confused";
/** `nodeId` is GraphQL's id of a review comment; there the app's earlier reaction stays. */
export type ReactionTarget =
  | { kind: "issue"; number: number }
  | { kind: "comment"; commentId: number }
  | { kind: "review-comment"; nodeId: string };

export type PullRequestFacts = {
  number: number;
  nodeId: string;
  url: string;
  title: string;
  body: string;
  draft: boolean;
  state: "open" | "closed";
  merged: boolean;
  headRef: string;
  headSha: string;
  baseRef: string;
  baseSha: string;
  author: string;
  labels: string[];
  /** Files that it changes; null in lists, which do not say. */
  changedFiles: number | null;
};

/** Instants are ISO 8601. `mergeCommitSha` is the last commit that the merge put on the base branch; null when not merged. */
export type PullRequestEnd = {
  createdAt: string;
  closedAt: string | null;
  mergedAt: string | null;
  mergedBy: string | null;
  mergeCommitSha: string | null;
  /** The first 250, oldest first. */
  commits: { sha: string; message: string; parents: string[] }[];
};

export type CommitFacts = {
  sha: string;
  message: string;
  /** Login of its author where a signature that GitHub verified vouches for it; null where only an e-mail address does. */
  author: string | null;
  /** When it was committed, ISO 8601. */
  at: string;
  parents: string[];
  files: PullRequestFile[];
};

/** One file of `/pulls/{n}/files`. `patch` is null when GitHub leaves it out (binary, too large). */
export type PullRequestFile = {
  path: string;
  previousPath: string | null;
  status: string;
  additions: number;
  deletions: number;
  patch: string | null;
};

/** `line` is the last line of the range in blob numbering of `side`; `startLine` only for a multi-line range. */
export type ReviewComment = {
  path: string;
  line: number;
  startLine: number | null;
  side: "RIGHT" | "LEFT";
  body: string;
};

/** `commentId` and `body` are of its first comment. */
export type ReviewThread = { id: string; resolved: boolean; commentId: number; body: string };

export type CheckConclusion = "success" | "neutral" | "failure" | "skipped" | "cancelled" | "action_required";
export type CheckAnnotation = {
  path: string;
  startLine: number;
  endLine: number;
  level: "notice" | "warning" | "failure";
  title: string;
  message: string;
};
export type CheckRunState = {
  name: string;
  headSha: string;
  externalId: string;
  detailsUrl: string | null;
  status: "in_progress" | "completed";
  conclusion: CheckConclusion | null;
  output: { title: string; summary: string; text: string | null; annotations: CheckAnnotation[] } | null;
  actions: { label: string; description: string; identifier: string }[];
};

/**
 * GitHub as one installation sees it. Every `ensure*` looks first for its effect by `marker` (or natural key) among what
 * the app itself wrote, writes with retries 0, and after a time-out, 5xx or 422 looks again before anything else: calling
 * it twice leaves one effect. Rate limits surface as `GITHUB_RATE_LIMIT` with `retryAfter`, 404/410/451 as `GITHUB_GONE`,
 * 409 as `GITHUB_CONFLICT`, other 4xx as `GITHUB_REFUSED`, 5xx and network as `GITHUB_TRANSIENT`.
 */
export interface GitHost {
  repository(ref: RepoRef): Promise<RepositoryFacts>;
  issue(ref: RepoRef, number: number): Promise<IssueFacts>;
  /** The oldest open issue with a label, pull requests left out; null when there is none. */
  issueWithLabel(ref: RepoRef, label: string): Promise<IssueFacts | null>;
  /** maintain counts as write, triage as read (rulings 23). */
  role(ref: RepoRef, login: string): Promise<Role>;
  /** Null where no file is. A symbolic link to a file of the repository reads as that file, as GitHub gives it. */
  readFile(ref: RepoRef, path: string, sha: string): Promise<Uint8Array | null>;
  /** Commit that a branch points to; null when there is no such branch. */
  branchSha(ref: RepoRef, branch: string): Promise<string | null>;
  /** Ids of the repositories that an installation reaches; `GITHUB_GONE` when there is no such installation. */
  reachedRepositories(installationId: number): Promise<number[]>;
  /** Short-lived token for a read-only fetch of this one repository. */
  readToken(ref: RepoRef): Promise<string | null>;

  /** One reaction of the app at a time: removes its previous one. `null` only removes. */
  setReaction(ref: RepoRef, target: ReactionTarget, content: ReactionContent | null): Promise<void>;
  /** Creates missing labels (422 already_exists is fine), then adds and removes on the issue or pull request. */
  setLabels(ref: RepoRef, issue: number, change: { add: string[]; remove: string[] }): Promise<void>;
  /** The app's comment that starts with `marker`: created, or edited in place when the body differs. */
  ensureComment(ref: RepoRef, issue: number, marker: string, body: string): Promise<{ id: number; url: string }>;

  /** Never moves an existing branch. `sha` of the answer is where it points now. */
  ensureBranch(ref: RepoRef, branch: string, sha: string): Promise<{ sha: string }>;
  /** Verified commit with compare-and-swap on `expectedHead` (GITHUB_CONFLICT when it moved, unless the head carries `trailer`). */
  ensureCommit(ref: RepoRef, commit: CommitRequest): Promise<{ sha: string }>;
  deleteBranch(ref: RepoRef, branch: string): Promise<void>;
  /** The app's open pull request with this head, or a new one; draft refused → `[draft] ` in the title (rulings 23). */
  ensurePullRequest(
    ref: RepoRef,
    pull: { head: string; base: string; title: string; body: string; draft: boolean },
  ): Promise<PullRequestFacts>;
  updatePullRequest(ref: RepoRef, number: number, change: { title?: string; body?: string }): Promise<void>;
  pullRequest(ref: RepoRef, number: number): Promise<PullRequestFacts>;
  /** Open pull requests opened by the app in this repository. */
  ownOpenPullRequests(ref: RepoRef): Promise<PullRequestFacts[]>;
  pullRequestFiles(ref: RepoRef, number: number): Promise<PullRequestFile[]>;
  /** A refusal (author of the pull request, no collaborator) is not an error. */
  requestReviewer(ref: RepoRef, number: number, login: string): Promise<void>;
  /** One review of type COMMENT; found again by `marker` at the start of its body. */
  ensureReview(
    ref: RepoRef,
    number: number,
    review: { marker: string; commitSha: string; body: string; comments: ReviewComment[] },
  ): Promise<{ id: number; url: string; comments: number }>;
  /** Threads of review comments that the app began. */
  reviewThreads(ref: RepoRef, number: number): Promise<ReviewThread[]>;
  /** `GITHUB_REFUSED` where the installation may not. */
  setThreadResolved(ref: RepoRef, number: number, threadId: string, resolved: boolean): Promise<void>;
  /** One reply in the thread of a review comment; found again by `marker`. */
  ensureReply(ref: RepoRef, number: number, commentId: number, marker: string, body: string): Promise<void>;
  /** The app's check run with this name, head and `externalId`, created or updated. Each annotation is sent once. */
  ensureCheckRun(ref: RepoRef, state: CheckRunState): Promise<{ id: number; url: string }>;

  /** How a pull request ended, and the commits on its branch. */
  pullRequestEnd(ref: RepoRef, number: number): Promise<PullRequestEnd>;
  /** One commit with what it changes against its first parent; `GITHUB_GONE` when there is none. */
  commit(ref: RepoRef, sha: string): Promise<CommitFacts>;
  /** Check runs of one commit, all attempts, the app's own left out. */
  checks(ref: RepoRef, sha: string): Promise<SeenCheck[]>;
  /** Names of the checks that a branch requires. */
  requiredChecks(ref: RepoRef, branch: string): Promise<string[]>;

  /**
   * Every attempt of every workflow run at a commit, with the artifacts that it left; null in place of those of a run with more
   * attempts or artifacts, or of a commit with more runs, than are looked at. `GITHUB_GONE` where the installation may not read them.
   */
  workflowAttempts(ref: RepoRef, sha: string): Promise<(WorkflowAttempt & { artifacts: RunArtifact[] | null })[]>;
  /**
   * The zip, by the digest that GitHub has of it; null when it has expired. `GITHUB_REFUSED` when it is too large or lies where
   * nothing is fetched from, `GITHUB_TRANSIENT` when its storage is away.
   */
  artifact(ref: RepoRef, artifact: RunArtifact): Promise<Uint8Array | null>;

  /** Webhooks to the app since `since` of which no attempt was answered with 2xx, each with its newest attempt. */
  failedDeliveries(since: Date): Promise<{ id: number; guid: string; attempts: number }[]>;
  /** GitHub sends that attempt again, under the same delivery id. */
  redeliver(id: number): Promise<void>;
}

/** `bytes` of the zip; `digest` as `sha256:HEX`, null for one that an old action uploaded. */
export type RunArtifact = { id: number; name: string; bytes: number; digest: string | null };

export type CommitRequest = {
  branch: string;
  expectedHead: string;
  headline: string;
  body: string;
  /** Line that the commit message ends with, `FunPRM-Run: …`: finds the commit again. */
  trailer: string;
  additions: { path: string; content: Uint8Array }[];
  deletions: string[];
};

// ---------------------------------------------------------------- Stores

/**
 * At-least-once. A claim is one statement and counts the attempt. A dedupe key is unique among live jobs. An expired
 * lease is reclaimed. Every write of a worker carries its fence: a stale one is refused with `FENCED`.
 */
export interface JobStore {
  /**
   * Records the delivery and its job in one transaction. `duplicate` when the delivery id was committed before, or a live
   * job has the same dedupe key (then `job` is that job). A `forget-installation` job asks the other live jobs of the
   * installation, or of the repository that it names, to stop.
   */
  accept(
    delivery: { id: string; event: string; action: string | null } | null,
    job: NewJob | null,
  ): Promise<{ outcome: "accepted" | "duplicate"; job: Job | null }>;
  claim(worker: string, leaseSeconds: number, kinds?: readonly JobKind[]): Promise<Job | null>;
  heartbeat(job: Job, leaseSeconds: number): Promise<void>;
  complete(job: Job): Promise<void>;
  /** Back in the queue after `delaySeconds`; after `maxAttempts` it is dead. Says which. */
  retry(job: Job, error: { code: string; message: string }, delaySeconds: number): Promise<"queued" | "dead">;
  /** Gives a claimed job back for anybody to claim at once; the attempt does not count. */
  release(job: Job): Promise<void>;
  /** No further attempt. */
  bury(job: Job, error: { code: string; message: string }): Promise<void>;
  /** Asks the live jobs of a lane to stop; a holder sees it at its next heartbeat. False when there was none. */
  requestCancel(lane: string): Promise<boolean>;
  isCancelRequested(job: Job): Promise<boolean>;
  job(id: string): Promise<Job | null>;
  /** Queues a dead job again with all its attempts; when a live job has its dedupe key, that one. Null: no such dead job. */
  revive(id: string): Promise<Job | null>;
  /** Newest first, 100 unless told. */
  list(filter?: { state?: Job["state"]; limit?: number }): Promise<Job[]>;
  counts(): Promise<Record<Job["state"], number>>;
}

/** Upserts by natural ids: run = (repository id, issue number, generation); candidate = (run, index). */
export interface RunStore {
  /** The live run of the issue, or a new one with the next generation (rulings 21). */
  openRun(
    start: Pick<Run, "repositoryId" | "installationId" | "owner" | "repo" | "issueNumber" | "trigger" | "startedBy">,
  ): Promise<{ run: Run; joined: boolean }>;
  run(id: string): Promise<Run | null>;
  latestRun(repositoryId: number, issueNumber: number): Promise<Run | null>;
  /** Newest first, of one repository or installation where it is named; all of them without a limit. */
  listRuns(of: { repositoryId?: number; installationId?: number; limit?: number }): Promise<Run[]>;
  /**
   * Merges the given fields. `fence` is that of the running job that works on the run, 0 for a run that no job works on (a
   * local solve). The highest fence that has written owns the run: lower ones get `FENCED`.
   */
  saveRun(id: string, change: Partial<Omit<Run, "id">>, fence: number): Promise<Run>;
  saveCandidate(candidate: RunCandidate, fence: number): Promise<void>;
  candidates(runId: string): Promise<RunCandidate[]>;
  addEvent(event: Omit<RunEvent, "seq">): Promise<void>;
  events(runId: string): Promise<RunEvent[]>;
  /** Every remote write: planned → sent → confirmed(remoteId), unique on (run, kind, key). Saving an earlier or equal state changes nothing. */
  effect(runId: string, kind: string, key: string): Promise<Effect | null>;
  saveEffect(effect: Effect & { state: EffectState }, fence: number): Promise<void>;
  effects(runId: string): Promise<Effect[]>;
  /** LLM money spent since an instant, for one repository or all. */
  spentUsd(since: Date, repositoryId: number | null): Promise<number>;
  /** Ids of the repositories that runs or jobs of an installation are about. */
  repositoriesOf(installationId: number): Promise<number[]>;
  /** Runs, candidates, events, effects and waiting jobs of an installation, or of one repository of it (rulings 31). */
  deleteInstallation(installationId: number, repositoryId?: number): Promise<void>;
  /** Retention: of runs finished before the instant only hashes, states and costs stay. Says how many it cut. */
  expireBefore(instant: Date): Promise<number>;
}

/**
 * Where a fact belongs. `pullRequest` null: a fact of the repository (a push, a check of a commit); it is found again with
 * every pull request that names its commit, in whatever order the two arrive.
 */
export type FactPlace = { installationId: number; repositoryId: number; pullRequest: number | null };
export type PullRequestKey = { installationId: number; repositoryId: number; pullRequest: number };

/** A text that a label speaks of, as a training row holds it (rulings 1). */
export type LabelledText = {
  /** `functionId`; of a stored candidate its last function. */
  function: string;
  /** Run and index of a stored candidate; null for a function of the pull request. */
  candidate: { run: string; index: number } | null;
  /** `bodyHash` of review-scope.ts. */
  hash: string;
  language: Language;
  prompt: string;
  /** The function alone, or every step of the candidate, as rendered. */
  completions: string[];
  renderVersion: string;
};

/**
 * The log of what became of pull requests, and the texts that its labels speak of. Labels are derived when they are read,
 * never stored. A fact that comes twice stands once; the order of arrival never decides. A removed actor's facts are refused
 * from then on (`withoutActor` says which), so that the log is as if they had never been.
 */
export interface LearningStore {
  /** Where a repository with facts is now: upserts by its id. */
  saveRepository(ref: RepoRef): Promise<void>;
  repositories(): Promise<RepoRef[]>;
  /** Says how many of the facts were new or newer. */
  append(place: FactPlace, events: readonly OutcomeEvent[]): Promise<number>;
  /** Facts of one pull request, and those of its repository that can speak of it, oldest first; null: the repository's alone. */
  events(repositoryId: number, pullRequest: number | null): Promise<OutcomeEvent[]>;
  /** Pull requests with facts, by repository and number; `since` counts a pull request's newest own fact. */
  pullRequests(filter?: { installationId?: number; repositoryId?: number; since?: Date }): Promise<PullRequestKey[]>;
  /** Pull requests of which a fact names the commit. */
  pullRequestsAt(repositoryId: number, sha: string): Promise<PullRequestKey[]>;
  /**
   * Upserts by repository, pull request, candidate, function and hash. Of a pull request that the log has not seen opened
   * nothing is kept: who opened it may have been removed since the texts were read.
   */
  saveTexts(place: PullRequestKey, texts: readonly LabelledText[]): Promise<void>;
  texts(repositoryId: number, pullRequest: number): Promise<LabelledText[]>;
  /** Their pull requests with texts, and in others' what they pushed or judged. Says how many facts went. */
  removeActor(actor: string): Promise<number>;
  removedActors(): Promise<string[]>;
  /** Facts and texts of an installation, or of one repository of it. */
  deleteInstallation(installationId: number, repositoryId?: number): Promise<void>;
  /** Retention: pull requests without a fact since the instant, and older facts of repositories. Says how many facts went. */
  expireBefore(instant: Date): Promise<number>;
}

/** What a version says of itself when it is registered; what the store knows of it stays unless told anew. */
export type NewModelVersion = Omit<ModelVersion, "decision" | "createdAt"> & Partial<Pick<ModelVersion, "decision">>;

/**
 * Versions of the reward model by the hash of their weights (an upsert), and which of them scores: the newest row of an
 * append-only log of switches, so that one insert switches and another takes it back. Activating a version that is not
 * registered is `BAD_USAGE` and switches nothing.
 */
export interface ModelRegistry {
  register(version: NewModelVersion): Promise<ModelVersion>;
  /** Oldest first. */
  versions(): Promise<ModelVersion[]>;
  version(sha256: string): Promise<ModelVersion | null>;
  /** Null while nothing was ever switched. */
  active(): Promise<ModelVersion | null>;
  activate(sha256: string, why: { by: string; reason: string }): Promise<void>;
  /** Newest first. */
  switches(): Promise<ModelSwitch[]>;
}

/**
 * What reviews of people's pull requests scored and said, and what people answered. Upserts by natural ids: reviewed function =
 * (repository, pull request, head, function, body, model version), finding = the same without the head. Holds no source.
 */
export interface ReviewStore {
  saveReviewed(rows: readonly ReviewedRow[]): Promise<void>;
  /** Oldest first, of one repository and pull request where they are named; of these the `newest` rows. */
  reviewed(filter?: { repositoryId?: number; pullRequest?: number; newest?: number }): Promise<ReviewedRow[]>;
  /** What was ever scored in which repository, by which model. */
  reviewedKeys(): Promise<CalibrationKey[]>;
  saveFinding(finding: Omit<Finding, "createdAt" | "updatedAt">): Promise<void>;
  /** Oldest first. */
  findings(filter: { repositoryId: number; pullRequest?: number }): Promise<Finding[]>;
  /** Not paused and without rounds while nothing was saved. */
  pull(place: Pick<ReviewedPull, "repositoryId" | "installationId" | "pullRequest">): Promise<ReviewedPull>;
  savePull(pull: ReviewedPull): Promise<void>;
  /** Rewards by hash of the scored row, of one model: what did not change is not scored again. */
  rewards(installationId: number, modelSha256: string, keys: readonly string[]): Promise<Map<string, ScoredRow>>;
  saveRewards(installationId: number, modelSha256: string, rows: ReadonlyMap<string, ScoredRow>): Promise<void>;
  /** The newest fit; null while there is none. */
  calibration(key: CalibrationKey): Promise<StoredCalibration | null>;
  /** The next version of its key: one whose content equals the newest is not saved again. */
  saveCalibration(calibration: Omit<StoredCalibration, "version" | "fittedAt">): Promise<StoredCalibration>;
  /** Ids of the repositories that rows of an installation are about. */
  repositoriesOf(installationId: number): Promise<number[]>;
  /** Rows of an installation, or of one repository of it. Rewards know no repository: they all go, and are scored again. */
  deleteInstallation(installationId: number, repositoryId?: number): Promise<void>;
  /** Retention: rows, findings and rewards last touched before the instant. Says how many reviewed functions went. */
  expireBefore(instant: Date): Promise<number>;
}

/** `month` as `2026-10`. `whole`: written after the month had ended. `commentId` null until GitHub has answered. */
export type PostedReport = {
  repositoryId: number;
  installationId: number;
  month: string;
  issue: number;
  state: EffectState;
  whole: boolean;
  commentId: number | null;
};

/** Where each month's report of a repository stands: one row, planned → sent → confirmed, upserted by repository and month. */
export interface ReportStore {
  report(repositoryId: number, month: string): Promise<PostedReport | null>;
  saveReport(report: PostedReport): Promise<void>;
  /** Rows of an installation, or of one repository of it. */
  deleteInstallation(installationId: number, repositoryId?: number): Promise<void>;
  /** Retention: rows last touched before the instant. Says how many went. */
  expireBefore(instant: Date): Promise<number>;
}

export type CalibrationKey = Pick<StoredCalibration, "repositoryId" | "language" | "modelVersion">;

// ---------------------------------------------------------------- Files

export type WrittenFile = { path: string; sha256: string; bytes: number; rows: number };

/**
 * Files of rows, gzip by name. A row is checked when it is read (`BAD_INPUT` names file, line and field); a file is
 * complete or absent when it is written, and the same rows give the same bytes. Unreadable: `FILE_UNREADABLE`.
 */
export interface Files {
  text(path: string): Promise<string>;
  /** Rows of a candidate set; a `.json` file is what LiveCodeBench's or BigCodeBench's runner wrote. */
  candidateSet(path: string): AsyncIterable<CandidateSetProblem>;
  trainingRows(path: string): AsyncIterable<TrainingRow>;
  /** One recorded run; its seal is not looked at here. */
  runFile(path: string): Promise<RunFile>;
  /** Recorded or scripted answers of a generator. */
  answers(path: string): AsyncIterable<RecordedAnswer>;
  writeRows(path: string, rows: AsyncIterable<unknown> | Iterable<unknown>): Promise<WrittenFile>;
  writeText(path: string, text: string): Promise<WrittenFile>;
  /** Names of the folders in a folder, sorted; none when it is not there. */
  folders(path: string): Promise<string[]>;
  /** A folder with all that is in it; nothing when it is not there. */
  remove(path: string): Promise<void>;
}

/** Results by content hash that outlive the process. A value that was put is there at the next start. */
export interface RowCache<Value> {
  get(key: string): Value | undefined;
  put(key: string, value: Value): void;
}

// ---------------------------------------------------------------- Clock, Log

export interface Clock {
  now(): Date;
  /** Resolves early (without error) when the signal aborts. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

/** Structured, redacted. `fields` never hold a token. */
export interface Log {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

export type { Verdict };
