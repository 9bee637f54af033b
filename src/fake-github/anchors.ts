/** Where GitHub lets a review comment stand: only on lines that a hunk of the diff shows (product.md 4.2). */
import type { Side } from "./types.ts";

export type DiffLine = {
  /** Offset below the first `@@`, as in the API's old `position`. */
  position: number;
  hunk: number;
  kind: "context" | "addition" | "deletion";
  left: number | null;
  right: number | null;
  text: string;
};

export type Anchor = { path: string; line?: number; side?: Side; start_line?: number; start_side?: Side };

export function parsePatch(patch: string): DiffLine[] {
  const lines: DiffLine[] = [];
  let hunk = -1;
  let left = 0;
  let right = 0;
  patch.split("\n").forEach((text, position) => {
    const header = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/.exec(text);
    if (header !== null) {
      hunk += 1;
      left = Number(header[1]);
      right = Number(header[2]);
      return;
    }
    if (text.startsWith("\\")) return;
    const kind = text.startsWith("+") ? "addition" : text.startsWith("-") ? "deletion" : "context";
    lines.push({
      position,
      hunk,
      kind,
      left: kind === "addition" ? null : left,
      right: kind === "deletion" ? null : right,
      text: text.slice(1),
    });
    if (kind !== "addition") left += 1;
    if (kind !== "deletion") right += 1;
  });
  return lines;
}

function find(lines: DiffLine[], line: number, side: Side): DiffLine | undefined {
  return lines.find((l) => (side === "RIGHT" ? l.right === line : l.left === line));
}

/** GitHub's words for what is wrong with the anchor, or the line that it stands on. */
export function checkAnchor(
  anchor: Anchor,
  patches: Map<string, string | null>,
): { refused: string } | { end: DiffLine; start: DiffLine } {
  const patch = patches.get(anchor.path);
  if (patch === undefined) return { refused: "Path could not be resolved" };
  if (anchor.line === undefined) return { refused: "Line could not be resolved" };
  const lines = patch === null ? [] : parsePatch(patch);
  const side = anchor.side ?? "RIGHT";
  const end = find(lines, anchor.line, side);
  if (end === undefined) return { refused: "Line must be part of the diff" };
  if (anchor.start_line === undefined) return { end, start: end };
  const start = find(lines, anchor.start_line, anchor.start_side ?? side);
  if (start === undefined) return { refused: "Start line must be part of the diff" };
  if (start.hunk !== end.hunk) return { refused: "Start line must be part of the same hunk as the line" };
  if (start.position >= end.position) return { refused: "Start line must precede the end line" };
  return { end, start };
}

/** The hunk down to the line that is commented on, as `diff_hunk`. */
export function hunkUntil(patch: string, end: DiffLine): string {
  const lines = patch.split("\n");
  let from = end.position;
  while (from > 0 && !lines[from]!.startsWith("@@")) from -= 1;
  return lines.slice(from, end.position + 1).join("\n");
}
