/**
 * Which functions of a repository an issue is about (issue A item 4): what it names (paths, identifiers, lines of a
 * traceback), BM25 over identifiers and text, and one step along calls. BM25 is written out here because the domain imports
 * no package and the index lives for one query.
 */
import type { RelevantCode } from "./chain-of-function.ts";
import type { Definition, Outline } from "./function-step.ts";

export type SourceFile = { path: string; text: string; outline: Outline };

/** One function of the repository with its rank; `why` is for people. */
export type Located = { path: string; name: string; score: number; why: string[] };

export type Found = {
  located: Located[];
  code: RelevantCode;
  /** `path`, `path::name` and callers and callees of what the issue names; null when it names nothing. */
  named: ReadonlySet<string> | null;
};

/** About 3.5 characters of code a token. */
const CHARACTERS_PER_TOKEN = 3.5;
const BODY_SHARE = 0.8;
const MOST_BODIES = 12;
const STOP = new Set(
  "a an and are as at be but by can cannot do does for from get has have how i if in into is it its me my no not of on or our should so than that the their them then there these they this to up use used using was we what when where which while who why will with would you your def class return self none true false import error exception python function method file line code issue expected actual".split(
    " ",
  ),
);

type Entry = { file: SourceFile; definition: Definition; terms: Map<string, number>; length: number };

/** Words of a text: identifiers, and their parts by underscore and capital; light stemming; stop words left out. */
export function words(text: string): string[] {
  const out: string[] = [];
  for (const [identifier] of text.matchAll(/[\p{L}_][\p{L}\p{N}_]*/gu)) {
    const parts = identifier.split(/_+|(?<=[\p{Ll}\p{N}])(?=\p{Lu})/u).filter((part) => part !== "");
    for (const part of parts.length > 1 ? [...parts, identifier] : parts) {
      const word = stem(part.toLowerCase());
      if (word.length > 1 && !STOP.has(word)) out.push(word);
    }
  }
  return out;
}

function stem(word: string): string {
  if (word.length > 5 && word.endsWith("ing")) return word.slice(0, -3);
  if (word.length > 4 && word.endsWith("ies")) return `${word.slice(0, -3)}y`;
  if (word.length > 4 && word.endsWith("ed")) return word.slice(0, -2);
  if (word.length > 3 && word.endsWith("s") && !word.endsWith("ss")) return word.slice(0, -1);
  return word;
}

/** Ranks every function, best first; a function with nothing in common with the issue is left out. */
export function locate(
  files: readonly SourceFile[],
  issue: { title: string; body: string },
): { located: Located[]; named: ReadonlySet<string> | null } {
  const entries = files.flatMap((file) => file.outline.definitions.map((definition) => entryOf(file, definition)));
  const text = `${issue.title}\n${issue.body}`;
  const query = new Map<string, number>();
  for (const word of words(issue.body)) query.set(word, (query.get(word) ?? 0) + 1);
  for (const word of words(issue.title)) query.set(word, (query.get(word) ?? 0) + 3);
  const scores = bm25(entries, query);
  const top = Math.max(1, ...scores);
  const mentions = mentioned(text);
  const rows = entries.map((entry, i) => {
    const why: string[] = [];
    let score = scores[i]! / top;
    const bonus = named(entry, mentions, why);
    score += bonus;
    if (isTest(entry.file.path)) score *= 0.2;
    return { entry, score, bonus, why };
  });
  // What a strong match calls, or what calls it, is often where the fault is.
  const bySimpleName = new Map<string, typeof rows>();
  for (const row of rows)
    bySimpleName.set(row.entry.definition.simpleName, [
      ...(bySimpleName.get(row.entry.definition.simpleName) ?? []),
      row,
    ]);
  const strong = [...rows].sort((a, b) => b.score - a.score).slice(0, 8);
  const lift = new Map<(typeof rows)[number], number>();
  for (const row of strong) {
    for (const call of row.entry.definition.calls) {
      const callees = bySimpleName.get(call) ?? [];
      const near = callees.filter((callee) => callee.entry.file === row.entry.file);
      for (const callee of near.length > 0 ? near : callees.length <= 3 ? callees : [])
        lift.set(callee, Math.max(lift.get(callee) ?? 0, 0.3 * row.score));
    }
  }
  for (const [row, value] of lift) {
    row.score += value;
    if (row.why.length === 0) row.why.push("called by a function that matches");
  }
  const located = rows
    .filter((row) => row.score > 0)
    .sort(
      (a, b) =>
        b.score - a.score ||
        compare(a.entry.file.path, b.entry.file.path) ||
        a.entry.definition.span.start - b.entry.definition.span.start,
    )
    .map((row) => ({
      path: row.entry.file.path,
      name: row.entry.definition.name,
      score: round(row.score),
      why: row.why.length > 0 ? row.why : ["words of the issue"],
    }));
  return {
    located,
    named: neighbourhood(
      rows.filter((row) => row.bonus > 0).map((row) => row.entry),
      entries,
    ),
  };
}

function entryOf(file: SourceFile, definition: Definition): Entry {
  const terms = new Map<string, number>();
  const add = (text: string, weight: number) => {
    for (const word of words(text)) terms.set(word, (terms.get(word) ?? 0) + weight);
  };
  add(definition.name, 5);
  add(file.path.replace(/\.py$/, "").replaceAll("/", " "), 1.5);
  add(definition.docstring?.text ?? "", 1.5);
  add(definition.signature, 1);
  add(file.text.slice(definition.span.start, definition.span.end).slice(0, 20_000), 1);
  const length = [...terms.values()].reduce((sum, count) => sum + count, 0);
  return { file, definition, terms, length };
}

/** Okapi BM25, k1 = 1.2, b = 0.6; a query word counts with the square root of how often it stands there. */
function bm25(entries: readonly Entry[], query: ReadonlyMap<string, number>): number[] {
  const average = entries.reduce((sum, entry) => sum + entry.length, 0) / Math.max(1, entries.length);
  const holders = new Map<string, number>();
  for (const entry of entries)
    for (const word of query.keys()) if (entry.terms.has(word)) holders.set(word, (holders.get(word) ?? 0) + 1);
  return entries.map((entry) => {
    let score = 0;
    for (const [word, count] of query) {
      const frequency = entry.terms.get(word);
      if (!frequency) continue;
      const inverse = Math.log(1 + (entries.length - holders.get(word)! + 0.5) / (holders.get(word)! + 0.5));
      score +=
        Math.sqrt(count) * inverse * ((frequency * 2.2) / (frequency + 1.2 * (0.4 + (0.6 * entry.length) / average)));
    }
    return score;
  });
}

type Mentions = {
  identifiers: Set<string>;
  quoted: Set<string>;
  frames: { path: string; line: number; name: string | null }[];
  paths: Set<string>;
};

function mentioned(text: string): Mentions {
  const quoted = new Set<string>();
  for (const [, inside] of text.matchAll(/`([^`\n]{1,200})`/g))
    for (const [name] of inside!.matchAll(/[\p{L}_][\p{L}\p{N}_]*/gu)) quoted.add(name);
  // A name written as a call, dotted or with an underscore is meant as a name, quoted or not.
  for (const [, name] of text.matchAll(/([\p{L}_][\p{L}\p{N}_]{0,99})\s?\(/gu)) quoted.add(name!);
  for (const [, name] of text.matchAll(/\.([\p{L}_][\p{L}\p{N}_]{0,99})/gu)) quoted.add(name!);
  const identifiers = new Set<string>();
  for (const [name] of text.matchAll(/[\p{L}_][\p{L}\p{N}_]*/gu))
    if (/_/.test(name) || /[\p{Ll}]\p{Lu}/u.test(name) || quoted.has(name)) identifiers.add(name);
  const frames = [...text.matchAll(/File "([^"\n]{1,400})", line (\d{1,7})(?:, in ([\p{L}\p{N}_<>.]{1,200}))?/gu)].map(
    (frame) => ({ path: frame[1]!.replaceAll("\\", "/"), line: Number(frame[2]), name: frame[3] ?? null }),
  );
  const paths = new Set(
    [...text.matchAll(/[\w./\\-]{1,300}\.py\b/g)].map((found) => found[0].replaceAll("\\", "/").replace(/^\.\//, "")),
  );
  for (const [, module] of text.matchAll(/\b(?:from|import) ([\p{L}_][\p{L}\p{N}_.]{0,199})/gu))
    paths.add(`${module!.replaceAll(".", "/")}.py`);
  return { identifiers, quoted, frames, paths };
}

/** Bonus of what the issue names outright; 0 when it does not name the function. */
function named({ file, definition }: Entry, mentions: Mentions, why: string[]): number {
  let bonus = 0;
  const frame = mentions.frames.findLast(
    (one) =>
      samePath(one.path, file.path) &&
      ((one.line >= definition.startLine && one.line <= definition.endLine) || one.name === definition.simpleName),
  );
  if (frame) {
    bonus += 1.2;
    why.push("in the traceback");
  }
  if (mentions.identifiers.has(definition.simpleName) && !definition.simpleName.startsWith("__")) {
    bonus += definition.simpleName.includes("_") || mentions.quoted.has(definition.simpleName) ? 0.7 : 0.3;
    why.push("named in the issue");
  }
  const owner = definition.name.split(".").at(-2);
  if (owner && mentions.identifiers.has(owner)) {
    bonus += 0.15;
    why.push("its class is named in the issue");
  }
  if ([...mentions.paths].some((path) => samePath(path, file.path))) {
    bonus += 0.3;
    why.push("its file is named in the issue");
  }
  return bonus;
}

/** A path of a traceback is absolute, of a person often shorter than the repository's. */
function samePath(mentionedPath: string, path: string): boolean {
  return mentionedPath === path || mentionedPath.endsWith(`/${path}`) || path.endsWith(`/${mentionedPath}`);
}

function neighbourhood(namedEntries: readonly Entry[], entries: readonly Entry[]): ReadonlySet<string> | null {
  if (namedEntries.length === 0) return null;
  const keys = new Set<string>();
  const names = new Set(namedEntries.map((entry) => entry.definition.simpleName));
  const calls = new Set(namedEntries.flatMap((entry) => entry.definition.calls));
  for (const { file } of namedEntries) keys.add(file.path);
  for (const { file, definition } of entries) {
    if (calls.has(definition.simpleName) || definition.calls.some((call) => names.has(call)))
      keys.add(`${file.path}::${definition.name}`);
  }
  return keys;
}

/** What the prompt shows, within a budget of tokens: bodies of the best functions, outlines of their neighbours. */
export function relevantCode(
  files: readonly SourceFile[],
  located: readonly Located[],
  budgetTokens: number,
): RelevantCode {
  const byPath = new Map(files.map((file) => [file.path, file]));
  let room = budgetTokens * CHARACTERS_PER_TOKEN;
  const bodies = room * (1 - BODY_SHARE);
  const code: RelevantCode = { functions: [], outlines: [], headers: [] };
  const shown = new Set<string>();
  for (const { path, name } of located) {
    if (code.functions.length === MOST_BODIES) break;
    if (isTest(path)) continue;
    const file = byPath.get(path)!;
    const definition = file.outline.definitions.findLast((one) => one.name === name)!;
    const source = dedented(file.text, definition);
    if (source.length > room - bodies || shown.has(`${path}::${name}`)) continue;
    room -= source.length;
    shown.add(`${path}::${name}`);
    code.functions.push({ path, name, source });
  }
  for (const path of new Set(code.functions.map((one) => one.path))) {
    const file = byPath.get(path)!;
    const imports = file.outline.imports.map((span) => file.text.slice(span.start, span.end)).join("\n");
    if (imports !== "" && imports.length <= room) {
      room -= imports.length;
      code.headers.push({ path, imports });
    }
    for (const definition of file.outline.definitions) {
      if (shown.has(`${path}::${definition.name}`)) continue;
      const summary = definition.docstring?.text.trim().split("\n")[0] ?? "";
      const cost = definition.signature.length + summary.length + 20;
      if (cost > room) break;
      room -= cost;
      code.outlines.push({ path, signature: definition.signature, summary });
    }
  }
  return code;
}

function dedented(text: string, definition: Definition): string {
  const start = text.lastIndexOf("\n", definition.span.start - 1) + 1;
  const indent = text.slice(start, definition.span.start);
  const lines = text.slice(definition.span.start, definition.span.end).replaceAll("\r\n", "\n").split("\n");
  return lines.map((line, i) => (i > 0 && line.startsWith(indent) ? line.slice(indent.length) : line)).join("\n");
}

export function isTest(path: string): boolean {
  return /(^|\/)(tests?|testing)\//.test(path) || /(^|\/)(test_[^/]*|[^/]*_test|conftest)\.py$/.test(path);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function round(value: number): number {
  return Math.round(value * 1e4) / 1e4;
}
