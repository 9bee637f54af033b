/**
 * What a step of Python says, apart from what it does (security.md section 4, docs/adr/0020-words.md): docstrings, strings that
 * stand alone or under a name that nothing reads, and sentences in strings. None of it may buy a reward.
 */
import { type Statement, statementsOf, type Token, tokenize } from "./python-literal.ts";

/** A string of so many words is a sentence for people; a shorter one ("YES", a key) is the program. */
const SENTENCE = 3;
/** What words may move a reward by: they order steps that the model holds for equal without them, and no others. */
export const WORDS_MOVE = 0.001;

/** The rendered step without its words. Text that is no Python stays as it is: such code is not chosen. */
export function withoutWords(rendered: string): string {
  const tokens = tokenize(rendered);
  if (tokens === null) return rendered;
  const names = namesOf(tokens);
  let out = "";
  let at = 0;
  const put = (start: number, end: number, text: string) => {
    out += rendered.slice(at, start) + text;
    at = end;
  };
  for (const statement of statementsOf(tokens, rendered).flatMap(simpleStatements)) {
    const [first, last] = [statement[0]!, statement.at(-1)!];
    if (isIdle(statement, names)) put(...wholeLine(rendered, first.start, last.end), "");
    else
      for (const token of statement)
        if (token.kind === "string" && isSentence(token.text)) put(token.start, token.end, speechless(token.text));
  }
  return out + rendered.slice(at);
}

/** The reward with words, at most `WORDS_MOVE` away from the one without. */
export function boundedByWords(reward: number | null, without: number | null): number | null {
  if (reward === null || without === null) return reward;
  return Math.min(Math.max(reward, without - WORDS_MOVE), without + WORDS_MOVE);
}

const COMPOUND = /^(?:if|elif|else|for|while|try|except|finally|with|def|class|async|match|case)$/;

/** Those of one line: behind semicolons, each with its own, and behind the colon of a block that begins on its line. */
function simpleStatements(line: Statement): Token[][] {
  const statements: Token[][] = [[]];
  const isBlock = COMPOUND.test(line[0]!.token.text);
  for (const { token, depth } of line) {
    statements.at(-1)!.push(token);
    const isHeader = isBlock && statements.length === 1 && token.text === ":";
    if (depth === 0 && (token.text === ";" || isHeader)) statements.push([]);
  }
  return statements.filter((statement) => statement.length > 0);
}

/** Strings alone, in brackets or not, or assigned to a name that stands nowhere else. */
function isIdle(statement: readonly Token[], names: ReturnType<typeof namesOf>): boolean {
  const [first, second] = statement;
  const assigned = second?.text === "=" || second?.text === ":" ? statement.findIndex(({ text }) => text === "=") : -1;
  const value = statement.slice(assigned + 1).filter(({ text }) => !["(", ")", ";"].includes(text));
  if (value.length === 0 || value.some((token) => token.kind !== "string")) return false;
  if (assigned === -1) return true;
  return first!.kind === "name" && names.counts.get(first!.text) === 1 && !names.formats.includes(first!.text);
}

/** Names of a text, with how often each stands there, and its format strings, which may read any. */
function namesOf(tokens: readonly Token[]): { counts: ReadonlyMap<string, number>; formats: string } {
  const counts = new Map<string, number>();
  for (const { kind, text } of tokens) if (kind === "name") counts.set(text, (counts.get(text) ?? 0) + 1);
  return {
    counts,
    formats: tokens.flatMap(({ kind, text }) => (kind === "string" && isFormat(text) ? text : [])).join("\n"),
  };
}

function isSentence(literal: string): boolean {
  return (literal.match(/\p{L}{2,}/gu) ?? []).length >= SENTENCE;
}

const isFormat = (literal: string) => /^[rR]?[fF]/.test(literal);

/** An empty string, with the names that a format puts into it. */
function speechless(literal: string): string {
  return isFormat(literal) ? `f"${(literal.match(/\{[^{}'"\s]*\}/g) ?? []).join("")}"` : '""';
}

/** A span with the line end before it where it fills its lines, else with the blanks that lead to its neighbour. */
function wholeLine(text: string, start: number, end: number): [number, number] {
  const isBlank = (at: number) => text[at] === " " || text[at] === "\t";
  let [from, to] = [start, end];
  while (isBlank(from - 1)) from -= 1;
  while (isBlank(to)) to += 1;
  const isFirst = from === 0 || text[from - 1] === "\n";
  const isLast = to === text.length || text[to] === "\n";
  return isFirst && !isLast ? [start, to] : [isFirst ? Math.max(0, from - 1) : from, end];
}
