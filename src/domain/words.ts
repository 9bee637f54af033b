/**
 * What a step of Python says, apart from what it does (security.md section 4, docs/adr/0020-words.md): docstrings, strings that
 * stand alone or under a name that nothing reads, and sentences in strings. None of it may buy a reward.
 */
import { statementsOf, type Token, tokenize } from "./python-literal.ts";

/** A string of so many words is a sentence for people; a shorter one ("YES", a key) is the program. */
const SENTENCE = 3;
/** What words may move a reward by: they order steps that the model holds for equal without them, and no others. */
export const WORDS_MOVE = 0.001;

/** The rendered step without its words. Text that is no Python stays as it is: such code is not chosen. */
export function withoutWords(rendered: string): string {
  const tokens = tokenize(rendered);
  if (tokens === null) return rendered;
  let out = "";
  let at = 0;
  const put = (start: number, end: number, text: string) => {
    out += rendered.slice(at, start) + text;
    at = end;
  };
  for (const line of statementsOf(tokens, rendered)) {
    const statement = line.map(({ token }) => token);
    const [first, last] = [statement[0]!, statement.at(-1)!];
    if (isIdle(statement, tokens)) put(lineStart(rendered, first.start), last.end, "");
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

/** Strings alone, or assigned to a name that stands nowhere else. */
function isIdle(statement: readonly Token[], all: readonly Token[]): boolean {
  const [first, second] = statement;
  const assigned = second?.text === "=" || second?.text === ":" ? statement.findIndex(({ text }) => text === "=") : -1;
  const value = statement.slice(assigned + 1);
  if (value.length === 0 || value.some((token) => token.kind !== "string")) return false;
  return assigned === -1 || (first!.kind === "name" && !isRead(first!, all));
}

function isRead(name: Token, all: readonly Token[]): boolean {
  return all.some((other) =>
    other.kind === "string"
      ? isFormat(other.text) && other.text.includes(name.text)
      : other !== name && other.text === name.text,
  );
}

function isSentence(literal: string): boolean {
  return (literal.match(/\p{L}{2,}/gu) ?? []).length >= SENTENCE;
}

const isFormat = (literal: string) => /^[rR]?[fF]/.test(literal);

/** An empty string, with the names that a format puts into it. */
function speechless(literal: string): string {
  return isFormat(literal) ? `f"${(literal.match(/\{[^{}'"\s]*\}/g) ?? []).join("")}"` : '""';
}

/** The line end before a statement that begins its line, else the statement's own start. */
function lineStart(text: string, start: number): number {
  const end = text.lastIndexOf("\n", start - 1);
  return text.slice(end + 1, start).trim() === "" ? Math.max(0, end) : start;
}
