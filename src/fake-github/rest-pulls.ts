/** REST: pull requests, reviews, review comments. */
import { type Anchor, checkAnchor, hunkUntil } from "./anchors.ts";
import { type Call, created, type Handler, listReply, ok, repoOf } from "./call.ts";
import { changeIssue, checkText, checkWritable } from "./changes.ts";
import { openPull, requestReviewers } from "./changes-git.ts";
import * as git from "./git.ts";
import { pullDiff } from "./pull-diff.ts";
import type { World } from "./state.ts";
import { type Issue, type Pull, Refusal, type Repo, type ReviewComment } from "./types.ts";
import { userView } from "./views.ts";
import { fileView, pullSimpleView, pullView, reviewCommentView, reviewView } from "./views-pull.ts";
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
  checkCommit(repo, pull, commitId);
  const files = patchesOf(repo, pull, commitId);
  const wanted = (body["comments"] ?? []) as (Anchor & { body: string })[];
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
    const comment: ReviewComment = {
      ...newComment(call, review.id, commitId, one),
      line: one.line!,
      startLine: one.start_line ?? null,
      side: one.side ?? "RIGHT",
      startSide: one.start_line === undefined ? null : (one.start_side ?? one.side ?? "RIGHT"),
      diffHunk: hunkUntil(files.get(one.path)!, place.end),
      position: place.end.position,
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
    for (const comment of pull.comments)
      if (comment.reviewId === review.id) announceComment(call.world, call.actor, repo, issue, pull, comment);
  }
  return ok(reviewView(call.world, repo, issue, review));
}

/** The single-comment endpoint: the only one for a comment on a whole file, and for replies. */
function createReviewComment(call: Call) {
  const { repo, issue, pull } = pullOf(call);
  checkWritable(repo);
  const { body } = call;
  const commitId = String(body["commit_id"]);
  const text = checkText("body", "PullRequestReviewComment", body["body"]);
  const base = newComment(call, call.world.nextId(), commitId, { path: String(body["path"]), body: text });
  let comment: ReviewComment;
  if (body["in_reply_to"] !== undefined) {
    const first = pull.comments.find((one) => one.id === body["in_reply_to"]);
    if (first === undefined) throw new Refusal(404, "Not Found");
    // Threads are flat: a reply to a reply is a reply to the first one.
    comment = { ...first, ...base, path: first.path, reactions: [], inReplyTo: first.inReplyTo ?? first.id };
    Object.assign(comment, {
      line: first.line,
      startLine: first.startLine,
      side: first.side,
      startSide: first.startSide,
    });
    Object.assign(comment, { diffHunk: first.diffHunk, position: first.position, subjectType: first.subjectType });
  } else {
    checkCommit(repo, pull, commitId);
    const files = patchesOf(repo, pull, commitId);
    if (body["subject_type"] === "file") {
      if (!files.has(base.path)) throw new Refusal(422, "Validation Failed", ["Path could not be resolved"]);
      comment = { ...base, subjectType: "file" };
    } else {
      const anchor = body as Anchor;
      const place = checkAnchor(anchor, files);
      if ("refused" in place) throw new Refusal(422, "Validation Failed", [place.refused]);
      comment = {
        ...base,
        line: anchor.line!,
        startLine: anchor.start_line ?? null,
        side: anchor.side ?? "RIGHT",
        startSide: anchor.start_line === undefined ? null : (anchor.start_side ?? anchor.side ?? "RIGHT"),
        diffHunk: hunkUntil(files.get(base.path)!, place.end),
        position: place.end.position,
      };
    }
  }
  pull.comments.push(comment);
  announceComment(call.world, call.actor, repo, issue, pull, comment);
  return created(reviewCommentView(call.world, repo, issue, comment));
}

function newComment(
  call: Call,
  reviewId: number,
  commitId: string,
  wanted: { path: string; body: string },
): ReviewComment {
  return {
    id: call.world.nextId(),
    reviewId,
    path: wanted.path,
    line: null,
    startLine: null,
    side: "RIGHT",
    startSide: null,
    subjectType: "line",
    body: wanted.body,
    login: call.actor,
    byApp: true,
    commitId,
    diffHunk: "",
    position: null,
    createdAt: call.world.now(),
    inReplyTo: null,
    resolved: false,
    reactions: [],
  };
}

/** A person's reply to a review comment. */
export function replyInThread(
  world: World,
  repo: Repo,
  issue: Issue,
  pull: Pull,
  login: string,
  to: number,
  body: string,
): ReviewComment {
  const first = pull.comments.find((one) => one.id === to && one.inReplyTo === null);
  if (first === undefined) throw new Refusal(404, "Not Found");
  const reply: ReviewComment = {
    ...first,
    id: world.nextId(),
    body,
    login,
    byApp: false,
    createdAt: world.now(),
    inReplyTo: first.id,
    resolved: false,
    reactions: [],
  };
  pull.comments.push(reply);
  announceComment(world, login, repo, issue, pull, reply);
  return reply;
}

/** A review or comment names one of the pull request's own commits. */
function checkCommit(repo: Repo, pull: Pull, commitId: string): void {
  if (pull.heads.includes(commitId)) return;
  if (git.log(repo.gitDir, pull.headSha, { exclude: pull.baseSha }).includes(commitId)) return;
  throw new Refusal(422, "Unprocessable Entity", ["commit_id is not part of the pull request"]);
}

function patchesOf(repo: Repo, pull: Pull, commitId: string): Map<string, string | null> {
  return new Map(pullDiff(repo, pull, commitId).map((file) => [file.path, file.patch]));
}

function announceComment(
  world: World,
  sender: string,
  repo: Repo,
  issue: Issue,
  pull: Pull,
  comment: ReviewComment,
): void {
  emit(world, repo, {
    event: "pull_request_review_comment",
    action: "created",
    sender,
    payload: {
      comment: reviewCommentView(world, repo, issue, comment),
      pull_request: pullSimpleView(world, repo, issue, pull),
    },
  });
}

export const pullHandlers: Record<string, Handler> = {
  "pulls/list": (call) => {
    const repo = repoOf(call);
    const state = call.query.get("state") ?? "open";
    const head = call.query.get("head");
    const base = call.query.get("base");
    const issues = repo.issues.filter(
      (one) =>
        one.pull !== null &&
        (state === "all" || one.state === state) &&
        (head === null || head === `${one.pull.fork?.owner ?? repo.owner}:${one.pull.headRef}`) &&
        (base === null || base === one.pull.baseRef),
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
    changeIssue(call.world, repo, issue, call.actor, {
      ...(title === undefined ? {} : { title: String(title) }),
      ...(body === undefined ? {} : { body }),
      ...(state === undefined ? {} : { state }),
    });
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
  "pulls/create-review-comment": createReviewComment,
  "pulls/list-requested-reviewers": (call) => {
    const { pull } = pullOf(call);
    return ok({ users: pull.requestedReviewers.map((login) => userView(call.world, login)), teams: [] });
  },
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
};
