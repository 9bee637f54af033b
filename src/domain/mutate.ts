/**
 * One bug injected into one function: a token or a statement replaced by its usual mistake. Everything else stays byte for
 * byte, so the truth of every other function is known (method.md section 5).
 */
import type { Definition } from "./function-step.ts";
import { inDrawnOrder } from "./ids.ts";
import { type Statement, statementsOf, type Token, tokenize } from "./python-literal.ts";

export type Mutation = { kind: string; start: number; end: number; text: string };

const SWAPS: Record<string, string[]> = {
  "<": ["<=", ">"],
  "<=": ["<", ">="],
  ">": [">=", "<"],
  ">=": [">", "<="],
  "==": ["!="],
  "!=": ["=="],
  "+": ["-"],
  "-": ["+"],
  "*": ["+"],
  "//": ["*"],
  "%": ["//"],
  and: ["or"],
  or: ["and"],
  True: ["False"],
  False: ["True"],
  min: ["max"],
  max: ["min"],
  append: ["extend"],
  break: ["continue"],
};

/** Every mutation of the function's body, in the order of the text; docstring, signature and decorators are left alone. */
export function mutationsOf(source: string, definition: Definition): Mutation[] {
  const { start, end } = definition.span;
  const body = definition.docstring?.span.end ?? start + headerLength(source.slice(start, end));
  const text = source.slice(body, end);
  const tokens = tokenize(text);
  if (tokens === null) return [];
  const statements = statementsOf(tokens, text);
  const locals = localsOf(definition, statements);
  return [
    ...tokens.flatMap((token, index) => mutationsAt(token, tokens, index, body)),
    ...statements.flatMap((statement) => ofStatement(statement, locals, text, body)),
  ].sort((a, b) => a.start - b.start || a.end - b.end);
}

/** `count` of them in an order drawn by the key, those of different kinds first. */
export function drawMutations(mutations: readonly Mutation[], count: number, key: string): Mutation[] {
  const drawn = inDrawnOrder(mutations, (_, index) => `${key}|${index}`);
  const kinds = new Set<string>();
  const [fresh, again]: [Mutation[], Mutation[]] = [[], []];
  for (const one of drawn) (kinds.has(one.kind) ? again : fresh).push(one) && kinds.add(one.kind);
  return [...fresh, ...again].slice(0, count);
}

export function applyMutation(source: string, { start, end, text }: Mutation): string {
  return source.slice(0, start) + text + source.slice(end);
}

function mutationsAt(token: Token, tokens: readonly Token[], index: number, offset: number): Mutation[] {
  const at = (kind: string, text: string, to = token): Mutation => ({
    kind,
    start: offset + token.start,
    end: offset + to.end,
    text,
  });
  const before = tokens[index - 1];
  if (token.kind === "number" && /^\d{1,9}$/.test(token.text))
    return [
      at("constant", `${Number(token.text) + 1}`),
      ...(token.text === "0" ? [] : [at("constant", `${Number(token.text) - 1}`)]),
    ];
  if (token.kind !== "name" && token.kind !== "op") return [];
  const next = tokens[index + 1];
  if (token.text === "not" && next && before?.text !== "is")
    return next.text === "in" ? [at("negation", "in", next)] : [at("negation", "")];
  const swaps = Object.hasOwn(SWAPS, token.text) ? SWAPS[token.text]! : [];
  // A sign in front of a number, a star of arguments and a keyword's `=` are no operators between two values.
  const isBinary =
    before !== undefined && (before.kind !== "op" || [")", "]", "}"].includes(before.text)) && !isKeyword(before.text);
  if (["+", "-", "*"].includes(token.text) && !isBinary) return [];
  // `f.max` is another's name.
  if (token.kind === "name" && ["min", "max"].includes(token.text) && before?.text === ".") return [];
  return swaps.map((text) => at(token.kind === "name" ? "word" : "operator", text));
}

const isKeyword = (text: string) =>
  /^(?:return|yield|in|and|or|not|if|else|elif|while|is|lambda|print|assert|await|import|from)$/.test(text);

/** Parameters, targets of assignments and of loops; not `self`. */
function localsOf({ signature }: Definition, statements: readonly Statement[]): string[] {
  const names = new Set<string>();
  const header = statementsOf(tokenize(signature) ?? [], signature).flat();
  for (const [at, { token, depth }] of header.entries())
    if (depth === 1 && token.kind === "name" && /^[(,*]|\*\*$/.test(header[at - 1]?.token.text ?? ""))
      names.add(token.text);
  for (const statement of statements)
    for (const [at, { token, depth }] of statement.entries()) {
      const [before, next] = [statement[at - 1]?.token.text, statement[at + 1]?.token.text];
      if (token.kind === "name" && ((depth === 0 && at === 0 && next === "=") || before === "for"))
        names.add(token.text);
    }
  names.delete("self");
  names.delete("cls");
  return [...names];
}

const COMPOUND =
  /^(?:def|class|async|if|elif|else|for|while|try|except|finally|with|return|raise|import|from|pass|break|continue|global|nonlocal|del|assert|yield|await|match|case|lambda|not)$/;

/** @param text what the tokens were read from; it begins at `offset` of the source. */
function ofStatement(statement: Statement, locals: readonly string[], text: string, offset: number): Mutation[] {
  const found: Mutation[] = [];
  const tokens = statement.map((one) => one.token);
  const [first, last] = [tokens[0]!, tokens.at(-1)!];
  const at = (kind: string, start: number, end: number, by: string) =>
    // `if(x)` and `return(x)` have no blank of their own.
    found.push({ kind, start: offset + start, end: offset + end, text: start === first.end ? ` ${by}` : by });
  // `for x in xs`, `x = …` and `f(x=…)` name a target, `a.x` another's attribute.
  for (const [index, token] of tokens.entries()) {
    const [before, next] = [tokens[index - 1]?.text, tokens[index + 1]?.text];
    const place = locals.indexOf(token.text);
    if (token.kind !== "name" || place < 0 || locals.length < 2) continue;
    if (before === "." || before === "for" || next === "=" || next === ":=" || before === "lambda") continue;
    at("variable", token.start, token.end, locals[(place + 1) % locals.length]!);
  }
  const opens = statement.find(({ token, depth }) => depth === 0 && token.kind === "op" && token.text === ":")?.token;
  if ((first.text === "if" || first.text === "elif") && opens && tokens.every((one) => one.text !== "lambda")) {
    const [from, to] = [tokens[1]!.start, tokens[tokens.indexOf(opens) - 1]!.end];
    at("condition", from, to, `not (${text.slice(from, to)})`);
  }
  if (first.text === "return" && tokens.length > 1 && tokens[1]!.text !== "None" && last.text !== ";")
    at("return", tokens[1]!.start, last.end, "None");
  // A plain assignment that is missing fails at once wherever it is read: no bug that anyone ships.
  const isStatement =
    first.kind === "name" &&
    !COMPOUND.test(first.text) &&
    tokens[1] &&
    tokens[1].text !== "=" &&
    tokens[1].text !== ":";
  if (isStatement && tokens.every((one) => one.text !== ";")) at("removal", first.start, last.end, "pass");
  return found;
}

/** Length of the signature up to its colon and line end. */
export function headerLength(text: string): number {
  let depth = 0;
  const start = Math.max(0, text.search(/(?:^|\n)\s*(?:async\s+)?def\b/));
  for (let at = start; at < text.length; at++) {
    if ("([{".includes(text[at]!)) depth += 1;
    else if (")]}".includes(text[at]!)) depth -= 1;
    else if (text[at] === ":" && depth === 0) return at + 1;
  }
  return text.length;
}
