/**
 * Text as the reward model sees it, in training and in serving (rulings 4). Every row and manifest carries the version.
 * Nothing but the statement identifies the problem: no id, no index, no path, no model.
 */
import type { FunctionStep, Outline, SegmentedFile, Span } from "./function-step.ts";

export const RENDER_VERSION = "v1";
/** `v1-nodoc` also cuts the docstrings of functions: ablations only. */
export type RenderVersion = typeof RENDER_VERSION | "v1-nodoc";

/**
 * `context`: signatures of functions that the chain calls or that call it, which are never steps themselves (method.md
 * section 4, review). The statement is data: fenced by more backticks than it holds in a row.
 */
export function renderPrompt(statement: string, context: readonly string[] = []): string {
  const problem = fenced("Problem", normalized(statement).trim());
  return context.length === 0 ? problem : problem + fenced("Context", normalized(context.join("\n")).trim());
}

function fenced(title: string, text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((run) => run[0].length));
  const fence = "`".repeat(longest + 1);
  return `${title}:\n${fence}\n${text}\n${fence}\n`;
}

/** Line ends LF, no BOM, no lone surrogate (it has no UTF-8 form, and the two tokenizers would differ). */
function normalized(text: string): string {
  return text
    .replace(/^\uFEFF/, "")
    .replace(/\r\n?/g, "\n")
    .toWellFormed();
}

/**
 * Source without `cuts` (the spans of its comments), without blank lines and trailing whitespace; strings, docstrings and
 * tabs stay as they are. A comment, a blank line or a line end more or less changes nothing.
 * @param cuts UTF-16 offsets into `source`, in order, not overlapping.
 * @param literals the strings that may span lines, in order, for languages whose strings are not Python's.
 */
export function renderStep(source: string, cuts: readonly Span[], literals?: readonly Span[]): string {
  let out = "";
  let line = "";
  const endLine = () => {
    const stripped = line.trimEnd();
    if (stripped !== "") out += out === "" ? stripped : `\n${stripped}`;
    line = "";
  };
  let at = 0;
  let cut = 0;
  let literal = 0;
  while (at < source.length) {
    while (literals !== undefined && literal < literals.length && literals[literal]!.start < at) literal += 1;
    while (cut < cuts.length && cuts[cut]!.end <= at) cut += 1;
    if (cut < cuts.length && cuts[cut]!.start <= at) {
      at = cuts[cut]!.end;
      continue;
    }
    const char = source[at]!;
    if (char === "\n" || char === "\r") {
      endLine();
      at += 1;
    } else if (literals === undefined ? char === '"' || char === "'" : literals[literal]?.start === at) {
      const end = literals === undefined ? stringEnd(source, at) : literals[literal]!.end;
      line += source.slice(at, end);
      at = end;
    } else {
      line += char;
      at += 1;
    }
  }
  endLine();
  return normalized(out);
}

/** Offset behind the Python string that starts at `start`; an unclosed one ends with its line, a triple-quoted one with the text. */
function stringEnd(source: string, start: number): number {
  const quote = source[start]!;
  const triple = source.startsWith(quote.repeat(3), start);
  const close = triple ? quote.repeat(3) : quote;
  let at = start + close.length;
  while (at < source.length) {
    if (source[at] === "\\") at += 2;
    else if (source.startsWith(close, at)) return at + close.length;
    else if (!triple && (source[at] === "\n" || source[at] === "\r")) return at;
    else at += 1;
  }
  return source.length;
}

/** Rendered text of every step of a segmented file, in order. `outline` is the one that the file was segmented by. */
export function renderSteps(file: SegmentedFile, outline: Outline, version: RenderVersion = RENDER_VERSION): string[] {
  const docstrings =
    version === "v1-nodoc" ? outline.definitions.flatMap((definition) => definition.docstring?.span ?? []) : [];
  const cuts = [...outline.comments, ...docstrings].sort((a, b) => a.start - b.start);
  let offset = 0;
  return file.steps.map((step: FunctionStep) => {
    const start = offset;
    offset += step.source.length;
    const inside = (spans: readonly Span[]) =>
      spans
        .filter((span) => span.start >= start && span.start < offset)
        .map((span) => ({ start: span.start - start, end: span.end - start }));
    return renderStep(step.source, inside(cuts), outline.strings && inside(outline.strings));
  });
}
