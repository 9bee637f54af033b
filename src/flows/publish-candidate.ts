/**
 * The chosen candidate as a draft pull request: branch, verified commit, pull request, one review with a reward comment on
 * every changed function, check run. Each remote write goes through the effects table and is looked for before it is made.
 */
import type { ChangedFile } from "../domain/candidate.ts";
import {
  type ChangedFunction,
  checkOutput,
  functionComment,
  pullRequestBody,
  type RunReport,
  reviewBody,
} from "../domain/comment.ts";
import { FunprmError } from "../domain/errors.ts";
import { anchor, parseHunks } from "../domain/hunks.ts";
import { sha256 } from "../domain/ids.ts";
import { signMarker } from "../domain/marker.ts";
import type { Run } from "../domain/run.ts";
import type { GitHost, RepoRef, ReviewComment, RunStore } from "../ports.ts";
import { effect } from "./effect.ts";

/** More stand in the table only (product.md 3.3). */
export const MOST_REVIEW_COMMENTS = 20;
export const CHECK_NAME = "FunPRM / functions";

export type PublishPorts = { host: GitHost; runs: RunStore; markerKey: string };

export type Publication = {
  ref: RepoRef;
  run: Run;
  report: (run: Run) => RunReport;
  files: ChangedFile[];
  /** Files that an earlier attempt of the app left on the branch, as they stand on base (null = not there). */
  restore: { path: string; content: Uint8Array | null }[];
  /** Head of the app's own earlier attempt on the branch; null for none. */
  ownHead: string | null;
  title: string;
  draft: boolean;
  signoff: boolean;
};

export type Published = {
  pullRequest: NonNullable<Run["pullRequest"]>;
  checkRun: NonNullable<Run["checkRun"]>;
  nodeId: string;
};

export async function publishCandidate(
  { host, runs, markerKey }: PublishPorts,
  one: Publication,
  fence: number,
): Promise<Published> {
  const { ref, run } = one;
  const once = (kind: string, key: string, write: () => Promise<string>) =>
    effect(runs, { runId: run.id, kind, key, fence }, write);
  const baseSha = run.baseSha!;

  const branch = await once("branch", "branch", async () => {
    const wanted = `funprm/issue-${run.issueNumber}`;
    const head = (await host.branchSha(ref, wanted)) ?? (await host.ensureBranch(ref, wanted, baseSha)).sha;
    if (head === baseSha || head === one.ownHead) return wanted;
    // Somebody else's commits: never force, never build on them.
    const other = `${wanted}-${run.generation}`;
    await host.ensureBranch(ref, other, baseSha);
    return other;
  });

  const head = (await host.branchSha(ref, branch)) ?? baseSha;
  const changed = new Set(one.files.map((file) => file.path));
  const restored = head === baseSha ? [] : one.restore.filter((file) => !changed.has(file.path));
  const headSha = await once("commit", branch, async () => {
    const commit = await host.ensureCommit(ref, {
      branch,
      expectedHead: head === one.ownHead ? head : baseSha,
      headline: one.title.slice(0, 72),
      body: commitBody(run, one.signoff),
      trailer: `FunPRM-Run: ${run.id}`,
      additions: [
        ...one.files.map((file) => ({ path: file.path, content: file.after })),
        ...restored.flatMap((file) => (file.content ? [{ path: file.path, content: file.content }] : [])),
      ],
      deletions: restored.filter((file) => file.content === null).map((file) => file.path),
    });
    return commit.sha;
  });

  const report = one.report(run);
  const prMarker = (number: number) =>
    signMarker(markerKey, { kind: "pr", fields: { run: run.id } }, { repositoryId: ref.repositoryId, number });
  // The pull request's number is not known before it is there: its marker is signed for the issue.
  const body = pullRequestBody(prMarker(run.issueNumber), report);
  const number = Number(
    await once("pull-request", branch, async () => {
      const pull = await host.ensurePullRequest(ref, {
        head: branch,
        base: run.baseBranch!,
        title: one.title,
        body,
        draft: one.draft,
      });
      // An attempt before this one left its own text; `[draft]` is what a repository without drafts got.
      if (!pull.body.startsWith(body.trimEnd())) {
        const title = pull.title.startsWith("[draft] ") ? `[draft] ${one.title}` : one.title;
        await host.updatePullRequest(ref, pull.number, { title, body });
      }
      return `${pull.number}`;
    }),
  );
  const pull = await host.pullRequest(ref, number);

  const comments = await reviewComments(host, ref, number, report, markerKey);
  const reviewMarker = signMarker(
    markerKey,
    { kind: "review", fields: { run: run.id, head: headSha } },
    { repositoryId: ref.repositoryId, number },
  );
  if (comments.length > 0) {
    await once("review", headSha, async () => {
      const review = await host.ensureReview(ref, number, {
        marker: reviewMarker,
        commitSha: headSha,
        body: reviewBody(reviewMarker, report, comments.length),
        comments,
      });
      return `${review.id}`;
    });
  }

  const conclusion = report.changed.length === 0 ? "skipped" : "neutral";
  const checkId = Number(
    await once("check-run", headSha, async () => {
      const check = await host.ensureCheckRun(ref, {
        name: CHECK_NAME,
        headSha,
        externalId: run.id,
        detailsUrl: report.link,
        status: "completed",
        conclusion,
        output: { ...checkOutput(report), annotations: [] },
        actions: [],
      });
      return `${check.id}`;
    }),
  );

  await host.setLabels(ref, number, { add: ["funprm"], remove: [] });
  if (run.startedBy !== "") await host.requestReviewer(ref, number, run.startedBy);
  return {
    pullRequest: { number, url: pull.url, branch, title: pull.title, headSha, reviewComments: comments.length },
    checkRun: { id: checkId, conclusion },
    nodeId: pull.nodeId,
  };
}

/** Anchors are checked against GitHub's own hunks before anything is posted: one bad anchor loses the whole review. */
async function reviewComments(
  host: GitHost,
  ref: RepoRef,
  number: number,
  report: RunReport,
  markerKey: string,
): Promise<ReviewComment[]> {
  const patches = new Map((await host.pullRequestFiles(ref, number)).map((file) => [file.path, file.patch]));
  const comments: ReviewComment[] = [];
  for (const one of report.changed) {
    if (comments.length === MOST_REVIEW_COMMENTS) break;
    const patch = patches.get(one.path);
    const place = patch ? anchor(parseHunks(patch), one.startLine, one.endLine) : null;
    if (!place) continue;
    const marker = signMarker(
      markerKey,
      { kind: "fn", fields: functionFields(one, report.run) },
      { repositoryId: ref.repositoryId, number },
    );
    comments.push({
      path: one.path,
      line: place.line,
      startLine: place.startLine,
      side: "RIGHT",
      body: functionComment(marker, one, report),
    });
  }
  return comments;
}

function functionFields(one: ChangedFunction, run: Run): Record<string, string> {
  return { id: `${one.path}#${one.name}`, hash: sha256(one.source).slice(0, 16), prm: run.model?.version ?? "" };
}

function commitBody(run: Run, signoff: boolean): string {
  const lines = [`Closes #${run.issueNumber}`, ""];
  if (run.startedBy !== "") lines.push(`Co-authored-by: ${run.startedBy} <${run.startedBy}@users.noreply.github.com>`);
  if (signoff) lines.push("Signed-off-by: funprm[bot] <funprm[bot]@users.noreply.github.com>");
  return lines.join("\n").trimEnd();
}

/** `fix: {title} (#{number})` with the issue's title on one line, within GitHub's 256 characters. */
export function pullRequestTitle(template: string, issue: { title: string; number: number }): string {
  const flat = issue.title.replace(/[\s\p{Cc}]+/gu, " ").trim() || "issue without a title";
  const title = template.replaceAll("{number}", `${issue.number}`).replace("{title}", () => flat);
  if (title.length <= 256) return title;
  const room = flat.length - (title.length - 255);
  if (room < 1)
    throw new FunprmError(
      "BAD_REPO_CONFIG",
      "pr.title is longer than GitHub's 256 characters; shorten it in .github/funprm.yml",
    );
  return template.replaceAll("{number}", `${issue.number}`).replace("{title}", () => `${flat.slice(0, room)}…`);
}
