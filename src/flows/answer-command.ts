/** Commands that answer at once, and commands that stop a run. */
import { FunprmError } from "../domain/errors.ts";
import {
  type IssuePlace,
  type ReplyCommandPayload,
  reactionTarget,
  STATE_LABELS,
  type StopRunPayload,
  solveKey,
} from "../domain/job-payloads.ts";
import { code, table } from "../domain/markdown.ts";
import { signMarker } from "../domain/marker.ts";
import { describeConfig, type ParsedRepoConfig } from "../domain/repo-config.ts";
import type { Job } from "../domain/run.ts";
import type { GitHost, JobStore, RepoRef } from "../ports.ts";

export type CommandPorts = {
  host: GitHost;
  jobs: JobStore;
  parseConfig(text: string | null): ParsedRepoConfig;
  markerKey: string;
};

const HELP = table(
  ["Command", "What it does"],
  [
    ["`/funprm fix [n=8] [budget=1.50] [path=src/**]`", "starts a run on this issue"],
    [
      "`/funprm review [full]`",
      "on a pull request: scores the functions that it changes, in the check run; `full` looks at unchanged ones afresh",
    ],
    [
      "`/funprm ignore [function\\|pr]`",
      "silence about a finding until the function changes: in its thread, by name, or all of the pull request",
    ],
    [
      "`/funprm wrong [function] [reason]`, `/funprm right`",
      "says whether a finding was right: it is learnt from, and a wrong one is silent from then on",
    ],
    ["`/funprm resolve`", "closes every thread of the app on this pull request"],
    ["`/funprm pause`, `/funprm resume`", "stops and restarts reviews of this pull request"],
    ["`/funprm stop`", "stops the run"],
    ["`/funprm retry`", "starts again"],
    ["`/funprm report`", "what was learned this month so far, in the issue that `learn.report` names"],
    ["`/funprm config`", "shows the settings in force and where each comes from"],
    ["`/funprm help`", "shows this"],
  ],
);

/** A person with the right to start a run asks the live one to stop. Label changes of the app itself never get here. */
export async function stopRun(ports: CommandPorts, job: Job): Promise<void> {
  const payload = job.payload as StopRunPayload;
  const ref = refOf(payload);
  const { cause } = payload;
  if (cause.kind === "command") {
    const role = await ports.host.role(ref, payload.by);
    if (role !== "admin" && role !== "write") {
      await ports.host.setReaction(ref, { kind: "comment", commentId: cause.commentId }, "-1");
      return;
    }
  }
  if (cause.kind === "label_removed" && cause.label !== STATE_LABELS.running) {
    // The app swaps the trigger for its state label: a person took the trigger away only while it still stood alone.
    const issue = await ports.host.issue(ref, payload.issueNumber);
    if (issue.labels.includes(STATE_LABELS.running)) return;
  }
  const stopped = await ports.jobs.requestCancel(solveKey(payload));
  if (cause.kind === "command")
    await ports.host.setReaction(ref, { kind: "comment", commentId: cause.commentId }, stopped ? "+1" : "confused");
}

export async function replyCommand(ports: CommandPorts, job: Job): Promise<void> {
  const payload = job.payload as ReplyCommandPayload;
  const ref = refOf(payload);
  const { command } = payload;
  await ports.host.setReaction(ref, reactionTarget(payload), command.verb === "unknown" ? "confused" : "+1");
  const marker = signMarker(
    ports.markerKey,
    { kind: "reply", fields: { comment: `${payload.commentId}` } },
    { repositoryId: ref.repositoryId, number: payload.issueNumber },
  );
  const text =
    command.verb === "unknown"
      ? command.hint
      : command.verb === "config"
        ? await configText(ports, ref)
        : command.verb === "help"
          ? HELP
          : command.verb === "report"
            ? "`/funprm report` works in the conversation, not in a thread."
            : !["fix", "stop", "retry"].includes(command.verb)
              ? `\`/funprm ${command.verb}\` works on pull requests.`
              : `\`/funprm ${command.verb}\` works on issues. On a pull request of the app, comment on its issue.`;
  const body = `${marker}\n${text}`;
  if (payload.thread === undefined) await ports.host.ensureComment(ref, payload.issueNumber, marker, body);
  else await ports.host.ensureReply(ref, payload.issueNumber, payload.thread.firstCommentId, marker, body);
}

async function configText(ports: CommandPorts, ref: RepoRef): Promise<string> {
  const facts = await ports.host.repository(ref);
  const base = await ports.host.branchSha(ref, facts.defaultBranch);
  const bytes = base === null ? null : await ports.host.readFile(ref, ".github/funprm.yml", base);
  try {
    const parsed = ports.parseConfig(bytes === null ? null : new TextDecoder().decode(bytes));
    const problems = parsed.problems.map((problem) => `* line ${problem.line}: ${code(problem.message)}`).join("\n");
    const rows = describeConfig(parsed).map((row) => [code(row.key), code(row.value), row.origin]);
    return `${table(["Setting", "Value", "From"], rows)}${problems === "" ? "" : `\n\n${problems}`}`;
  } catch (error) {
    if (error instanceof FunprmError && error.kind === "user") return code(error.message);
    throw error;
  }
}

function refOf(place: IssuePlace): RepoRef {
  return {
    installationId: place.installationId,
    repositoryId: place.repositoryId,
    owner: place.owner,
    repo: place.repo,
  };
}
