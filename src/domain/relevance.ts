/** What a repository prompt shows of the code: bodies of the functions that matter, outlines around them. */
export type RelevantCode = {
  /** Best match first. `name` is the qualified name, `source` the definition as it stands in the file, dedented. */
  functions: { path: string; name: string; source: string }[];
  /** Neighbours, as `def f(x) -> int` and the first line of the docstring (empty when there is none). */
  outlines: { path: string; signature: string; summary: string }[];
  /** Import statements of each file of `functions`, one a line. */
  headers: { path: string; imports: string }[];
};
