/** Trees of files at one commit, read through git's objects, so that every byte is as committed. */
import { constants } from "node:fs";
import { lstat, mkdir, mkdtemp, open, readdir, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative, sep } from "node:path";
import { FunprmError } from "../../domain/errors.ts";
import { blobId, type ObjectFormat, type TreeEntry, treeId } from "../../domain/git-tree.ts";
import type { Checkout, CheckoutFile, CheckoutSource, Workspace } from "../../ports.ts";
import { compare } from "./compare.ts";
import { git, READ_MS } from "./git.ts";
import { commitOf, fileAt, folderOf } from "./local-repository.ts";

const FETCH_MS = 120_000;
const MOST_BYTES = 500 * 1024 * 1024;
const SKIPPED_FOLDERS = new Set([
  ".git",
  "node_modules",
  "__pycache__",
  ".venv",
  "venv",
  ".tox",
  ".mypy_cache",
  ".pytest_cache",
]);

export function createWorkspace(): Workspace {
  return {
    async checkout(source: CheckoutSource, signal?: AbortSignal): Promise<Checkout> {
      const folder = await mkdtemp(join(tmpdir(), "funprm-checkout-"));
      const dispose = () => rm(folder, { recursive: true, force: true, maxRetries: 3 });
      try {
        if (source.kind === "remote") {
          const repository = join(folder, "git");
          await mkdir(repository);
          await git({
            cwd: repository,
            args: ["init", "--quiet", "--bare"],
            timeoutMs: READ_MS,
            maxBytes: 1 << 20,
            signal,
          });
          await git({
            cwd: repository,
            args: [
              "fetch",
              "--quiet",
              "--depth=1",
              "--no-tags",
              "--no-recurse-submodules",
              source.cloneUrl,
              source.sha,
            ],
            token: source.token,
            timeoutMs: FETCH_MS,
            maxBytes: 1 << 20,
            signal,
          });
          return await fromObjects(repository, source.sha, join(folder, "tree"), dispose, signal);
        }
        const path = await folderOf(source.path);
        if (source.ref === null) return { ...(await fromFolder(path)), dispose };
        const sha = await commitOf(path, source.ref);
        return await fromObjects(path, sha, join(folder, "tree"), dispose, signal);
      } catch (error) {
        await dispose();
        throw error;
      }
    },
    compare,
    fileAt,
  };
}

/** Files of a commit. They are also written out below `root` as committed: regular files only, links never made. */
async function fromObjects(
  repository: string,
  sha: string,
  root: string,
  dispose: () => Promise<void>,
  signal?: AbortSignal,
): Promise<Checkout> {
  const listing = await git({
    cwd: repository,
    args: ["ls-tree", "-r", "-z", "-l", "--full-tree", sha],
    timeoutMs: READ_MS,
    maxBytes: 64 << 20,
    signal,
  });
  const files = new Map<string, CheckoutFile & { oid: string }>();
  for (const line of listing.toString("utf8").split("\0")) {
    const match = /^(\d{6}) \w+ ([0-9a-f]{40,64}) +(\d+|-)\t(.+)$/s.exec(line);
    if (!match || !isInside(match[4]!)) continue;
    files.set(match[4]!, {
      path: match[4]!,
      mode: match[1] as CheckoutFile["mode"],
      oid: match[2]!,
      size: match[3] === "-" ? 0 : Number(match[3]),
    });
  }
  const regular = [...files.values()].filter((file) => file.mode.startsWith("100"));
  if (regular.reduce((sum, file) => sum + file.size, 0) > MOST_BYTES)
    throw new FunprmError("CHECKOUT_FAILED", `the tree is larger than ${MOST_BYTES / 1024 / 1024} MB`);
  const blobs = await git({
    cwd: repository,
    args: ["cat-file", "--batch"],
    input: regular.map((file) => `${file.oid}\n`).join(""),
    timeoutMs: READ_MS,
    maxBytes: MOST_BYTES + (64 << 20),
    signal,
  });
  const contents = new Map<string, Uint8Array>();
  let at = 0;
  for (const file of regular) {
    const end = blobs.indexOf(10, at);
    const size = Number(blobs.toString("latin1", at, end).split(" ")[2]);
    contents.set(file.path, blobs.subarray(end + 1, end + 1 + size));
    at = end + 1 + size + 1;
  }
  await mkdir(root, { recursive: true });
  for (const file of regular) {
    const target = join(root, file.path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, contents.get(file.path)!, { mode: file.mode === "100755" ? 0o755 : 0o644 });
  }
  return {
    sha,
    root,
    files: async () => [...files.values()].map(({ path, mode, size }) => ({ path, mode, size })),
    read: async (path) => contents.get(path) ?? null,
    tree: async (changes) => treeWith([...files.values()], changes, sha.length === 64 ? "sha256" : "sha1"),
    dispose,
  };
}

function treeWith(
  entries: readonly TreeEntry[],
  changes: readonly { path: string; after: Uint8Array }[],
  format: ObjectFormat,
): string {
  const all = new Map(entries.map((entry) => [entry.path, entry]));
  for (const { path, after } of changes)
    all.set(path, { path, mode: all.get(path)?.mode ?? "100644", oid: blobId(after, format) });
  return treeId([...all.values()], format);
}

function isInside(path: string): boolean {
  return path.split("/").every((part) => part !== "" && part !== "." && part !== ".." && part.toLowerCase() !== ".git");
}

/** A folder as it stands on disk; links are listed as links and never followed. */
async function fromFolder(root: string): Promise<Omit<Checkout, "dispose">> {
  const files: CheckoutFile[] = [];
  const walk = async (folder: string): Promise<void> => {
    for (const entry of (await readdir(folder, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) {
        if (!SKIPPED_FOLDERS.has(entry.name)) await walk(path);
      } else if (entry.isFile() || entry.isSymbolicLink()) {
        const facts = await lstat(path);
        const mode = entry.isSymbolicLink() ? "120000" : facts.mode & 0o100 ? "100755" : "100644";
        files.push({ path: relative(root, path).split(sep).join("/"), mode, size: facts.size });
      }
    }
  };
  await walk(root);
  const regular = new Set(files.filter((file) => file.mode !== "120000").map((file) => file.path));
  const read = async (path: string): Promise<Uint8Array | null> => {
    if (!regular.has(path)) return null;
    // O_NOFOLLOW: the file may have become a link since it was listed.
    const file = await open(join(root, path), constants.O_RDONLY | constants.O_NOFOLLOW).catch(() => null);
    if (!file) return null;
    try {
      return await file.readFile();
    } finally {
      await file.close();
    }
  };
  return {
    sha: "working copy",
    root,
    files: async () => files,
    read,
    tree: async (changes) => {
      const entries: TreeEntry[] = [];
      for (const { path, mode } of files) {
        const content = mode === "120000" ? Buffer.from(await readlink(join(root, path))) : await read(path);
        // A file that has gone since it was listed is in no tree.
        if (content !== null) entries.push({ path, mode, oid: blobId(content) });
      }
      return treeWith(entries, changes, "sha1");
    },
  };
}
