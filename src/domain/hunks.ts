/** Hunks of a unified diff, and the lines on which GitHub accepts a review comment (product.md section 4.2). */

export type Hunk = {
  /** First and last line on the right side, context included; `end < start` when the right side is empty. */
  start: number;
  end: number;
  /** Lines added on the right side. */
  added: number[];
};

/** Hunks of the `patch` that GitHub gives for one file. Lines are those of the right side, 1-based. */
export function parseHunks(patch: string): Hunk[] {
  const hunks: Hunk[] = [];
  let line = 0;
  for (const text of patch.split("\n")) {
    const header = /^@@ -\d+(?:,\d+)? \+(\d+)(?:,(\d+))? @@/.exec(text);
    if (header) {
      line = Number(header[1]);
      const count = header[2] === undefined ? 1 : Number(header[2]);
      hunks.push({ start: line, end: line + count - 1, added: [] });
      continue;
    }
    const hunk = hunks.at(-1);
    if (!hunk) continue;
    if (text.startsWith("+")) hunk.added.push(line++);
    else if (text.startsWith(" ")) line++;
  }
  return hunks;
}

/**
 * Where a comment on the function at `startLine`..`endLine` goes: the intersection of the function with the hunk that
 * holds its changed line nearest the signature (or, when lines were only deleted, the first hunk it meets). Null when no
 * hunk meets the function: GitHub would refuse the anchor.
 */
export function anchor(
  hunks: readonly Hunk[],
  startLine: number,
  endLine: number,
): { startLine: number | null; line: number } | null {
  const meeting = hunks.filter((hunk) => hunk.start <= endLine && hunk.end >= startLine);
  const changed = meeting.find((hunk) => hunk.added.some((line) => line >= startLine && line <= endLine));
  const hunk = changed ?? meeting[0];
  if (!hunk) return null;
  const first = Math.max(startLine, hunk.start);
  const last = Math.min(endLine, hunk.end);
  return { startLine: first === last ? null : first, line: last };
}

/** Whether GitHub takes the anchor on the right side: both ends are lines that one and the same hunk shows. */
export function takesAnchor(patch: string, at: { startLine: number | null; line: number }): boolean {
  const hunkOf = new Map<number, number>();
  let hunk = -1;
  let line = 0;
  for (const text of patch.split("\n")) {
    const header = /^@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@/.exec(text);
    if (header) {
      hunk += 1;
      line = Number(header[1]);
    } else if (text.startsWith("+") || text.startsWith(" ")) hunkOf.set(line++, hunk);
  }
  const last = hunkOf.get(at.line);
  if (last === undefined) return false;
  return at.startLine === null || (at.startLine < at.line && hunkOf.get(at.startLine) === last);
}
