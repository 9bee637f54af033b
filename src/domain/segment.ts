/** A file split into function steps (method.md section 4). */
import type { Definition, FunctionStep, Outline, SegmentedFile } from "./function-step.ts";

/** Text of a file with the way back to its bytes. `encoding` tells how the bytes were read. */
export type DecodedSource = { text: string; encoding: "utf-8" | "latin-1"; bytes: number };

/** UTF-8 when the bytes are valid UTF-8 (a BOM stays, as U+FEFF), else latin-1: either way no byte is lost. */
export function decodeSource(bytes: Uint8Array): DecodedSource {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return { text, encoding: "utf-8", bytes: bytes.length };
  } catch {
    // Not TextDecoder("latin1"), which is windows-1252 and changes 0x80–0x9F.
    return {
      text: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1"),
      encoding: "latin-1",
      bytes: bytes.length,
    };
  }
}

/** The bytes that `decodeSource` read as `text`. */
export function encodeSource(text: string, encoding: DecodedSource["encoding"]): Uint8Array {
  return Buffer.from(text, encoding === "utf-8" ? "utf8" : "latin1");
}

/**
 * Steps in source order: what stands before a definition is glued to it, what stands after the last one to the last. The
 * slices joined are the file. A file without any function is one step named `<module>`.
 */
export function segment(source: DecodedSource, outline: Outline, path: string | null): SegmentedFile {
  const { text } = source;
  const { definitions } = outline;
  const cuts = [0];
  for (let i = 1; i < definitions.length; i++) {
    const cut = endOfTail(text, definitions[i - 1] as Definition);
    cuts.push(Math.min(cut, (definitions[i] as Definition).span.start));
  }
  let startByte = 0;
  const steps = definitions.map((definition, index): FunctionStep => {
    const slice = text.slice(cuts[index], cuts[index + 1] ?? text.length);
    const endByte = startByte + (source.encoding === "utf-8" ? Buffer.byteLength(slice, "utf8") : slice.length);
    const step: FunctionStep = {
      index,
      name: definition.name,
      simpleName: definition.simpleName,
      kind: definition.kind,
      path,
      startLine: definition.startLine,
      endLine: definition.endLine,
      startByte,
      endByte,
      docstring: definition.docstring !== null,
      nested: definition.nested,
      signature: definition.signature,
      source: slice,
    };
    startByte = endByte;
    return step;
  });
  return {
    language: outline.language,
    parsed: outline.parsed,
    bytes: source.bytes,
    steps: steps.length === 0 ? [moduleStep(source, path)] : steps,
  };
}

function moduleStep(source: DecodedSource, path: string | null): FunctionStep {
  return {
    index: 0,
    name: "<module>",
    simpleName: "<module>",
    kind: "module",
    path,
    startLine: 1,
    endLine: source.text.replace(/\r?\n$/, "").split("\n").length,
    startByte: 0,
    endByte: source.bytes,
    docstring: false,
    nested: 0,
    signature: "",
    source: source.text,
  };
}

/**
 * Offset after the lines that still belong to a definition: its last line with the comment at its end, then comment lines
 * indented deeper than it. Less indented comments belong to what follows.
 */
function endOfTail(text: string, definition: Definition): number {
  const line = text.lastIndexOf("\n", definition.span.start) + 1;
  const column = definition.span.start - line;
  let end = afterLine(text, definition.span.end);
  for (let start = end; start < text.length; ) {
    const next = afterLine(text, start);
    const content = text.slice(start, next);
    const indent = content.length - content.trimStart().length;
    if (content.trim() !== "") {
      if (content[indent] !== "#" || indent <= column) break;
      end = next;
    }
    start = next;
  }
  return end;
}

function afterLine(text: string, offset: number): number {
  const newline = text.indexOf("\n", offset);
  return newline < 0 ? text.length : newline + 1;
}
