import { createRequire } from "node:module";
import { Language, Parser } from "web-tree-sitter";
import type { Parse } from "./parse.ts";

/** The WebAssembly parser: works everywhere, needs no compiler. */
export async function createWebParser(): Promise<Parse> {
  await Parser.init();
  const grammar = createRequire(import.meta.url).resolve("tree-sitter-python/tree-sitter-python.wasm");
  const parser = new Parser();
  parser.setLanguage(await Language.load(grammar));
  return (source, visit) => {
    const tree = parser.parse(source, null, { progressCallback: ({ hasError }) => hasError });
    if (tree === null) {
      parser.reset();
      return false;
    }
    const cursor = tree.walk();
    try {
      if (tree.rootNode.hasError) return false;
      visit(cursor);
      return true;
    } finally {
      cursor.delete();
      tree.delete();
    }
  };
}
