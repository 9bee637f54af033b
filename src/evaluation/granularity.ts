/** A program cut in other ways than by function: the baselines of method.md section 8. Nothing but the cut differs. */

export const GRANULARITIES = ["function", "line", "block", "whole"] as const;
export type Granularity = (typeof GRANULARITIES)[number];

/** Lines of a fixed block: about what a function of these sets holds. */
const BLOCK_LINES = 8;

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
