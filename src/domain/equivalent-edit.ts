/**
 * Edits of a Python function that change its text and not what it does: what a reward model must not mistake for a bug.
 * Several of them write what a mutation of `mutate.ts` writes too (`not (…)`, `pass`, `return None`, another operator), so
 * that no token alone tells a bug.
 */
import type { Definition } from "./function-step.ts";
import { headerLength } from "./mutate.ts";
import { type Token, tokenize } from "./python-literal.ts";

export type EquivalentEdit = { kind: string; text: string };

/** Local variables get one of these, or their own name with one of the endings. */
const NAMES = ["item", "data", "tmp", "current", "entry", "other", "val", "found", "this", "acc"];
const ENDINGS = ["_", "2", "_obj", "_now", "_one", "_new"];
const MIRRORED: Record<string, string> = { "<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!=" };
const SIMPLE = String.raw`[A-Za-z_][\w.]*|\d+`;

/** Texts of the whole source with one such edit each; empty where none fits. */
export function equivalentEdits(source: string, definition: Definition): EquivalentEdit[] {
  const { start, end } = definition.span;
  const from = definition.docstring?.span.end ?? start + headerLength(source.slice(start, end));
  const body = source.slice(from, end);
  const tokens = tokenize(body);
  // A long string may hold lines that look like code, a backslash and an open bracket lines that are none of their own.
  if (tokens === null || /"""|'''|\\\r?\n|\r/.test(body)) return [];
  const edits = [
    ...renamed(body, tokens, definition),
    ...mirrored(body),
    ...negated(body),
    ...swapped(body),
    ...spelledOut(body),
    ...bracketed(body),
    ...named(body, definition),
    ...idle(body),
    ...returning(body, definition),
  ];
  return edits.map(({ kind, text }) => ({ kind, text: source.slice(0, from) + text + source.slice(end) }));
}

function renamed(body: string, tokens: readonly Token[], definition: Definition): EquivalentEdit[] {
  // Names in strings and those of an outer or inner scope cannot be told apart from here.
  if (
    definition.nested > 0 ||
    /\b(?:global|nonlocal|locals|vars|dir|exec|eval|lambda|class|del|import)\b|[fF][rR]?["']|[rR][fF]["']/.test(body)
  )
    return [];
  const used = new Set([...tokens.map((token) => token.text), ...(definition.signature.match(/[A-Za-z_]\w*/g) ?? [])]);
  const parameters = new Set(definition.signature.match(/[A-Za-z_]\w*/g));
  const assigned = new Set(
    [...body.matchAll(/^[ \t]+([a-z_]\w*) = /gm)].map((match) => match[1]!).filter((name) => !parameters.has(name)),
  );
  return [...assigned].flatMap((name, at) => {
    const turn = at + name.length;
    const choices = [...NAMES, ...ENDINGS.map((ending) => `${name}${ending}`)];
    const fresh = [...choices.slice(turn % choices.length), ...choices].find((one) => !used.has(one));
    const isUse = (token: Token, index: number) =>
      token.kind === "name" && token.text === name && tokens[index - 1]?.text !== ".";
    const isKeyword = (token: Token, index: number) =>
      isUse(token, index) && tokens[index + 1]?.text === "=" && ["(", ","].includes(tokens[index - 1]?.text ?? "");
    if (fresh === undefined || tokens.some(isKeyword)) return [];
    let text = body;
    for (const use of tokens.filter(isUse).toReversed()) text = text.slice(0, use.start) + fresh + text.slice(use.end);
    return [{ kind: "rename", text }];
  });
}

/** `a < b` as `b > a`, where both are plain and the comparison is the whole condition. */
function mirrored(body: string): EquivalentEdit[] {
  const pattern = new RegExp(
    `^([ \\t]+(?:if|elif|while) )(${SIMPLE}) (<=?|>=?|==|!=) (${SIMPLE})(:[ \\t]*(?:#.*)?)$`,
    "gm",
  );
  return [...body.matchAll(pattern)].map((match) => {
    const [, opening, left, operator, right, closing] = match as unknown as string[];
    return replaced(body, match, "mirror", `${opening}${right} ${MIRRORED[operator!]} ${left}${closing}`);
  });
}

/** `a not in b` as `not a in b`, `a != b` as `not (a == b)`, `a is not b` as `not (a is b)`. */
function negated(body: string): EquivalentEdit[] {
  const pattern = new RegExp(
    `^([ \\t]+(?:if|elif|while) )(${SIMPLE}) (not in|is not|!=) (${SIMPLE}|"[^"\\n]*"|'[^'\\n]*')(:[ \\t]*(?:#.*)?)$`,
    "gm",
  );
  const plain: Record<string, string> = { "not in": "in", "is not": "is", "!=": "==" };
  return [...body.matchAll(pattern)].map((match) => {
    const [, opening, left, operator, right, closing] = match as unknown as string[];
    return replaced(body, match, "negation", `${opening}not (${left} ${plain[operator!]} ${right})${closing}`);
  });
}

/** The branches of an `if` with an `else` change places, its condition is denied. */
function swapped(body: string): EquivalentEdit[] {
  const lines = body.split("\n");
  return lines.flatMap((line, at) => {
    const match = /^([ \t]+)if ([^#:"'{[\]}]+):[ \t]*$/.exec(line);
    if (match === null || !balanced(match[2]!)) return [];
    const [, margin, condition] = match as unknown as [string, string, string];
    const otherwise = blockEnd(lines, at + 1, margin);
    if (lines[otherwise]?.trimEnd() !== `${margin}else:`) return [];
    const end = blockEnd(lines, otherwise + 1, margin);
    // A comment that stands further out may be of either side.
    const isOut = (one: string) => /^[ \t]*#/.test(one) && indentOf(one) <= margin.length;
    if (lines.slice(at, end).some(isOut)) return [];
    const text = [
      ...lines.slice(0, at),
      `${margin}if not (${condition}):`,
      ...lines.slice(otherwise + 1, end),
      `${margin}else:`,
      ...lines.slice(at + 1, otherwise),
      ...lines.slice(end),
    ].join("\n");
    return [{ kind: "branches", text }];
  });
}

const indentOf = (line: string) => line.length - line.trimStart().length;

/** Index of the first line of code from `at` on that stands no deeper than `margin`. */
function blockEnd(lines: readonly string[], at: number, margin: string): number {
  const end = lines.findIndex(
    (line, index) => index >= at && !/^[ \t]*(?:#|$)/.test(line) && indentOf(line) <= margin.length,
  );
  return end < 0 ? lines.length : end;
}

/** `n += 1` as `n = n + 1`, where n began as a whole number: what is changed in place is another's too. */
function spelledOut(body: string): EquivalentEdit[] {
  const counts = [...body.matchAll(/^([ \t]+)([a-z_]\w*) ([-+])= (\d+)[ \t]*$/gm)].filter((match) => {
    const sources = [...body.matchAll(new RegExp(`\\b${match[2]} = (.*)$`, "gm"))];
    return sources.length > 0 && sources.every((one) => /^\d+[ \t]*$/.test(one[1]!));
  });
  return counts.map((match) => {
    const [, margin, name, operator, number] = match as unknown as string[];
    return replaced(body, match, "assignment", `${margin}${name} = ${name} ${operator} ${number}`);
  });
}

/** A condition or a returned value of one line in brackets. */
function bracketed(body: string): EquivalentEdit[] {
  return [...body.matchAll(/^([ \t]+(?:if|elif|while|return) )([^\n#"'():]+)(:?[ \t]*)$/gm)]
    .filter(
      (match) =>
        match[1]!.includes("return") === !match[3]!.startsWith(":") &&
        balanced(match[2]!) &&
        balanced(body.slice(0, match.index)),
    )
    .map((match) => replaced(body, match, "brackets", `${match[1]}(${match[2]})${match[3]}`));
}

/** A returned value of one line through a name. */
function named(body: string, { signature }: Definition): EquivalentEdit[] {
  const name = ["answer", "out", "ret"].find((one) => !new RegExp(`\\b${one}\\b`).test(`${signature} ${body}`));
  return [...body.matchAll(/^([ \t]+)return ([^\n#"';]+)$/gm)]
    .filter((match) => name !== undefined && balanced(match[2]!) && balanced(body.slice(0, match.index)))
    .map((match) => replaced(body, match, "named", `${match[1]}${name} = ${match[2]}\n${match[1]}return ${name}`));
}

/** A `pass` above a statement of one line. */
function idle(body: string): EquivalentEdit[] {
  const statements = [...body.matchAll(/^([ \t]+)(?:[a-z_][\w.]* = [^\n([{"'\\]+|return\b[^\n([{"'\\]*)$/gm)];
  // Inside brackets `name = value` is an argument.
  return statements
    .filter((match) => balanced(body.slice(0, match.index)))
    .map((match) => replaced(body, match, "pass", `${match[1]}pass\n${match[0]}`));
}

/** The end of a function that has returned, or returns nothing. */
function returning(body: string, { signature }: Definition): EquivalentEdit[] {
  // What stands on the header's own line has no margin; a comment may have any.
  const margin = /^[ \t]*(?:#.*)?\n(?:[ \t]*(?:#.*)?\n)*([ \t]+)[^\s#]/.exec(body)?.[1];
  // `return None` is refused in an asynchronous generator.
  if (margin === undefined || (signature.startsWith("async") && /\byield\b/.test(body))) return [];
  return [{ kind: "return", text: `${body.trimEnd()}\n${margin}return None` }];
}

function replaced(body: string, match: RegExpMatchArray, kind: string, by: string): EquivalentEdit {
  return { kind, text: body.slice(0, match.index) + by + body.slice(match.index! + match[0].length) };
}

function balanced(text: string): boolean {
  let depth = 0;
  for (const { text: one, kind } of tokenize(text) ?? []) {
    if (kind !== "op") continue;
    if ("([{".includes(one)) depth += 1;
    else if (")]}".includes(one)) depth -= 1;
    if (depth < 0) return false;
  }
  return depth === 0;
}
