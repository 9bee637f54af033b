import type { Syntax } from "../../ports.ts";
import { loadNativeParser, nativeQuery } from "./native-parser.ts";
import type { Parse, ParseQuery } from "./parse.ts";
import { outlinePython } from "./python-outline.ts";
import { outlineByQuery } from "./query-outline.ts";
import { createWebParser, createWebQuery } from "./web-parser.ts";

/** Syntax on tree-sitter: the native library where it loads, else WebAssembly. `native: false` asks for WebAssembly. */
export async function createSyntax(options: { native?: boolean } = {}): Promise<Syntax> {
  const native = options.native === false ? null : loadNativeParser();
  const [python, javascript, typescript, tsx]: [Parse, ParseQuery, ParseQuery, ParseQuery] = native
    ? [native, nativeQuery("javascript"), nativeQuery("typescript"), nativeQuery("tsx")]
    : [
        await createWebParser(),
        await createWebQuery("javascript"),
        await createWebQuery("typescript"),
        await createWebQuery("tsx"),
      ];
  return {
    outline: (source, language) =>
      language === "python"
        ? outlinePython(source, python)
        : outlineByQuery(source, language, language === "javascript" ? [javascript] : [typescript, tsx]),
  };
}
