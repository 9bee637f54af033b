/** From an answer's text to a program or to function edits, or to the reason why it is neither. */
import type { Compliance, FunctionEdit, HeaderEdit, RepositoryEdits } from "./candidate.ts";
import type { Outline } from "./function-step.ts";
import { dedent, logicalLines } from "./python-lines.ts";

/** Shape of the Syntax port with the language fixed. */
export type OutlineOf = (source: string) => Outline;

export type AnswerRejection =
  | "empty"
  | "cut"
  | "refused"
  | "filtered"
  | "too-large"
  | "malformed"
  | "no-edits"
  | "unparsable"
  | "wrong-function"
  | "edited-twice";

/** `reason` is one line that begins with the rule's name. */
export type Rejected<Rule extends string = AnswerRejection> = { ok: false; rule: Rule; reason: string };

export const ANSWER_BYTES_LIMIT = 256 * 1024;
export const ANSWER_FILES_LIMIT = 50;

function rejected(rule: AnswerRejection, detail: string): Rejected {
  return { ok: false, rule, reason: `${rule}: ${detail}` };
}

// ---------------------------------------------------------------- Fenced blocks

type Block = {
  /** First word of the info string, lower case. */
  tag: string;
  /** `\n` line ends; the indentation of the opening fence taken off. */
  text: string;
  /** Lines of the answer: of the opening and of the closing fence. */
  from: number;
  to: number;
};

const OPENING = /^([ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*)(`{3,}|~{3,})[ \t]*([^\s`{]*)/;
const PYTHON_TAGS = new Set(["python", "python3", "py", "py3", "python2"]);

function isPython(block: Block): boolean {
  return PYTHON_TAGS.has(block.tag) || block.tag === "";
}

function linesOf(answer: string): string[] {
  return answer
    .replace(/^\uFEFF/, "")
    .replaceAll("\r\n", "\n")
    .replaceAll("\r", "\n")
    .split("\n");
}

/** Complete fenced blocks in order, and whether one was opened and never closed. */
function blocksOf(lines: readonly string[]): { blocks: Block[]; unclosed: boolean } {
  const blocks: Block[] = [];
  for (let i = 0; i < lines.length; i++) {
    const [, before = "", marks = "", tag = ""] = OPENING.exec(lines[i]!) ?? [];
    if (marks === "") continue;
    const close = closing(lines, i + 1, marks);
    if (close < 0) return { blocks, unclosed: true };
    const indent = before.length;
    const text = lines
      .slice(i + 1, close)
      .map((line) => line.slice(Math.min(indent, line.length - line.trimStart().length)))
      .join("\n");
    blocks.push({ tag: tag.toLowerCase(), text, from: i, to: close });
    i = close;
  }
  return { blocks, unclosed: false };
}

function closing(lines: readonly string[], from: number, marks: string): number {
  for (let i = from; i < lines.length; i++) {
    const line = lines[i]!.trim();
    if (line.length >= marks.length && line === marks[0]!.repeat(line.length)) return i;
  }
  return -1;
}

// ---------------------------------------------------------------- Whole answers

const REFUSAL =
  /^(i['’]?m sorry|i am sorry|sorry,|i can(?:no|['’])t|i cannot|i won['’]t|i am unable|i['’]m unable|as an ai)/i;

/** What can be said before looking for code. Null when the answer may hold some. */
function refuseWhole(answer: string, finishReason: string): Rejected | null {
  if (finishReason === "content_filter") return rejected("filtered", "the provider's content filter ended the answer");
  if (finishReason === "refusal") return rejected("refused", "the model refused to answer");
  if (finishReason === "length") return rejected("cut", "the answer ended at the token limit");
  if (answer.trim() === "" || answer.trim() === "\uFEFF") return rejected("empty", "the answer has no text");
  if (Buffer.byteLength(answer) > ANSWER_BYTES_LIMIT)
    return rejected("too-large", `the answer is larger than ${ANSWER_BYTES_LIMIT} bytes`);
  return null;
}

function withoutCode(answer: string, expected: string): Rejected {
  if (REFUSAL.test(answer.trim())) return rejected("refused", "the model declined in words");
  return rejected("malformed", `the answer has no ${expected}`);
}

// ---------------------------------------------------------------- Whole programs

export type ProgramAnswer = { ok: true; code: string };

/**
 * The program of an answer: of its complete python blocks the longest that parses and defines the entry point, the last
 * one among equals. An answer without any fence is taken as code when it parses and defines something.
 */
export function parseProgramAnswer(
  answer: string,
  options: { finishReason: string; entryPoint: string | null; outline: OutlineOf },
): ProgramAnswer | Rejected {
  const whole = refuseWhole(answer, options.finishReason);
  if (whole !== null) return whole;
  const lines = linesOf(answer);
  const { blocks, unclosed } = blocksOf(lines);
  if (unclosed) return rejected("cut", "a code block is not closed");
  const tagged = blocks.filter((block) => PYTHON_TAGS.has(block.tag));
  const python = (tagged.length > 0 ? tagged : blocks.filter(isPython)).filter((block) => block.text.trim() !== "");
  if (python.length === 0) {
    const outline = options.outline(lines.join("\n"));
    if (outline.parsed && outline.definitions.length > 0) return { ok: true, code: finalNewline(lines.join("\n")) };
    return withoutCode(answer, "python block");
  }
  const entry = options.entryPoint?.split(".").at(-1) ?? null;
  const ranked = python.map((block, order) => {
    const code = looseDedent(block.text);
    const outline = options.outline(code);
    const defines = entry === null || outline.definitions.some((definition) => definition.simpleName === entry);
    return { code, parsed: outline.parsed, defines, order };
  });
  const parsed = ranked.filter((entryBlock) => entryBlock.parsed);
  if (parsed.length === 0) return rejected("unparsable", "the program does not parse");
  const best = parsed.reduce((a, b) => {
    if (a.defines !== b.defines) return a.defines ? a : b;
    return b.code.length >= a.code.length ? b : a;
  });
  if (!best.defines) return rejected("wrong-function", `the program does not define ${options.entryPoint}`);
  return { ok: true, code: finalNewline(best.code) };
}

/** Takes common indentation off (a block inside a list); code at column 0 is left as it is. */
function looseDedent(text: string): string {
  const first = logicalLines(text)[0];
  return first === undefined || first.indent === "" ? text : dedent(text);
}

function finalNewline(code: string): string {
  return `${code.replace(/\n+$/, "")}\n`;
}

// ---------------------------------------------------------------- Repository edits

export type RepositoryAnswer = { ok: true; edits: RepositoryEdits };

type Heading = { line: number; path: string; target: string };

/**
 * `### path :: name` headings, each followed by a python block, in any Markdown dress (bold, backticks, list items).
 * Each function block must define exactly the function that its heading names, alone or inside a bare class.
 */
export function parseRepositoryAnswer(
  answer: string,
  options: { finishReason: string; outline: OutlineOf },
): RepositoryAnswer | Rejected {
  const whole = refuseWhole(answer, options.finishReason);
  if (whole !== null) return whole;
  const lines = linesOf(answer);
  const { blocks, unclosed } = blocksOf(lines);
  if (unclosed) return rejected("cut", "a code block is not closed");
  const headings = headingsOf(lines, blocks);
  if (headings.length === 0) {
    return blocks.some(isPython)
      ? rejected("malformed", "the code stands under no `### path :: name` heading")
      : withoutCode(answer, "edit");
  }
  const edits: RepositoryEdits = { functions: [], headers: [] };
  for (const [i, heading] of headings.entries()) {
    const until = headings[i + 1]?.line ?? lines.length;
    const own = blocks.filter((block) => block.from > heading.line && block.from < until && isPython(block));
    const label = `${heading.path} :: ${heading.target}`;
    if (own.length === 0) return rejected("malformed", `no code block under ${label}`);
    if (own.length > 1) return rejected("malformed", `more than one code block under ${label}`);
    const problem = addEdit(edits, heading, looseDedent(own[0]!.text), label, options.outline);
    if (problem !== null) return problem;
  }
  if (edits.functions.length === 0) return rejected("no-edits", "the answer changes no function");
  const paths = new Set([...edits.functions, ...edits.headers].map((edit) => edit.path));
  if (paths.size > ANSWER_FILES_LIMIT)
    return rejected("too-large", `the answer edits more than ${ANSWER_FILES_LIMIT} files`);
  return { ok: true, edits };
}

function headingsOf(lines: readonly string[], blocks: readonly Block[]): Heading[] {
  const headings: Heading[] = [];
  let block = 0;
  for (let i = 0; i < lines.length; i++) {
    while (block < blocks.length && blocks[block]!.to < i) block++;
    const inside = blocks[block];
    if (inside !== undefined && i >= inside.from && i <= inside.to) continue;
    const heading = headingOf(lines[i]!);
    if (heading === null) continue;
    // Prose may hold `::` too: only a Markdown heading counts without a block right below it.
    const next = lines.findIndex((line, at) => at > i && line.trim() !== "");
    const marked = /^[ \t]*#{1,6}[ \t]/.test(lines[i]!);
    if (marked || blocks.some((candidate) => candidate.from === next)) headings.push({ line: i, ...heading });
  }
  return headings;
}

/** `::` between a path and a name, without Markdown's decoration. */
function headingOf(line: string): { path: string; target: string } | null {
  const at = line.lastIndexOf("::");
  if (at < 0 || line.length > 2_000) return null;
  const path = line
    .slice(0, at)
    .trim()
    .replace(/^(?:(?:#{1,6}|[-*+>]|\d{1,9}[.)])[ \t]+)+/, "")
    .replace(/^[*`"' \t]+|[*`"' \t]+$/g, "");
  const target = line
    .slice(at + 2)
    .replace(/^[*`"' \t]+/, "")
    .replace(/[*`"': \t]+$/, "")
    .replace(/\([^()]*\)$/, "")
    .replace(/[*`]+$/, "");
  if (path === "" || !/^[\p{L}_][\p{L}\p{N}\p{M}_]*(\.[\p{L}_][\p{L}\p{N}\p{M}_]*)*$/u.test(target)) return null;
  return { path, target };
}

function addEdit(
  edits: RepositoryEdits,
  heading: Heading,
  text: string,
  label: string,
  outlineOf: OutlineOf,
): Rejected | null {
  const { path, target } = heading;
  if (text.trim() === "") return rejected("malformed", `the code block under ${label} is empty`);
  const outline = outlineOf(text);
  if (!outline.parsed) return rejected("unparsable", `the code under ${label} does not parse`);
  if (target === "imports" || target === "constants") {
    if (outline.definitions.length > 0)
      return rejected("wrong-function", `${label} holds a function; give it a heading of its own`);
    const header = headerOf(edits.headers, path);
    const statements = logicalLines(text);
    const isImport = (statement: string) => /^(import|from)[ \t]/.test(statement);
    if (target === "imports") {
      const other = statements.find((statement) => statement.indent !== "" || !isImport(statement.text));
      if (other !== undefined) return rejected("malformed", `${label} holds a line that is no import`);
      header.imports.push(...statements.map((statement) => statement.text));
    } else {
      const other = statements.find((s) => s.indent === "" && !isImport(s.text) && !ASSIGNS.test(s.text));
      if (other !== undefined) return rejected("malformed", `${label} holds a statement that assigns nothing`);
      header.imports.push(...statements.filter((s) => s.indent === "" && isImport(s.text)).map((s) => s.text));
      header.constants.push(...constantsOf(text));
    }
    return null;
  }
  const source = functionSource(text, target, outline);
  if (typeof source !== "string") return rejected("wrong-function", `the code under ${label} ${source.problem}`);
  if (edits.functions.some((edit) => edit.path === path && edit.name === target))
    return rejected("edited-twice", `${label} stands in the answer more than once`);
  edits.functions.push({ path, name: target, source });
  return null;
}

/** Assignments and classes without methods (an exception, a named tuple). */
const ASSIGNS = /^(?:@|class[ \t]|[\p{L}_][\p{L}\p{N}_.]*[ \t]*(?::|\[|,|[-+|&]?=(?!=)))/u;

function headerOf(headers: HeaderEdit[], path: string): HeaderEdit {
  let header = headers.find((candidate) => candidate.path === path);
  if (header === undefined) {
    header = { path, imports: [], constants: [] };
    headers.push(header);
  }
  return header;
}

/** Module-level statements with what is indented under them and the comments directly above; imports left out. */
function constantsOf(text: string): string[] {
  const starts = logicalLines(text).filter((statement) => statement.indent === "");
  const out: string[] = [];
  let from = 0;
  for (const [i, statement] of starts.entries()) {
    const next = starts[i + 1]?.start ?? text.length;
    const inner = logicalLines(text.slice(statement.start, next)).at(-1)!;
    const end = statement.start + inner.end;
    if (!/^(import|from)[ \t]/.test(statement.text)) out.push(text.slice(from, end).replace(/^\n+/, ""));
    from = end;
  }
  return out;
}

/** The one function of the block at column 0, out of a class that holds nothing else. */
function functionSource(text: string, target: string, outline: Outline): string | { problem: string } {
  const [definition, ...others] = outline.definitions;
  if (definition === undefined) return { problem: "defines no function" };
  if (others.length > 0) return { problem: `defines ${outline.definitions.length} functions instead of one` };
  const simple = target.split(".").at(-1)!;
  if (definition.simpleName !== simple) return { problem: `defines ${definition.name} instead` };
  const statements = logicalLines(text);
  if (definition.kind === "function") {
    const outside = statements.some((s) => s.end <= definition.span.start || s.start >= definition.span.end);
    return outside ? { problem: "holds more than the function" } : dedent(text);
  }
  if (definition.name !== target) return { problem: `defines ${definition.name} instead` };
  const outside = statements.some(
    (s) =>
      (s.end <= definition.span.start || s.start >= definition.span.end) && !/^class[ \t]/.test(s.text.trimStart()),
  );
  if (outside) return { problem: "holds more than the function" };
  const lineStart = text.lastIndexOf("\n", definition.span.start - 1) + 1;
  return dedent(text.slice(lineStart, definition.span.end));
}

// ---------------------------------------------------------------- Compliance

/**
 * How far a program followed the Chain-of-Function prompt. Main first: the first function is the entry point; where none
 * is given (null), no later function calls it and, beside others, it calls at least one of them.
 */
export function programCompliance(code: string, entryPoint: string | null, outlineOf: OutlineOf): Compliance {
  return compliance(outlineOf(code).definitions, entryPoint);
}

/** The same for edits, in the order of the answer; the solving function need not call the others. */
export function editCompliance(edits: readonly FunctionEdit[], outlineOf: OutlineOf): Compliance {
  const definitions = edits.flatMap((edit) => outlineOf(edit.source).definitions.slice(0, 1));
  const [first, ...later] = definitions;
  const called = first !== undefined && later.some((definition) => definition.calls.includes(first.simpleName));
  return summarise(definitions, first !== undefined && !called);
}

function compliance(definitions: Outline["definitions"], entryPoint: string | null): Compliance {
  const [first, ...later] = definitions;
  if (first === undefined) return summarise(definitions, false);
  if (entryPoint !== null) return summarise(definitions, first.simpleName === entryPoint.split(".").at(-1));
  const called = later.some((definition) => definition.calls.includes(first.simpleName));
  const calls = later.length === 0 || later.some((definition) => first.calls.includes(definition.simpleName));
  return summarise(definitions, calls && !called);
}

function summarise(definitions: Outline["definitions"], mainFirst: boolean): Compliance {
  const functions = definitions.length;
  const withDocstrings = definitions.filter((definition) => definition.docstring !== null).length;
  const nested = definitions.reduce((sum, definition) => sum + definition.nested, 0);
  return {
    functions,
    withDocstrings,
    mainFirst,
    nested,
    strict: functions >= 2 && withDocstrings === functions && mainFirst && nested === 0,
    monolithic: functions <= 1,
  };
}
