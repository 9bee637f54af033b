/** Splices complete functions into files and keeps every other byte: line ends, BOM, indentation, final newline. */
import type { ChangedFile, FunctionEdit, HeaderEdit, RepositoryEdits } from "./candidate.ts";
import type { Definition, Outline } from "./function-step.ts";
import { indentUnit, logicalLines, reindent } from "./python-lines.ts";
import { decodeSource, encodeSource } from "./segment.ts";

type OutlineOf = (source: string) => Outline;

export type Patch = { ok: true; files: ChangedFile[] } | { ok: false; reason: string };

/** @param read bytes of a file on base, null when there is none. */
export async function applyEdits(
  edits: RepositoryEdits,
  read: (path: string) => Promise<Uint8Array | null>,
  outlineOf: OutlineOf,
): Promise<Patch> {
  const paths = [...new Set([...edits.functions, ...edits.headers].map((edit) => edit.path))];
  const files: ChangedFile[] = [];
  for (const path of paths) {
    if (!path.endsWith(".py")) return { ok: false, reason: `${path}: only Python files can be edited` };
    const before = await read(path);
    const source = before === null ? { text: "", encoding: "utf-8" as const, bytes: 0 } : decodeSource(before);
    if (source.text.includes("\0")) return { ok: false, reason: `${path}: a binary file cannot be edited` };
    const result = editText(source.text, edits, path, outlineOf);
    if (!result.ok) return result;
    // A latin-1 file cannot hold every character that an answer may bring.
    const encoding = source.encoding === "latin-1" && /[^\0-\u00ff]/.test(result.text) ? null : source.encoding;
    if (encoding === null) return { ok: false, reason: `${path}: the file is not UTF-8 and cannot hold the new text` };
    if (result.text === source.text) continue;
    files.push({ path, before, after: encodeSource(result.text, encoding) });
  }
  if (files.length === 0) return { ok: false, reason: "no-change: the edits leave every file as it is" };
  return { ok: true, files };
}

function editText(
  original: string,
  edits: RepositoryEdits,
  path: string,
  outlineOf: OutlineOf,
): { ok: true; text: string } | { ok: false; reason: string } {
  const eol = lineEnd(original);
  const wasParsed = outlineOf(original).parsed;
  let text = original;
  for (const edit of edits.functions.filter((one) => one.path === path)) {
    const outline = outlineOf(text);
    const same = outline.definitions.filter((definition) => definition.name === edit.name);
    if (same.length > 1)
      return {
        ok: false,
        reason: `${path}: ${edit.name} is defined ${same.length} times, so it is not clear which one to replace`,
      };
    const next = same[0] ? replaceFunction(text, same[0], edit, eol) : addFunction(text, outline, edit, eol);
    if (next === null) return { ok: false, reason: `${path}: there is no class to add ${edit.name} to` };
    text = next;
  }
  for (const header of edits.headers.filter((one) => one.path === path)) {
    const changed = replaceConstants(text, header.constants, eol);
    if ("ambiguous" in changed)
      return {
        ok: false,
        reason: `${path}: ${changed.ambiguous} is assigned in several places, so it is not clear which one to replace`,
      };
    text = addHeader(changed.text, outlineOf(changed.text), { ...header, constants: changed.fresh }, eol);
  }
  const outline = outlineOf(text);
  if (wasParsed && !outline.parsed) return { ok: false, reason: `${path}: the file does not parse with the edits` };
  const missing = edits.functions.find(
    (edit) => edit.path === path && !outline.definitions.some((definition) => definition.name === edit.name),
  );
  return missing
    ? { ok: false, reason: `${path}: ${missing.name} is not in the file after the edit` }
    : { ok: true, text };
}

/** The first line end of the file decides; a file without one gets `\n`. */
function lineEnd(text: string): string {
  const at = text.search(/\r|\n/);
  if (at < 0 || text[at] === "\n") return "\n";
  return text[at + 1] === "\n" ? "\r\n" : "\r";
}

function replaceFunction(text: string, definition: Definition, edit: FunctionEdit, eol: string): string {
  const indent = indentAt(text, definition.span.start);
  return (
    text.slice(0, definition.span.start) +
    body(withoutCommentsAbove(edit.source, text.slice(0, definition.span.start)), indent, eol, indentUnit(text)).slice(
      indent.length,
    ) +
    text.slice(definition.span.end)
  );
}

/** Answers often repeat the comment that stands above the function: it stays where it is and is not written twice. */
function withoutCommentsAbove(source: string, above: string): string {
  const lines = source.split("\n");
  const code = lines.findIndex((line) => !line.startsWith("#"));
  const there = above.split(/\r\n|\r|\n/).slice(0, -1);
  const same = lines.slice(0, code).every((line, i) => there[there.length - code + i]?.trim() === line.trim());
  return code > 0 && same ? lines.slice(code).join("\n") : source;
}

/** At the end of the class, or of the module but before its trailing guard. Null when the class is not there. */
function addFunction(text: string, outline: Outline, edit: FunctionEdit, eol: string): string | null {
  const dot = edit.name.lastIndexOf(".");
  if (dot < 0) {
    const last = outline.definitions.findLast(
      (one) => one.kind === "function" && indentAt(text, one.span.start) === "",
    );
    const lastClass = outline.classes.findLast((one) => indentAt(text, one.span.start) === "");
    const end = Math.max(last?.span.end ?? -1, lastClass?.span.end ?? -1);
    if (end < 0) {
      const head = text.trimEnd();
      return `${head}${head === "" ? "" : eol.repeat(3)}${body(edit.source, "", eol, indentUnit(text))}${eol}`;
    }
    const at = afterLine(text, end);
    const lead = text.slice(0, at).endsWith("\n") || text.slice(0, at).endsWith("\r") ? "" : eol;
    return `${text.slice(0, at)}${lead}${eol}${eol}${body(edit.source, "", eol, indentUnit(text))}${eol}${text.slice(at)}`;
  }
  const owner = outline.classes.findLast((one) => one.name === edit.name.slice(0, dot));
  if (!owner) return null;
  const sibling = outline.definitions.findLast(
    (one) => one.name.slice(0, one.name.lastIndexOf(".")) === owner.name && one.kind === "method",
  );
  const indent = sibling ? indentAt(text, sibling.span.start) : innerIndent(text, owner.span.start, owner.span.end);
  const at = afterLine(text, owner.span.end);
  const lead = text.slice(0, at).endsWith("\n") || text.slice(0, at).endsWith("\r") ? "" : eol;
  return `${text.slice(0, at)}${lead}${eol}${body(edit.source, indent, eol, indentUnit(text))}${eol}${text.slice(at)}`;
}

const ASSIGNED = /^\ufeff?([\p{L}_][\p{L}\p{N}_]*)[ \t]*(?::[^=]*)?=(?!=)/u;

/**
 * A constant that the module assigns once is replaced where it stands: a second assignment above it would have no effect.
 * `fresh` are those that the module does not assign yet.
 */
function replaceConstants(
  original: string,
  constants: readonly string[],
  eol: string,
): { text: string; fresh: string[] } | { ambiguous: string } {
  let text = original;
  const fresh: string[] = [];
  for (const constant of constants) {
    const statement = logicalLines(constant)[0];
    const name = statement && ASSIGNED.exec(statement.text)?.[1];
    const old = name ? logicalLines(text).filter((line) => ASSIGNED.exec(line.text)?.[1] === name) : [];
    if (!statement || old.length === 0) {
      fresh.push(constant);
      continue;
    }
    if (old.length > 1 || old[0]!.text.includes(";")) return { ambiguous: name! };
    const start = old[0]!.start + (old[0]!.text.startsWith("\ufeff") ? 1 : 0);
    const next = constant.slice(statement.start).replace(/\r\n?|\n/g, eol);
    text = text.slice(0, start) + next + text.slice(old[0]!.end);
  }
  return { text, fresh };
}

/**
 * Imports go below the last import above the first function, constants below them. What the module runs already is not
 * added again; an import inside a function or under `if TYPE_CHECKING` does not count.
 */
function addHeader(text: string, outline: Outline, header: HeaderEdit, eol: string): string {
  const present = new Set(
    logicalLines(text)
      .filter((line) => line.indent === "")
      .map((line) => line.text.replace(/^\ufeff/, "").trim()),
  );
  const fresh = (lines: string[]) =>
    lines.map((line) => line.replace(/\r\n?|\n/g, eol)).filter((line) => !present.has(line.trim()));
  const future = (line: string) => /^from\s+__future__\s/.test(line);
  const imports = fresh(header.imports);
  const constants = fresh(header.constants);
  if (imports.length + constants.length === 0) return text;
  const firstBody = Math.min(...[...outline.definitions, ...outline.classes].map((one) => one.span.start));
  const top = outline.imports.filter(
    (span) => span.start < firstBody && indentAt(text, span.start) === "" && isLineStart(text, span.start),
  );
  const lastFuture = top.findLast((span) => future(text.slice(span.start, span.end)));
  const start = lastFuture ? afterLine(text, lastFuture.end) : afterDocstring(text, outline);
  const below = top.length > 0 ? afterLine(text, top.at(-1)!.end) : start;
  const futures = imports.filter(future);
  const others = imports.filter((line) => !future(line));
  const block = [
    ...others.map((line) => line + eol),
    ...(constants.length > 0 ? [eol, ...constants.map((line) => line + eol)] : []),
  ].join("");
  const gap = (at: number) => (at > 0 && !/[\r\n]/.test(text[at - 1]!) ? eol : "");
  const spaced =
    top.length === 0 && block !== ""
      ? `${gap(below)}${below > (text.startsWith("\ufeff") ? 1 : 0) ? eol : ""}${block}${eol}`
      : `${gap(below)}${block}`;
  const after = text.slice(0, below) + spaced + text.slice(below);
  return futures.length === 0
    ? after
    : after.slice(0, start) + futures.map((line) => line + eol).join("") + after.slice(start);
}

/** Offset of the line below the module's docstring, or below BOM, shebang, encoding and leading comments. */
function afterDocstring(text: string, outline: Outline): number {
  const first = logicalLines(text).find((line) => !/^\s*(#|$)/.test(line.text));
  if (first && /^[rRuU]?("""|'''|"|')/.test(first.text.trimStart())) return afterLine(text, first.end);
  let at = text.startsWith("\ufeff") ? 1 : 0;
  for (const comment of outline.comments) {
    if (comment.start !== at) break;
    at = afterLine(text, comment.end);
  }
  return at;
}

/** The function at its new indentation, in the file's own indentation unit and line ends. */
function body(source: string, indent: string, eol: string, unit: string | null): string {
  return reindent(source.replace(/\s+$/, ""), indent, unit).split("\n").join(eol);
}

function indentAt(text: string, offset: number): string {
  const start = Math.max(text.lastIndexOf("\n", offset - 1), text.lastIndexOf("\r", offset - 1)) + 1;
  const lead = text.slice(start, offset);
  return /^[ \t\f]*$/.test(lead) ? lead : (/^[ \t]*/.exec(lead)?.[0] ?? "");
}

function isLineStart(text: string, offset: number): boolean {
  return offset === 0 || /[\r\n\ufeff]/.test(text[offset - 1]!);
}

/** Indentation of the first statement inside a class; four spaces more than the class when it has none of its own. */
function innerIndent(text: string, start: number, end: number): string {
  const inner = logicalLines(text.slice(start, end)).find((line) => line.indent !== "");
  return inner?.indent ?? `${indentAt(text, start)}    `;
}

function afterLine(text: string, offset: number): number {
  for (let at = offset; at < text.length; at++) {
    if (text[at] === "\n") return at + 1;
    if (text[at] === "\r") return text[at + 1] === "\n" ? at + 2 : at + 1;
  }
  return text.length;
}
