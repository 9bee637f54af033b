/** From the edits of a repository answer to its chain of function steps, and to the functions of the pull request. */
import type { ChangedFile, RepositoryEdits } from "./candidate.ts";
import type { Touched } from "./comment.ts";
import type { Definition, FunctionStep, Outline } from "./function-step.ts";
import { renderStep } from "./render.ts";
import { type DecodedSource, decodeSource } from "./segment.ts";

type OutlineOf = (source: string) => Outline;
type ParsedFile = { source: DecodedSource; outline: Outline };

/** A step of an edit with its text as the reward model sees it. */
export type ChainStep = { step: FunctionStep; rendered: string };

/**
 * Steps in the order of the answer (rulings 6); imports and constants are glued to the first edit of their file. Lines and
 * bytes are those of the file as the candidate leaves it.
 */
export function chainOfEdits(edits: RepositoryEdits, files: readonly ChangedFile[], outlineOf: OutlineOf): ChainStep[] {
  const after = parsedFiles(files, "after", outlineOf);
  const started = new Set<string>();
  return edits.functions.flatMap((edit, index) => {
    const file = after.get(edit.path);
    const definition = file && definitionNamed(file.outline, edit.name);
    if (!file || !definition) return [];
    const header = started.has(edit.path) ? "" : headerOf(edits, edit.path);
    started.add(edit.path);
    const source = header + edit.source;
    const before = byteLength(file.source, 0, definition.span.start);
    const step: FunctionStep = {
      index,
      name: definition.name,
      simpleName: definition.simpleName,
      kind: definition.kind,
      path: edit.path,
      startLine: definition.startLine,
      endLine: definition.endLine,
      startByte: before,
      endByte: before + byteLength(file.source, definition.span.start, definition.span.end),
      docstring: definition.docstring !== null,
      nested: definition.nested,
      signature: definition.signature,
      source,
    };
    return [{ step, rendered: renderStep(source, outlineOf(source).comments) }];
  });
}

/** Functions whose text differs from base, in the order of the answer: an edit that repeats what stands there is none. */
export function touchedFunctions(
  edits: RepositoryEdits,
  files: readonly ChangedFile[],
  outlineOf: OutlineOf,
): Touched[] {
  const before = parsedFiles(files, "before", outlineOf);
  const after = parsedFiles(files, "after", outlineOf);
  return edits.functions.flatMap((edit) => {
    const file = after.get(edit.path);
    const now = file && definitionNamed(file.outline, edit.name);
    if (!file || !now) return [];
    const old = before.get(edit.path);
    const was = old && definitionNamed(old.outline, edit.name);
    const text = textOf(file, now);
    if (old && was && textOf(old, was) === text) return [];
    return [
      {
        path: edit.path,
        name: now.name,
        startLine: now.startLine,
        endLine: now.endLine,
        change: was ? ("modified" as const) : ("added" as const),
        source: edit.source,
      },
    ];
  });
}

function parsedFiles(
  files: readonly ChangedFile[],
  side: "before" | "after",
  outlineOf: OutlineOf,
): Map<string, ParsedFile> {
  const parsed = new Map<string, ParsedFile>();
  for (const file of files) {
    const bytes = file[side];
    if (bytes === null) continue;
    const source = decodeSource(bytes);
    parsed.set(file.path, { source, outline: outlineOf(source.text) });
  }
  return parsed;
}

/** The last definition of that name wins at run time. */
function definitionNamed(outline: Outline, name: string): Definition | undefined {
  return outline.definitions.findLast((definition) => definition.name === name);
}

function textOf(file: ParsedFile, definition: Definition): string {
  return file.source.text.slice(definition.span.start, definition.span.end).replaceAll("\r\n", "\n");
}

function byteLength(source: DecodedSource, start: number, end: number): number {
  return source.encoding === "utf-8" ? Buffer.byteLength(source.text.slice(start, end), "utf8") : end - start;
}

function headerOf(edits: RepositoryEdits, path: string): string {
  const lines = edits.headers
    .filter((header) => header.path === path)
    .flatMap((header) => [...header.imports, ...header.constants]);
  return lines.length === 0 ? "" : `${lines.join("\n")}\n\n`;
}
