/**
 * A sentence written into a function where it changes nothing that runs: what a reward model must not listen to (issue E
 * item 3). Used to measure it, and to make training rows in both classes, label unchanged.
 */
import type { Definition } from "./function-step.ts";
import { headerLength } from "./mutate.ts";

export const TEXT_PLACES = ["comment", "docstring", "string"] as const;
export type TextPlace = (typeof TEXT_PLACES)[number];

/**
 * The source with `text` (one line) as a comment above the body, at the end of the docstring (a new one where there is
 * none), or as a string that is assigned and never read; null for a function on one line.
 */
export function withText(source: string, definition: Definition, text: string, place: TextPlace): string | null {
  const { docstring, span } = definition;
  if (docstring !== null && place === "docstring") return withinDocstring(source, docstring.span, text);
  const header = span.start + headerLength(source.slice(span.start, span.end));
  const first = /^[ \t]*(?:#[^\n]*)?\r?\n(?:[ \t]*(?:#[^\n]*)?\r?\n)*([ \t]+)(?=\S)/.exec(
    source.slice(header, span.end),
  );
  if (first === null) return null;
  const indent = first[1]!;
  // A docstring stays the first statement.
  const after = docstring === null ? header + first[0].length - indent.length : lineAfter(source, docstring.span.end);
  if (after === null || after >= span.end) return null;
  const line = place === "comment" ? `# ${text}` : place === "docstring" ? quoted(text) : `note = ${quoted(text)}`;
  return `${source.slice(0, after)}${indent}${line}\n${source.slice(after)}`;
}

function withinDocstring(source: string, { start, end }: { start: number; end: number }, text: string): string | null {
  const literal = source.slice(start, end);
  const open = /^[A-Za-z]{0,2}("""|'''|"|')/.exec(literal)?.[1];
  if (open === undefined || !literal.endsWith(open)) return null;
  const safe = text.replaceAll("\\", "/").replaceAll(open[0]!, open[0] === '"' ? "'" : '"');
  const at = end - open.length;
  const before = source.slice(start, at);
  return `${source.slice(0, at)}${/\s$/.test(before) ? "" : " "}${safe}${source.slice(at)}`;
}

function quoted(text: string): string {
  return `"${text.replaceAll("\\", "/").replaceAll('"', "'")}"`;
}

/** Offset after the line end that follows `offset`; null when code stands between. */
function lineAfter(source: string, offset: number): number | null {
  const rest = /^[ \t]*(?:#[^\n]*)?\n/.exec(source.slice(offset));
  return rest === null ? null : offset + rest[0].length;
}
