/** Commands about findings on a pull request, and the button that silences all of them. */
import { FunprmError } from "../domain/errors.ts";
import { type Finding, LIVE_STATES, meantFindings } from "../domain/finding.ts";
import { type AnswerFindingPayload, reviewJob } from "../domain/job-payloads.ts";
import { code } from "../domain/markdown.ts";
import { signMarker } from "../domain/marker.ts";
import { functionId } from "../domain/outcome.ts";
import type { ParsedRepoConfig } from "../domain/repo-config.ts";
import type { Job } from "../domain/run.ts";
import type { Clock, GitHost, JobStore, LearningStore, ReactionContent, RepoRef, ReviewStore } from "../ports.ts";

export type AnswerFindingPorts = {
  host: GitHost;
  jobs: JobStore;
  reviews: ReviewStore;
  learning: LearningStore;
  clock: Clock;
  parseConfig(text: string | null): ParsedRepoConfig;
  markerKey: string;
};

type Answering = { ref: RepoRef; payload: AnswerFindingPayload };

export async function answerFinding(ports: AnswerFindingPorts, job: Job): Promise<void> {
  const payload = job.payload as AnswerFindingPayload;
  const { installationId, repositoryId, owner, repo, issueNumber, by, command } = payload;
  const at: Answering = { ref: { installationId, repositoryId, owner, repo }, payload };
  const role = await ports.host.role(at.ref, by);
  if (role !== "admin" && role !== "write") return react(ports, at, "-1");
  if (!("text" in command) && command.verb !== "resolve") {
    const pull = await ports.reviews.pull({ repositoryId, installationId, pullRequest: issueNumber });
    await ports.reviews.savePull({ ...pull, pausedBy: command.verb === "pause" ? by : null });
    // What was pushed meanwhile has a check run that says "paused".
    if (command.verb === "resume") await reviewAgain(ports, payload);
    return react(ports, at, "+1");
  }
  const all = await ports.reviews.findings({ repositoryId, pullRequest: issueNumber });
  const open = all.filter((one) => LIVE_STATES.includes(one.state));
  if (!("text" in command)) {
    for (const one of all) await closeThread(ports, at, one);
    return react(ports, at, "+1");
  }
  const thread = payload.from.kind === "thread" ? payload.from.firstCommentId : null;
  const meant = meantFindings(thread === null ? open : all, command, thread);
  if (meant.findings.length === 0) {
    await react(ports, at, "confused");
    return hint(ports, at, open);
  }
  for (const finding of meant.findings) await settle(ports, at, finding, meant.reason);
  await reviewAgain(ports, payload);
  await react(ports, at, "+1");
}

/** A verdict is remembered with the finding and told to the outcome log; a silenced finding's thread is closed. */
async function settle(
  ports: AnswerFindingPorts,
  at: Answering,
  finding: Finding,
  reason: string | null,
): Promise<void> {
  const { payload, ref } = at;
  const { verb } = payload.command;
  const state = verb === "right" || verb === "wrong" ? verb : "dismissed";
  const judged = state === "dismissed" ? {} : { verdict: state, judgedAt: ports.clock.now().toISOString() };
  await ports.reviews.saveFinding({ ...finding, ...judged, state, by: payload.by, reason });
  if (state !== "right") await closeThread(ports, at, finding);
  if (state === "dismissed" || !(await collects(ports, ref))) return;
  const id = functionId(finding.path, finding.name);
  const told = payload.from.kind === "button" ? "" : `${payload.from.kind}:${payload.from.commentId}`;
  await ports.learning.append(
    { installationId: ref.installationId, repositoryId: ref.repositoryId, pullRequest: payload.issueNumber },
    [
      {
        id: `verdict:${told}:${id}`,
        at: ports.clock.now().getTime(),
        actor: payload.by,
        kind: "verdict",
        function: id,
        verdict: state,
      },
    ],
  );
}

/** A file that cannot be read switches nothing on. */
async function collects({ host, parseConfig }: AnswerFindingPorts, ref: RepoRef): Promise<boolean> {
  const { defaultBranch } = await host.repository(ref);
  const tip = await host.branchSha(ref, defaultBranch);
  const bytes = tip === null ? null : await host.readFile(ref, ".github/funprm.yml", tip);
  try {
    return parseConfig(bytes === null ? null : new TextDecoder().decode(bytes)).config.learn.collect !== "none";
  } catch {
    return false;
  }
}

async function closeThread({ host }: AnswerFindingPorts, { ref, payload }: Answering, finding: Finding): Promise<void> {
  if (finding.threadId === null) return;
  await host.setThreadResolved(ref, payload.issueNumber, finding.threadId, true).catch((error: unknown) => {
    // An installation without the right to resolve keeps the thread open; the finding is silent all the same.
    if (!(error instanceof FunprmError && (error.code === "GITHUB_REFUSED" || error.code === "GITHUB_GONE")))
      throw error;
  });
}

/** So that the check run no longer says what was answered. */
async function reviewAgain({ jobs }: AnswerFindingPorts, payload: AnswerFindingPayload): Promise<void> {
  const { installationId, repositoryId, owner, repo, issueNumber } = payload;
  const place = { installationId, repositoryId, owner, repo, issueNumber };
  await jobs.accept(
    null,
    reviewJob({ ...place, trigger: "button", asked: true, full: false, head: null, command: null }),
  );
}

async function react(
  { host }: AnswerFindingPorts,
  { ref, payload }: Answering,
  content: ReactionContent,
): Promise<void> {
  const { from } = payload;
  if (from.kind === "comment") await host.setReaction(ref, { kind: "comment", commentId: from.commentId }, content);
  if (from.kind === "thread") await host.setReaction(ref, { kind: "review-comment", nodeId: from.nodeId }, content);
}

async function hint({ host, markerKey }: AnswerFindingPorts, { ref, payload }: Answering, open: readonly Finding[]) {
  const { from, issueNumber, command } = payload;
  if (from.kind === "button") return;
  const names = [...new Set(open.map((one) => one.name))].map(code).join(", ");
  const text =
    open.length === 0
      ? "There is no open finding on this pull request."
      : `Which finding? \`/funprm ${command.verb} NAME\` with one of: ${names}.`;
  const place = { repositoryId: ref.repositoryId, number: issueNumber };
  const marker = signMarker(markerKey, { kind: "reply", fields: { comment: `${from.commentId}` } }, place);
  const body = `${marker}\n${text}`;
  if (from.kind === "thread") await host.ensureReply(ref, issueNumber, from.firstCommentId, marker, body);
  else await host.ensureComment(ref, issueNumber, marker, body);
}
