/** REST: pull requests, reviews, check runs. */
import { checkAnchor, hunkUntil } from "./anchors.ts";
import { type Call, created, type Handler, listReply, ok, page, repoOf } from "./call.ts";
import { announce, checkText, checkWritable } from "./changes.ts";
import { openPull, requestReviewers } from "./changes-git.ts";
import * as git from "./git.ts";
import { pullDiff } from "./pull-diff.ts";
import { type Annotation, type CheckRun, type Issue, type Pull, Refusal, type Repo } from "./types.ts";
import {
  checkRunHookView,
  checkRunView,
  fileView,
  pullSimpleView,
  pullView,
  reviewCommentView,
  reviewView,
} from "./views-pull.ts";
import { emit } from "./webhooks.ts";

function pullOf(call: Call): { repo: Repo; issue: Issue; pull: Pull } {
  const repo = repoOf(call);
  return { repo, ...call.world.pull(repo, Number(call.params["pull_number"])) };
}

function createReview(call: Call) {
  const { repo, issue, pull } = pullOf(call);
  checkWritable(repo);
  const { body } = call;
  const event = body["event"] as string | undefined;
  if (event === "COMMENT" && String(body["body"] ?? "").trim() === "")
    throw new Refusal(422, "Unprocessable Entity", ["Review body can't be blank"]);
  const commitId = String(body["commit_id"] ?? pull.headSha);
  if (!pull.heads.includes(commitId))
    throw new Refusal(422, "Unprocessable Entity", ["commit_id is not part of the pull request"]);
  const files = new Map(pullDiff(repo, pull, commitId).map((file) => [file.path, file.patch]));
  const wanted = (body["comments"] ?? []) as {
    path: string;
    body: string;
    line?: number;
    side?: "LEFT" | "RIGHT";
    start_line?: number;
    start_side?: "LEFT" | "RIGHT";
  }[];
  // One bad anchor refuses the whole review: nothing is written before all are known to be good.
  const placed = wanted.map((one) => {
    const place = checkAnchor(one, files);
    if ("refused" in place) throw new Refusal(422, "Unprocessable Entity", [place.refused]);
    checkText("body", "PullRequestReviewComment", one.body);
    return { one, place };
  });
  const now = call.world.now();
  const state =
    event === "APPROVE"
      ? "APPROVED"
      : event === "REQUEST_CHANGES"
        ? "CHANGES_REQUESTED"
        : event === "COMMENT"
          ? "COMMENTED"
          : "PENDING";
  const review = {
    id: call.world.nextId(),
    body: checkText("body", "PullRequestReview", body["body"]),
    state,
    login: call.actor,
    byApp: true,
    commitId,
    submittedAt: now,
  } as const;
  pull.reviews.push({ ...review });
  for (const { one, place } of placed) {
    const comment = {
      id: call.world.nextId(),
      reviewId: review.id,
      path: one.path,
      line: one.line!,
      startLine: one.start_line ?? null,
      side: one.side ?? ("RIGHT" as const),
      startSide: one.start_line === undefined ? null : (one.start_side ?? one.side ?? ("RIGHT" as const)),
      subjectType: "line" as const,
      body: one.body,
      login: call.actor,
      byApp: true,
      commitId,
      diffHunk: hunkUntil(files.get(one.path)!, place.end),
      position: place.end.position,
      createdAt: now,
      inReplyTo: null,
      resolved: false,
      reactions: [],
    };
    pull.comments.push(comment);
  }
  if (state !== "PENDING") {
    emit(call.world, repo, {
      event: "pull_request_review",
      action: "submitted",
      sender: call.actor,
      payload: {
        review: { ...reviewView(call.world, repo, issue, review), state: state.toLowerCase() },
        pull_request: pullSimpleView(call.world, repo, issue, pull),
      },
    });
  }
  return ok(reviewView(call.world, repo, issue, review));
}

const LIMITS = { title: 255, summary: 65_535, text: 65_535, annotations: 50 };

function applyCheck(call: Call, repo: Repo, run: CheckRun): void {
  const { body } = call;
  const output = body["output"] as
    | { title?: string; summary: string; text?: string; annotations?: Annotation[] }
    | undefined;
  const invalid = (message: string) => new Refusal(422, `Invalid request.\n\n${message}`);
  const actions = (body["actions"] ?? []) as CheckRun["actions"];
  if (actions.length > 3) throw invalid("No more than 3 items are allowed in actions.");
  for (const one of actions)
    if (one.label.length > 20 || one.description.length > 40 || one.identifier.length > 20)
      throw invalid("An action's label, description or identifier is too long.");
  if (output) {
    if (!output.title) throw invalid("output.title wasn't supplied.");
    for (const field of ["title", "summary", "text"] as const)
      if ((output[field] ?? "").length > LIMITS[field])
        throw invalid(`Only ${LIMITS[field]} characters are allowed in ${field}.`);
    if ((output.annotations ?? []).length > LIMITS.annotations)
      throw invalid("No more than 50 items are allowed in annotations.");
    run.title = output.title;
    run.summary = output.summary;
    run.text = output.text ?? null;
    run.annotations.push(...(output.annotations ?? []));
  }
  if (body["details_url"] !== undefined) run.detailsUrl = String(body["details_url"]);
  if (actions.length > 0) run.actions = actions;
  const before = run.status;
  if (body["status"] !== undefined) run.status = body["status"];
  if (body["conclusion"] !== undefined) {
    run.conclusion = String(body["conclusion"]);
    run.status = "completed";
  }
  if (run.status === "completed" && run.conclusion === null)
    throw invalid("Must provide conclusion when status is completed.");
  if (run.status === "completed") run.completedAt ??= call.world.now();
  if (before !== "completed" && run.status === "completed")
    emit(call.world, repo, {
      event: "check_run",
      action: "completed",
      sender: call.actor,
      payload: { check_run: checkRunHookView(call.world, repo, run) },
    });
}

export const pullHandlers: Record<string, Handler> = {
  "pulls/list": (call) => {
    const repo = repoOf(call);
    const state = call.query.get("state") ?? "open";
    const head = call.query.get("head");
    const issues = repo.issues.filter(
      (one) =>
        one.pull !== null &&
        (state === "all" || one.state === state) &&
        (head === null || head === `${repo.owner}:${one.pull.headRef}`),
    );
    return listReply(call, issues.toReversed(), (one) => pullSimpleView(call.world, repo, one, one.pull!));
  },
  "pulls/create": (call) => {
    const repo = repoOf(call);
    const { title, body, head, base, draft } = call.body;
    const issue = openPull(call.world, repo, call.actor, {
      title: String(title),
      body: body ?? "",
      head,
      base,
      draft: draft ?? false,
    });
    return created(pullView(call.world, repo, issue, issue.pull!));
  },
  "pulls/get": (call) => {
    const { repo, issue, pull } = pullOf(call);
    return ok(pullView(call.world, repo, issue, pull));
  },
  "pulls/update": (call) => {
    const { repo, issue, pull } = pullOf(call);
    checkWritable(repo);
    const { title, body, state } = call.body;
    if (title !== undefined) issue.title = String(title);
    if (body !== undefined) issue.body = checkText("body", "PullRequest", body);
    if (state === "closed" && issue.state === "open") {
      issue.state = "closed";
      issue.closedAt = call.world.now();
      announce(call.world, repo, issue, "closed", call.actor);
    }
    issue.updatedAt = call.world.now();
    return ok(pullView(call.world, repo, issue, pull));
  },
  "pulls/list-files": (call) => {
    const { repo, pull } = pullOf(call);
    return listReply(call, pullDiff(repo, pull).slice(0, 3000), (file) =>
      fileView(call.world, repo, pull.headSha, file),
    );
  },
  "pulls/list-reviews": (call) => {
    const { repo, issue, pull } = pullOf(call);
    return listReply(call, pull.reviews, (one) => reviewView(call.world, repo, issue, one));
  },
  "pulls/create-review": createReview,
  "pulls/list-comments-for-review": (call) => {
    const { repo, issue, pull } = pullOf(call);
    const comments = pull.comments.filter((one) => one.reviewId === Number(call.params["review_id"]));
    // This endpoint's comments are in the old form, without lines.
    return listReply(call, comments, (one) => reviewCommentView(call.world, repo, issue, one));
  },
  "pulls/list-review-comments": (call) => {
    const { repo, issue, pull } = pullOf(call);
    return listReply(call, pull.comments, (one) => reviewCommentView(call.world, repo, issue, one));
  },
  "pulls/request-reviewers": (call) => {
    const { repo, issue, pull } = pullOf(call);
    requestReviewers(call.world, repo, issue, call.actor, (call.body["reviewers"] ?? []) as string[]);
    return created(pullSimpleView(call.world, repo, issue, pull));
  },
  "checks/create": (call) => {
    const repo = repoOf(call);
    checkWritable(repo);
    const headSha = String(call.body["head_sha"]);
    if (git.objectType(repo.gitDir, headSha) !== "commit")
      throw new Refusal(422, `No commit found for SHA: ${headSha}`);
    const run: CheckRun = {
      id: call.world.nextId(),
      suiteId: call.world.nextId(),
      name: String(call.body["name"]),
      headSha,
      externalId: String(call.body["external_id"] ?? ""),
      detailsUrl: null,
      status: "queued",
      conclusion: null,
      startedAt: call.world.now(),
      completedAt: null,
      title: null,
      summary: null,
      text: null,
      annotations: [],
      actions: [],
    };
    applyCheck(call, repo, run);
    repo.checkRuns.push(run);
    return created(checkRunView(call.world, repo, run));
  },
  "checks/update": (call) => {
    const repo = repoOf(call);
    const run = call.world.checkRun(repo, Number(call.params["check_run_id"]));
    const copy = structuredClone(run);
    applyCheck(call, repo, copy);
    Object.assign(run, copy);
    return ok(checkRunView(call.world, repo, run));
  },
  "checks/get": (call) => {
    const repo = repoOf(call);
    return ok(checkRunView(call.world, repo, call.world.checkRun(repo, Number(call.params["check_run_id"]))));
  },
  "checks/list-for-ref": (call) => {
    const repo = repoOf(call);
    const sha = git.resolveCommit(repo.gitDir, call.params["ref"]!);
    const name = call.query.get("check_name");
    const runs = repo.checkRuns.filter((one) => one.headSha === sha && (name === null || one.name === name));
    const { items, headers } = page(call, runs);
    return ok(
      { total_count: runs.length, check_runs: items.map((one) => checkRunView(call.world, repo, one)) },
      headers,
    );
  },
  "checks/list-annotations": (call) => {
    const repo = repoOf(call);
    const run = call.world.checkRun(repo, Number(call.params["check_run_id"]));
    return listReply(call, run.annotations, (one) => ({
      start_column: null,
      end_column: null,
      title: null,
      raw_details: null,
      blob_href: "",
      ...one,
    }));
  },
};
