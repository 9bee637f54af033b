/** What the outline needs of a parser, so that the WebAssembly and the native one stand behind the same few names. */
export type Cursor = {
  readonly nodeType: string;
  /** UTF-16 offsets into the parsed text. */
  readonly startIndex: number;
  readonly endIndex: number;
  gotoFirstChild(): boolean;
  gotoNextSibling(): boolean;
  gotoParent(): boolean;
};

/**
 * Calls `visit` with a cursor at the root and frees the tree. False, and no call, when the source holds a syntax error: the
 * parse is given up at the first one, because tree-sitter's recovery takes n² time in the number of errors (43 KB of prose:
 * 1.7 s) and nothing here reads a tree with errors.
 */
export type Parse = (source: string, visit: (root: Cursor) => void) => boolean;

/** The captures of one match of a query, UTF-16 offsets into the parsed text. */
export type Match = readonly { name: string; start: number; end: number }[];

/**
 * Every match of the language's query. Null when the source holds a syntax error and `errors` is false: then the parse is
 * given up at the first one, as in `Parse`.
 */
export type ParseQuery = (source: string, errors: boolean) => Match[] | null;
