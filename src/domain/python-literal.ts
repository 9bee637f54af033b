/** Reads Python literals: what stands in tests as arguments and expected values. No names but float, set, inf and None. */
import type { JsonValue } from "./judge.ts";

export type Token = { kind: "name" | "number" | "string" | "op"; text: string; start: number; end: number };

const NUMBER =
  /(?:0[xX][\da-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?)j?/y;
const NAME = /[\p{ID_Start}_]\p{ID_Continue}*/uy;
const STRING_START = /([rRbBuUfF]{0,2})("""|'''|"|')/y;
const OPERATOR = /\*\*|==|!=|<=|>=|->|:=|\/\/|<<|>>|[-+*/%@&|^~<>()[\]{},:.;=!]/y;
const BLANK = /(?:[ \t\f\r\n]|\\\r?\n|#[^\n]*)+/y;

/** Tokens of one logical line or expression; null when something is no Python. */
export function tokenize(text: string): Token[] | null {
  return tokensOf(text, false);
}

/** The same of any text: what is no Python, an open quote among it, is an operator of its own. */
export function tokenizeAll(text: string): Token[] {
  return tokensOf(text, true)!;
}

function tokensOf(text: string, all: boolean): Token[] | null {
  const tokens: Token[] = [];
  const match = (pattern: RegExp, at: number): string | null => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0] ?? null;
  };
  for (let at = 0; at < text.length; ) {
    const blank = match(BLANK, at);
    if (blank !== null) {
      at += blank.length;
      continue;
    }
    STRING_START.lastIndex = at;
    const opening = STRING_START.exec(text);
    if (opening !== null) {
      const from = at + opening[0].length;
      const isFormat = /f/i.test(opening[1]!);
      const end = (isFormat ? formatEnd(text, from, opening[2]!) : null) ?? stringEnd(text, from, opening[2]!);
      if (end === null && !all) return null;
      const stop = end ?? from;
      tokens.push({ kind: end === null ? "op" : "string", text: text.slice(at, stop), start: at, end: stop });
      at = stop;
      continue;
    }
    const name = match(NAME, at);
    const number = name === null && /[\d.]/.test(text[at]!) ? match(NUMBER, at) : null;
    const piece = name ?? (number === "" ? null : number) ?? match(OPERATOR, at);
    if (piece === null && !all) return null;
    const kind = name !== null ? "name" : number ? "number" : "op";
    const taken = piece ?? String.fromCodePoint(text.codePointAt(at)!);
    tokens.push({ kind, text: taken, start: at, end: at + taken.length });
    at += taken.length;
  }
  return tokens;
}

/**
 * Offset behind a format string whose content begins at `from`: between braces stand expressions, with strings of any quotes
 * in them (PEP 701). Null where braces or quotes stay open. `onExpression` hears what stands between two braces of the string
 * itself, without strings, conversion and format.
 */
function formatEnd(
  text: string,
  from: number,
  quote: string,
  level = 1,
  onExpression = (_: string) => {},
): number | null {
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\") at += 1;
    else if (text.startsWith(quote, at)) return at + quote.length;
    else if (quote.length === 1 && text[at] === "\n") return null;
    else if (text[at] === "{" && text[at + 1] === "{") at += 1;
    else if (text[at] === "{") {
      const end = expressionEnd(text, at + 1, level, onExpression);
      if (end === null) return null;
      at = end;
    }
  }
  return null;
}

/** Longer ones, and format strings deeper in each other, are not followed: the time of a hostile text stays linear. */
const LONGEST_EXPRESSION = 2_000;
const DEEPEST_FORMAT = 20;

/** Offset of the brace that ends an expression of a format string. */
function expressionEnd(
  text: string,
  from: number,
  level: number,
  onExpression: (expression: string) => void,
): number | null {
  let depth = 0;
  let expression = "";
  let isOver = false;
  if (level > DEEPEST_FORMAT) return null;
  for (let at = from; at < Math.min(text.length, from + LONGEST_EXPRESSION); at++) {
    const char = text[at]!;
    STRING_START.lastIndex = at;
    const opening = isOver ? null : STRING_START.exec(text);
    // A prefix is none at the end of a name.
    if (opening !== null && (opening[1] === "" || !/[\p{ID_Continue}]/u.test(text[at - 1]!))) {
      const start = at + opening[0].length;
      const end = /f/i.test(opening[1]!)
        ? formatEnd(text, start, opening[2]!, level + 1)
        : stringEnd(text, start, opening[2]!);
      if (end === null) return null;
      at = end - 1;
      continue;
    }
    if (depth === 0 && char === "}") {
      onExpression(expression.trim());
      return at;
    }
    if ("([{".includes(char)) depth += 1;
    else if (")]}".includes(char)) depth -= 1;
    if (depth < 0) return null;
    // What follows is how the value is written; a format may hold expressions of its own.
    if (depth === 0 && (char === ":" || (char === "!" && text[at + 1] !== "="))) isOver = true;
    if (!isOver) expression += char;
  }
  return null;
}

/** What a format string puts into itself, in order: the expressions between its braces without their strings. */
export function expressionsOf(literal: string): string[] {
  const found: string[] = [];
  STRING_START.lastIndex = 0;
  const opening = STRING_START.exec(literal)!;
  formatEnd(literal, opening[0].length, opening[2]!, 1, (expression) => found.push(expression));
  return found;
}

function stringEnd(text: string, from: number, quote: string): number | null {
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\") at += 1;
    else if (text.startsWith(quote, at)) return at + quote.length;
    else if (quote.length === 1 && text[at] === "\n") return null;
  }
  return null;
}

/** Tokens of one logical line, each with its depth in brackets. */
export type Statement = { token: Token; depth: number }[];

/** In the order of the text. */
export function statementsOf(tokens: readonly Token[], text: string): Statement[] {
  const statements: Statement[] = [];
  let depth = 0;
  let end = 0;
  for (const token of tokens) {
    const between = text.slice(end, token.start);
    if (statements.length === 0 || (depth === 0 && /(?<!\\\r?)\n/.test(between))) statements.push([]);
    if (token.kind === "op" && ")]}".includes(token.text)) depth = Math.max(0, depth - 1);
    statements.at(-1)!.push({ token, depth });
    if (token.kind === "op" && "([{".includes(token.text)) depth += 1;
    end = token.end;
  }
  return statements;
}

/** Statements at the top level of a source: each with its block, brackets and strings respected. */
export function topLevelStatements(source: string): string[] {
  const statements: string[] = [];
  for (const { text, indented } of logicalLines(source)) {
    if (text.trim() === "" || /^\s*#/.test(text)) continue;
    const continues = indented || /^(else|elif|except|finally)\b/.test(text);
    const afterDecorator = statements.length > 0 && /^@/.test(statements.at(-1)!.split("\n").at(-1)!);
    if ((continues || afterDecorator) && statements.length > 0) statements[statements.length - 1] += `\n${text}`;
    else statements.push(text);
  }
  return statements;
}

/** Physical lines joined where a bracket, a long string or a backslash holds them together. */
function logicalLines(source: string): { text: string; indented: boolean }[] {
  const lines: { text: string; indented: boolean }[] = [];
  let start = 0;
  let depth = 0;
  for (let at = 0; at <= source.length; ) {
    const char = source[at];
    if (char === undefined || (char === "\n" && depth <= 0)) {
      const text = source.slice(start, at).replace(/\r$/, "");
      lines.push({ text, indented: /^[ \t]/.test(text) });
      at += 1;
      start = at;
      depth = 0;
      continue;
    }
    STRING_START.lastIndex = at;
    const opening = /["']/.test(char) ? STRING_START.exec(source) : null;
    if (opening !== null) at = stringEnd(source, at + opening[0].length, opening[2]!) ?? at + 1;
    else if (char === "#") {
      while (at < source.length && source[at] !== "\n") at += 1;
    } else if (char === "\\" && /^\\\r?\n/.test(source.slice(at, at + 3))) at += source[at + 1] === "\r" ? 3 : 2;
    else {
      if ("([{".includes(char)) depth += 1;
      else if (")]}".includes(char)) depth -= 1;
      at += 1;
    }
  }
  return lines;
}

/** Deeper is no value: CPython reads 200 open brackets at most, and the stack has an end. */
const DEEPEST = 80;

/** Reads one expression after another from tokens. `names` gives values of variables that hold literals. */
export class LiteralReader {
  private readonly tokens: Token[];
  private readonly names: ReadonlyMap<string, JsonValue>;
  at: number;
  private depth = 0;

  constructor(tokens: Token[], names: ReadonlyMap<string, JsonValue> = new Map(), at = 0) {
    this.tokens = tokens;
    this.names = names;
    this.at = at;
  }

  peek(offset = 0): string | undefined {
    const token = this.tokens[this.at + offset];
    return token?.kind === "string" ? undefined : token?.text;
  }

  done(): boolean {
    return this.at >= this.tokens.length;
  }

  take(text: string): boolean {
    if (this.peek() !== text) return false;
    this.at += 1;
    return true;
  }

  /** A name (dotted names are for the caller); null at anything else. */
  name(): string | null {
    const token = this.tokens[this.at];
    if (token?.kind !== "name") return null;
    this.at += 1;
    return token.text;
  }

  /** The value form of a literal; undefined (position undefined too) when there is something else. */
  literal(): JsonValue | undefined {
    if (this.depth === DEEPEST) return undefined;
    this.depth += 1;
    const value = this.anyLiteral();
    this.depth -= 1;
    return value;
  }

  private anyLiteral(): JsonValue | undefined {
    const token = this.tokens[this.at];
    if (token === undefined) return undefined;
    if (token.kind === "string") return this.strings();
    if (token.kind === "number") {
      this.at += 1;
      return numberForm(token.text, false);
    }
    if (token.text === "-" || token.text === "+") return this.signed(token.text === "-");
    if (token.kind === "name") return this.named(token.text);
    if (token.text === "[") return this.items("[", "]");
    if (token.text === "(") return this.parenthesis();
    if (token.text === "{") return this.braces();
    return undefined;
  }

  private signed(negative: boolean): JsonValue | undefined {
    this.at += 1;
    const token = this.tokens[this.at];
    if (token?.kind === "number") {
      this.at += 1;
      return numberForm(token.text, negative);
    }
    const value = this.literal();
    if (typeof value === "object" && value !== null && !Array.isArray(value) && value["$float"] === "inf") {
      return { $float: negative ? "-inf" : "inf" };
    }
    return undefined;
  }

  private named(text: string): JsonValue | undefined {
    const constant: Record<string, JsonValue> = { None: null, True: true, False: false };
    this.at += 1;
    if (Object.hasOwn(constant, text)) return constant[text];
    if (this.names.has(text) && this.peek() !== "(" && this.peek() !== "." && this.peek() !== "[") {
      return this.names.get(text);
    }
    if (text === "float" && this.peek() === "(" && this.tokens[this.at + 1]?.kind === "string") {
      this.at += 1;
      const special = this.strings();
      const known =
        typeof special === "string" ? special.toLowerCase().replace("infinity", "inf").replace("+", "") : "";
      return this.take(")") && ["inf", "-inf", "nan"].includes(known) ? { $float: known } : undefined;
    }
    if (
      (text === "set" || text === "frozenset" || text === "tuple" || text === "list" || text === "dict") &&
      this.take("(")
    ) {
      return this.construction(text);
    }
    return undefined;
  }

  private construction(kind: string): JsonValue | undefined {
    if (this.take(")")) {
      if (kind === "list") return [];
      return kind === "dict" ? {} : { [`$${kind}`]: [] };
    }
    const content = this.literal();
    if (content === undefined || !this.take(")") || kind === "dict") return undefined;
    const items = Array.isArray(content) ? content : itemsOf(content);
    if (items === undefined) return undefined;
    return kind === "list" ? items : { [`$${kind}`]: kind === "tuple" ? items : unique(items) };
  }

  /** Adjacent string literals are one. */
  private strings(): JsonValue | undefined {
    let text = "";
    let bytes: boolean | null = null;
    for (let token = this.tokens[this.at]; token?.kind === "string"; token = this.tokens[++this.at]) {
      const [, prefix, quote] = /^([a-zA-Z]*)("""|'''|"|')/.exec(token.text)!;
      if (/f/i.test(prefix!)) return undefined;
      const isBytes = /b/i.test(prefix!);
      if (bytes !== null && bytes !== isBytes) return undefined;
      bytes = isBytes;
      const body = token.text.slice(prefix!.length + quote!.length, -quote!.length).replace(/\r\n?/g, "\n");
      const piece = /r/i.test(prefix!) ? body : unescaped(body, isBytes);
      if (piece === null) return undefined;
      text += piece;
    }
    return bytes ? { $bytes: Buffer.from(text, "latin1").toString("base64") } : text;
  }

  private items(open: string, close: string): JsonValue[] | undefined {
    if (!this.take(open)) return undefined;
    const items: JsonValue[] = [];
    while (!this.take(close)) {
      const item = this.literal();
      if (item === undefined) return undefined;
      items.push(item);
      if (!this.take(",") && this.peek() !== close) return undefined;
    }
    return items;
  }

  private parenthesis(): JsonValue | undefined {
    this.at += 1;
    if (this.take(")")) return { $tuple: [] };
    const first = this.literal();
    if (first === undefined) return undefined;
    if (this.take(")")) return first;
    const items = [first];
    while (this.take(",")) {
      if (this.peek() === ")") break;
      const item = this.literal();
      if (item === undefined) return undefined;
      items.push(item);
    }
    return this.take(")") ? { $tuple: items } : undefined;
  }

  private braces(): JsonValue | undefined {
    this.at += 1;
    if (this.take("}")) return {};
    const entries: JsonValue[][] = [];
    const members: JsonValue[] = [];
    while (!this.take("}")) {
      const key = this.literal();
      if (key === undefined) return undefined;
      if (this.take(":")) {
        const value = this.literal();
        if (value === undefined) return undefined;
        entries.push([key, value]);
      } else members.push(key);
      if (!this.take(",") && this.peek() !== "}") return undefined;
    }
    if (members.length > 0) return entries.length > 0 ? undefined : { $set: unique(members) };
    // A key that stands twice keeps its place and takes the last value, as in Python.
    const last = new Map(entries.map(([key, value]) => [JSON.stringify(key), [key!, value!]]));
    return { $dict: [...last.values()] };
  }
}

/** Members by value: 1, 1.0 and True are one member for Python; the first stays. */
function unique(items: JsonValue[]): JsonValue[] {
  const key = (item: JsonValue) => {
    if (typeof item === "boolean") return item ? "1" : "0";
    if (typeof item === "object" && item !== null && !Array.isArray(item) && typeof item["$float"] === "string") {
      return String(Number(item["$float"]));
    }
    return JSON.stringify(item);
  };
  const seen = new Map<string, JsonValue>();
  for (const item of items) if (!seen.has(key(item))) seen.set(key(item), item);
  return [...seen.values()];
}

function itemsOf(form: JsonValue): JsonValue[] | undefined {
  if (typeof form !== "object" || form === null || Array.isArray(form)) return undefined;
  const content = form["$tuple"] ?? form["$set"];
  return Array.isArray(content) ? content : undefined;
}

function numberForm(text: string, negative: boolean): JsonValue | undefined {
  const plain = text.replace(/_/g, "");
  if (/j$/.test(plain) || /^0\d/.test(plain)) return undefined;
  if (/^0[xob]/i.test(plain) || /^\d+$/.test(plain)) {
    const value = negative ? -BigInt(plain) : BigInt(plain);
    return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
      ? Number(value)
      : { $int: String(value) };
  }
  const value = negative ? -Number(plain) : Number(plain);
  if (!Number.isFinite(value)) return { $float: value > 0 ? "inf" : "-inf" };
  if (!Number.isInteger(value)) return value;
  return {
    $float: Object.is(value, -0)
      ? "-0.0"
      : BigInt(value) === BigInt(Math.trunc(value))
        ? `${BigInt(value)}.0`
        : String(value),
  };
}

const SIMPLE: Record<string, string> = {
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\n": "",
};

/** Null for \N{…}, which needs the table of Unicode names. */
function unescaped(body: string, bytes: boolean): string | null {
  let failed = false;
  const pattern = bytes
    ? /\\(x[\da-fA-F]{2}|[0-7]{1,3}|[\s\S])/g
    : /\\(x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|[0-7]{1,3}|[\s\S])/g;
  const text = body.replace(pattern, (whole, sequence: string) => {
    if (/^[xuU]./.test(sequence)) {
      const code = Number.parseInt(sequence.slice(1), 16);
      if (code <= 0x10ffff) return String.fromCodePoint(code);
      failed = true;
      return "";
    }
    if (/^[0-7]/.test(sequence)) return String.fromCodePoint(Number.parseInt(sequence, 8));
    if (sequence === "N" && !bytes) failed = true;
    return SIMPLE[sequence] ?? whole;
  });
  return failed ? null : text;
}
