/** State to JSON in GitHub's shape: commits, pull requests, reviews, check runs, deliveries. */
import * as git from "./git.ts";
import { pullDiff } from "./pull-diff.ts";
import type { World } from "./state.ts";
import type { CheckRun, Delivery, Issue, Pull, Repo, Review, ReviewComment } from "./types.ts";
import {
  api,
  appView,
  association,
  htmlUrl,
  type Json,
  labelViews,
  nodeId,
  reactionRollup,
  repoUrl,
  repoView,
  userView,
} from "./views.ts";

function verification(repo: Repo, commit: git.Commit): Json {
  const verified = repo.verified.has(commit.sha);
  return {
    verified,
    reason: verified ? "valid" : "unsigned",
    signature: verified ? "-----BEGIN PGP SIGNATURE-----" : null,
    payload: verified ? `tree ${commit.tree}` : null,
    verified_at: verified ? commit.committer.date : null,
  };
}

export function gitCommitView(world: World, repo: Repo, sha: string): Json {
  const commit = git.readCommit(repo.gitDir, sha);
  const url = `${repoUrl(world, repo)}/git`;
  return {
    sha: commit.sha,
    node_id: `C_${commit.sha}`,
    url: `${url}/commits/${commit.sha}`,
    html_url: `${htmlUrl(world, repo)}/commit/${commit.sha}`,
    author: commit.author,
    committer: commit.committer,
    tree: { sha: commit.tree, url: `${url}/trees/${commit.tree}` },
    message: commit.message,
    parents: commit.parents.map((parent) => ({
      sha: parent,
      url: `${url}/commits/${parent}`,
      html_url: `${htmlUrl(world, repo)}/commit/${parent}`,
    })),
    verification: verification(repo, commit),
  };
}

export function commitView(world: World, repo: Repo, sha: string): Json {
  const commit = git.readCommit(repo.gitDir, sha);
  const url = `${repoUrl(world, repo)}/commits`;
  const login = repo.commitLogins.get(commit.sha);
  const user = login === undefined ? null : userView(world, login);
  return {
    sha: commit.sha,
    node_id: `C_${commit.sha}`,
    url: `${url}/${commit.sha}`,
    html_url: `${htmlUrl(world, repo)}/commit/${commit.sha}`,
    comments_url: `${url}/${commit.sha}/comments`,
    commit: {
      url: `${repoUrl(world, repo)}/git/commits/${commit.sha}`,
      author: commit.author,
      committer: commit.committer,
      message: commit.message,
      comment_count: 0,
      tree: { sha: commit.tree, url: `${repoUrl(world, repo)}/git/trees/${commit.tree}` },
      verification: verification(repo, commit),
    },
    author: user,
    committer: user,
    parents: commit.parents.map((parent) => ({
      sha: parent,
      url: `${url}/${parent}`,
      html_url: `${htmlUrl(world, repo)}/commit/${parent}`,
    })),
  };
}

function side(world: World, repo: Repo, ref: string, sha: string): Json {
  return { label: `${repo.owner}:${ref}`, ref, sha, user: userView(world, repo.owner), repo: repoView(world, repo) };
}

/** The head of a fork that was deleted is in no repository. */
function headSide(world: World, repo: Repo, pull: Pull): Json {
  if (pull.fork === null) return side(world, repo, pull.headRef, pull.headSha);
  const { owner, repositoryId } = pull.fork;
  const fork = world.repos.find((one) => one.id === repositoryId);
  return {
    label: `${owner}:${pull.headRef}`,
    ref: pull.headRef,
    sha: pull.headSha,
    user: userView(world, owner),
    repo: fork === undefined ? null : repoView(world, fork),
  };
}

export function pullSimpleView(world: World, repo: Repo, issue: Issue, pull: Pull): Json {
  const url = `${repoUrl(world, repo)}/pulls/${issue.number}`;
  const issueUrl = `${repoUrl(world, repo)}/issues/${issue.number}`;
  const html = `${htmlUrl(world, repo)}/pull/${issue.number}`;
  const statuses = `${repoUrl(world, repo)}/statuses/${pull.headSha}`;
  const href = (at: string) => ({ href: at });
  return {
    url,
    id: pull.id,
    node_id: nodeId("PR", pull.id),
    html_url: html,
    diff_url: `${html}.diff`,
    patch_url: `${html}.patch`,
    issue_url: issueUrl,
    commits_url: `${url}/commits`,
    review_comments_url: `${url}/comments`,
    review_comment_url: `${repoUrl(world, repo)}/pulls/comments{/number}`,
    comments_url: `${issueUrl}/comments`,
    statuses_url: statuses,
    number: issue.number,
    state: issue.state,
    locked: issue.locked,
    title: issue.title,
    user: userView(world, issue.login),
    body: issue.body,
    labels: labelViews(world, repo, issue),
    milestone: null,
    active_lock_reason: null,
    created_at: issue.createdAt,
    updated_at: issue.updatedAt,
    closed_at: issue.closedAt,
    merged_at: pull.mergedAt,
    merge_commit_sha: pull.mergeCommitSha,
    assignee: null,
    assignees: [],
    requested_reviewers: pull.requestedReviewers.map((login) => userView(world, login)),
    requested_teams: [],
    head: headSide(world, repo, pull),
    base: side(world, repo, pull.baseRef, pull.baseSha),
    _links: {
      self: href(url),
      html: href(html),
      issue: href(issueUrl),
      comments: href(`${issueUrl}/comments`),
      review_comments: href(`${url}/comments`),
      review_comment: href(`${repoUrl(world, repo)}/pulls/comments{/number}`),
      commits: href(`${url}/commits`),
      statuses: href(statuses),
    },
    author_association: association(world, repo, issue.login),
    auto_merge: null,
    draft: pull.draft,
  };
}

export function pullView(world: World, repo: Repo, issue: Issue, pull: Pull): Json {
  const files = pullDiff(repo, pull);
  return {
    ...pullSimpleView(world, repo, issue, pull),
    merged: pull.merged,
    mergeable: issue.state === "open" ? git.mergeTrees(repo.gitDir, pull.baseSha, pull.headSha) !== null : null,
    rebaseable: null,
    mergeable_state: pull.draft ? "draft" : "clean",
    merged_by: pull.mergedBy === null ? null : userView(world, pull.mergedBy),
    comments: issue.comments.length,
    review_comments: pull.comments.length,
    maintainer_can_modify: pull.maintainerCanModify,
    commits: git.log(repo.gitDir, pull.headSha, { exclude: pull.baseSha }).length,
    additions: files.reduce((sum, f) => sum + f.additions, 0),
    deletions: files.reduce((sum, f) => sum + f.deletions, 0),
    changed_files: files.length,
  };
}

export function fileView(world: World, repo: Repo, headSha: string, file: git.FileDiff): Json {
  const path = encodeURIComponent(file.path).replaceAll("%2F", "/");
  return {
    sha: file.sha,
    filename: file.path,
    status: file.status,
    additions: file.additions,
    deletions: file.deletions,
    changes: file.additions + file.deletions,
    blob_url: `${htmlUrl(world, repo)}/blob/${headSha}/${path}`,
    raw_url: `${htmlUrl(world, repo)}/raw/${headSha}/${path}`,
    contents_url: `${repoUrl(world, repo)}/contents/${path}?ref=${headSha}`,
    ...(file.patch === null ? {} : { patch: file.patch }),
    ...(file.previousPath === null ? {} : { previous_filename: file.previousPath }),
  };
}

export function reviewView(world: World, repo: Repo, issue: Issue, review: Review): Json {
  const html = `${htmlUrl(world, repo)}/pull/${issue.number}#pullrequestreview-${review.id}`;
  const url = `${repoUrl(world, repo)}/pulls/${issue.number}`;
  return {
    id: review.id,
    node_id: nodeId("PRR", review.id),
    user: userView(world, review.login),
    body: review.body,
    state: review.state,
    html_url: html,
    pull_request_url: url,
    author_association: association(world, repo, review.login),
    _links: { html: { href: html }, pull_request: { href: url } },
    submitted_at: review.submittedAt,
    commit_id: review.commitId,
  };
}

export function reviewCommentView(world: World, repo: Repo, issue: Issue, comment: ReviewComment): Json {
  const url = `${repoUrl(world, repo)}/pulls/comments/${comment.id}`;
  const pull = `${repoUrl(world, repo)}/pulls/${issue.number}`;
  const html = `${htmlUrl(world, repo)}/pull/${issue.number}#discussion_r${comment.id}`;
  const outdated = comment.commitId !== issue.pull!.headSha;
  return {
    url,
    pull_request_review_id: comment.reviewId,
    id: comment.id,
    node_id: nodeId("PRRC", comment.id),
    diff_hunk: comment.diffHunk,
    path: comment.path,
    commit_id: issue.pull!.headSha,
    original_commit_id: comment.commitId,
    user: userView(world, comment.login),
    body: comment.body,
    created_at: comment.createdAt,
    updated_at: comment.createdAt,
    html_url: html,
    pull_request_url: pull,
    author_association: association(world, repo, comment.login),
    _links: { self: { href: url }, html: { href: html }, pull_request: { href: pull } },
    reactions: reactionRollup(url, comment.reactions),
    start_line: outdated ? null : comment.startLine,
    original_start_line: comment.startLine,
    start_side: comment.startSide,
    line: outdated ? null : comment.line,
    original_line: comment.line ?? 1,
    side: comment.side,
    position: outdated ? null : comment.position,
    original_position: comment.position ?? 1,
    subject_type: comment.subjectType,
    ...(comment.inReplyTo === null ? {} : { in_reply_to_id: comment.inReplyTo }),
  };
}

export function checkRunView(world: World, repo: Repo, run: CheckRun): Json {
  const url = `${repoUrl(world, repo)}/check-runs/${run.id}`;
  const html = `${htmlUrl(world, repo)}/runs/${run.id}`;
  return {
    id: run.id,
    name: run.name,
    node_id: nodeId("CR", run.id),
    head_sha: run.headSha,
    external_id: run.externalId,
    url,
    html_url: html,
    details_url: run.detailsUrl ?? html,
    status: run.status,
    conclusion: run.conclusion,
    started_at: run.startedAt,
    completed_at: run.completedAt,
    output: {
      title: run.title,
      summary: run.summary,
      text: run.text,
      annotations_count: run.annotations.length,
      annotations_url: `${url}/annotations`,
    },
    check_suite: { id: run.suiteId },
    app: run.foreign ? foreignAppView(world) : appView(world),
    pull_requests: repo.issues
      // GitHub lists none of a fork (product.md 4.1).
      .filter((i) => i.pull?.headSha === run.headSha && i.pull.fork === null && i.state === "open")
      .map((i) => {
        const minimal = { id: repo.id, url: repoUrl(world, repo), name: repo.name };
        return {
          url: `${repoUrl(world, repo)}/pulls/${i.number}`,
          id: i.pull!.id,
          number: i.number,
          head: { ref: i.pull!.headRef, sha: i.pull!.headSha, repo: minimal },
          base: { ref: i.pull!.baseRef, sha: i.pull!.baseSha, repo: minimal },
        };
      }),
  };
}

/** GitHub Actions, by its real id. */
function foreignAppView(world: World): Json {
  return { ...appView(world), id: 15_368, slug: "github-actions", name: "GitHub Actions" };
}

/** In webhooks the suite is whole. */
export function checkRunHookView(world: World, repo: Repo, run: CheckRun): Json {
  const view = checkRunView(world, repo, run);
  const pull = repo.issues.find((i) => i.pull?.headSha === run.headSha)?.pull ?? null;
  const branch = pull === null || pull.fork !== null ? null : pull.headRef;
  return {
    ...view,
    check_suite: {
      id: run.suiteId,
      node_id: nodeId("CS", run.suiteId),
      head_branch: branch,
      head_sha: run.headSha,
      status: run.status,
      conclusion: run.conclusion,
      url: `${repoUrl(world, repo)}/check-suites/${run.suiteId}`,
      before: null,
      after: run.headSha,
      pull_requests: view["pull_requests"],
      app: view["app"],
      created_at: run.startedAt,
      updated_at: run.startedAt,
    },
  };
}

export function deliveryView(world: World, delivery: Delivery): Json {
  return {
    id: delivery.id,
    guid: delivery.guid,
    delivered_at: delivery.deliveredAt,
    redelivery: delivery.redelivery,
    duration: delivery.duration,
    status: delivery.status,
    status_code: delivery.statusCode,
    event: delivery.event,
    action: delivery.action,
    installation_id: delivery.installationId,
    repository_id: delivery.repositoryId,
    throttled_at: null,
    url: api(world, `/app/hook/deliveries/${delivery.id}`),
  };
}
