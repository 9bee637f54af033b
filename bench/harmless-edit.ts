/**
 * Edits of a Python function that change its text and not what it does: what stands beside a bug in a history that is made
 * (issue E, history replay).
 */
import type { Definition } from "../src/domain/function-step.ts";
import { headerLength } from "../src/domain/mutate.ts";
import { type Token, tokenize } from "../src/domain/python-literal.ts";

export type Edit = { kind: string; text: string };

/** Texts of the whole source with one harmless edit each, in the order of their kinds; empty where none fits. */
export function harmlessEdits(source: string, definition: Definition): Edit[] {
  const { start, end } = definition.span;
  const from = definition.docstring?.span.end ?? start + headerLength(source.slice(start, end));
  const body = source.slice(from, end);
  const tokens = tokenize(body);
  if (tokens === null) return [];
  const edits = [...renamed(body, tokens, definition), ...returned(body, tokens), ...parenthesized(body)];
  return edits.map(({ kind, text }) => ({ kind, text: source.slice(0, from) + text + source.slice(end) }));
}

/** A name that the body assigns on a line of its own, everywhere in the body under another name. */
function renamed(body: string, tokens: readonly Token[], definition: Definition): Edit[] {
  // Names inside strings (f-strings, locals()) and those of an outer scope cannot be told apart from here.
  if (definition.nested > 0 || /\b(?:global|nonlocal|locals|exec|eval|lambda|class|del)\b|[fF][rR]?["']/.test(body))
    return [];
  const names = new Set(tokens.map((token) => token.text));
  const parameters = new Set(definition.signature.match(/[A-Za-z_]\w*/g));
  const assigned = new Set(
    [...body.matchAll(/^[ \t]+([a-z_]\w*) = /gm)].map((match) => match[1]!).filter((name) => !parameters.has(name)),
  );
  return [...assigned].flatMap((name) => {
    const fresh = `${name.replace(/^_+/, "")}_value`;
    const uses = tokens.filter(
      (token, at) => token.kind === "name" && token.text === name && tokens[at - 1]?.text !== ".",
    );
    const isKeyword = (token: Token) => {
      const at = tokens.indexOf(token);
      return tokens[at + 1]?.text === "=" && ["(", ","].includes(tokens[at - 1]?.text ?? "");
    };
    if (names.has(fresh) || parameters.has(fresh) || uses.some(isKeyword)) return [];
    let text = body;
    for (const use of uses.toReversed()) text = text.slice(0, use.start) + fresh + text.slice(use.end);
    return [{ kind: "rename", text }];
  });
}

/** The last `return expression` of one line through a name. */
function returned(body: string, tokens: readonly Token[]): Edit[] {
  const match = [...body.matchAll(/^([ \t]+)return ([^\n#"']+)$/gm)].at(-1);
  if (match === undefined || !balanced(match[2]!) || tokens.some((token) => token.text === "outcome")) return [];
  const line = `${match[1]}outcome = ${match[2]}\n${match[1]}return outcome`;
  const tail = body.slice(match.index + match[0].length);
  return [{ kind: "return", text: body.slice(0, match.index) + line + tail }];
}

/** A condition of one line in brackets. */
function parenthesized(body: string): Edit[] {
  return [...body.matchAll(/^([ \t]+(?:el)?if )([^\n#"'():]+)(:[ \t]*)$/gm)].map((match) => ({
    kind: "brackets",
    text: `${body.slice(0, match.index)}${match[1]}(${match[2]})${match[3]}${body.slice(match.index + match[0].length)}`,
  }));
}

function balanced(text: string): boolean {
  let depth = 0;
  for (const char of text) {
    if ("([{".includes(char)) depth += 1;
    else if (")]}".includes(char)) depth -= 1;
    if (depth < 0) return false;
  }
  return depth === 0 && !text.endsWith("\\");
}
