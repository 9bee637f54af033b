import type { Syntax } from "../../ports.ts";
import { loadNativeParser } from "./native-parser.ts";
import { outlinePython } from "./python-outline.ts";
import { createWebParser } from "./web-parser.ts";

/** Syntax on tree-sitter: the native library where it loads, else WebAssembly. `native: false` asks for WebAssembly. */
export async function createSyntax(options: { native?: boolean } = {}): Promise<Syntax> {
  const parse = (options.native === false ? null : loadNativeParser()) ?? (await createWebParser());
  return { outline: (source) => outlinePython(source, parse) };
}
