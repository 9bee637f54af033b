/** REST: the git database (blobs, trees, commits, refs), branches and commits. */
import { type Call, created, type Handler, listReply, ok, page, repoOf } from "./call.ts";
import { checkWritable } from "./changes.ts";
import { identity, moveBranch, refView } from "./changes-git.ts";
import * as git from "./git.ts";
import { forbidden } from "./state.ts";
import { Refusal, type Repo } from "./types.ts";
import { type Json, repoUrl } from "./views.ts";
import { commitView, gitCommitView, pullSimpleView } from "./views-pull.ts";

/** As many entries as a recursive tree holds before it is `truncated` (product.md 4.4). */
const MAX_TREE_ENTRIES = 100_000;

type WantedEntry = { path: string; mode: string; type: string; sha?: string | null; content?: string };

function commitOf(repo: Repo, name: string, status = 404): string {
  const sha = git.resolveCommit(repo.gitDir, name);
  if (sha === null) throw new Refusal(status, status === 404 ? "Not Found" : `No commit found for SHA: ${name}`);
  return sha;
}

function treeView(call: Call, repo: Repo, sha: string, recursive: boolean): Json {
  const entries = git.listTree(repo.gitDir, sha, { recursive });
  return {
    sha,
    url: `${repoUrl(call.world, repo)}/git/trees/${sha}`,
    tree: entries.slice(0, MAX_TREE_ENTRIES).map((entry) => ({
      path: entry.path,
      mode: entry.mode,
      type: entry.type,
      sha: entry.sha,
      ...(entry.size === null ? {} : { size: entry.size }),
      url: `${repoUrl(call.world, repo)}/git/${entry.type}s/${entry.sha}`,
    })),
    truncated: entries.length > MAX_TREE_ENTRIES,
  };
}

function createTree(call: Call) {
  const repo = repoOf(call);
  checkWritable(repo);
  const entries = (call.body["tree"] as WantedEntry[]).map((entry) => {
    if (
      !entry.path ||
      entry.path.startsWith("/") ||
      entry.path.split("/").some((part) => part === "" || part === "." || part === ".." || part === ".git")
    )
      throw new Refusal(422, "tree.path contains a malformed path component");
    if (entry.content !== undefined)
      return { path: entry.path, mode: entry.mode, sha: git.writeBlob(repo.gitDir, Buffer.from(entry.content)) };
    if (entry.sha == null) return { path: entry.path, mode: entry.mode, sha: null };
    if (git.objectType(repo.gitDir, entry.sha) === null)
      throw new Refusal(422, `tree.sha ${entry.sha} is not a valid blob`);
    return { path: entry.path, mode: entry.mode, sha: entry.sha };
  });
  const base = (call.body["base_tree"] as string | undefined) ?? null;
  if (base !== null && git.resolve(repo.gitDir, `${base}^{tree}`) === null) throw new Refusal(404, "Not Found");
  return created(treeView(call, repo, git.writeTree(repo.gitDir, base, entries), false));
}

function createCommit(call: Call) {
  const repo = repoOf(call);
  checkWritable(repo);
  const { message, tree, parents, author, committer } = call.body;
  if (git.objectType(repo.gitDir, tree) !== "tree") throw new Refusal(422, "Tree SHA does not exist");
  for (const parent of (parents ?? []) as string[])
    if (git.objectType(repo.gitDir, parent) !== "commit")
      throw new Refusal(422, "Parent SHA does not exist or is not a commit object");
  const own = identity(call.world, call.actor);
  const sha = git.writeCommit(repo.gitDir, tree, parents ?? [], message, author ?? own, committer ?? author ?? own);
  repo.commitLogins.set(sha, call.actor);
  // Signed by GitHub only while the app names no author of its own (product.md 4.5).
  if (author === undefined && committer === undefined) repo.verified.add(sha);
  return created(gitCommitView(call.world, repo, sha));
}

function updateRef(call: Call) {
  const repo = repoOf(call);
  const branch = call.params["ref"]!.replace(/^(refs\/)?heads\//, "");
  const old = git.branchHead(repo.gitDir, branch);
  const sha = String(call.body["sha"]);
  if (old === null) throw new Refusal(422, "Reference does not exist");
  if (git.objectType(repo.gitDir, sha) !== "commit") throw new Refusal(422, "Object does not exist");
  if (call.body["force"] !== true && !git.isAncestor(repo.gitDir, old, sha))
    throw new Refusal(422, "Update is not a fast forward");
  moveBranch(call.world, repo, branch, { old, sha, login: call.actor });
  return ok(refView(call.world, repo, { ref: `refs/heads/${branch}`, sha, type: "commit" }));
}

function protectedBranch(repo: Repo, branch: string): boolean {
  return (["update", "deletion"] as const).some((rule) => forbidden(repo, branch, rule) !== null);
}

function branches(repo: Repo): { name: string; sha: string }[] {
  return git
    .listRefs(repo.gitDir, "refs/heads/")
    .map((one) => ({ name: one.ref.slice("refs/heads/".length), sha: one.sha }));
}

export const gitHandlers: Record<string, Handler> = {
  "git/create-blob": (call) => {
    const repo = repoOf(call);
    checkWritable(repo);
    const encoding = call.body["encoding"] === "base64" ? "base64" : "utf8";
    const sha = git.writeBlob(repo.gitDir, Buffer.from(call.body["content"], encoding));
    return created({ sha, url: `${repoUrl(call.world, repo)}/git/blobs/${sha}` });
  },
  "git/create-tree": createTree,
  "git/get-tree": (call) => {
    const repo = repoOf(call);
    const sha = git.resolve(repo.gitDir, `${call.params["tree_sha"]}^{tree}`);
    if (sha === null) throw new Refusal(404, "Not Found");
    // Any value asks for the whole tree, `0` and `false` too.
    return ok(treeView(call, repo, sha, call.query.has("recursive")));
  },
  "git/create-commit": createCommit,
  "git/get-commit": (call) => {
    const repo = repoOf(call);
    return ok(gitCommitView(call.world, repo, commitOf(repo, call.params["commit_sha"]!)));
  },
  "git/update-ref": updateRef,
  "git/list-matching-refs": (call) => {
    const repo = repoOf(call);
    const refs = git.listRefs(repo.gitDir, `refs/${call.params["ref"]!.replace(/^refs\//, "")}`);
    return ok(refs.map((ref) => refView(call.world, repo, ref)));
  },
  "repos/list-branches": (call) => {
    const repo = repoOf(call);
    return listReply(call, branches(repo), ({ name, sha }) => ({
      name,
      commit: { sha, url: `${repoUrl(call.world, repo)}/commits/${sha}` },
      protected: protectedBranch(repo, name),
    }));
  },
  "repos/get-branch": (call) => {
    const repo = repoOf(call);
    const name = call.params["branch"]!;
    const found = branches(repo).find((one) => one.name === name);
    if (found === undefined) throw new Refusal(404, "Branch not found");
    const url = `${repoUrl(call.world, repo)}/branches/${encodeURIComponent(name)}`;
    const closed = protectedBranch(repo, name);
    return ok({
      name,
      commit: commitView(call.world, repo, found.sha),
      _links: { self: url, html: `${call.world.url}/${repo.owner}/${repo.name}/tree/${name}` },
      protected: closed,
      protection: { enabled: closed, required_status_checks: { enforcement_level: "off", contexts: [], checks: [] } },
      protection_url: `${url}/protection`,
    });
  },
  "repos/get-branch-rules": (call) => {
    const repo = repoOf(call);
    const branch = call.params["branch"]!;
    const rules = (["creation", "update", "deletion"] as const).flatMap((type) => {
      const set = forbidden(repo, branch, type);
      if (set === null) return [];
      return [
        { type, ruleset_source_type: "Repository", ruleset_source: `${repo.owner}/${repo.name}`, ruleset_id: set.id },
      ];
    });
    return listReply(call, rules, (rule) => rule);
  },
  "repos/list-commits": (call) => {
    const repo = repoOf(call);
    const from = commitOf(repo, call.query.get("sha") ?? repo.defaultBranch);
    const path = call.query.get("path");
    return listReply(call, git.log(repo.gitDir, from, path === null ? {} : { path }), (sha) =>
      commitView(call.world, repo, sha),
    );
  },
  "repos/list-pull-requests-associated-with-commit": (call) => {
    const repo = repoOf(call);
    const sha = commitOf(repo, call.params["commit_sha"]!, 422);
    const pulls = repo.issues.filter(
      (one) => one.pull !== null && (one.pull.heads.includes(sha) || one.pull.mergeCommitSha === sha),
    );
    return listReply(call, pulls, (one) => pullSimpleView(call.world, repo, one, one.pull!));
  },
  "pulls/list-commits": (call) => {
    const repo = repoOf(call);
    const { pull } = call.world.pull(repo, Number(call.params["pull_number"]));
    // GitHub lists at most 250 commits of a pull request, oldest first.
    const shas = git.log(repo.gitDir, pull.headSha, { exclude: pull.baseSha, limit: 250 }).reverse();
    const { items, headers } = page(call, shas);
    return ok(
      items.map((sha) => commitView(call.world, repo, sha)),
      headers,
    );
  },
};
