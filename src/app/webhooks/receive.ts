/**
 * From a verified webhook to a job, in one transaction with its delivery. No API call, no decision that needs one: the
 * flow reads GitHub's state when the job runs.
 */
import { type Command, parseCommand } from "../../domain/command.ts";
import {
  type AnswerFindingPayload,
  answerFindingJob,
  forgetJob,
  type InThread,
  type IssuePlace,
  isTriggerLabel,
  replyJob,
  reportJob,
  reviewJob,
  STATE_LABELS,
  solveJob,
  stopJob,
} from "../../domain/job-payloads.ts";
import { looksMarked } from "../../domain/marker.ts";
import type { NewJob } from "../../domain/run.ts";
import type { JobStore } from "../../ports.ts";
import { type OutcomeWebhook, outcomeJob } from "./outcome-job.ts";

/** The fields in use; everything else of a payload is ignored. */
export type Webhook = {
  id: string;
  name: string;
  payload: {
    action?: string;
    installation?: { id: number } | null;
    repository?: { id: number; name: string; owner: { login: string } };
    repositories_removed?: { id: number }[];
    sender?: { login: string; type?: string };
    issue?: { number: number; pull_request?: unknown };
    label?: { name?: string };
    pull_request?: { number: number; head?: { sha: string }; user?: { login: string; type?: string } | null };
    check_suite?: { pull_requests?: { number: number }[] };
    check_run?: { external_id?: string | null; pull_requests?: { number: number }[] };
    requested_action?: { identifier?: string };
    comment?: {
      id: number;
      node_id?: string;
      body?: string | null;
      user?: { login: string; type?: string } | null;
      in_reply_to_id?: number;
    };
  };
};

/** Records the delivery and its job; tells the worker to look. A delivery that asks for nothing is recorded too. */
export async function receive(webhook: Webhook, jobs: JobStore, wake: () => void): Promise<"accepted" | "duplicate"> {
  const told = outcomeJob(webhook.name, webhook.payload as OutcomeWebhook);
  const all = [told, jobOf(webhook), ...removedJobs(webhook)].filter((job) => job !== null);
  const job = all.pop();
  if (job === undefined) return "accepted";
  const delivery = { id: webhook.id, event: webhook.name, action: webhook.payload.action ?? null };
  // A delivery commits with one job. The others go first, each with a part of it: when it is lost between two, it comes again
  // and adds what is missing; when it comes again for another reason, it adds nothing.
  for (const [part, other] of all.entries()) await jobs.accept({ ...delivery, id: `${webhook.id}/${part}` }, other);
  const { outcome } = await jobs.accept(delivery, job);
  if (outcome === "accepted") wake();
  return outcome;
}

/**
 * One for each repository that a person took from the installation: they wait for nobody, and fail alone. GitHub names none
 * when "all repositories" becomes a selection.
 */
function removedJobs({ name, payload }: Webhook): NewJob[] {
  const { action, installation, repositories_removed: removed = [] } = payload;
  if (name !== "installation_repositories" || action !== "removed" || !installation) return [];
  if (removed.length === 0) return [forgetJob({ installationId: installation.id, unnamed: true })];
  return removed.map(({ id }) => forgetJob({ installationId: installation.id, repositoryId: id }));
}

export function jobOf({ name, payload }: Webhook): NewJob | null {
  const { installation, repository, sender, issue } = payload;
  if (name === "installation" && payload.action === "deleted" && installation)
    return forgetJob({ installationId: installation.id });
  // Deleted on GitHub, it goes as one that was taken from the installation; where GitHub says both, they are one job.
  if (name === "repository" && payload.action === "deleted" && installation && repository)
    return forgetJob({ installationId: installation.id, repositoryId: repository.id });
  if (installation && repository && sender && REVIEW_EVENTS.has(name))
    return reviewOf(name, payload, {
      installationId: installation.id,
      repositoryId: repository.id,
      owner: repository.owner.login,
      repo: repository.name,
    });
  // A bot that answers a bot never stops; what the app does itself comes back as a webhook too.
  if (!installation || !repository || !issue || !sender || sender.type === "Bot") return null;
  const place: IssuePlace = {
    installationId: installation.id,
    repositoryId: repository.id,
    owner: repository.owner.login,
    repo: repository.name,
    issueNumber: issue.number,
  };
  switch (`${name}.${payload.action}`) {
    case "issues.labeled": {
      const label = payload.label?.name ?? "";
      return isTriggerLabel(label)
        ? solveJob({ ...place, trigger: { kind: "label", label }, startedBy: sender.login, options: {} })
        : null;
    }
    case "issues.unlabeled": {
      const label = payload.label?.name ?? "";
      return isTriggerLabel(label) || label === STATE_LABELS.running
        ? stopJob({ ...place, by: sender.login, cause: { kind: "label_removed", label } })
        : null;
    }
    case "issues.closed":
      return stopJob({ ...place, by: sender.login, cause: { kind: "closed" } });
    case "issue_comment.created":
      return commandJob(place, payload);
    default:
      return null;
  }
}

const REVIEW_EVENTS: ReadonlySet<string> = new Set([
  "pull_request",
  "pull_request_review_comment",
  "check_run",
  "check_suite",
]);
const REVIEWED_WHEN: Readonly<Record<string, "opened" | "ready" | "synchronize">> = {
  opened: "opened",
  reopened: "opened",
  ready_for_review: "ready",
  synchronize: "synchronize",
};

/** Events of a pull request, commands in its threads, and the buttons of our own check run. */
function reviewOf(name: string, payload: Webhook["payload"], place: Omit<IssuePlace, "issueNumber">): NewJob | null {
  if (name === "pull_request_review_comment") return threadCommandJob(payload, place);
  if (name === "pull_request") {
    const number = payload.pull_request?.number;
    const trigger = REVIEWED_WHEN[payload.action ?? ""];
    if (number === undefined || trigger === undefined) return null;
    const head = payload.pull_request?.head?.sha ?? null;
    return reviewJob({ ...place, issueNumber: number, trigger, asked: false, full: false, head, command: null });
  }
  if (payload.sender?.type === "Bot") return null;
  if (name === "check_suite") {
    // "Re-run all checks". GitHub names no pull request of a fork there: its check run has a button of its own.
    const suite = payload.action === "rerequested" ? payload.check_suite?.pull_requests?.[0]?.number : undefined;
    return suite === undefined ? null : reviewJob({ ...place, issueNumber: suite, ...BY_HAND, trigger: "suite" });
  }
  const number = /^review-(\d+)(?:-|$)/.exec(payload.check_run?.external_id ?? "")?.[1];
  if (number === undefined) return null;
  const at = { ...place, issueNumber: Number(number) };
  if (payload.requested_action?.identifier === "ignore-all")
    return answerFindingJob({
      ...at,
      by: payload.sender!.login,
      command: { verb: "ignore", text: "pr" },
      from: { kind: "button" },
    });
  const full = payload.requested_action?.identifier === "rescore";
  return full || payload.action === "rerequested" ? reviewJob({ ...at, ...BY_HAND, full, trigger: "button" }) : null;
}

const BY_HAND = { asked: true, full: false, head: null, command: null };
const ANSWERS = ["ignore", "wrong", "right", "resolve", "pause", "resume"] as const;

function isAnswer(command: Command): command is AnswerFindingPayload["command"] {
  return (ANSWERS as readonly string[]).includes(command.verb);
}

/** A command in the thread of a review comment: one about findings speaks of the function that the thread is about. */
function threadCommandJob(
  { action, comment, sender, pull_request: pull }: Webhook["payload"],
  place: Omit<IssuePlace, "issueNumber">,
): NewJob | null {
  const body = comment?.body ?? "";
  if (action !== "created" || !comment || !pull) return null;
  if (sender!.type === "Bot" || comment.user?.type === "Bot" || looksMarked(body)) return null;
  const command = parseCommand(body);
  if (command === null) return null;
  const thread = { nodeId: comment.node_id ?? "", firstCommentId: comment.in_reply_to_id ?? comment.id };
  return pullCommandJob({ ...place, issueNumber: pull.number }, command, sender!.login, { ...comment, thread });
}

/** In the conversation or, with `thread`, in one of a review. */
function pullCommandJob(
  place: IssuePlace,
  command: Command,
  by: string,
  { id: commentId, thread }: { id: number; thread?: InThread },
): NewJob {
  const inThread = thread === undefined ? {} : { thread };
  // In a thread its answer has no place: the reply says where it has.
  if (command.verb === "report" && thread === undefined) {
    const { issueNumber, ...where } = place;
    return reportJob({ ...where, month: null, command: { by, commentId, issueNumber } });
  }
  if (command.verb === "review")
    return reviewJob({
      ...place,
      ...BY_HAND,
      trigger: "command",
      full: command.full,
      command: { by, commentId, ...inThread },
    });
  if (isAnswer(command)) {
    const from = thread === undefined ? ({ kind: "comment" } as const) : ({ kind: "thread", ...thread } as const);
    return answerFindingJob({ ...place, by, command, from: { ...from, commentId } });
  }
  return replyJob({ ...place, commentId, ...inThread, by, onPullRequest: true, command });
}

function commandJob(place: IssuePlace, { comment, issue, sender }: Webhook["payload"]): NewJob | null {
  const body = comment?.body ?? "";
  if (!comment || comment.user?.type === "Bot" || looksMarked(body)) return null;
  const command = parseCommand(body);
  if (command === null) return null;
  const by = sender!.login;
  if (command.verb === "report" || (issue!.pull_request !== undefined && issue!.pull_request !== null))
    return pullCommandJob(place, command, by, { id: comment.id });
  if (command.verb === "fix" || command.verb === "retry") {
    return solveJob({
      ...place,
      trigger: { kind: "command", commentId: comment.id, verb: command.verb },
      startedBy: by,
      options: command.verb === "fix" ? command.options : {},
    });
  }
  if (command.verb === "stop") return stopJob({ ...place, by, cause: { kind: "command", commentId: comment.id } });
  return replyJob({ ...place, commentId: comment.id, by, onPullRequest: false, command });
}
