/** One function as one reasoning step (method.md sections 2 and 4). Types only. */

/** Languages that the reviewer can read; which of them a reward is shown for is `VALIDATED_LANGUAGES`. */
export type Language = "python" | "javascript" | "typescript";

/** Half-open range of UTF-16 offsets into the decoded text. */
export type Span = { start: number; end: number };

/** A function definition that is not inside another function, wherever it stands (module, class, if, try). */
export type Definition = {
  /** Qualified name, `Class.method`. Not necessarily unique (overloads, conditional definitions). */
  name: string;
  simpleName: string;
  kind: "function" | "method";
  /** The definition with its decorators, up to the end of its last line of code (no newline, no trailing comment). */
  span: Span;
  /** 1-based, inclusive; of `span`. */
  startLine: number;
  endLine: number;
  /** `async def f(a, b=1) -> int`, without decorators and without the final colon, whitespace runs collapsed. */
  signature: string;
  /** The docstring's literal in the source, and its plain text. */
  docstring: { span: Span; text: string } | null;
  /** Function definitions inside this one, at any depth. */
  nested: number;
  /** Names called anywhere inside, last identifier of a dotted call (`self.parse()` → `parse`); unique, in source order. */
  calls: string[];
};

export type Outline = {
  language: Language;
  /** False when the parse tree holds an error: the definitions found are still listed. */
  parsed: boolean;
  definitions: Definition[];
  /** Every class at any depth outside functions: qualified name, span with decorators, and the span of its header up to the colon. */
  classes: { name: string; span: Span; startLine: number; endLine: number; docstring: string | null }[];
  /** Import statements at module level and inside module-level if/try. */
  imports: Span[];
  /** Every comment in the source, in order. Strings and docstrings are not comments. */
  comments: Span[];
  /** String literals that may span lines, in order; absent for Python, whose strings the renderer reads itself. */
  strings?: Span[];
};

export type FunctionStep = {
  index: number;
  /** Qualified name; `<module>` for a source without any function. */
  name: string;
  simpleName: string;
  kind: "function" | "method" | "module";
  /** Path of the file, relative with forward slashes; null for a whole program. */
  path: string | null;
  /** The definition's own lines, 1-based, inclusive. */
  startLine: number;
  endLine: number;
  /** The glued partition in bytes of the file: the slices joined equal the file byte for byte. */
  startByte: number;
  endByte: number;
  docstring: boolean;
  nested: number;
  signature: string;
  /** Text of the partition: header, comments, decorators and trailer glued on (method.md section 4). */
  source: string;
};

/** A file split into steps. `parsed: false` when the parse tree holds an error; the partition is still complete. */
export type SegmentedFile = { language: Language; parsed: boolean; bytes: number; steps: FunctionStep[] };
