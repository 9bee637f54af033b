/** Where each grammar and its query are found. A language more is one entry here and one file in `queries/`. */
import { readFileSync } from "node:fs";

export type Grammar = "python" | "javascript" | "typescript" | "tsx";

export const GRAMMARS: Record<Grammar, { module: string; member: string | null; wasm: string; query: string | null }> =
  {
    // Python's outline walks the tree itself: it is older, faster, and proved against Python's own `ast`.
    python: { module: "tree-sitter-python", member: null, wasm: "tree-sitter-python.wasm", query: null },
    javascript: {
      module: "tree-sitter-javascript",
      member: null,
      wasm: "tree-sitter-javascript.wasm",
      query: "javascript.scm",
    },
    typescript: {
      module: "tree-sitter-typescript",
      member: "typescript",
      wasm: "tree-sitter-typescript.wasm",
      query: "typescript.scm",
    },
    tsx: { module: "tree-sitter-typescript", member: "tsx", wasm: "tree-sitter-tsx.wasm", query: "typescript.scm" },
  };

export function querySource(grammar: Grammar): string {
  return readFileSync(new URL(`queries/${GRAMMARS[grammar].query}`, import.meta.url), "utf8");
}
