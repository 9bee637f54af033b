/** Both sides of every changed file of a pull request: the head from its blob, the base by turning GitHub's own patch back. */
import { reversePatch } from "../domain/reverse-patch.ts";
import { isReviewed, type ReviewedFile } from "../domain/review-scope.ts";
import { decodeSource, encodeSource } from "../domain/segment.ts";
import type { GitHost, PullRequestFacts, PullRequestFile, RepoRef } from "../ports.ts";

/** `patches` by path, null where GitHub gives none. `unlisted`: files that GitHub does not name, which ends its list at 3,000. */
export async function readPullFiles(
  host: GitHost,
  ref: RepoRef,
  pull: PullRequestFacts,
  signal: AbortSignal,
): Promise<{ files: ReviewedFile[]; patches: Map<string, string | null>; unlisted: number }> {
  const files: ReviewedFile[] = [];
  const patches = new Map<string, string | null>();
  const listed = await host.pullRequestFiles(ref, pull.number);
  for (const file of listed) {
    signal.throwIfAborted();
    patches.set(file.path, file.patch);
    const same = { path: file.path, previousPath: file.previousPath };
    if (!isReviewed(file)) {
      files.push({ ...same, before: null, after: null, unreadable: null });
      continue;
    }
    files.push({ ...same, ...(await sidesOf(host, ref, pull, file)) });
  }
  return { files, patches, unlisted: Math.max(0, (pull.changedFiles ?? 0) - listed.length) };
}

async function sidesOf(
  host: GitHost,
  ref: RepoRef,
  pull: PullRequestFacts,
  file: PullRequestFile,
): Promise<Pick<ReviewedFile, "before" | "after" | "unreadable">> {
  const unreadable = (why: string) => ({ before: null, after: null, unreadable: why });
  const removed = file.status === "removed";
  const head = removed ? null : await host.readFile(ref, file.path, pull.headSha);
  if (!removed && head === null) return unreadable("symbolic link, submodule, or over GitHub's size");
  if (file.patch === null) {
    const same = { before: head ?? new Uint8Array(), after: head, unreadable: null };
    if (file.additions + file.deletions === 0 && (await isSameText(host, ref, pull, file, head))) return same;
    const renamed = file.additions + file.deletions === 0 && file.previousPath !== null;
    return unreadable(`no diff from GitHub: ${renamed ? "renamed, and another text on base" : "too large or binary"}`);
  }
  const source = head === null ? null : decodeSource(head);
  if (file.status === "added") {
    // Of a symbolic link GitHub gives the contents of what it points to; its diff holds the one line of the link.
    const lines = source!.text.split("\n").length - (source!.text.endsWith("\n") ? 1 : 0);
    if (lines !== file.additions) return unreadable("the diff does not fit the file");
    if (source!.encoding === "utf-8" && reversePatch(source!.text, file.patch) !== "")
      return unreadable("the diff does not fit the file");
    return { before: null, after: head, unreadable: null };
  }
  const before = reversePatch(source?.text ?? null, file.patch);
  if (before === null) return unreadable("the diff does not fit the file");
  return { before: Buffer.from(encodeSource(before, source?.encoding ?? "utf-8")), after: head, unreadable: null };
}

/** GitHub counts no lines of a binary file either: only a move, another mode or an empty file change no text. */
async function isSameText(
  host: GitHost,
  ref: RepoRef,
  pull: PullRequestFacts,
  file: PullRequestFile,
  head: Uint8Array | null,
): Promise<boolean> {
  if (file.status === "added") return head!.length === 0;
  const base = await host.readFile(ref, file.previousPath ?? file.path, pull.baseSha);
  return head === null ? base === null || base.length === 0 : base !== null && Buffer.compare(base, head) === 0;
}
