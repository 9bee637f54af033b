import { createRequire } from "node:module";
import type { Cursor, Parse } from "./parse.ts";

type NativeTree = { walk(): Cursor; rootNode: { hasError: boolean } };
type NativeParser = {
  setLanguage(language: unknown): void;
  parse(
    input: (offset: number) => string,
    oldTree: undefined,
    options: { bufferSize: number; progressCallback: (offset: number, hasError: boolean) => boolean },
  ): NativeTree | undefined | null;
  reset(): void;
};

/** UTF-16 units handed over at a time. A string as input is refused over 32 KB, so the text goes through a callback. */
const CHUNK = 16_384;

/** The native parser; null where the optional package is not installed or its library does not load. */
export function loadNativeParser(): Parse | null {
  const require = createRequire(import.meta.url);
  let parser: NativeParser;
  try {
    const Native = require("tree-sitter") as new () => NativeParser;
    parser = new Native();
    parser.setLanguage(require("tree-sitter-python"));
  } catch {
    return null;
  }
  const progressCallback = (_offset: number, hasError: boolean) => hasError;
  const bufferSize = 2 * CHUNK + 2;
  return (source, visit) => {
    const tree = parser.parse((offset) => source.slice(offset, offset + CHUNK), undefined, {
      bufferSize,
      progressCallback,
    });
    if (!tree) {
      parser.reset();
      return false;
    }
    // The garbage collector frees native trees: they have no delete().
    if (tree.rootNode.hasError) return false;
    visit(tree.walk());
    return true;
  };
}
