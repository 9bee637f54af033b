/**
 * Where every physical line of a Python source begins: in code, inside a bracket, or inside a string. Indentation may be
 * changed only where it is syntax; inside a multi-line string it is data.
 */
export type PythonLine = {
  /** UTF-16 offsets; `end` excludes the line break. */
  start: number;
  end: number;
  /**
   * `statement` begins a logical line · `continued` begins inside brackets or after a backslash · `string` begins inside a
   * string · `blank` only white space · `comment` only a comment.
   */
  kind: "statement" | "continued" | "string" | "blank" | "comment";
};

const BLANK = new Set([" ", "\t", "\f"]);

/** Lines of `source`; breaks are `\n`, `\r\n` and `\r`. Never throws; an unterminated short string ends at its line. */
export function pythonLines(source: string): PythonLine[] {
  const lines: PythonLine[] = [];
  let depth = 0;
  let quote = "";
  let joined = false;
  let start = 0;
  while (start <= source.length) {
    let end = start;
    while (end < source.length && source[end] !== "\n" && source[end] !== "\r") end++;
    let at = start;
    while (at < end && BLANK.has(source[at]!)) at++;
    const inString = quote !== "";
    const empty = at === end;
    const kind = inString
      ? "string"
      : empty
        ? "blank"
        : depth > 0 || joined
          ? "continued"
          : source[at] === "#"
            ? "comment"
            : "statement";
    lines.push({ start, end, kind });
    joined = false;
    let i = inString ? start : at;
    while (i < end) {
      const c = source[i]!;
      if (quote !== "") {
        if (c === "\\") i += 2;
        else if (source.startsWith(quote, i)) {
          i += quote.length;
          quote = "";
        } else i++;
        continue;
      }
      if (c === "#") break;
      if (c === '"' || c === "'") {
        quote = source.startsWith(c.repeat(3), i) ? c.repeat(3) : c;
        i += quote.length;
        continue;
      }
      if (c === "(" || c === "[" || c === "{") depth++;
      else if (c === ")" || c === "]" || c === "}") depth = Math.max(0, depth - 1);
      else if (c === "\\" && i === end - 1) joined = true;
      i++;
    }
    // A backslash at the end of the line carries a short string over; anything else ends it.
    if (quote.length === 1 && !(i > end)) quote = "";
    if (end === source.length) break;
    start = end + (source.startsWith("\r\n", end) ? 2 : 1);
  }
  return lines;
}

/** Statements: each logical line with all its physical lines, comments and blank lines left out. */
export function logicalLines(source: string): { start: number; end: number; indent: string; text: string }[] {
  const out: { start: number; end: number; indent: string; text: string }[] = [];
  for (const line of pythonLines(source)) {
    if (line.kind === "statement") {
      const indent = indentOf(source.slice(line.start, line.end));
      out.push({ start: line.start, end: line.end, indent, text: source.slice(line.start, line.end) });
    } else if (line.kind === "continued" || line.kind === "string") {
      const last = out.at(-1);
      if (last !== undefined) {
        last.end = line.end;
        last.text = source.slice(last.start, last.end);
      }
    }
  }
  return out;
}

/** Leading blanks of a line. */
export function indentOf(line: string): string {
  let at = 0;
  while (at < line.length && BLANK.has(line[at]!)) at++;
  return line.slice(0, at);
}

/**
 * Takes the first statement's indentation off every line that has it; lines inside strings keep theirs. The result has
 * `\n` line ends and no blank lines at either end.
 */
export function dedent(source: string): string {
  const lines = pythonLines(source);
  const first = lines.find((line) => line.kind === "statement");
  const indent = first === undefined ? "" : indentOf(source.slice(first.start, first.end));
  const out = lines.map((line) => {
    const text = source.slice(line.start, line.end);
    if (line.kind === "string") return text;
    if (text.startsWith(indent)) return text.slice(indent.length);
    return line.kind === "blank" ? "" : text;
  });
  return trimBlankLines(out).join("\n");
}

function trimBlankLines(lines: string[]): string[] {
  let from = 0;
  let to = lines.length;
  while (from < to && lines[from]!.trim() === "") from++;
  while (to > from && lines[to - 1]!.trim() === "") to--;
  return lines.slice(from, to);
}

/** Blanks of one level of indentation: of the first indented statement. Null when nothing is indented. */
export function indentUnit(source: string): string | null {
  let previous = "";
  for (const { indent } of logicalLines(source)) {
    if (indent.length > previous.length && indent.startsWith(previous)) return indent.slice(previous.length);
    previous = indent;
  }
  return null;
}

/**
 * Moves a dedented definition under `indent`, one level of indentation written as `unit` (null keeps the source's own).
 * Statements get the new depth, continued lines keep their distance to their statement, and the inside of multi-line
 * strings stays as it is: there it is the program's data.
 */
export function reindent(source: string, indent: string, unit: string | null): string {
  const own = indentUnit(source);
  const change = unit !== null && own !== null && unit !== own;
  const stack: { from: string; to: string }[] = [{ from: "", to: "" }];
  return pythonLines(source)
    .map((line) => {
      const text = source.slice(line.start, line.end);
      if (line.kind === "string" || text === "") return text;
      if (!change) return indent + text;
      const blanks = indentOf(text);
      if (line.kind === "blank") return indent + blanks;
      if (line.kind === "statement") {
        while (stack.length > 1 && stack.at(-1)!.from.length > blanks.length) stack.pop();
        if (blanks.length > stack.at(-1)!.from.length) stack.push({ from: blanks, to: stack.at(-1)!.to + unit });
      }
      const level = stack.findLast((entry) => blanks.startsWith(entry.from)) ?? stack[0]!;
      return indent + level.to + blanks.slice(level.from.length) + text.slice(blanks.length);
    })
    .join("\n");
}
