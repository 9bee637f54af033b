/** What people and the app do to branches and pull requests; each change is remembered and announced by its webhook. */
import { announce, checkText, checkWritable, isBot, newIssue } from "./changes.ts";
import * as git from "./git.ts";
import { forbidden, type World } from "./state.ts";
import { type Issue, type Pull, Refusal, type Repo } from "./types.ts";
import { htmlUrl, type Json, repoUrl, userView } from "./views.ts";
import { emit } from "./webhooks.ts";

const ZERO = "0".repeat(40);

/** Moves, creates (`old: null`) or deletes (`sha: null`) a branch, tells push and synchronize. */
export function moveBranch(
  world: World,
  repo: Repo,
  branch: string,
  change: { old: string | null; sha: string | null; login: string },
): void {
  checkWritable(repo);
  const { old, sha, login } = change;
  const rule = forbidden(repo, branch, old === null ? "creation" : sha === null ? "deletion" : "update");
  if (rule !== null) {
    throw new Refusal(
      422,
      `Repository rule violations found\n\nCannot ${old === null ? "create ref due to creations" : sha === null ? "delete this" : "update this protected"} ref (ruleset "${rule.name}").`,
    );
  }
  const ref = `refs/heads/${branch}`;
  if (sha === null) git.deleteRef(repo.gitDir, ref);
  else if (!git.updateRef(repo.gitDir, ref, sha, old))
    throw new Refusal(
      old === null ? 422 : 409,
      old === null ? "Reference already exists" : "Reference cannot be updated",
    );
  repo.pushedAt = world.now();
  announcePush(world, repo, branch, old, sha, login);
  if (sha !== null && old !== null) synchronize(world, repo, branch, old, sha, login);
  if (sha === null) closePullsOf(world, repo, branch, login);
}

/** A branch moved by `git push` or by a test: pull requests with this head follow it, those of a fork in the repository it came from. */
export function synchronize(
  world: World,
  repo: Repo,
  branch: string,
  before: string,
  after: string,
  login: string,
): void {
  for (const { base, issue, pull } of openPullsOf(world, repo, branch)) {
    if (pull.fork !== null) git.fetchBranch(base.gitDir, { gitDir: repo.gitDir, branch }, pullRef(issue));
    pull.headSha = after;
    pull.heads.push(after);
    issue.events.push({ at: world.now(), login, text: `pushed ${after.slice(0, 7)}` });
    announce(world, base, issue, "synchronize", login, { before, after });
  }
}

function closePullsOf(world: World, repo: Repo, branch: string, login: string): void {
  for (const { base, issue } of openPullsOf(world, repo, branch)) {
    issue.state = "closed";
    issue.closedAt = world.now();
    announce(world, base, issue, "closed", login);
  }
}

function openPullsOf(world: World, repo: Repo, branch: string): { base: Repo; issue: Issue; pull: Pull }[] {
  return world.repos.flatMap((base) =>
    base.issues.flatMap((issue) => {
      const { pull } = issue;
      if (pull === null || issue.state !== "open" || pull.headRef !== branch) return [];
      return (pull.fork?.repositoryId ?? base.id) === repo.id ? [{ base, issue, pull }] : [];
    }),
  );
}

function pullRef(issue: Pick<Issue, "number">): string {
  return `refs/pull/${issue.number}/head`;
}

export function announcePush(
  world: World,
  repo: Repo,
  branch: string,
  before: string | null,
  after: string | null,
  login: string,
): void {
  const shas =
    after === null ? [] : before === null ? [] : git.log(repo.gitDir, after, { exclude: before, limit: 20 }).reverse();
  const user = world.user(login);
  emit(world, repo, {
    event: "push",
    action: null,
    sender: login,
    payload: {
      ref: `refs/heads/${branch}`,
      before: before ?? ZERO,
      after: after ?? ZERO,
      base_ref: null,
      created: before === null,
      deleted: after === null,
      forced: before !== null && after !== null && !git.isAncestor(repo.gitDir, before, after),
      compare: `${htmlUrl(world, repo)}/compare/${(before ?? ZERO).slice(0, 12)}...${(after ?? ZERO).slice(0, 12)}`,
      commits: shas.map((sha) => pushedCommit(world, repo, sha)),
      head_commit: after === null ? null : pushedCommit(world, repo, after),
      pusher: { name: user.login, email: `${user.login.replace("[bot]", "")}@users.noreply.example` },
    },
  });
}

function pushedCommit(world: World, repo: Repo, sha: string): Json {
  const commit = git.readCommit(repo.gitDir, sha);
  const files = git.diff(repo.gitDir, commit.parents[0] ?? null, sha);
  const paths = (status: string) => files.filter((f) => f.status === status).map((f) => f.path);
  const login = repo.commitLogins.get(sha);
  const person = (p: git.Person) => ({
    name: p.name,
    email: p.email,
    ...(login === undefined ? {} : { username: login }),
  });
  return {
    id: sha,
    tree_id: commit.tree,
    distinct: true,
    message: commit.message,
    timestamp: commit.committer.date,
    url: `${htmlUrl(world, repo)}/commit/${sha}`,
    author: person(commit.author),
    committer: person(commit.committer),
    added: paths("added"),
    removed: paths("removed"),
    modified: paths("modified"),
  };
}

/** Where the app's own commits come from; a commit of a bot is what GitHub signs. */
export function identity(world: World, login: string): git.Person {
  const user = world.user(login);
  return { name: user.login, email: `${user.id}+${user.login.replace("[bot]", "")}@users.noreply.example` };
}

export type FileChange = { path: string; content: Uint8Array | null; mode?: "100644" | "100755" | "120000" };

/** One commit on a branch, as `git push` by a person or `createCommitOnBranch` by the app makes it. */
export function commitFiles(
  world: World,
  repo: Repo,
  commit: { branch: string; parent: string | null; message: string; login: string; files: FileChange[] },
): string {
  const existing = new Map(
    commit.parent === null
      ? []
      : git.listTree(repo.gitDir, commit.parent, { recursive: true }).map((entry) => [entry.path, entry.mode]),
  );
  const entries = commit.files.map((file) => ({
    path: file.path,
    mode: file.mode ?? existing.get(file.path) ?? "100644",
    sha: file.content === null ? null : git.writeBlob(repo.gitDir, file.content),
  }));
  const tree = git.writeTree(repo.gitDir, commit.parent, entries);
  const person = identity(world, commit.login);
  const sha = git.writeCommit(repo.gitDir, tree, commit.parent === null ? [] : [commit.parent], commit.message, person);
  repo.commitLogins.set(sha, commit.login);
  if (isBot(world, commit.login)) repo.verified.add(sha);
  moveBranch(world, repo, commit.branch, { old: commit.parent, sha, login: commit.login });
  return sha;
}

/** `fork`: where the head stands, when not in the repository itself. */
export type NewPull = {
  title: string;
  body: string;
  head: string;
  base: string;
  draft: boolean;
  fork?: Repo;
  maintainerCanModify?: boolean;
};

export function openPull(world: World, repo: Repo, login: string, wanted: NewPull): Issue {
  checkWritable(repo);
  const invalid = (field: string) =>
    new Refusal(422, "Validation Failed", [{ resource: "PullRequest", field, code: "invalid" }]);
  const headRef = wanted.head.includes(":") ? wanted.head.slice(wanted.head.indexOf(":") + 1) : wanted.head;
  const { fork } = wanted;
  const headSha = git.branchHead((fork ?? repo).gitDir, headRef);
  const baseSha = git.branchHead(repo.gitDir, wanted.base);
  if (headSha === null) throw invalid("head");
  if (baseSha === null) throw invalid("base");
  const twin = repo.issues.find(
    (i) =>
      i.state === "open" &&
      i.pull?.headRef === headRef &&
      i.pull.baseRef === wanted.base &&
      i.pull.fork?.repositoryId === fork?.id,
  );
  const custom = (message: string) =>
    new Refusal(422, "Validation Failed", [{ resource: "PullRequest", code: "custom", message }]);
  if (twin !== undefined) throw custom(`A pull request already exists for ${(fork ?? repo).owner}:${headRef}.`);
  // The objects of a fork and of what it was forked from are one store.
  if (fork !== undefined)
    git.fetchBranch(repo.gitDir, { gitDir: fork.gitDir, branch: headRef }, pullRef({ number: world.nextNumber(repo) }));
  if (git.log(repo.gitDir, headSha, { exclude: baseSha, limit: 1 }).length === 0)
    throw custom(`No commits between ${wanted.base} and ${headRef}`);
  if (wanted.draft && repo.draftsRefused)
    throw new Refusal(422, "Draft pull requests are not supported in this repository.");
  const body = checkText("body", "PullRequest", wanted.body);
  const issue = newIssue(world, repo, login, { title: wanted.title, body });
  issue.pull = {
    id: world.nextId(),
    fork: fork === undefined ? null : { repositoryId: fork.id, owner: fork.owner },
    maintainerCanModify: wanted.maintainerCanModify ?? false,
    headRef,
    headSha,
    baseRef: wanted.base,
    baseSha,
    heads: [headSha],
    draft: wanted.draft,
    merged: false,
    mergedAt: null,
    mergedBy: null,
    mergeCommitSha: null,
    requestedReviewers: [],
    reviews: [],
    comments: [],
  };
  announce(world, repo, issue, "opened", login);
  return issue;
}

/**
 * A person merges: `merge` makes a merge commit, `squash` one commit on the base, `rebase` a copy of each of the pull
 * request's commits. Closes the issues that the body names.
 */
export function mergePull(
  world: World,
  repo: Repo,
  issue: Issue,
  login: string,
  method: "merge" | "squash" | "rebase",
): string {
  const pull = issue.pull;
  if (pull === null || issue.state !== "open") throw new Refusal(405, "Pull Request is not mergeable");
  const base = git.branchHead(repo.gitDir, pull.baseRef)!;
  const tree = git.mergeTrees(repo.gitDir, base, pull.headSha);
  if (tree === null) throw new Refusal(405, "Pull Request is not mergeable");
  const sha =
    method === "rebase"
      ? rebased(world, repo, pull, base, login)
      : merged(world, repo, issue, { base, tree, login, method });
  if (method !== "rebase") {
    repo.commitLogins.set(sha, login);
    repo.verified.add(sha);
  }
  moveBranch(world, repo, pull.baseRef, { old: base, sha, login });
  const now = world.now();
  Object.assign(pull, { merged: true, mergedAt: now, mergedBy: login, mergeCommitSha: sha });
  Object.assign(issue, { state: "closed", closedAt: now, updatedAt: now });
  issue.events.push({ at: now, login, text: `merged commit ${sha.slice(0, 7)}` });
  announce(world, repo, issue, "closed", login);
  for (const [, number] of issue.body.matchAll(/\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?) #(\d+)/gi)) {
    const closed = repo.issues.find((i) => i.number === Number(number) && i.state === "open" && i.pull === null);
    if (closed === undefined) continue;
    Object.assign(closed, { state: "closed", stateReason: "completed", closedAt: now, updatedAt: now });
    announce(world, repo, closed, "closed", login);
  }
  return sha;
}

function merged(
  world: World,
  repo: Repo,
  issue: Issue,
  { base, tree, login, method }: { base: string; tree: string; login: string; method: "merge" | "squash" },
): string {
  const { headRef, headSha, fork } = issue.pull!;
  const message =
    method === "merge"
      ? `Merge pull request #${issue.number} from ${fork?.owner ?? repo.owner}/${headRef}\n\n${issue.title}`
      : `${issue.title} (#${issue.number})`;
  const parents = method === "merge" ? [base, headSha] : [base];
  return git.writeCommit(repo.gitDir, tree, parents, message, identity(world, login));
}

function rebased(world: World, repo: Repo, pull: Pull, base: string, login: string): string {
  let tip = base;
  for (const sha of git.log(repo.gitDir, pull.headSha, { exclude: pull.baseSha, limit: 250 }).reverse()) {
    const tree = git.mergeTrees(repo.gitDir, tip, sha);
    if (tree === null) throw new Refusal(405, "Pull Request is not mergeable");
    const { message, author } = git.readCommit(repo.gitDir, sha);
    tip = git.writeCommit(repo.gitDir, tree, [tip], message, author, identity(world, login));
    repo.commitLogins.set(tip, repo.commitLogins.get(sha) ?? login);
  }
  return tip;
}

export function requestReviewers(world: World, repo: Repo, issue: Issue, sender: string, logins: string[]): void {
  checkWritable(repo);
  const pull = issue.pull!;
  for (const login of logins) {
    if (login.toLowerCase() === issue.login.toLowerCase())
      throw new Refusal(422, "Review cannot be requested from pull request author.");
    const known = world.users.get(login.toLowerCase());
    const collaborator = known !== undefined && (known.login === repo.owner || repo.roles.has(login.toLowerCase()));
    if (!collaborator || known.type === "Bot") {
      throw new Refusal(
        422,
        `Reviews may only be requested from collaborators. One or more of the users or teams you specified is not a collaborator of the ${repo.owner}/${repo.name} repository.`,
      );
    }
  }
  for (const login of logins) {
    const user = world.user(login);
    if (pull.requestedReviewers.includes(user.login)) continue;
    pull.requestedReviewers.push(user.login);
    issue.events.push({ at: world.now(), login: sender, text: `requested a review from ${user.login}` });
    announce(world, repo, issue, "review_requested", sender, { requested_reviewer: userView(world, user.login) });
  }
}

export function refView(world: World, repo: Repo, ref: git.RefEntry): Json {
  return {
    ref: ref.ref,
    node_id: `REF_${Buffer.from(ref.ref).toString("base64url")}`,
    url: `${repoUrl(world, repo)}/git/${ref.ref}`,
    object: { type: ref.type, sha: ref.sha, url: `${repoUrl(world, repo)}/git/${ref.type}s/${ref.sha}` },
  };
}
