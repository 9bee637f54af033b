import { firstEndingAfter, type PythonTokens } from "./python-tokens.ts";

/**
 * Lines so long are looked at before they are parsed: tree-sitter skips a broken line by trying every place in it, which
 * takes n² time (86 KB of words on one line: 1.4 s natively, 5,000 characters: 5 ms).
 */
export const LONG_LINE = 5_000;
/** `match x`, `case y`, `type Z` and `print s` are one each: more operands side by side than that are no Python. */
export const MOST_SIDE_BY_SIDE = 4;

/** Between an operand and the next only these may stand without a sign of punctuation. */
const JOINING = new Set(
  "and as assert async await class def del elif else except finally for from global if import in is lambda nonlocal not or raise return try while with yield".split(
    " ",
  ),
);

/** Whether the text between two offsets has a long line with words side by side, as prose has and no Python. */
export function holdsProse(source: string, tokens: PythonTokens, from: number, to: number): boolean {
  for (let start = from; start < to; ) {
    const newline = source.indexOf("\n", start);
    const end = newline < 0 || newline > to ? to : newline;
    if (end - start > LONG_LINE && sideBySide(withoutLiterals(source, tokens, start, end)) > MOST_SIDE_BY_SIDE)
      return true;
    start = end + 1;
  }
  return false;
}

/** Strings and comments may hold any text: they are cut out, and what stands around them stays apart. */
function withoutLiterals(source: string, tokens: PythonTokens, start: number, end: number): string {
  let text = "";
  let at = start;
  const literals = [...within(tokens.strings, start, end), ...within(tokens.comments, start, end)];
  for (const literal of literals.sort((a, b) => a.start - b.start)) {
    if (literal.start > at) text += `${source.slice(at, literal.start)};`;
    at = Math.max(at, literal.end);
  }
  return text + source.slice(at, end);
}

function* within(spans: PythonTokens["strings"], start: number, end: number) {
  for (let i = firstEndingAfter(spans, start); i < spans.length && spans[i]!.start < end; i++) yield spans[i]!;
}

/** Operands with nothing but blanks between them, counted until there are too many. */
export function sideBySide(text: string, joining: ReadonlySet<string> = JOINING): number {
  let count = 0;
  let before: string | null = null;
  for (const [token] of text.matchAll(/[\p{L}\p{N}_]+|[^\s]/gu)) {
    const isWord = /^[\p{L}\p{N}_]/u.test(token);
    const isOperand = isWord && !joining.has(token);
    if (isOperand && before === "operand") count += 1;
    before = isOperand || token === ")" || token === "]" || token === "}" ? "operand" : null;
    if (count > MOST_SIDE_BY_SIDE) break;
  }
  return count;
}
