/** Which findings stand under a line of the diff, and where. Everything else stands in the check run. */
import { anchor, parseHunks, takesAnchor } from "./hunks.ts";
import type { ReviewedFunction } from "./review.ts";

/** Of one review, whatever the settings say (product.md section 2, pain 12). */
const MOST_COMMENTS = 20;

export type InlineComment = {
  one: ReviewedFunction;
  /** Lines of the right side; `startLine` null for a single line. */
  startLine: number | null;
  line: number;
};

/**
 * The first findings, in the order given, that have a line which GitHub takes: as many of each setting as it allows.
 * `patches` are GitHub's own, by path. A finding without such a line stays an annotation of the check run.
 */
export function inlineComments(
  findings: readonly ReviewedFunction[],
  patches: ReadonlyMap<string, string | null>,
  limitOf: (path: string) => { setting: string; most: number },
): InlineComment[] {
  const counts = new Map<string, number>();
  const comments: InlineComment[] = [];
  for (const one of findings) {
    const { setting, most } = limitOf(one.path);
    const count = counts.get(setting) ?? 0;
    const patch = patches.get(one.path);
    if (count >= most || comments.length >= MOST_COMMENTS || patch === undefined || patch === null) continue;
    const at = anchor(parseHunks(patch), one.startLine, one.endLine);
    if (at === null || !takesAnchor(patch, at)) continue;
    counts.set(setting, count + 1);
    comments.push({ one, ...at });
  }
  return comments;
}
