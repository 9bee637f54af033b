import { createRequire } from "node:module";
import { Language, Parser, Query, type Tree } from "web-tree-sitter";
import { GRAMMARS, type Grammar, querySource } from "./grammars.ts";
import type { Match, Parse, ParseQuery } from "./parse.ts";

async function open(grammar: Grammar): Promise<{ parser: Parser; language: Language }> {
  await Parser.init();
  const { module, wasm } = GRAMMARS[grammar];
  const language = await Language.load(createRequire(import.meta.url).resolve(`${module}/${wasm}`));
  const parser = new Parser();
  parser.setLanguage(language);
  return { parser, language };
}

/** What `read` makes of the tree, which is freed; null where the parse was given up at the first error. */
function parsed<T>(parser: Parser, source: string, errors: boolean, read: (tree: Tree) => T): T | null {
  const tree = parser.parse(source, null, errors ? {} : { progressCallback: ({ hasError }) => hasError });
  if (tree === null) {
    parser.reset();
    return null;
  }
  try {
    return !errors && tree.rootNode.hasError ? null : read(tree);
  } finally {
    tree.delete();
  }
}

/** The WebAssembly parser of Python: works everywhere, needs no compiler. */
export async function createWebParser(): Promise<Parse> {
  const { parser } = await open("python");
  return (source, visit) => {
    const visited = parsed(parser, source, false, (tree) => {
      const cursor = tree.walk();
      try {
        visit(cursor);
      } finally {
        cursor.delete();
      }
      return true;
    });
    return visited !== null;
  };
}

/** As `createWebParser`, for a grammar with a query. */
export async function createWebQuery(grammar: Exclude<Grammar, "python">): Promise<ParseQuery> {
  const { parser, language } = await open(grammar);
  const query = new Query(language, querySource(grammar));
  return (source, errors) =>
    parsed(parser, source, errors, (tree) =>
      query
        .matches(tree.rootNode)
        .map(
          ({ captures }): Match =>
            captures.map(({ name, node }) => ({ name, start: node.startIndex, end: node.endIndex })),
        ),
    );
}
