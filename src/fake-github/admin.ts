/** What people and test programs do: `POST /_fake/ACTION` with a JSON body. Loopback only, no authentication. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { addComment, addLabels, announce, changeIssue, openIssue, react, removeLabel } from "./changes.ts";
import { commitFiles, type FileChange, mergePull, moveBranch, openPull } from "./changes-git.ts";
import * as git from "./git.ts";
import { runWorkflow } from "./rest-actions.ts";
import { announceCheck, foreignCheck } from "./rest-checks.ts";
import { replyInThread } from "./rest-pulls.ts";
import type { World } from "./state.ts";
import { type FaultRule, Refusal, type Repo } from "./types.ts";
import { installationView, nodeId } from "./views.ts";
import { emit, emitToApp, redeliver, settled } from "./webhooks.ts";

// biome-ignore lint/suspicious/noExplicitAny: a test's own JSON, read field by field
type Wish = Record<string, any>;

function repoOf(world: World, wish: Wish): Repo {
  return world.repo(wish["owner"], wish["repo"]);
}

function filesOf(wish: Wish): FileChange[] {
  if (wish["folder"] === undefined)
    return (wish["files"] as { path: string; text: string | null; mode?: FileChange["mode"] }[]).map((file) => ({
      path: file.path,
      content: file.text === null ? null : Buffer.from(file.text),
      ...(file.mode === undefined ? {} : { mode: file.mode }),
    }));
  const root = String(wish["folder"]);
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.includes("__pycache__"))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => ({ path: relative(root, path).split(sep).join("/"), content: readFileSync(path) }));
}

/** Every app hears of its own installations, whatever events it listens to. */
function install(world: World, account: string, repo: Repo): void {
  const installation = {
    id: world.nextId(),
    account,
    repositoryIds: "all" as const,
    suspended: false,
    createdAt: world.now(),
  };
  world.installations.push(installation);
  const minimal = {
    id: repo.id,
    node_id: nodeId("R", repo.id),
    name: repo.name,
    full_name: `${repo.owner}/${repo.name}`,
    private: repo.private,
  };
  emitToApp(world, installation, {
    event: "installation",
    action: "created",
    sender: world.app.owner,
    payload: { installation: installationView(world, installation), repositories: [minimal] },
  });
}

const ACTIONS: Record<string, (world: World, wish: Wish) => unknown> = {
  user: (world, wish) => world.addUser(wish["login"], wish["type"] ?? "User"),
  /** `folder` or `files`; private unless `private: false`. Installs the app on it. */
  repository: (world, wish) => {
    const owner = world.addUser(wish["owner"], "Organization").login;
    const now = world.now();
    const repo: Repo = {
      id: world.nextId(),
      owner,
      name: wish["repo"],
      forkOf: null,
      description: wish["description"] ?? null,
      private: wish["private"] ?? false,
      archived: false,
      draftsRefused: false,
      defaultBranch: wish["defaultBranch"] ?? "main",
      gitDir: world.newGitDir(owner, wish["repo"]),
      createdAt: now,
      pushedAt: now,
      labels: [],
      issues: [],
      roles: new Map(),
      customRoles: new Map(),
      rulesets: [],
      checkRuns: [],
      workflowRuns: [],
      verified: new Set(),
      commitLogins: new Map(),
    };
    git.initBare(repo.gitDir, repo.defaultBranch);
    world.repos.push(repo);
    if (!world.installations.some((one) => one.account === owner)) install(world, owner, repo);
    const sha = commitFiles(world, repo, {
      branch: repo.defaultBranch,
      parent: null,
      message: wish["message"] ?? "First commit",
      login: world.app.owner,
      files: filesOf(wish),
    });
    return { id: repo.id, installationId: world.installationOf(repo)!.id, sha };
  },
  /** A person (`login`) forks it; the app is not there. */
  fork: (world, wish) => {
    const source = repoOf(world, wish);
    const owner = world.addUser(wish["login"]).login;
    const fork: Repo = {
      ...source,
      id: world.nextId(),
      owner,
      forkOf: source.id,
      gitDir: world.newGitDir(owner, source.name),
      labels: [],
      issues: [],
      roles: new Map(),
      customRoles: new Map(),
      rulesets: [],
      checkRuns: [],
      workflowRuns: [],
      verified: new Set(source.verified),
      commitLogins: new Map(source.commitLogins),
    };
    git.initBare(fork.gitDir, fork.defaultBranch);
    const branch = fork.defaultBranch;
    git.fetchBranch(fork.gitDir, { gitDir: source.gitDir, branch }, `refs/heads/${branch}`);
    world.repos.push(fork);
    return { id: fork.id };
  },
  /** Its owner deletes a repository; pull requests from it stay, without one. */
  "delete-repository": (world, wish) => {
    const repo = repoOf(world, wish);
    emit(world, repo, { event: "repository", action: "deleted", sender: repo.owner, payload: {} });
    world.repos.splice(world.repos.indexOf(repo), 1);
    return {};
  },
  /** Changes facts of a repository: archived, draftsRefused, private, rulesets. */
  settings: (world, wish) => {
    const repo = repoOf(world, wish);
    for (const key of ["archived", "draftsRefused", "private", "rulesets"] as const)
      if (wish[key] !== undefined) Object.assign(repo, { [key]: wish[key] });
    return {};
  },
  role: (world, wish) => {
    world.addUser(wish["login"]);
    const repo = repoOf(world, wish);
    repo.roles.set(String(wish["login"]).toLowerCase(), wish["role"]);
    if (wish["basedOn"]) repo.customRoles.set(wish["role"], wish["basedOn"]);
    return {};
  },
  issue: (world, wish) => ({
    number: openIssue(world, repoOf(world, wish), wish["login"], {
      title: wish["title"],
      body: wish["body"] ?? "",
      labels: wish["labels"] ?? [],
    }).number,
  }),
  label: (world, wish) => {
    const repo = repoOf(world, wish);
    addLabels(world, repo, world.issue(repo, wish["number"]), wish["login"], [wish["name"]]);
    return {};
  },
  unlabel: (world, wish) => {
    const repo = repoOf(world, wish);
    removeLabel(world, repo, world.issue(repo, wish["number"]), wish["login"], wish["name"]);
    return {};
  },
  comment: (world, wish) => {
    const repo = repoOf(world, wish);
    return { id: addComment(world, repo, world.issue(repo, wish["number"]), wish["login"], wish["body"]).id };
  },
  change: (world, wish) => {
    const repo = repoOf(world, wish);
    const issue = world.issue(repo, wish["number"]);
    if (wish["locked"] !== undefined) issue.locked = wish["locked"];
    if (wish["transferredTo"] !== undefined) issue.transferredTo = wish["transferredTo"];
    if (wish["state"] || wish["title"] || wish["body"]) changeIssue(world, repo, issue, wish["login"], wish);
    return {};
  },
  merge: (world, wish) => {
    const repo = repoOf(world, wish);
    return { sha: mergePull(world, repo, world.issue(repo, wish["number"]), wish["login"], wish["method"] ?? "merge") };
  },
  ready: (world, wish) => {
    const repo = repoOf(world, wish);
    const { issue, pull } = world.pull(repo, wish["number"]);
    pull.draft = false;
    announce(world, repo, issue, "ready_for_review", wish["login"]);
    return {};
  },
  /** A person's push: one commit on a branch, made from the default branch when it is new. */
  push: (world, wish) => {
    const repo = repoOf(world, wish);
    const branch = wish["branch"] ?? repo.defaultBranch;
    let parent = git.branchHead(repo.gitDir, branch);
    if (parent === null) {
      parent = git.branchHead(repo.gitDir, repo.defaultBranch)!;
      git.updateRef(repo.gitDir, `refs/heads/${branch}`, parent, null);
    }
    return {
      sha: commitFiles(world, repo, {
        branch,
        parent,
        message: wish["message"] ?? "A change",
        login: wish["login"],
        files: filesOf(wish),
      }),
    };
  },
  /** A person opens a pull request from a branch that was pushed, here or to the fork of `from`. */
  pull: (world, wish) => ({
    number: openPull(world, repoOf(world, wish), wish["login"], {
      title: wish["title"],
      body: wish["body"] ?? "",
      head: wish["branch"],
      base: repoOf(world, wish).defaultBranch,
      draft: wish["draft"] ?? false,
      ...(wish["from"] === undefined ? {} : { fork: world.repo(wish["from"], wish["repo"]) }),
      maintainerCanModify: wish["maintainerCanModify"] ?? false,
    }).number,
  }),
  /** Continuous integration reports on a commit; `conclusion` null: it runs. */
  check: (world, wish) => {
    const sha = git.resolveCommit(repoOf(world, wish).gitDir, wish["sha"]);
    if (sha === null) throw new Refusal(404, `no commit ${wish["sha"]}`);
    foreignCheck(world, repoOf(world, wish), wish["name"] ?? "ci", sha, wish["conclusion"] ?? null);
    return {};
  },
  /** A workflow of GitHub Actions ended at a commit, or with `run` once more, and left artifacts (`runWorkflow`). */
  "workflow-run": (world, wish) => ({ id: runWorkflow(world, repoOf(world, wish), wish).id }),
  /** A person presses a button of a check run (`identifier`), or asks to run it again (no identifier). */
  "check-action": (world, wish) => {
    const repo = repoOf(world, wish);
    const run = world.checkRun(repo, wish["id"]);
    const identifier = wish["identifier"] as string | undefined;
    if (identifier === undefined) announceCheck(world, repo, run, "rerequested", wish["login"]);
    else if (!run.actions.some((one) => one.identifier === identifier))
      throw new Refusal(404, `no action ${identifier}`);
    else announceCheck(world, repo, run, "requested_action", wish["login"], { requested_action: { identifier } });
    return {};
  },
  /** A person answers in the thread of a review comment (`comment`). */
  reply: (world, wish) => {
    const repo = repoOf(world, wish);
    const { issue, pull } = world.pull(repo, wish["number"]);
    return { id: replyInThread(world, repo, issue, pull, wish["login"], wish["comment"], wish["body"]).id };
  },
  /** A person resolves, or with `resolved: false` opens, the thread of a review comment. */
  "resolve-thread": (world, wish) => {
    const { pull } = world.pull(repoOf(world, wish), wish["number"]);
    const first = pull.comments.find((one) => one.id === wish["comment"]);
    if (!first) throw new Refusal(404, "no such review comment");
    first.resolved = wish["resolved"] ?? true;
    return {};
  },
  /** A person's reaction on an issue (`number`) or a comment (`comment`). */
  react: (world, wish) => {
    const repo = repoOf(world, wish);
    const target =
      wish["comment"] === undefined ? world.issue(repo, wish["number"]) : world.comment(repo, wish["comment"]).comment;
    return react(world, target.reactions, wish["login"], wish["content"]).body;
  },
  "delete-branch": (world, wish) => {
    const repo = repoOf(world, wish);
    const old = git.branchHead(repo.gitDir, wish["branch"]);
    if (old === null) throw new Refusal(404, `no branch ${wish["branch"]}`);
    moveBranch(world, repo, wish["branch"], { old, sha: null, login: wish["login"] });
    return {};
  },
  webhook: (world, wish) => {
    world.app.webhookUrl = wish["url"];
    return {};
  },
  fault: (world, wish) => {
    const rule: FaultRule = {
      id: world.nextId(),
      method: ".*",
      path: ".*",
      kind: "status",
      status: 502,
      retryAfter: null,
      milliseconds: 0,
      times: 1,
      hits: 0,
      ...wish,
    };
    world.faults.push(rule);
    return rule;
  },
  "clear-faults": (world) => {
    world.faults = [];
    return {};
  },
  redeliver: (world, wish) => {
    const found = world.deliveries.find((one) => one.id === wish["id"] || one.guid === wish["guid"]);
    if (!found) throw new Refusal(404, "no such delivery");
    redeliver(world, found);
    return {};
  },
  settled: async () => {
    await settled();
    return {};
  },
  state: (world) => ({
    repos: world.repos.map((repo) => ({
      ...repo,
      roles: undefined,
      customRoles: undefined,
      workflowRuns: undefined,
      verified: [...repo.verified],
      branches: git.listRefs(repo.gitDir, "refs/heads").map((one) => ({ name: one.ref.slice(11), sha: one.sha })),
    })),
    deliveries: world.deliveries,
    violations: world.violations,
    effects: world.effects,
    requests: world.requests,
    storage: { url: world.storageUrl, requests: world.storageRequests },
  }),
};

export async function answerAdmin(world: World, action: string, wish: Wish): Promise<unknown> {
  const act = ACTIONS[action];
  if (!act) throw new Refusal(404, `no action ${action}; there are ${Object.keys(ACTIONS).join(", ")}`);
  return await act(world, wish);
}
