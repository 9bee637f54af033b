/**
 * Examples that a statement or an issue contains (method.md section 8, rulings 17): doctests, `f(x) == y`, `f(x) -> y`,
 * `Input: … Output: …` and sample input/output blocks. By extraction alone, without a model: what is not plainly an example
 * is left out, because a wrong example condemns right candidates.
 */
import type { CallCase, CompareRule, JsonValue, StdinCase } from "./judge.ts";
import { LiteralReader, tokenize } from "./python-literal.ts";

export type ExampleForm = "doctest" | "equation" | "arrow" | "input-output";

/** A call with its expected value. `entry` is what the text calls: `f`, `Class.f`, or null in an input/output block. */
export type CallExample = {
  form: ExampleForm;
  entry: string | null;
  case: CallCase;
  /** The lines of the text that it was read from, and the first one's number (1-based). */
  text: string;
  line: number;
};

/** A doctest of several statements: run as it stands, each `assert` one expected output. */
export type ScriptExample = { form: "doctest"; source: string; text: string; line: number };

export type StdinExample = { form: "input-output"; case: StdinCase; text: string; line: number };

export type Examples = { calls: CallExample[]; scripts: ScriptExample[]; stdin: StdinExample[] };

/** Python's `==` between plain values, floats as people round them when they write examples. */
export const EXAMPLE_EQUALITY: CompareRule = {
  numbers: "loose",
  mapping: "loose",
  sequence: "loose",
  float: { abs: 1e-6, rel: 1e-6 },
};

/** More than these say nothing new and cost time. */
const MOST = 20;
const LONGEST_LINE = 4_000;
/** `Sample Input 12:` with its marks; longer lines are no heading. */
const LONGEST_HEAD = 80;
/**
 * Characters that are read for each character of a line. Calls inside calls are read once for each that holds them: an issue
 * with thousands of open brackets would be read thousands of times.
 */
const READINGS = 16;

/** Characters of a text that may still be read; null in place of a result is the answer when none is left. */
type Budget = { left: number };

/** `entries`: the names that count as called (the entry point, the functions a signature of which the text shows); null for any. */
export function extractExamples(text: string, entries: ReadonlySet<string> | null): Examples {
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  const found: Examples = { calls: [], scripts: [], stdin: sampleBlocks(lines) };
  const inDoctest = new Set<number>();
  // Of a class, what an earlier statement did to the object matters.
  const ofClass = /^class\s+\w/m.test(text);
  doctests(lines, entries, ofClass, found, inDoctest);
  const known = new Set([...text.matchAll(/\b(?:import|def|as)\s+(\w+)/g)].map((match) => match[1]!));
  found.scripts = found.scripts.slice(0, MOST).flatMap((one) => withObjects(one, text, known));
  lines.forEach((line, index) => {
    if (inDoctest.has(index) || line.length > LONGEST_LINE) return;
    found.calls.push(...equations(line, index + 1, entries));
  });
  // Nodes of trees and lists stand there as lists, and where several answers are right the one shown is only one of them.
  const severalRight = /\b(?:return|print|output|find|give) any\b|\bin any order\b/i.test(text);
  if (severalRight) found.stdin = [];
  else if (!/\b(?:ListNode|TreeNode)\b/.test(text)) found.calls.push(...inputOutput(lines));
  const seen = new Set<string>();
  found.calls = found.calls
    .filter((one) => {
      const key = JSON.stringify([one.entry, one.case.args, one.case.kwargs]);
      if (seen.has(key)) return false;
      seen.add(key);
      return true;
    })
    .slice(0, MOST);
  found.stdin = found.stdin.slice(0, MOST);
  return found;
}

// ---------------------------------------------------------------- doctests

function doctests(
  lines: readonly string[],
  entries: ReadonlySet<string> | null,
  ofClass: boolean,
  found: Examples,
  used: Set<number>,
): void {
  for (let at = 0; at < lines.length; ) {
    if (!/^\s*>>>/.test(lines[at]!)) {
      at += 1;
      continue;
    }
    const first = at;
    const block: { statement: string; output: string[] }[] = [];
    // A blank line or the end of the docstring closes the group.
    while (at < lines.length && lines[at]!.trim() !== "" && withoutClosing(lines[at]!) !== "") {
      const line = lines[at]!;
      used.add(at);
      const statement = /^\s*>>>\s?(.*)$/.exec(line);
      const more = /^\s*\.\.\.\s?(.*)$/.exec(line);
      if (statement) block.push({ statement: statement[1]!, output: [] });
      else if (more && block.at(-1)!.output.length === 0) block.at(-1)!.statement += `\n${more[1]}`;
      else block.at(-1)!.output.push(withoutClosing(line));
      at += 1;
      if (withoutClosing(line) !== line.trim()) break;
    }
    const shown = lines.slice(first, at).join("\n");
    const single = block.map(({ statement, output }) => ({
      call: callOf(statement, entries),
      // `f(x) == y` with the output True says the same as `f(x)` with the output y.
      compared: output.join(" ") === "True" ? equations(statement, first + 1, entries)[0] : undefined,
      value: literalOf(output.join(" ")),
    }));
    const alone = ({ call, compared }: (typeof single)[number]) =>
      (call !== null || compared !== undefined) && !(ofClass && call?.entry.includes("."));
    if (single.every(alone)) {
      for (const { call, compared, value } of single) {
        if (compared) found.calls.push({ ...compared, form: "doctest" });
        else if (call && value !== undefined)
          found.calls.push({
            form: "doctest",
            entry: call.entry,
            case: { ...call.inputs, expected: value },
            text: shown,
            line: first + 1,
          });
      }
      continue;
    }
    const script = scriptOf(block);
    if (script !== null) found.scripts.push({ form: "doctest", source: script, text: shown, line: first + 1 });
  }
}

/** A line's text without the quotes that end a docstring. */
function withoutClosing(line: string): string {
  const text = line.trim();
  return text.endsWith('"""') || text.endsWith("'''") ? text.slice(0, -3).trimEnd() : text;
}

/** Statements as they stand; an expression with a literal output becomes an assert. Null when nothing is asserted. */
function scriptOf(block: readonly { statement: string; output: string[] }[]): string | null {
  const source: string[] = [];
  let asserts = 0;
  for (const { statement, output } of block) {
    const expected = output.join(" ");
    if (/\b(?:open|input|exec|eval|__import__|subprocess|os\.)/.test(statement)) return null;
    if (expected === "") source.push(statement);
    else if (literalOf(expected) === undefined || /^\w+\s*=[^=]/.test(statement) || statement.includes("\n"))
      return null;
    else {
      const float = /^-?\d+\.\d+(?:e[-+]?\d+)?$/.test(expected);
      source.push(
        float ? `assert abs((${statement}) - (${expected})) < 1e-6` : `assert (${statement}) == (${expected})`,
      );
      asserts += 1;
    }
  }
  return asserts === 0 ? null : source.join("\n");
}

/**
 * Doctests of a class often leave out `system = System()`. Where the text shows one class whose constructor takes nothing the
 * object is made; a script that uses any other name that nobody made would fail for everyone, and is left out.
 */
function withObjects(script: ScriptExample, text: string, known: ReadonlySet<string>): ScriptExample[] {
  const objects = new Set([...script.source.matchAll(/(?<![\w.'"])([a-z_]\w*)\.[A-Za-z_]/g)].map((match) => match[1]!));
  const made = new Set(
    [...script.source.matchAll(/^[ \t]*(?:for[ \t]+)?(\w+)\b[ \t]*(?:=[^=]|in\b|,)/gm)].map((match) => match[1]!),
  );
  const unknown = [...objects].filter((name) => !made.has(name) && !known.has(name));
  if (unknown.length === 0) return [script];
  const classes = [...text.matchAll(/^class\s+(\w+)/gm)].map((match) => match[1]!);
  const plain = /\bdef\s+__init__\s*\(\s*self\s*\)/.test(text) || !/\bdef\s+__init__\b/.test(text);
  if (classes.length !== 1 || !plain || unknown.length !== 1) return [];
  return [{ ...script, source: `${unknown[0]} = ${classes[0]}()\n${script.source}` }];
}

// ---------------------------------------------------------------- calls in text

const RELATION =
  /^\s*(?:==|=>|->|→|➞|⟹|➔|=(?!=)|#\s*=>|#\s*->|#|\/\/|(?:should |must |will )?(?:returns?|gives?|evaluates? to|equals?|is|be)(?: equal to)?:?(?=\s))\s*/u;

/** `f(literals) RELATION literal` anywhere in a line. */
function equations(line: string, number: number, entries: ReadonlySet<string> | null): CallExample[] {
  const found: CallExample[] = [];
  const budget: Budget = { left: READINGS * line.length };
  for (const match of line.matchAll(/(?<![\p{L}\p{N}_.])[\p{L}_][\p{L}\p{N}_.]*\(/gu)) {
    const end = closing(line, match.index + match[0].length - 1, budget);
    if (end === null) continue;
    budget.left -= end - match.index;
    const call = callOf(line.slice(match.index, end), entries);
    if (call === null) continue;
    // Marks of Markdown around the call or the value say nothing.
    const rest = line.slice(end).replace(/^[`*]+/, "");
    const relation = RELATION.exec(rest);
    if (relation === null) continue;
    const value = leadingLiteral(rest.slice(relation[0].length).replace(/^[`*]+/, ""), budget);
    if (value === undefined) continue;
    const form = relation[0].trim() === "==" ? "equation" : "arrow";
    found.push({ form, entry: call.entry, case: { ...call.inputs, expected: value }, text: line.trim(), line: number });
  }
  return found;
}

/** LeetCode's `Input: a = 1, b = "x"` and, on a later line, `Output: 3`: arguments in the order of the text. */
function inputOutput(lines: readonly string[]): CallExample[] {
  const found: CallExample[] = [];
  for (const [index, line] of lines.entries()) {
    const input = /^\s*(?:\*\*)?Input:(?:\*\*)?\s*(\S.*)$/.exec(line);
    const outputAt = lines.slice(index + 1, index + 4).findIndex((next) => /^\s*(?:\*\*)?Output:/.test(next));
    if (!input || outputAt < 0 || line.length > LONGEST_LINE) continue;
    const output = /^\s*(?:\*\*)?Output:(?:\*\*)?\s*(.*)$/.exec(lines[index + 1 + outputAt]!)![1]!;
    const expected = literalOf(jsonWords(output.trim()));
    const args = namedValues(jsonWords(input[1]!));
    if (expected === undefined || args === null) continue;
    const text = [line, lines[index + 1 + outputAt]!].map((one) => one.trim()).join("\n");
    found.push({ form: "input-output", entry: null, case: { args, kwargs: {}, expected }, text, line: index + 1 });
  }
  return found;
}

/** Values of `a = 1, b = [2]`, or of one value alone; null when it is anything else. */
function namedValues(text: string): JsonValue[] | null {
  const tokens = tokenize(text);
  if (tokens === null) return null;
  const reader = new LiteralReader(tokens);
  const values: JsonValue[] = [];
  do {
    if (reader.peek(1) === "=") {
      reader.name();
      reader.take("=");
    } else if (values.length > 0) return null;
    const value = reader.literal();
    if (value === undefined) return null;
    values.push(value);
  } while (reader.take(","));
  return reader.done() ? values : null;
}

function jsonWords(text: string): string {
  return text
    .replaceAll(/\btrue\b/g, "True")
    .replaceAll(/\bfalse\b/g, "False")
    .replaceAll(/\bnull\b/g, "None");
}

// ---------------------------------------------------------------- tracebacks

/** A call that ended in an error, as a report shows it: nobody says what it should give, only that this is wrong. */
export type TracebackExample = {
  entry: string;
  args: JsonValue[];
  kwargs: Record<string, JsonValue>;
  /** Class of the error, without its module. */
  error: string;
  text: string;
  line: number;
};

/** Lines between a traceback's first and its error. */
const LONGEST_TRACEBACK = 60;

/** The call stands behind the prompt above, or as the outermost source line of the traceback itself. */
export function extractTracebacks(text: string, entries: ReadonlySet<string>): TracebackExample[] {
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  return lines
    .flatMap((line, index): TracebackExample[] => {
      if (!/^\s*Traceback \(most recent call last\):\s*$/.test(line)) return [];
      const length = lines
        .slice(index + 1, index + 2 + LONGEST_TRACEBACK)
        .findIndex((next) => /^\s*(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?::.*)?$/.test(next));
      if (length < 0) return [];
      const last = lines[index + 1 + length]!.trim();
      const error = /^(?:\w+\.)*(\w+)/.exec(last)![1]!;
      const above = /^\s*>>>\s?(.*)$/.exec(lines[index - 1] ?? "")?.[1];
      const outermost = lines
        .slice(index + 1, index + length)
        .findIndex((next) => next.trimEnd().endsWith(", in <module>"));
      const source = above ?? (outermost >= 0 ? lines[index + outermost + 2] : undefined);
      if (source === undefined || source.length > LONGEST_LINE) return [];
      const whole = source.trim().replace(/^(?:\w+\s*=(?!=)|print(?=\())\s*/, "");
      // Only a call by itself; `print(f(1))` is one in brackets.
      const call = callOf(whole, entries) ?? callOf(whole.replace(/^\((.*)\)$/, "$1"), entries);
      return call
        ? [{ entry: call.entry, ...call.inputs, error, text: `${source.trim()}\n${last}`, line: index + 1 }]
        : [];
    })
    .slice(0, MOST);
}

// ---------------------------------------------------------------- sample blocks

const INPUT_HEAD =
  /^\s*(?:#+\s*|\*\*)?(?:(?:Sample|Example)\s+Input(?:\s*#?\s*\d+)?|Input\s+#?\s*\d+)\s*:?(?:\*\*)?\s*$/i;
const OUTPUT_HEAD =
  /^\s*(?:#+\s*|\*\*)?(?:(?:Sample|Example)\s+Output(?:\s*#?\s*\d+)?|Output\s+#?\s*\d+)\s*:?(?:\*\*)?\s*$/i;
const BLOCK_END = /^\s*(?:#+\s*|\*\*)?(?:Notes?|Explanation|Constraints?|Hint|Scoring|Subtasks?)\b/i;

function sampleBlocks(lines: readonly string[]): StdinExample[] {
  const found: StdinExample[] = [];
  const heads = lines.flatMap((line, at) => {
    if (line.length > LONGEST_HEAD) return [];
    return INPUT_HEAD.test(line) ? [{ at, ofInput: true }] : OUTPUT_HEAD.test(line) ? [{ at, ofInput: false }] : [];
  });
  const inputs = new Set(heads.flatMap(({ at, ofInput }) => (ofInput ? [at] : [])));
  for (const [index, { at, ofInput }] of heads.entries()) {
    const next = heads[index + 1];
    if (!ofInput || !next || next.ofInput) continue;
    const outputHead = next.at;
    let end = outputHead + 1;
    // An output of one block: it ends at the next heading, or at two blank lines.
    while (
      end < lines.length &&
      !inputs.has(end) &&
      !BLOCK_END.test(lines[end]!) &&
      !(lines[end]!.trim() === "" && (lines[end + 1] ?? "").trim() === "" && end > outputHead + 2)
    )
      end += 1;
    const input = unfenced(lines.slice(at + 1, outputHead));
    const expected = unfenced(lines.slice(outputHead + 1, end));
    if (input === "" || expected === "") continue;
    found.push({
      form: "input-output",
      case: { input: `${input}\n`, expected },
      text: lines.slice(at, end).join("\n").trim(),
      line: at + 1,
    });
  }
  return found;
}

function unfenced(lines: readonly string[]): string {
  return lines
    .filter((line) => !/^\s*```/.test(line))
    .join("\n")
    .replace(/^\s*\n/, "")
    .trim();
}

// ---------------------------------------------------------------- literals

type Call = { entry: string; inputs: { args: JsonValue[]; kwargs: Record<string, JsonValue> } };

/** Functions that examples call around the one that is meant. */
const NOT_MEANT = new Set(
  "print len sorted list set tuple dict str int float sum min max abs round range type isinstance repr assert if for in not and or return".split(
    " ",
  ),
);

/** `f(1, [2], k="x")` with literal arguments only. */
function callOf(text: string, entries: ReadonlySet<string> | null): Call | null {
  const tokens = tokenize(text.trim().replace(/^assert\s+/, ""));
  if (tokens === null) return null;
  const reader = new LiteralReader(tokens);
  let entry = reader.name();
  while (entry !== null && reader.take(".")) {
    const part = reader.name();
    entry = part === null ? null : `${entry}.${part}`;
  }
  if (entry === null || NOT_MEANT.has(entry) || !reader.take("(")) return null;
  const simple = entry.slice(entry.lastIndexOf(".") + 1);
  if (entries !== null && !entries.has(entry) && !entries.has(simple)) return null;
  const args: JsonValue[] = [];
  const kwargs: Record<string, JsonValue> = {};
  while (!reader.take(")")) {
    const keyword = reader.peek(1) === "=" ? reader.name() : null;
    if (keyword !== null && (!reader.take("=") || !isKeywordArgument(keyword))) return null;
    const value = reader.literal();
    if (value === undefined) return null;
    if (keyword === null) args.push(value);
    else kwargs[keyword] = value;
    if (!reader.take(",") && reader.peek() !== ")") return null;
  }
  return reader.done() ? { entry, inputs: { args, kwargs } } : null;
}

const RESERVED = new Set(
  "False None True and as assert async await break class continue def del elif else except finally for from global if import in is lambda nonlocal not or pass raise return try while with yield __debug__ __proto__".split(
    " ",
  ),
);

/** One name that Python does not read as such would keep the whole module of examples from running. */
function isKeywordArgument(name: string): boolean {
  return /^[A-Za-z_]\w*$/.test(name) && !RESERVED.has(name);
}

function literalOf(text: string): JsonValue | undefined {
  const tokens = tokenize(text);
  if (tokens === null || tokens.length === 0) return undefined;
  const reader = new LiteralReader(tokens);
  const value = reader.literal();
  return reader.done() ? value : undefined;
}

/** The literal that a text begins with, prose behind it or not. */
function leadingLiteral(text: string, budget: Budget): JsonValue | undefined {
  const start = text.length - text.trimStart().length;
  const first = text[start];
  if (first === undefined) return undefined;
  let end: number | null;
  if ("[({".includes(first)) end = closing(text, start, budget);
  else if (first === '"' || first === "'") end = stringEnd(text, start);
  else end = start + (/^[-+]?[\w.]*\w(?:\([^()]*\))?/.exec(text.slice(start))?.[0].length ?? 0);
  if (end === null || end <= start) return undefined;
  // `returns 3 times the value`, `== x.y`, `= 2 * n`: a number in the middle of prose or of an expression is no value.
  const behind = text.slice(end);
  if (!/^\s*(?:$|[.,;:!?)\]`"'#]|(?:because|since|as|and|or|for|but|while|when)\b|-{2,}|\/\/|➞|\()/u.test(behind))
    return undefined;
  if (/^\s*\.\d/.test(behind)) return undefined;
  return literalOf(text.slice(start, end));
}

/** Offset behind the bracket that closes the one at `start`; null when none does. Strings are respected. */
function closing(text: string, start: number, budget: Budget): number | null {
  const open: string[] = [];
  for (let at = start; at < text.length; at++) {
    if (--budget.left < 0) return null;
    const char = text[at]!;
    if (char === '"' || char === "'") {
      const end = stringEnd(text, at);
      budget.left -= (end ?? text.length) - at;
      if (end === null) return null;
      at = end - 1;
    } else if ("([{".includes(char)) open.push(char);
    else if (")]}".includes(char)) {
      const match = { ")": "(", "]": "[", "}": "{" }[char];
      if (open.pop() !== match) return null;
      if (open.length === 0) return at + 1;
    }
  }
  return null;
}

function stringEnd(text: string, start: number): number | null {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === text[start]) return at + 1;
  }
  return null;
}
