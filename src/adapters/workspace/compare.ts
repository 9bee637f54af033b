/** What one commit changes against another, read through git's objects: no attribute, filter or diff driver of the repository runs. */
import { FunprmError } from "../../domain/errors.ts";
import { isReviewed, MOST_FILE_BYTES, type ReviewedFile } from "../../domain/review-scope.ts";
import type { Comparison } from "../../ports.ts";
import { git, READ_MS } from "./git.ts";
import { commitOf, folderOf } from "./local-repository.ts";

const MOST_BYTES = 256 * 1024 * 1024;
const MOST_MESSAGES = 50;
/** Read at all; a review lists files over `MOST_FILE_BYTES` without looking into them. */
const MOST_BLOB_BYTES = 32 * 1024 * 1024;

export async function compare(path: string, base: string, head: string, signal?: AbortSignal): Promise<Comparison> {
  const repository = await folderOf(path);
  const call = async (args: string[], options: { input?: string; answers?: readonly number[] } = {}) =>
    git({ cwd: repository, args, timeoutMs: READ_MS, maxBytes: MOST_BYTES, signal, ...options }).catch((error) =>
      incomplete(path, error),
    );
  const headSha = await commitOf(repository, head);
  const named = await commitOf(repository, base);
  // Unrelated histories have no merge base (exit 1, no output): then the two trees themselves are compared.
  const common = await call(["merge-base", named, headSha], { answers: [1] });
  const baseSha = common.toString("utf8").trim() || named;
  if (common.length === 0 && (await call(["rev-parse", "--is-shallow-repository"])).toString("utf8").trim() === "true")
    throw new FunprmError(
      "BAD_INPUT",
      `${path}: a shallow clone without the commit that ${base} and ${head} share; run git fetch --unshallow`,
    );
  const log = await call([
    "log",
    "-z",
    "--reverse",
    "--format=%B",
    `--max-count=${MOST_MESSAGES}`,
    `${baseSha}..${headSha}`,
  ]);
  const raw = await call(["diff-tree", "-r", "-z", "-M", "--raw", "--no-abbrev", "--no-textconv", baseSha, headSha]);
  const entries = changedEntries(raw.toString("utf8"));
  const wanted = entries.flatMap((entry) => (isReviewed(entry) ? [entry.before, entry.after] : []));
  const oids = [...new Set(wanted.flatMap((side) => (side?.regular ? [side.oid] : [])))];
  const contents = await blobsOf(oids, call);
  return {
    baseSha,
    headSha,
    messages: log
      .toString("utf8")
      .split("\0")
      .map((message) => message.trim())
      .filter((message) => message !== ""),
    files: entries.map(({ path, previousPath, before, after }): ReviewedFile => {
      const sides = [before, after].filter((side) => side !== null);
      const contentsOf = (side: Side) => contents.get(side.oid);
      const bytesOf = (side: Side | null) => {
        const found = side && contentsOf(side);
        return found instanceof Uint8Array ? found : null;
      };
      const why = sides.map(contentsOf).find((found) => typeof found === "string") as string | undefined;
      return {
        path,
        previousPath,
        before: bytesOf(before),
        after: bytesOf(after),
        unreadable: sides.some((side) => !side.regular) ? "symbolic link or submodule" : (why ?? null),
      };
    }),
  };
}

/** What git is asked for is not there: a shallow or partial clone, or one that is damaged. */
function incomplete(path: string, error: unknown): never {
  if (!(error instanceof FunprmError && error.code === "CHECKOUT_FAILED")) throw error;
  throw new FunprmError(
    "BAD_INPUT",
    `${path}: its history cannot be read (${error.message}); fetch it whole: git fetch --unshallow, or without --filter`,
    { cause: error },
  );
}

/** By object id: the contents, or why there are none. */
async function blobsOf(
  oids: readonly string[],
  call: (args: string[], options: { input: string }) => Promise<Buffer>,
): Promise<Map<string, Uint8Array | string>> {
  const asLines = (some: readonly string[]) => some.map((oid) => `${oid}\n`).join("");
  // Sizes first: one file of gigabytes must not end the review of the others.
  const facts = (await call(["cat-file", "--batch-check"], { input: asLines(oids) })).toString("latin1").split("\n");
  const contents = new Map<string, Uint8Array | string>();
  const present: string[] = [];
  for (const [at, oid] of oids.entries()) {
    const [, type, size] = facts[at]!.split(" ");
    if (type !== "blob") contents.set(oid, "contents are not in this clone");
    else if (Number(size) > MOST_BLOB_BYTES) contents.set(oid, `file over ${MOST_FILE_BYTES / 1_000_000} MB`);
    else present.push(oid);
  }
  const blobs = await call(["cat-file", "--batch"], { input: asLines(present) });
  let at = 0;
  for (const oid of present) {
    const end = blobs.indexOf(10, at);
    const size = Number(blobs.toString("latin1", at, end).split(" ")[2]);
    contents.set(oid, blobs.subarray(end + 1, end + 1 + size));
    at = end + 1 + size + 1;
  }
  return contents;
}

type Side = { oid: string; regular: boolean };
type Entry = { path: string; previousPath: string | null; before: Side | null; after: Side | null };

/** `:100644 100644 OID OID R086 NUL old NUL new NUL` (git-diff-tree, raw output format with -z). */
function changedEntries(raw: string): Entry[] {
  const fields = raw.split("\0");
  const entries: Entry[] = [];
  for (let at = 0; at < fields.length; ) {
    const match = /^:(\d{6}) (\d{6}) ([0-9a-f]+) ([0-9a-f]+) ([A-Z])\d*$/.exec(fields[at]!);
    if (!match) break;
    const [, oldMode, newMode, oldOid, newOid, status] = match;
    const renamed = status === "R" || status === "C";
    const first = fields[at + 1]!;
    const side = (mode: string, oid: string): Side | null =>
      mode === "000000" ? null : { oid, regular: mode.startsWith("100") };
    entries.push({
      path: renamed ? fields[at + 2]! : first,
      previousPath: renamed ? first : null,
      before: side(oldMode!, oldOid!),
      after: side(newMode!, newOid!),
    });
    at += renamed ? 3 : 2;
  }
  return entries;
}
