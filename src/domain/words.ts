/**
 * What a step of Python says, apart from what it does (security.md section 4, docs/adr/0020-words.md): docstrings and other
 * strings that stand alone or under a local name that nothing reads, and what is written in the strings that do something. None
 * of it may buy a reward.
 */
import { expressionsOf, type Statement, statementsOf, type Token, tokenizeAll } from "./python-literal.ts";

/** Of what counts as words; part of the key of every reward that is kept. */
export const WORDS_VERSION = 1;
/** What words may move a reward by: they order steps that the model holds for equal without them, and no others. */
export const WORDS_MOVE = 0.001;

/** The rendered step without its words: strings that do nothing are gone, the others are empty. */
export function withoutWords(rendered: string): string {
  const tokens = tokenizeAll(rendered);
  const names = namesOf(tokens);
  let out = "";
  let at = 0;
  const put = (start: number, end: number, text: string) => {
    out += rendered.slice(at, start) + text;
    at = end;
  };
  /** Column of the function that the line is in; null outside: what stands there may be read elsewhere. */
  let body: number | null = null;
  for (const line of statementsOf(tokens, rendered)) {
    const column = columnOf(rendered, line[0]!.token.start);
    if (body !== null && column <= body) body = null;
    for (const statement of simpleStatements(line)) {
      const [first, last] = [statement[0]!, statement.at(-1)!];
      if (isIdle(statement, body === null ? null : names)) put(...wholeLine(rendered, first.start, last.end), "");
      else for (const one of literals(statement)) put(one[0]!.start, one.at(-1)!.end, emptied(one));
    }
    if (body === null && line.slice(0, 2).some(({ token }) => token.text === "def")) body = column;
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
  const [first, second] = line.map(({ token }) => token.text);
  // `match` and `case` are names where something is assigned to them.
  const isBlock = COMPOUND.test(first!) && !(/^(?:match|case)$/.test(first!) && [":", "="].includes(second ?? ""));
  for (const { token, depth } of line) {
    statements.at(-1)!.push(token);
    const isHeader = isBlock && statements.length === 1 && token.text === ":";
    if (depth === 0 && (token.text === ";" || isHeader)) statements.push([]);
  }
  return statements.filter((statement) => statement.length > 0);
}

type Names = { counts: ReadonlyMap<string, number>; formats: string };

/** Strings alone, in brackets or not, or assigned to a name that stands nowhere else. `names` null: any name may be read. */
function isIdle(statement: readonly Token[], names: Names | null): boolean {
  const [first, second] = statement;
  const assigned = second?.text === "=" || second?.text === ":" ? statement.findIndex(({ text }) => text === "=") : -1;
  const value = statement.slice(assigned + 1).filter(({ text }) => !["(", ")", ";"].includes(text));
  if (value.length === 0 || value.some((token) => token.kind !== "string")) return false;
  if (assigned === -1) return true;
  return first!.kind === "name" && names?.counts.get(first!.text) === 1 && !names.formats.includes(first!.text);
}

/** Names of a text, with how often each stands there, and its format strings, which may read any. */
function namesOf(tokens: readonly Token[]): Names {
  const counts = new Map<string, number>();
  for (const { kind, text } of tokens) if (kind === "name") counts.set(text, (counts.get(text) ?? 0) + 1);
  const formats = tokens.flatMap(({ kind, text }) => (kind === "string" && isFormat(text) ? text : []));
  return { counts, formats: formats.join("\n") };
}

const isFormat = (literal: string) => /^[rR]?[fF]/.test(literal);

/** Strings that stand one behind another are one literal. */
function literals(statement: readonly Token[]): Token[][] {
  const found: Token[][] = [];
  for (const [at, token] of statement.entries())
    if (token.kind === "string") {
      if (statement[at - 1]?.kind === "string") found.at(-1)!.push(token);
      else found.push([token]);
    }
  return found;
}

/** An empty string, with the expressions that a format puts into it. */
function emptied(literal: readonly Token[]): string {
  const formats = literal.filter(({ text }) => isFormat(text));
  if (formats.length === 0) return '""';
  return `f"${formats.flatMap(({ text }) => expressionsOf(text).map((one) => `{${one}}`)).join("")}"`;
}

function columnOf(text: string, at: number): number {
  return at - (text.lastIndexOf("\n", at - 1) + 1);
}

/** A span with a line end where it fills its lines, else with the blanks that lead to its neighbour. */
function wholeLine(text: string, start: number, end: number): [number, number] {
  const isBlank = (at: number) => text[at] === " " || text[at] === "\t";
  let [from, to] = [start, end];
  while (isBlank(from - 1)) from -= 1;
  while (isBlank(to)) to += 1;
  const isFirst = from === 0 || text[from - 1] === "\n";
  const isLast = to === text.length || text[to] === "\n";
  if (isFirst && !isLast) return [start, to];
  if (!isFirst) return [from, end];
  return from === 0 ? [from, Math.min(to + 1, text.length)] : [from - 1, to];
}
