/** The git database: a bare repository on disk per repository, reached through git's own plumbing. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { devNull } from "node:os";
import { join } from "node:path";

export type TreeEntry = {
  path: string;
  mode: string;
  type: "blob" | "tree" | "commit";
  sha: string;
  size: number | null;
};
export type Person = { name: string; email: string; date?: string };
export type Commit = {
  sha: string;
  tree: string;
  parents: string[];
  message: string;
  author: Required<Person>;
  committer: Required<Person>;
};
export type FileDiff = {
  path: string;
  previousPath: string | null;
  status: "added" | "removed" | "modified" | "renamed" | "copied" | "changed";
  sha: string;
  additions: number;
  deletions: number;
  /** From the first `@@` on, without a final newline; null for binary or too large. */
  patch: string | null;
};

const EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
/** Above either GitHub leaves `patch` out (product.md 4.4). */
const MAX_PATCH_BYTES = 500_000;
const MAX_PATCH_LINES = 20_000;

/** A user's or the system's git configuration must not change what the server does. */
const ISOLATED = { GIT_CONFIG_GLOBAL: devNull, GIT_CONFIG_SYSTEM: devNull, GIT_TERMINAL_PROMPT: "0", LC_ALL: "C" };

export function gitEnvironment(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("GIT_")));
  return { ...inherited, ...ISOLATED, ...extra };
}

function git(
  gitDir: string,
  args: string[],
  options: { input?: string | Uint8Array; env?: Record<string, string> } = {},
): Buffer {
  return execFileSync("git", ["--git-dir", gitDir, ...args], {
    input: options.input ?? "",
    env: gitEnvironment(options.env),
    stdio: ["pipe", "pipe", "pipe"],
    maxBuffer: 256 * 1024 * 1024,
  });
}

function text(
  gitDir: string,
  args: string[],
  options: { input?: string | Uint8Array; env?: Record<string, string> } = {},
): string {
  return git(gitDir, args, options).toString("utf8").trimEnd();
}

const remembered = new Map<string, unknown>();

/** Answers about objects named by their id never change. */
function once<T>(key: string, make: () => T): T {
  if (!remembered.has(key)) remembered.set(key, make());
  return remembered.get(key) as T;
}

/** Written by hand: `git init` and one `git config` a setting are five processes for every repository of a test. */
export function initBare(gitDir: string, defaultBranch: string): void {
  for (const folder of ["objects/info", "objects/pack", "refs/heads", "refs/tags"])
    mkdirSync(join(gitDir, folder), { recursive: true });
  writeFileSync(join(gitDir, "HEAD"), `ref: refs/heads/${defaultBranch}\n`);
  // A client may fetch one commit by its id, as on GitHub.
  writeFileSync(
    join(gitDir, "config"),
    "[core]\n\trepositoryformatversion = 0\n\tbare = true\n[uploadpack]\n\tallowAnySHA1InWant = true\n\tallowFilter = true\n[gc]\n\tauto = 0\n",
  );
}

/** Full commit or object id behind a name; null when there is none. */
export function resolve(gitDir: string, name: string): string | null {
  if (name.startsWith("-") || name === "") return null;
  try {
    return text(gitDir, ["rev-parse", "--verify", "--quiet", "--end-of-options", name]);
  } catch {
    return null;
  }
}

export function resolveCommit(gitDir: string, name: string): string | null {
  return resolve(gitDir, `${name}^{commit}`);
}

export function branchHead(gitDir: string, branch: string): string | null {
  return resolve(gitDir, `refs/heads/${branch}^{commit}`);
}

export function objectType(gitDir: string, sha: string): string | null {
  if (!/^[0-9a-f]{40}$/.test(sha)) return null;
  try {
    return text(gitDir, ["cat-file", "-t", sha]);
  } catch {
    return null;
  }
}

export function readBlob(gitDir: string, sha: string): Buffer {
  return git(gitDir, ["cat-file", "blob", sha]);
}

export function writeBlob(gitDir: string, content: Uint8Array): string {
  return text(gitDir, ["hash-object", "-w", "--stdin"], { input: content });
}

export function listTree(gitDir: string, treeish: string, options: { recursive: boolean; path?: string }): TreeEntry[] {
  const args = ["ls-tree", "-z", "-l", "--full-tree", ...(options.recursive ? ["-r", "-t"] : []), treeish];
  if (options.path !== undefined) args.push("--", options.path);
  const out = git(gitDir, args).toString("utf8");
  return out
    .split("\0")
    .filter((line) => line !== "")
    .map((line) => {
      const [meta, path] = [line.slice(0, line.indexOf("\t")), line.slice(line.indexOf("\t") + 1)];
      const [mode, type, sha, size] = meta.split(/\s+/);
      return {
        path,
        mode: mode!,
        type: type as TreeEntry["type"],
        sha: sha!,
        size: size === "-" ? null : Number(size),
      };
    });
}

/** Lays entries over a base tree (null: an empty one); `sha: null` removes the path. */
export function writeTree(
  gitDir: string,
  base: string | null,
  entries: { path: string; mode: string; sha: string | null }[],
): string {
  const env = { GIT_INDEX_FILE: `${gitDir}/index-${process.hrtime.bigint()}` };
  git(gitDir, base === null ? ["read-tree", "--empty"] : ["read-tree", base], { env });
  const lines = entries.map(({ path, mode, sha }) =>
    sha === null ? `0 ${"0".repeat(40)}\t${path}` : `${mode} ${sha}\t${path}`,
  );
  // A subtree is laid over entry by entry: the index holds no trees.
  const flat = lines.filter((_, at) => entries[at]!.mode !== "040000");
  if (flat.length > 0) git(gitDir, ["update-index", "-z", "--index-info"], { env, input: `${flat.join("\0")}\0` });
  for (const entry of entries) {
    if (entry.mode === "040000" && entry.sha !== null)
      git(gitDir, ["read-tree", `--prefix=${entry.path}/`, entry.sha], { env });
  }
  return text(gitDir, ["write-tree"], { env });
}

export function writeCommit(
  gitDir: string,
  tree: string,
  parents: string[],
  message: string,
  author: Person,
  committer: Person = author,
): string {
  const env: Record<string, string> = {
    GIT_AUTHOR_NAME: author.name,
    GIT_AUTHOR_EMAIL: author.email,
    GIT_COMMITTER_NAME: committer.name,
    GIT_COMMITTER_EMAIL: committer.email,
  };
  if (author.date !== undefined) env["GIT_AUTHOR_DATE"] = author.date;
  if (committer.date !== undefined) env["GIT_COMMITTER_DATE"] = committer.date;
  return text(gitDir, ["commit-tree", tree, ...parents.flatMap((parent) => ["-p", parent]), "-F", "-"], {
    input: message,
    env,
  });
}

export function readCommit(gitDir: string, sha: string): Commit {
  return once(`commit ${gitDir} ${sha}`, () => showCommit(gitDir, sha));
}

function showCommit(gitDir: string, sha: string): Commit {
  const format = ["%H", "%T", "%P", "%an", "%ae", "%aI", "%cn", "%ce", "%cI", "%B"].join("%x00");
  const out = git(gitDir, ["show", "--no-patch", `--format=${format}`, "--end-of-options", sha]).toString("utf8");
  const [id, tree, parents, an, ae, ad, cn, ce, cd, ...body] = out.split("\0");
  return {
    sha: id!,
    tree: tree!,
    parents: parents === "" ? [] : parents!.split(" "),
    message: body.join("\0").trimEnd(),
    author: { name: an!, email: ae!, date: utc(ad!) },
    committer: { name: cn!, email: ce!, date: utc(cd!) },
  };
}

function utc(date: string): string {
  return new Date(date).toISOString().replace(/\.\d+Z$/, "Z");
}

export type RefEntry = { ref: string; sha: string; type: string };

export function listRefs(gitDir: string, prefix: string): RefEntry[] {
  const out = text(gitDir, ["for-each-ref", "--format=%(refname) %(objectname) %(objecttype)"]);
  return out
    .split("\n")
    .map((line) => line.split(" "))
    .filter(([ref]) => ref?.startsWith(prefix) === true && ref !== "")
    .map(([ref, sha, type]) => ({ ref: ref!, sha: sha!, type: type! }));
}

export function validRefName(ref: string): boolean {
  try {
    execFileSync("git", ["check-ref-format", ref], { stdio: "ignore", env: gitEnvironment() });
    return true;
  } catch {
    return false;
  }
}

/** `old`: the value that must still be there; null creates. False when it is not. */
export function updateRef(gitDir: string, ref: string, sha: string, old: string | null): boolean {
  try {
    git(gitDir, ["update-ref", ref, sha, old ?? "0".repeat(40)]);
    return true;
  } catch {
    return false;
  }
}

/** A branch of another repository, with what it reaches, under a name of this one. */
export function fetchBranch(gitDir: string, from: { gitDir: string; branch: string }, ref: string): void {
  git(gitDir, ["fetch", "--quiet", "--no-tags", from.gitDir, `+refs/heads/${from.branch}:${ref}`]);
}

export function deleteRef(gitDir: string, ref: string): void {
  git(gitDir, ["update-ref", "-d", ref]);
}

export function isAncestor(gitDir: string, ancestor: string, descendant: string): boolean {
  try {
    git(gitDir, ["merge-base", "--is-ancestor", ancestor, descendant]);
    return true;
  } catch {
    return false;
  }
}

export function mergeBase(gitDir: string, a: string, b: string): string | null {
  return once(`base ${gitDir} ${a} ${b}`, () => {
    try {
      return text(gitDir, ["merge-base", a, b]);
    } catch {
      return null;
    }
  });
}

/** Newest first; `exclude` and what it reaches are left out. */
export function log(
  gitDir: string,
  from: string,
  options: { exclude?: string; path?: string; limit?: number } = {},
): string[] {
  const args = [
    "rev-list",
    `--max-count=${options.limit ?? 1000}`,
    from,
    ...(options.exclude === undefined ? [] : [`^${options.exclude}`]),
  ];
  if (options.path !== undefined) args.push("--", options.path);
  const out = text(gitDir, args);
  return out === "" ? [] : out.split("\n");
}

/** Merges `head` into `base` without a working tree; null on a conflict. Returns the tree. */
export function mergeTrees(gitDir: string, base: string, head: string): string | null {
  return once(`merge ${gitDir} ${base} ${head}`, () => {
    try {
      return text(gitDir, ["merge-tree", "--write-tree", base, head]).split("\n")[0]!;
    } catch {
      return null;
    }
  });
}

const STATUS: Record<string, FileDiff["status"]> = {
  A: "added",
  D: "removed",
  M: "modified",
  R: "renamed",
  C: "copied",
  T: "changed",
};

/** Files that differ between two commits (null: the empty tree), with patches as GitHub writes them. */
export function diff(gitDir: string, from: string | null, to: string): FileDiff[] {
  return once(`diff ${gitDir} ${from} ${to}`, () => makeDiff(gitDir, from, to));
}

function makeDiff(gitDir: string, from: string | null, to: string): FileDiff[] {
  const range = [from ?? EMPTY_TREE, to];
  const raw = git(gitDir, ["diff", "--raw", "-z", "-M", "--no-abbrev", ...range])
    .toString("utf8")
    .split("\0");
  const patches = splitPatches(
    git(gitDir, ["diff", "-M", "-U3", "--no-color", "--no-ext-diff", "--no-textconv", ...range]).toString("utf8"),
  );
  const files: FileDiff[] = [];
  for (let at = 0; at < raw.length - 1; ) {
    const [, , , newSha, letter] = raw[at]!.split(" ");
    const renamed = /^[RC]/.test(letter!);
    const path = raw[at + (renamed ? 2 : 1)]!;
    const whole = patches[files.length] ?? "";
    const start = whole.search(/^@@ /m);
    const patch = start < 0 ? null : whole.slice(start).replace(/\n$/, "");
    const lines = patch === null ? [] : patch.split("\n");
    const tooLarge = patch !== null && (Buffer.byteLength(patch) > MAX_PATCH_BYTES || lines.length > MAX_PATCH_LINES);
    files.push({
      path,
      previousPath: renamed ? raw[at + 1]! : null,
      status: STATUS[letter![0]!] ?? "changed",
      sha: newSha!,
      additions: lines.filter((line) => line.startsWith("+")).length,
      deletions: lines.filter((line) => line.startsWith("-")).length,
      patch: tooLarge ? null : patch,
    });
    at += renamed ? 3 : 2;
  }
  return files;
}

/** A line of a hunk starts with a blank, `+`, `-` or `\`, so `diff --git` at a line's start begins a file. */
function splitPatches(whole: string): string[] {
  return whole.split(/^(?=diff --git )/m).filter((part) => part !== "");
}
