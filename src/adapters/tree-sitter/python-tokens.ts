/**
 * Comments, strings, calls and definition keywords of Python text, without a tree: reading them off the tree costs a visit
 * to every node (20–40 % of the parse), this costs 5 %, and it goes on working where the tree is broken. Proved against
 * Python's own `tokenize` and `ast` in test/unit/segment-stdlib.test.ts.
 */
import type { Span } from "../../domain/function-step.ts";

export type PythonTokens = {
  comments: Span[];
  /** Every string literal with its prefix and quotes, in order, not those inside a replacement field. */
  strings: Span[];
  /** Names followed by an opening bracket, keywords left out; offsets of the name. */
  calls: Span[];
  /** Offsets of the keyword `def`. */
  defs: number[];
  /** Deepest nesting of brackets. */
  depth: number;
};

const KEYWORDS = new Set(
  "and as assert async await break class continue def del elif else except finally for from global if import in is lambda nonlocal not or pass raise return try while with yield".split(
    " ",
  ),
);
const SOFT_KEYWORDS = new Set(["match", "case"]);
/** A replacement field longer than this is taken for text: bounds the work on hostile input. */
const LONGEST_FIELD = 2_000;
const DEEPEST_FIELD = 6;
/** After so many f-strings without an end, the rest of the text is read as if it had plain strings only: the same bound. */
const MOST_BROKEN = 200;

const BACKSLASH = 92;
const PREFIX = /^(?:[bfrtu]|br|rb|fr|rf|tr|rt)$/i;

const NAME_PART = new Uint8Array(128);
for (const char of "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz") NAME_PART[char.charCodeAt(0)] = 1;
const BOM = 0xfeff;

/** Digits too; NaN, the code after the end, is none. */
function inName(code: number): boolean {
  return code < 128 ? NAME_PART[code] === 1 : code >= 128 && code !== BOM;
}

// Character by character: as one regular expression this took four times as long, a tenth of the parse.
export function tokenizePython(source: string): PythonTokens {
  const tokens: PythonTokens = { comments: [], strings: [], calls: [], defs: [], depth: 0 };
  // A quote that had no unescaped partner after some offset has none after a later one.
  const unclosed = new Set<string>();
  let broken = 0;
  let depth = 0;

  function read(from: number, to: number, inField: boolean): void {
    let at = from;
    while (at < to) {
      const code = source.charCodeAt(at);
      if (inName(code)) at = name(at, inField);
      else if (code === 34 || code === 39) at = string(at, at, inField);
      else if (code === 35) {
        const start = at;
        while (at < to && source.charCodeAt(at) !== 10 && source.charCodeAt(at) !== 13) at++;
        tokens.comments.push({ start, end: at });
      } else {
        if (code === 40 || code === 91 || code === 123) {
          if (++depth > tokens.depth) tokens.depth = depth;
        } else if ((code === 41 || code === 93 || code === 125) && depth > 0) depth--;
        at++;
      }
    }
  }

  /** A name, number or keyword, or the string that it is the prefix of; the offset after it. */
  function name(start: number, inField: boolean): number {
    let end = start + 1;
    while (inName(source.charCodeAt(end))) end++;
    let next = source.charCodeAt(end);
    if ((next === 34 || next === 39) && PREFIX.test(source.slice(start, end))) return string(start, end, inField);
    const first = source.charCodeAt(start);
    if (first >= 48 && first <= 57) return end;
    let after = end;
    while (next === 32 || next === 9) next = source.charCodeAt(++after);
    if (after > end && inName(next) && (source.startsWith("def", start) || source.startsWith("class", start))) {
      const keyword = source.slice(start, end);
      if (keyword === "def") tokens.defs.push(start);
      if (keyword === "def" || keyword === "class") {
        while (inName(source.charCodeAt(after))) after++;
        return after;
      }
    }
    if (next === 40) {
      const text = source.slice(start, end);
      if (!KEYWORDS.has(text) && !(SOFT_KEYWORDS.has(text) && opensLine(source, start)))
        tokens.calls.push({ start, end });
    }
    return end;
  }

  /** The string whose prefix starts at `start` and whose quote stands at `open`; the offset after it. */
  function string(start: number, open: number, inField: boolean): number {
    const one = source[open] as string;
    const quote = source.startsWith(one.repeat(3), open) ? one.repeat(3) : one;
    const body = open + quote.length;
    const fields: Span[] = [];
    const formatted = /[ft]/i.test(source.slice(start, open)) && broken < MOST_BROKEN;
    let end = formatted ? endOfFormatted(source, body, quote, fields, 0) : null;
    if (end === null) {
      if (formatted) broken++;
      fields.length = 0;
      end = unclosed.has(quote) ? null : endOfPlain(source, body, quote);
      if (end === null && quote.length === 3) unclosed.add(quote);
    }
    if (!inField && end !== null) tokens.strings.push({ start, end });
    for (const field of fields) read(field.start, field.end, true);
    return end ?? body;
  }

  read(0, source.length, false);
  return tokens;
}

/** Deepest nesting of brackets in `[from, to)`, strings and comments left out. */
export function bracketDepth(source: string, tokens: PythonTokens, from: number, to: number): number {
  let depth = 0;
  let deepest = 0;
  const count = (start: number, end: number) => {
    for (let at = start; at < end; at++) {
      const code = source.charCodeAt(at);
      if (code === 40 || code === 91 || code === 123) {
        if (++depth > deepest) deepest = depth;
      } else if ((code === 41 || code === 93 || code === 125) && depth > 0) depth--;
    }
  };
  const { strings, comments } = tokens;
  let at = from;
  let s = firstEndingAfter(strings, from);
  let c = firstEndingAfter(comments, from);
  while (at < to) {
    const string = strings[s];
    const comment = comments[c];
    const next = comment !== undefined && (string === undefined || comment.start < string.start) ? comment : string;
    if (next === comment) c++;
    else s++;
    count(at, Math.min(next?.start ?? to, to));
    at = Math.max(at, next?.end ?? to);
  }
  return deepest;
}

/** Index of the first span that ends after `offset`. */
export function firstEndingAfter(spans: readonly Span[], offset: number): number {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((spans[middle] as Span).end > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}

function opensLine(source: string, offset: number): boolean {
  let at = offset;
  while (source[at - 1] === " " || source[at - 1] === "\t") at--;
  return at === 0 || source[at - 1] === "\n";
}

/** Offset after the closing quote; null when there is none (a one-line string also ends at the line's end). */
function endOfPlain(source: string, body: number, quote: string): number | null {
  if (quote.length === 3) {
    for (let at = source.indexOf(quote, body); at >= 0; at = source.indexOf(quote, at + 1)) {
      let slashes = 0;
      while (at - slashes > body && source.charCodeAt(at - slashes - 1) === BACKSLASH) slashes++;
      if (slashes % 2 === 0) return at + 3;
    }
    return null;
  }
  const closing = quote.charCodeAt(0);
  for (let at = body; at < source.length; at++) {
    const code = source.charCodeAt(at);
    if (code === closing) return at + 1;
    if (code === 10 || code === 13) return null;
    if (code === BACKSLASH) at += source.startsWith("\r\n", at + 1) ? 2 : 1;
  }
  return null;
}

/**
 * As `endOfPlain` for an f-string, whose fields may hold strings with the same quote (PEP 701). The expressions of its
 * fields are appended to `fields`.
 */
function endOfFormatted(source: string, body: number, quote: string, fields: Span[], depth: number): number | null {
  for (let at = body; at < source.length; ) {
    const char = source[at];
    if (source.startsWith(quote, at)) return at + quote.length;
    if (quote.length === 1 && (char === "\n" || char === "\r")) return null;
    if (source.startsWith("\\N{", at)) at += 3;
    else if (char === "\\") at += source.startsWith("{", at + 1) ? 1 : source.startsWith("\r\n", at + 1) ? 3 : 2;
    else if (source.startsWith("{{", at)) at += 2;
    else if (char === "{") {
      const end = endOfField(source, at + 1, fields, depth);
      if (end === null) return null;
      at = end;
    } else at++;
  }
  return null;
}

/** Offset after the `}` that closes a replacement field. */
function endOfField(source: string, start: number, fields: Span[], depth: number): number | null {
  if (depth > DEEPEST_FIELD) return null;
  const limit = Math.min(source.length, start + LONGEST_FIELD);
  let brackets = 0;
  let specification = false;
  for (let at = start; at < limit; at++) {
    const char = source[at] as string;
    if (char === "}" && brackets === 0) {
      if (!specification) fields.push({ start, end: at });
      return at + 1;
    }
    let end: number | null = at + 1;
    if (specification) {
      if (char === "{") end = endOfField(source, at + 1, fields, depth + 1);
    } else if (char === '"' || char === "'") {
      const quote = source.startsWith(char.repeat(3), at) ? char.repeat(3) : char;
      const formatted = /(?<!\w)(?:[ft]r?|r[ft])$/i.test(source.slice(Math.max(start, at - 3), at));
      end = formatted
        ? endOfFormatted(source, at + quote.length, quote, [], depth + 1)
        : endOfPlain(source, at + quote.length, quote);
    } else if (char === "#") end = source.indexOf("\n", at);
    else if ("([{".includes(char)) brackets++;
    else if (")]}".includes(char)) brackets--;
    else if (char === ":" && brackets === 0) {
      fields.push({ start, end: at });
      specification = true;
    }
    if (end === null || end < 0) return null;
    at = end - 1;
  }
  return null;
}
