/**
 * Which functions a change touches, and which of them can be scored (issue E item 2). Every function whose text differs is
 * accounted for exactly once; a function whose text is the same is never named, wherever its lines moved to.
 */
import type { Definition, Language, Outline, Span } from "./function-step.ts";
import { sha256 } from "./ids.ts";
import { renderStep } from "./render.ts";
import { decodeSource } from "./segment.ts";

/** Longer functions are listed, not scored (product.md section 2, pain 8). */
export const MOST_LINES = 400;
/** Of one change; the rest is listed, so that no change keeps the reviewer from the others. */
const MOST_FUNCTIONS = 2_000;
/** Larger files are listed as a whole. */
export const MOST_FILE_BYTES = 2_000_000;

/** A file of the change on both sides. `before` is null for a new file, `after` for a deleted one. */
export type ReviewedFile = {
  path: string;
  previousPath: string | null;
  before: Uint8Array | null;
  after: Uint8Array | null;
  /** Why the contents could not be had (submodule, symbolic link, over the limit of the host); null when they were. */
  unreadable: string | null;
};

export type ChangeKind = "added" | "modified" | "moved" | "deleted";

/** One side of a changed function. Lines are 1-based and inclusive, of the whole file on that side. */
export type FunctionVersion = {
  path: string;
  name: string;
  startLine: number;
  endLine: number;
  source: string;
  /** As the reward model sees it. */
  rendered: string;
  signature: string;
  calls: string[];
  /** False when the function's own text holds a syntax error. */
  parsed: boolean;
};

export type ChangedFunction = {
  path: string;
  name: string;
  simpleName: string;
  language: Language;
  change: ChangeKind;
  before: FunctionVersion | null;
  after: FunctionVersion | null;
  /** Identity of the text that is under review: normalised, so that comments and blank lines change nothing. */
  bodyHash: string;
};

/** `name` is `<file>` where a file as a whole was not looked into. */
export type NotScored = { path: string; name: string; reason: string };

export type ReviewScope = {
  /** To be scored, in the order of files and lines; `deleted` ones are listed and never scored. */
  functions: ChangedFunction[];
  notScored: NotScored[];
  /** Changed files that hold no functions in any language (documentation, data, configuration). */
  otherFiles: number;
};

export type ScopeOptions = {
  /** Languages that the active model was validated on. */
  validated: ReadonlySet<Language>;
  ignored(path: string): boolean;
};

const LANGUAGES: Record<string, Language> = {
  ...{ py: "python", pyi: "python", pyw: "python" },
  ...{ js: "javascript", jsx: "javascript", mjs: "javascript", cjs: "javascript" },
  ...{ ts: "typescript", tsx: "typescript", mts: "typescript", cts: "typescript" },
};

/** Extensions of languages that hold functions and that no grammar is installed for. */
const UNSUPPORTED = new Set(
  "bash c cc clj cpp cs cxx dart ex exs go h hpp hs java jl kt lua m ml mm php pl ps1 r rb rs scala sh sol svelte swift vb vue zig".split(
    " ",
  ),
);
const VENDORED = /(?:^|\/)(?:vendor|vendored|_vendor|third_party|node_modules|site-packages|bower_components)\//;
const GENERATED_PATH = /(?:_pb2(?:_grpc)?\.pyi?|\.gen\.[a-z]+|\.generated\.[a-z]+)$/;
const GENERATED_TEXT = /@generated\b|\b(?:code|file) (?:is |was )?(?:auto-?)?generated\b|\bdo not edit\b/i;
/** Average above which a line was not written by a person. */
const MINIFIED_COLUMNS = 400;

/** Language of a path that the reviewer reads; null for files of other kinds. */
export function reviewedLanguage(path: string): Language | null {
  return LANGUAGES[extensionOf(path)] ?? null;
}

export function scopeOfReview(
  files: readonly ReviewedFile[],
  outlineOf: (source: string, language: Language) => Outline,
  options: ScopeOptions,
): ReviewScope {
  const scope: ReviewScope = { functions: [], notScored: [], otherFiles: 0 };
  const loose: { added: ChangedFunction[]; deleted: ChangedFunction[] } = { added: [], deleted: [] };
  const reasons = new Map<string, string | null>();
  for (const file of files) {
    const language = reviewedLanguage(file.path);
    const whole = (reason: string) => scope.notScored.push({ path: file.path, name: "<file>", reason });
    if (language === null) {
      if (UNSUPPORTED.has(extensionOf(file.path))) whole("unsupported language");
      else scope.otherFiles += 1;
      continue;
    }
    if (file.unreadable !== null) {
      whole(file.unreadable);
      continue;
    }
    if (Math.max(file.before?.length ?? 0, file.after?.length ?? 0) > MOST_FILE_BYTES) {
      whole(`file over ${MOST_FILE_BYTES / 1_000_000} MB`);
      continue;
    }
    const before = versions(file.before, file.previousPath ?? file.path, language, outlineOf);
    const after = versions(file.after, file.path, language, outlineOf);
    reasons.set(file.path, reasonOfFile(file, options));
    for (const pair of pairs(before, after)) {
      const changed = changedFunction(pair, language);
      if (changed.change === "added") loose.added.push(changed);
      else if (changed.change === "deleted") loose.deleted.push(changed);
      else scope.functions.push(changed);
    }
  }
  scope.functions = scope.functions.concat(withMoves(loose.added, loose.deleted));
  const order = new Map(files.map((file, index) => [file.path, index]));
  const place = (one: ChangedFunction) => order.get(one.path) ?? order.size;
  scope.functions.sort(
    (a, b) => place(a) - place(b) || (a.after ?? a.before)!.startLine - (b.after ?? b.before)!.startLine,
  );
  let scored = 0;
  scope.functions = scope.functions.filter((one) => {
    if (one.after === null) return true;
    const known = reasons.get(one.path) ?? reasonOfFunction(one, options);
    const reason = known ?? (++scored > MOST_FUNCTIONS ? `over ${MOST_FUNCTIONS} functions` : null);
    if (reason !== null) scope.notScored.push({ path: one.path, name: one.name, reason });
    return reason === null;
  });
  return scope;
}

/** `scored 41/47; 4 generated, 1 unsupported language, 1 over 400 lines`, never shortened. */
export function coverageLine(coverage: { scored: number; inScope: number; notScored: readonly NotScored[] }): string {
  const counts = new Map<string, number>();
  for (const { reason } of coverage.notScored) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const rest = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([why, n]) => `${n} ${why}`);
  return `scored ${coverage.scored}/${coverage.inScope}${rest.length === 0 ? "" : `; ${rest.join(", ")}`}`;
}

type Version = FunctionVersion & { simpleName: string };

function versions(
  bytes: Uint8Array | null,
  path: string,
  language: Language,
  outlineOf: (source: string, language: Language) => Outline,
): Version[] {
  if (bytes === null) return [];
  const { text } = decodeSource(bytes);
  const outline = outlineOf(text, language);
  return outline.definitions.map((definition: Definition) => {
    const { start, end } = definition.span;
    const source = text.slice(start, end).replaceAll("\r\n", "\n");
    const own = (spans: readonly Span[]) => inside(spans, start, end);
    return {
      path,
      name: definition.name,
      simpleName: definition.simpleName,
      startLine: definition.startLine,
      endLine: definition.endLine,
      source,
      rendered: renderStep(text.slice(start, end), own(outline.comments), outline.strings && own(outline.strings)),
      signature: definition.signature,
      calls: definition.calls,
      // A file that parses has functions that parse: only in a broken one is each looked at alone.
      parsed: outline.parsed || outlineOf(dedented(text.slice(start, end)), language).parsed,
    };
  });
}

/** Spans of `[start, end)`, counted from `start`. `spans` are in order: a file of many functions is read in linear time. */
function inside(spans: readonly Span[], start: number, end: number): Span[] {
  let low = 0;
  for (let high = spans.length; low < high; ) {
    const middle = (low + high) >> 1;
    if (spans[middle]!.start < start) low = middle + 1;
    else high = middle;
  }
  const found: Span[] = [];
  for (let at = low; at < spans.length && spans[at]!.start < end; at++) {
    const span = spans[at]!;
    if (span.end <= end) found.push({ start: span.start - start, end: span.end - start });
  }
  return found;
}

/** A decorated method begins at its decorator, the `def` below is indented: moved to column 0 with its body. */
function dedented(text: string): string {
  const lines = text.split("\n");
  const second = lines[1] ?? "";
  const margin = text.startsWith("@") ? second.length - second.trimStart().length : 0;
  const isBlank = (line: string) => line.slice(0, margin).trim() === "";
  return lines.map((line, index) => (index > 0 && isBlank(line) ? line.slice(margin) : line)).join("\n");
}

/** Same name, same text: untouched. Then same name in order: modified. What is left was added or deleted. */
function pairs(
  before: readonly Version[],
  after: readonly Version[],
): { before: Version | null; after: Version | null }[] {
  const byName = (versions: readonly Version[]) => Map.groupBy(versions, (version) => version.name);
  const [olds, nows] = [byName(before), byName(after)];
  return [...new Set([...olds.keys(), ...nows.keys()])].flatMap((name) => {
    const [old, now] = withoutSame(olds.get(name) ?? [], nows.get(name) ?? []);
    return Array.from({ length: Math.max(old.length, now.length) }, (_, k) => ({
      before: old[k] ?? null,
      after: now[k] ?? null,
    }));
  });
}

/** Both without what stands in both, each text as often as it does. */
function withoutSame(old: readonly Version[], now: readonly Version[]): [Version[], Version[]] {
  const counts = (versions: readonly Version[]) => {
    const found = new Map<string, number>();
    for (const { source } of versions) found.set(source, (found.get(source) ?? 0) + 1);
    return found;
  };
  const left = (versions: readonly Version[], others: Map<string, number>) =>
    versions.filter(({ source }) => {
      const count = others.get(source) ?? 0;
      if (count > 0) others.set(source, count - 1);
      return count === 0;
    });
  return [left(old, counts(now)), left(now, counts(old))];
}

function changedFunction(pair: { before: Version | null; after: Version | null }, language: Language): ChangedFunction {
  const shown = (pair.after ?? pair.before)!;
  return {
    path: shown.path,
    name: shown.name,
    simpleName: shown.simpleName,
    language,
    change: pair.before === null ? "added" : pair.after === null ? "deleted" : "modified",
    before: pair.before,
    after: pair.after,
    bodyHash: sha256(shown.rendered),
  };
}

/** A function that left one place and stands with the same body in another was moved or renamed, not deleted and added. */
function withMoves(added: readonly ChangedFunction[], deleted: ChangedFunction[]): ChangedFunction[] {
  const keyOf = (one: ChangedFunction) => `${one.language}\n${bodyWithoutName(one)}`;
  const left = Map.groupBy(deleted, keyOf);
  const gone = new Set<ChangedFunction>();
  const moved = added.map((one) => {
    const source = left.get(keyOf(one))?.shift();
    if (source === undefined) return one;
    gone.add(source);
    return { ...one, change: "moved" as const, before: source.before };
  });
  return [...moved, ...deleted.filter((one) => !gone.has(one))];
}

function bodyWithoutName(one: ChangedFunction): string {
  const lines = (one.after ?? one.before)!.rendered.split("\n");
  // A method that became a function, or the reverse, is indented differently.
  return lines
    .map((line) => line.trim())
    .join("\n")
    .replaceAll(/[\p{L}\p{M}\p{N}_]+/gu, (word) => (word === one.simpleName ? "_" : word));
}

function reasonOfFile(file: ReviewedFile, options: ScopeOptions): string | null {
  if (options.ignored(file.path)) return "ignored by configuration";
  if (VENDORED.test(file.path)) return "vendored";
  const text = decodeSource((file.after ?? file.before)!).text;
  const head = text.slice(0, 4_000).split("\n").slice(0, 10).join("\n");
  if (GENERATED_PATH.test(file.path) || GENERATED_TEXT.test(head)) return "generated";
  if (/\.min\.[a-z]+$/.test(file.path) || text.length / text.split("\n").length > MINIFIED_COLUMNS) return "minified";
  return null;
}

function reasonOfFunction(one: ChangedFunction, options: ScopeOptions): string | null {
  const { startLine, endLine } = one.after!;
  if (endLine - startLine + 1 > MOST_LINES) return `over ${MOST_LINES} lines`;
  if (!options.validated.has(one.language)) return "language not validated";
  return null;
}

function extensionOf(path: string): string {
  const name = path.slice(path.lastIndexOf("/") + 1);
  const dot = name.lastIndexOf(".");
  return dot <= 0 ? "" : name.slice(dot + 1).toLowerCase();
}
