import type { Outline, Span } from "../../domain/function-step.ts";
import type { Describer } from "./describe-definition.ts";

type Open = {
  kind: "function" | "class";
  indent: number;
  name: string;
  simpleName: string;
  outer: string | null;
  start: number;
  keyword: number;
};

const DEFINITION = /^(?:(async[ \t]+)?def[ \t]+|class[ \t]+)([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)/;

/**
 * Definitions of a piece that does not parse, by `def`, `class` and indentation alone. A line inside a string or inside a
 * pair of brackets that does close neither opens nor ends anything.
 */
export function outlineByIndentation(
  source: string,
  piece: Span,
  describe: Describer,
  found: Pick<Outline, "definitions" | "classes" | "imports">,
): void {
  const continued = continuationLines(source, piece, describe);
  const open: Open[] = [];
  let decorator: { indent: number; start: number } | null = null;
  let lastCode = piece.start;

  function close(until: number): void {
    for (let block = open.at(-1); block !== undefined && block.indent >= until; block = open.at(-1)) {
      open.pop();
      const { colon, body } = headerEnd(source, block.keyword, lastCode, describe);
      const at = { start: block.start, body, end: lastCode };
      if (block.kind === "class") found.classes.push(describe.classOf({ ...at, name: block.name }));
      else if (open.every((outer) => outer.kind === "class"))
        found.definitions.push(
          describe.definition({
            ...at,
            className: block.outer,
            simpleName: block.simpleName,
            keyword: block.keyword,
            colon,
          }),
        );
    }
  }

  for (let start = piece.start; start < piece.end; ) {
    const newline = source.indexOf("\n", start);
    const next = newline < 0 || newline >= piece.end ? piece.end : newline + 1;
    const line = source.slice(start, next);
    const text = line.trimStart();
    const first = start + line.length - text.length;
    if (text === "" || (text.startsWith("#") && !describe.insideString(first))) {
      start = next;
      continue;
    }
    if (!continued.has(start)) {
      const indent = width(line.slice(0, line.length - text.length));
      close(indent);
      const definition = DEFINITION.exec(text);
      if (definition !== null) {
        const simpleName = definition[2] as string;
        const outer = open.at(-1)?.name ?? null;
        open.push({
          kind: text.startsWith("class") ? "class" : "function",
          indent,
          name: outer === null ? simpleName : `${outer}.${simpleName}`,
          simpleName,
          outer,
          start: decorator !== null && decorator.indent === indent ? decorator.start : first,
          keyword: first,
        });
        decorator = null;
      } else if (text.startsWith("@")) decorator ??= { indent, start: first };
      else {
        decorator = null;
        if (indent === 0 && /^(?:import|from)\s/.test(text))
          found.imports.push({ start: first, end: start + line.trimEnd().length });
      }
    }
    lastCode = start + line.trimEnd().length;
    start = next;
  }
  close(0);
}

function width(blank: string): number {
  let columns = 0;
  for (const char of blank)
    columns = char === "\t" ? columns - (columns % 8) + 8 : char === "\f" || char === "\ufeff" ? 0 : columns + 1;
  return columns;
}

/** Starts of the lines that stand inside a string or inside brackets that close before the next definition. */
function continuationLines(source: string, piece: Span, describe: Describer): Set<number> {
  const inside = new Set<number>();
  const mark = (from: number, to: number) => {
    for (let at = source.indexOf("\n", from); at >= 0 && at < to; at = source.indexOf("\n", at + 1)) inside.add(at + 1);
  };
  const open: number[] = [];
  const skipped = /(["'])|#|[([{]|[)\]}]|\n[ \t]*(?:@|(?:async[ \t]+)?def\b|class\b)/g;
  skipped.lastIndex = piece.start;
  for (let match = skipped.exec(source); match !== null && match.index < piece.end; match = skipped.exec(source)) {
    const char = match[0][0] as string;
    if (char === "#") {
      const newline = source.indexOf("\n", match.index);
      skipped.lastIndex = newline < 0 ? piece.end : newline;
    } else if (match[1] !== undefined) {
      const string = describe.stringAt(match.index);
      if (string === null) continue;
      mark(string.start, string.end);
      skipped.lastIndex = string.end;
    } else if (char === "\n") open.length = 0;
    else if ("([{".includes(char)) open.push(match.index);
    else {
      const start = open.pop();
      if (start !== undefined && open.length === 0) mark(start, match.index);
    }
  }
  return inside;
}

/** Offsets of the colon that ends a header and of the first code after it. */
function headerEnd(source: string, keyword: number, end: number, describe: Describer): { colon: number; body: number } {
  let brackets = 0;
  const wanted = /["']|[([{:\n)\]}]|#/g;
  wanted.lastIndex = keyword;
  for (let match = wanted.exec(source); match !== null && match.index < end; match = wanted.exec(source)) {
    const char = match[0];
    if (char === "#" || char === '"' || char === "'") {
      const stop =
        char === "#" ? source.indexOf("\n", match.index) : (describe.stringAt(match.index)?.end ?? match.index + 1);
      wanted.lastIndex = stop < 0 ? end : stop;
    } else if ("([{".includes(char)) brackets++;
    else if (")]}".includes(char)) brackets--;
    else if (char === ":" && brackets <= 0) {
      const rest = /^(?:\s|#[^\n]*)*/.exec(source.slice(match.index + 1, end)) as RegExpExecArray;
      return { colon: match.index, body: match.index + 1 + rest[0].length };
    } else if (char === "\n" && brackets <= 0) return { colon: match.index, body: end };
  }
  const newline = source.indexOf("\n", keyword);
  return { colon: newline < 0 || newline > end ? end : newline, body: end };
}
