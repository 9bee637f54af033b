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

/** Calls `visit` with a cursor at the root, then frees the tree; `hasError` tells whether the tree holds an error. */
export type Parse = <T>(source: string, visit: (root: Cursor, hasError: boolean) => T) => T;
