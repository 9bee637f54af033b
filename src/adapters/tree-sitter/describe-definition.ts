import type { Definition, Outline, Span } from "../../domain/function-step.ts";
import { firstEndingAfter, type PythonTokens } from "./python-tokens.ts";

export type Describer = ReturnType<typeof createDescriber>;

/** Index of the first number ≥ `value`. */
function firstAtLeast(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as number) >= value) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Fills in what a definition's offsets say about it: lines, signature, docstring, calls. */
export function createDescriber(source: string, tokens: Omit<PythonTokens, "depth">) {
  const lineStarts = [0];
  for (let at = source.indexOf("\n"); at >= 0; at = source.indexOf("\n", at + 1)) lineStarts.push(at + 1);

  /** 1-based. */
  function lineOf(offset: number): number {
    return firstAtLeast(lineStarts, offset + 1);
  }

  /** `end` moved back over blanks and comments to the end of the last code. */
  function endOfCode(start: number, end: number): number {
    let at = end;
    for (;;) {
      while (at > start && source.charCodeAt(at - 1) <= 32) at--;
      const comment = tokens.comments[firstEndingAfter(tokens.comments, at - 1)];
      if (comment === undefined || comment.end !== at || comment.start <= start) return at;
      at = comment.start;
    }
  }

  /** The string literals that are the statement at `body`, if it is a docstring. */
  function docstringAt(body: number, end: number): { span: Span; text: string } | null {
    let at = firstEndingAfter(tokens.strings, body);
    let text = "";
    let stop = body;
    for (let string = tokens.strings[at]; string !== undefined && string.end <= end; string = tokens.strings[++at]) {
      if (string.start !== body && !/^[ \t\f]*(?:\\\r?\n[ \t\f]*)*$/.test(source.slice(stop, string.start))) break;
      if (stop === body && string.start !== body) return null;
      const literal = source.slice(string.start, string.end);
      const open = /^([A-Za-z]{0,2})("""|'''|"|')/.exec(literal);
      if (open === null || /[bft]/i.test(open[1] as string)) return null;
      text += literal.slice(open[0].length, literal.length - (open[2] as string).length);
      stop = string.end;
    }
    if (stop === body || !/^[ \t\f]*(?:[#;\r\n]|$)/.test(source.slice(stop, stop + 200))) return null;
    return { span: { start: body, end: stop }, text: withoutIndentation(text) };
  }

  /** Text of `[start, end)` on one line, comments left out. */
  function collapsed(start: number, end: number): string {
    let text = "";
    let at = start;
    for (let i = firstEndingAfter(tokens.comments, start); (tokens.comments[i]?.start ?? end) < end; i++) {
      const comment = tokens.comments[i] as Span;
      text += source.slice(at, comment.start);
      at = comment.end;
    }
    return (text + source.slice(at, end)).replace(/(?:\s|\\\r?\n)+/g, " ").trim();
  }

  function callsIn(start: number, end: number): string[] {
    const names = new Set<string>();
    for (let i = firstEndingAfter(tokens.calls, start); i < tokens.calls.length; i++) {
      const call = tokens.calls[i] as Span;
      if (call.start >= end) break;
      names.add(source.slice(call.start, call.end));
    }
    return [...names];
  }

  return {
    text: (start: number, end: number) => source.slice(start, end),

    insideString(offset: number): boolean {
      const string = tokens.strings[firstEndingAfter(tokens.strings, offset)];
      return string !== undefined && string.start < offset;
    },

    /** The string literal that holds `offset`. */
    stringAt(offset: number): Span | null {
      const string = tokens.strings[firstEndingAfter(tokens.strings, offset)];
      return string !== undefined && string.start <= offset ? string : null;
    },

    /** `keyword` is the offset of `async` or `def`, `body` of the first statement, `end` anywhere up to the next code. */
    definition(at: {
      className: string | null;
      simpleName: string;
      start: number;
      keyword: number;
      colon: number;
      body: number;
      end: number;
    }): Definition {
      const end = Math.max(endOfCode(at.start, at.end), at.start + 1);
      return {
        name: at.className === null ? at.simpleName : `${at.className}.${at.simpleName}`,
        simpleName: at.simpleName,
        kind: at.className === null ? "function" : "method",
        span: { start: at.start, end },
        startLine: lineOf(at.start),
        endLine: lineOf(end - 1),
        signature: collapsed(at.keyword, Math.min(at.colon, end)),
        docstring: docstringAt(at.body, end),
        nested: Math.max(0, firstAtLeast(tokens.defs, end) - firstAtLeast(tokens.defs, at.keyword) - 1),
        calls: callsIn(at.start, end),
      };
    },

    classOf(at: { name: string; start: number; body: number; end: number }): Outline["classes"][number] {
      const end = Math.max(endOfCode(at.start, at.end), at.start + 1);
      return {
        name: at.name,
        span: { start: at.start, end },
        startLine: lineOf(at.start),
        endLine: lineOf(end - 1),
        docstring: docstringAt(at.body, end)?.text ?? null,
      };
    },
  };
}

/** As Python's `inspect.cleandoc`: first line stripped, common indentation of the others removed. */
function withoutIndentation(text: string): string {
  const lines = text.split(/\r?\n/);
  let margin = Number.POSITIVE_INFINITY;
  for (const line of lines.slice(1))
    if (line.trim() !== "") margin = Math.min(margin, line.length - line.trimStart().length);
  return lines
    .map((line, i) =>
      i === 0 ? line.trimStart() : margin === Number.POSITIVE_INFINITY ? line.trim() : line.slice(margin),
    )
    .join("\n")
    .trim();
}
