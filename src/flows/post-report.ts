/**
 * What was learned, as one comment a month in the issue that the repository names (issue H item 7): by the schedule when the month
 * is over, by command so far. Its row and its marker make it one, whatever happens between the two.
 */
import { FunprmError } from "../domain/errors.ts";
import type { ReportLearningPayload } from "../domain/job-payloads.ts";
import { code, plain } from "../domain/markdown.ts";
import { signMarker } from "../domain/marker.ts";
import type { ParsedRepoConfig, RepoConfig } from "../domain/repo-config.ts";
import type { Job } from "../domain/run.ts";
import { learnedComment } from "../evaluation/learned-report.ts";
import type { GitHost, Log, PostedReport, RepoRef, ReportStore } from "../ports.ts";
import { type ReportPorts, reportPeriod } from "./report-learning.ts";

export type PostReportPorts = ReportPorts & {
  host: GitHost;
  reports: ReportStore;
  log: Log;
  parseConfig(text: string | null): ParsedRepoConfig;
  markerKey: string;
};

export async function postReport(ports: PostReportPorts, job: Job): Promise<void> {
  const { command, month: over, ...ref } = job.payload as ReportLearningPayload;
  const { host, reports } = ports;
  const answer = command === null ? null : ({ kind: "comment", commentId: command.commentId } as const);
  if (command !== null) {
    const role = await host.role(ref, command.by);
    const may = role === "admin" || role === "write";
    await host.setReaction(ref, answer!, may ? "eyes" : "-1");
    if (!may) return;
  }
  const month = over ?? monthOf(ports.clock.now());
  const known = await reports.report(ref.repositoryId, month);
  // Once said it stays as it is, also when a person has deleted it since.
  if (over !== null && known?.whole === true && known.state === "confirmed") return;
  const found = await designated(ports, ref, known);
  if ("reason" in found) {
    // Who named no issue wants none: only who asks hears of it.
    if (over !== null && !found.named) return;
    ports.log.warn("no report on what was learned", { repository: ref.repositoryId, month, reason: found.reason });
    if (command === null) return;
    await host.setReaction(ref, answer!, "confused");
    const place = { repositoryId: ref.repositoryId, number: command.issueNumber };
    const fields = { comment: `${command.commentId}` };
    const marker = signMarker(ports.markerKey, { kind: "reply", fields }, place);
    await host.ensureComment(ref, command.issueNumber, marker, `${marker}\n${found.reason}`);
    return;
  }
  await say(ports, ref, { month, issue: found.issue, whole: over !== null, wanted: found.wanted, known });
  if (answer !== null) await host.setReaction(ref, answer, "+1");
}

type Saying = { month: string; issue: number; whole: boolean; wanted: number; known: PostedReport | null };

/** Planned and sent before the write, confirmed after it; the host looks for the marker before it writes. */
async function say(
  ports: PostReportPorts,
  ref: RepoRef,
  { month, issue, whole, wanted, known }: Saying,
): Promise<void> {
  const { repositoryId, installationId } = ref;
  const { reports } = ports;
  const row = { repositoryId, installationId, month, issue, whole, commentId: known?.commentId ?? null };
  if (known === null || known.state === "planned") await reports.saveReport({ ...row, state: "planned" });
  const { from, to } = periodOf(month);
  const now = ports.clock.now();
  const report = await reportPeriod(ports, { from, to: now < to ? now : to, repositoryId, wanted });
  await reports.saveReport({ ...row, state: "sent" });
  const marker = signMarker(ports.markerKey, { kind: "learned", fields: { month } }, { repositoryId, number: issue });
  const comment = await ports.host.ensureComment(ref, issue, marker, `${marker}\n${learnedComment(report, null)}`);
  await reports.saveReport({ ...row, state: "confirmed", commentId: comment.id });
}

/** The issue of the month's comment where there is one already, else the one that the settings name. */
async function designated(
  ports: PostReportPorts,
  ref: RepoRef,
  known: PostedReport | null,
): Promise<{ issue: number; wanted: number } | { reason: string; named: boolean }> {
  const read = await settingsOf(ports, ref);
  if ("reason" in read) return { ...read, named: true };
  const { learn, review } = read;
  const { report } = learn;
  if (report === null)
    return {
      named: false,
      reason: `No issue is named for reports: set \`learn.report\` in ${code(".github/funprm.yml")} to the number or to a label of an open issue.`,
    };
  if (known !== null && known.state !== "planned") return { issue: known.issue, wanted: review.min_precision };
  const issue =
    typeof report === "number" ? await issueOf(ports.host, ref, report) : await ports.host.issueWithLabel(ref, report);
  if (issue === null || issue.isPullRequest || issue.state === "closed" || issue.locked)
    return {
      named: true,
      reason:
        typeof report === "number"
          ? `\`learn.report\` names #${report}, which is no open issue that can be commented on.`
          : `\`learn.report\` names the label ${code(report)}, which no open issue has that can be commented on.`,
    };
  return { issue: issue.number, wanted: review.min_precision };
}

async function issueOf(host: GitHost, ref: RepoRef, number: number) {
  try {
    return await host.issue(ref, number);
  } catch (error) {
    if (error instanceof FunprmError && error.code === "GITHUB_GONE") return null;
    throw error;
  }
}

async function settingsOf(
  { host, parseConfig }: PostReportPorts,
  ref: RepoRef,
): Promise<RepoConfig | { reason: string }> {
  const { defaultBranch } = await host.repository(ref);
  const head = await host.branchSha(ref, defaultBranch);
  const bytes = head === null ? null : await host.readFile(ref, ".github/funprm.yml", head);
  try {
    return parseConfig(bytes === null ? null : new TextDecoder().decode(bytes)).config;
  } catch (error) {
    if (!(error instanceof FunprmError && error.kind === "user")) throw error;
    return { reason: plain(error.message) };
  }
}

/** Repositories from which something was learned in the month that is over, and that have not heard of it. */
export async function reportsDue({
  learning,
  reports,
  clock,
}: Pick<PostReportPorts, "learning" | "reports" | "clock">): Promise<ReportLearningPayload[]> {
  const now = clock.now();
  const month = monthOf(new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 0)));
  const active = new Set(
    (await learning.pullRequests({ since: periodOf(month).from })).map(({ repositoryId }) => repositoryId),
  );
  const due: ReportLearningPayload[] = [];
  for (const ref of await learning.repositories()) {
    if (!active.has(ref.repositoryId)) continue;
    const known = await reports.report(ref.repositoryId, month);
    if (known?.whole !== true || known.state !== "confirmed") due.push({ ...ref, month, command: null });
  }
  return due;
}

/** `2026-10`, in UTC. */
function monthOf(instant: Date): string {
  return instant.toISOString().slice(0, 7);
}

function periodOf(month: string): { from: Date; to: Date } {
  const from = new Date(`${month}-01T00:00:00.000Z`);
  return { from, to: new Date(Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + 1, 1) - 1) };
}
