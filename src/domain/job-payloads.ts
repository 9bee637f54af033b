/** What each kind of job carries, and the keys that make jobs unique. Types and pure builders only. */
import type { Command, FixOptions } from "./command.ts";
import { sha256 } from "./ids.ts";
import type { SeenCheck } from "./outcome.ts";
import type { JobKind, NewJob, RunTrigger } from "./run.ts";

/** The label that starts a run unless the repository's configuration names another. */
export const DEFAULT_FIX_LABEL = "funprm:fix";
/** Labels that the app itself sets; a person removes `running` to stop a run. */
export const STATE_LABELS = {
  running: "funprm:running",
  opened: "funprm:pr",
  abstained: "funprm:abstained",
  failed: "funprm:failed",
} as const;

/**
 * Whether a label can be a configured trigger. The webhook handler makes no API call, so it cannot read a repository's
 * configuration: it lets every label of ours through that is not a state, and the flow compares with the configured one.
 */
export function isTriggerLabel(label: string): boolean {
  return label.startsWith("funprm:") && !(Object.values(STATE_LABELS) as string[]).includes(label);
}

/** Where an issue is. */
export type IssuePlace = {
  installationId: number;
  repositoryId: number;
  owner: string;
  repo: string;
  issueNumber: number;
};

export type SolveIssuePayload = IssuePlace & {
  trigger: Exclude<RunTrigger, { kind: "local" }>;
  /** Login of who labelled or commanded; the flow asks GitHub for their role. */
  startedBy: string;
  options: FixOptions;
};

export type StopRunPayload = IssuePlace & {
  by: string;
  /**
   * `label_removed` names the label, for the flow to compare with the configured one; removing a label or closing needs
   * rights already, a `command` does not.
   */
  cause: { kind: "label_removed"; label: string } | { kind: "closed" } | { kind: "command"; commentId: number };
};

/** Where a command stands that is no comment of the conversation: GraphQL's id of the comment, REST's of the thread's first. */
export type InThread = { nodeId: string; firstCommentId: number };

export type ReplyCommandPayload = IssuePlace & {
  commentId: number;
  thread?: InThread;
  by: string;
  /** True when the comment stands on a pull request, where `fix`, `retry` and `stop` have no meaning. */
  onPullRequest: boolean;
  command: Command;
};

/** `issueNumber` is the pull request's number. */
export type ReviewPullPayload = IssuePlace & {
  trigger: "opened" | "ready" | "synchronize" | "command" | "button" | "suite";
  /** The head that the event speaks of; a newer one has an event of its own. Null: whatever the head is. */
  head: string | null;
  /** A person asked for it: settings that say when to begin by itself do not hold. */
  asked: boolean;
  /** Every function afresh, not only what changed since the last review. */
  full: boolean;
  /** Whose command it was, for their role and the reaction; null for an event or a button, which needs write access. */
  command: { by: string; commentId: number; thread?: InThread } | null;
};

/** What a command's answer is set on. */
export function reactionTarget({ commentId, thread }: { commentId: number; thread?: InThread }) {
  return thread === undefined
    ? ({ kind: "comment", commentId } as const)
    : ({ kind: "review-comment", nodeId: thread.nodeId } as const);
}

/** `ignore`, `resolve`, `wrong`, `right`, `pause`, `resume` on a pull request. */
export type AnswerFindingPayload = IssuePlace & {
  by: string;
  command: Extract<Command, { verb: "ignore" | "wrong" | "right" | "resolve" | "pause" | "resume" }>;
  /** Where it was given: in the conversation, in the thread of a review comment, or by the check run's button. */
  from:
    | { kind: "comment"; commentId: number }
    | ({ kind: "thread"; commentId: number } & InThread)
    | { kind: "button" };
};

/** `sweep`: what lost webhooks would have told, of pull requests merged within the survival window. */
export type RecordOutcomePayload = Omit<IssuePlace, "issueNumber"> & {
  saw: /** It was closed, merged or opened again: the job reads which. */
    | { kind: "pull"; number: number }
    /** `after` and `before` are heads of a branch; `at` is milliseconds since 1970; `by` is who pushed, for GitHub. */
    | { kind: "pushed"; branch: string; before: string; after: string; at: number; by: string | null }
    /**
     * What a webhook says of checks at a commit; null: the job reads all. `workflow`: a run of GitHub Actions ended there, which
     * may have left artifacts.
     */
    | { kind: "checks"; sha: string; checks: SeenCheck[] | null; workflow?: true }
    | { kind: "branch_renamed"; from: string; to: string; at: number }
    /** A run ended: its two best candidates may be judged for the measure alone. */
    | { kind: "shadow"; run: string }
    | { kind: "sweep" };
};

/**
 * `month`: one that is over, as `2026-10` in UTC, which is said once; null: the running one so far, as often as it is asked for.
 * `command`: where a person asked, for their role and the answer; null: the schedule or the operator.
 */
export type ReportLearningPayload = Omit<IssuePlace, "issueNumber"> & {
  month: string | null;
  command: { by: string; commentId: number; issueNumber: number } | null;
};

/**
 * With `repositoryId`: that one was removed from the installation, and its others stay. `unnamed`: some were, and GitHub does
 * not say which.
 */
export type ForgetInstallationPayload = { installationId: number; repositoryId?: number; unnamed?: true };

export type JobPayloads = {
  "solve-issue": SolveIssuePayload;
  "stop-run": StopRunPayload;
  "reply-command": ReplyCommandPayload;
  "review-pull": ReviewPullPayload;
  "answer-finding": AnswerFindingPayload;
  "record-outcome": RecordOutcomePayload;
  "report-learning": ReportLearningPayload;
  "forget-installation": ForgetInstallationPayload;
};

/** Lane of an issue's runs. */
export function solveKey(place: Pick<IssuePlace, "repositoryId" | "issueNumber">): string {
  return `issue:${place.repositoryId}:${place.issueNumber}`;
}

/**
 * All triggers of an issue share its lane, so they run one after the other; a command has a key of its own, so that one
 * given in the moment when a run ends is not lost. The flow drops what came while a run lived.
 */
export function solveJob(payload: SolveIssuePayload): NewJob {
  const lane = solveKey(payload);
  const key = payload.trigger.kind === "command" ? `${lane}:comment:${payload.trigger.commentId}` : lane;
  return job("solve-issue", key, lane, payload);
}

/** In a lane of its own: in the issue's lane it would wait for the very run that it stops. */
export function stopJob(payload: StopRunPayload): NewJob {
  const lane = `stop:${payload.repositoryId}:${payload.issueNumber}`;
  const { cause } = payload;
  const detail = cause.kind === "command" ? cause.commentId : cause.kind === "label_removed" ? cause.label : "";
  return job("stop-run", `${lane}:${cause.kind}:${detail}`, lane, payload);
}

export function replyJob(payload: ReplyCommandPayload): NewJob {
  const key = `comment:${payload.repositoryId}:${payload.commentId}`;
  return job("reply-command", key, key, payload);
}

/**
 * One review of a pull request at a time. The head is part of the key: a push during the review of the head before it must
 * not be taken for the same job, nor a draft that is ready for one that was left alone.
 */
export function reviewJob(payload: ReviewPullPayload): NewJob {
  const lane = `review:${payload.repositoryId}:${payload.issueNumber}`;
  const which = payload.asked
    ? payload.full
      ? "asked:full"
      : "asked"
    : `${payload.head ?? ""}${payload.trigger === "ready" ? ":ready" : ""}`;
  const command = payload.command === null ? "" : `:${payload.command.commentId}`;
  return job("review-pull", `${lane}:${which}${command}`, lane, payload);
}

/** In the lane of the pull request's reviews: both write what was said. */
export function answerFindingJob(payload: AnswerFindingPayload): NewJob {
  const lane = `review:${payload.repositoryId}:${payload.issueNumber}`;
  const { from } = payload;
  return job("answer-finding", `${lane}:${from.kind}:${from.kind === "button" ? "" : from.commentId}`, lane, payload);
}

/** Facts of one pull request wait for each other; those of a repository do not wait for tests that run. */
export function recordJob(payload: RecordOutcomePayload): NewJob {
  const { saw, repositoryId } = payload;
  const own = saw.kind === "pull" ? `:${saw.number}` : saw.kind === "shadow" ? ":shadow" : "";
  const lane = `outcome:${repositoryId}${own}`;
  return job("record-outcome", `${lane}:${sha256(JSON.stringify(saw)).slice(0, 16)}`, lane, payload);
}

/** One lane a repository: two reports of it never look for the same comment side by side. */
export function reportJob(payload: ReportLearningPayload): NewJob {
  const lane = `report:${payload.repositoryId}`;
  return job("report-learning", `${lane}:${payload.month ?? payload.command?.commentId ?? "now"}`, lane, payload);
}

/** The app was uninstalled, or a repository taken from it: what it stored goes (rulings 31). */
export function forgetJob(payload: ForgetInstallationPayload): NewJob {
  const { installationId, repositoryId, unnamed } = payload;
  const which = repositoryId ?? (unnamed ? "unnamed" : null);
  const key = `forget:${installationId}${which === null ? "" : `:${which}`}`;
  return job("forget-installation", key, key, payload);
}

function job(kind: JobKind, dedupeKey: string, lane: string, payload: unknown): NewJob {
  return { kind, dedupeKey, lane, payload };
}
