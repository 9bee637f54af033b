/** A program cut in other ways than by function: the baselines of method.md section 8. Nothing but the cut differs. */

export const GRANULARITIES = ["function", "line", "block", "whole"] as const;
export type Granularity = (typeof GRANULARITIES)[number];

/** Lines of a fixed block: about what a function of these sets holds. */
const BLOCK_LINES = 8;

/** Characters of what one pass reads and of what stands before it: together about a window of 1,024 tokens. */
const READ_CHARS = 1_500;

/**
 * Passes over a long program: each reads the pieces from `read` on, after those from `from`. Without them every line behind
 * the first window would be a pass of its own. Every piece is read once.
 */
export function passesOf(pieces: readonly string[]): { from: number; read: number; to: number }[] {
  const passes: { from: number; read: number; to: number }[] = [];
  let read = 0;
  while (read < pieces.length) {
    let from = read;
    for (let before = 0; from > 0 && before + pieces[from - 1]!.length <= READ_CHARS; from--)
      before += pieces[from - 1]!.length;
    // The first pass has nothing before it.
    let [to, left] = [read, passes.length === 0 ? 2 * READ_CHARS : READ_CHARS];
    while (to < pieces.length && (to === read || pieces[to]!.length <= left)) left -= pieces[to++]!.length;
    passes.push({ from, read, to });
    read = to;
  }
  return passes;
}

/** At least one text, in order; joined by line ends they are the program. `functions`: its rendered function steps. */
export function piecesOf(functions: readonly string[], granularity: Granularity): string[] {
  if (granularity === "function") return [...functions];
  if (granularity === "whole") return [functions.join("\n")];
  const lines: string[] = [];
  for (const line of functions.join("\n").split("\n")) {
    // A blank line stands in a string: it is no step.
    if (line.trim() === "" && lines.length > 0) lines[lines.length - 1] += `\n${line}`;
    else lines.push(line);
  }
  if (granularity === "line") return lines;
  return Array.from({ length: Math.ceil(lines.length / BLOCK_LINES) }, (_, at) =>
    lines.slice(at * BLOCK_LINES, (at + 1) * BLOCK_LINES).join("\n"),
  );
}
