import { createRequire } from "node:module";
import { GRAMMARS, type Grammar, querySource } from "./grammars.ts";
import type { Cursor, Match, Parse, ParseQuery } from "./parse.ts";

type NativeNode = { hasError: boolean; startIndex: number; endIndex: number };
type NativeTree = { walk(): Cursor; rootNode: NativeNode };
type NativeParser = {
  setLanguage(language: unknown): void;
  parse(
    input: (offset: number) => string,
    oldTree: undefined,
    options: { bufferSize: number; progressCallback?: (offset: number, hasError: boolean) => boolean },
  ): NativeTree | undefined | null;
  reset(): void;
};
type NativeQuery = { matches(node: NativeNode): { captures: { name: string; node: NativeNode }[] }[] };
type NativeLibrary = (new () => NativeParser) & { Query: new (language: unknown, source: string) => NativeQuery };

/** UTF-16 units handed over at a time. A string as input is refused over 32 KB, so the text goes through a callback. */
const CHUNK = 16_384;
const BUFFER = 2 * CHUNK + 2;

const require = createRequire(import.meta.url);

function open(grammar: Grammar): { parser: NativeParser; Native: NativeLibrary; language: unknown } {
  const Native = require("tree-sitter") as NativeLibrary;
  const parser = new Native();
  const { module, member } = GRAMMARS[grammar];
  const loaded = require(module) as Record<string, unknown>;
  const language = member === null ? loaded : loaded[member];
  parser.setLanguage(language);
  return { parser, Native, language };
}

/** Null where the parse was given up at the first error. The garbage collector frees native trees: they have no delete(). */
function parsed(parser: NativeParser, source: string, errors: boolean): NativeTree | null {
  const giveUp = (_offset: number, hasError: boolean) => hasError;
  const tree = parser.parse((offset) => source.slice(offset, offset + CHUNK), undefined, {
    bufferSize: BUFFER,
    ...(errors ? {} : { progressCallback: giveUp }),
  });
  if (!tree) parser.reset();
  return !tree || (!errors && tree.rootNode.hasError) ? null : tree;
}

/** The native parser of Python; null where the optional package is not installed or its library does not load. */
export function loadNativeParser(): Parse | null {
  let parser: NativeParser;
  try {
    parser = open("python").parser;
  } catch {
    return null;
  }
  return (source, visit) => {
    const tree = parsed(parser, source, false);
    if (tree !== null) visit(tree.walk());
    return tree !== null;
  };
}

/** As `loadNativeParser`, for a grammar with a query; opened at its first use. */
export function nativeQuery(grammar: Exclude<Grammar, "python">): ParseQuery {
  let opened: { parser: NativeParser; query: NativeQuery } | null = null;
  return (source, errors) => {
    if (opened === null) {
      const { parser, Native, language } = open(grammar);
      opened = { parser, query: new Native.Query(language, querySource(grammar)) };
    }
    const tree = parsed(opened.parser, source, errors);
    if (tree === null) return null;
    return opened.query
      .matches(tree.rootNode)
      .map(
        ({ captures }): Match =>
          captures.map(({ name, node }) => ({ name, start: node.startIndex, end: node.endIndex })),
      );
  };
}
