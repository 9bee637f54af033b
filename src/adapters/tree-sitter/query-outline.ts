/** The outline that a language's query asks for: any language of which there is a grammar and one query (`queries/*.scm`). */
import type { Language, Outline, Span } from "../../domain/function-step.ts";
import { createDescriber } from "./describe-definition.ts";
import type { Match, ParseQuery } from "./parse.ts";
import { LONG_LINE, MOST_SIDE_BY_SIDE, sideBySide } from "./prose.ts";

/** A file that does not parse is read piece by piece, cut where an unindented line begins with one of these. */
const PIECE =
  /^(?:@|(?:export|import|async|function|class|abstract|const|let|var|interface|type|enum|namespace|module|declare)\b)/gm;
/** Broken pieces longer than this are not read, because tree-sitter's recovery takes n² time in the number of errors. */
const LONGEST_BROKEN = 4_096;
/** UTF-16 units of broken pieces in one file. */
const MOST_BROKEN = 32_768;
const LONGEST_NAME = 200;
/** Deeper nesting of brackets is written by no person, and recovery from so many open ones takes n² time. */
const DEEPEST_BRACKETS = 500;
/** Longer lines, strings not counted, are a machine's. */
const LONGEST_LINE = 10_000;
/** Strings with nothing between them: no program has any, 120 KB of them took the parser 150 s. */
const MOST_TOGETHER = 20;
/** Stands for a string where only the signs around it matter. */
const STRING = "\x01";
const LITERALS =
  /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\[\s\S]|[^`\\])*(?:`|$)|\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/g;
/** Between an operand and the next only these may stand without a sign of punctuation. */
const JOINING = new Set(
  "abstract as asserts async await break case catch class const continue declare default delete do else enum export extends finally for from function get if implements import in infer instanceof interface is keyof let module namespace new of private protected public readonly return satisfies set static super switch throw try type typeof unique var void while with yield".split(
    " ",
  ),
);

/** `dialects`: grammars to try in this order; the first that reads the whole source without an error is taken. */
export function outlineByQuery(source: string, language: Language, dialects: readonly ParseQuery[]): Outline {
  const found: Captures = {
    definitions: [],
    scopes: [],
    outer: [],
    decorators: [],
    imports: [],
    comments: [],
    strings: [],
    calls: [],
  };
  const parsed =
    isReadable(source) &&
    dialects.some((parse) => {
      const matches = parse(source, false);
      if (matches !== null) gather(matches, source, 0, found);
      return matches !== null;
    });
  if (!parsed) {
    let left = MOST_BROKEN;
    for (const piece of pieces(source)) {
      const text = source.slice(piece.start, piece.end);
      if (!isReadable(text)) continue;
      let matches = dialects[0]!(text, false);
      if (matches === null && text.length <= Math.min(left, LONGEST_BROKEN)) {
        left -= text.length;
        matches = dialects[0]!(text, true);
      }
      if (matches !== null) gather(matches, source, piece.start, found);
    }
  }
  for (const spans of Object.values(found) as Span[][]) spans.sort(outermostFirst);
  return {
    language,
    parsed,
    ...describeAll(source, found),
    imports: found.imports,
    comments: found.comments,
    strings: found.strings,
  };
}

type Named = Span & { name: string };
type Captures = {
  /** `keyword` is where the definition itself begins, `start` where what belongs to it does. */
  definitions: (Named & { keyword: number; body: number })[];
  scopes: (Named & { isClass: boolean })[];
  /** `inner` is where the part begins that `outer` widens. */
  outer: (Span & { inner: number })[];
  decorators: Span[];
  imports: Span[];
  comments: Span[];
  strings: Span[];
  calls: Span[];
};

const outermostFirst = (a: Span, b: Span) => a.start - b.start || b.end - a.end;

/** False for text on which the parser would take n² time: bracket after bracket, string after string, much on one line. */
function isReadable(source: string): boolean {
  const bare = source.replaceAll(LITERALS, (literal) => (/["']/.test(literal[0]!) ? STRING : ";"));
  let depth = 0;
  for (const [bracket] of bare.matchAll(/[([{)\]}]/g)) {
    depth = Math.max(0, depth + ("([{".includes(bracket) ? 1 : -1));
    if (depth > DEEPEST_BRACKETS) return false;
  }
  let together = 0;
  for (const _ of bare.matchAll(/\x01[ \t]*(?=\x01)/g)) if (++together > MOST_TOGETHER) return false;
  return bare
    .split("\n")
    .every(
      (line) =>
        line.length <= LONG_LINE || (line.length <= LONGEST_LINE && sideBySide(line, JOINING) <= MOST_SIDE_BY_SIDE),
    );
}

function pieces(source: string): Span[] {
  const cuts = [0];
  for (const { index } of source.matchAll(PIECE)) if (index > 0) cuts.push(index);
  return cuts.map((start, at) => ({ start, end: cuts[at + 1] ?? source.length }));
}

function gather(matches: readonly Match[], source: string, offset: number, found: Captures): void {
  for (const match of matches) {
    const spans = new Map<string, Span>();
    for (const { name, start, end } of match) spans.set(name, { start: offset + start, end: offset + end });
    const text = spans.get("name");
    const name = text === undefined ? "default" : nameOf(source.slice(text.start, text.end));
    for (const [role, span] of spans) {
      if (role === "definition")
        found.definitions.push({
          ...span,
          name: name || "default",
          keyword: span.start,
          body: spans.get("body")!.start,
        });
      else if (role === "scope" || role === "class") found.scopes.push({ ...span, name, isClass: role === "class" });
      else if (role === "outer") found.outer.push({ ...span, inner: spans.get("inner")!.start });
      else if (role === "decorator") found.decorators.push(span);
      else if (role === "import") found.imports.push(span);
      else if (role === "comment") found.comments.push(span);
      else if (role === "string") found.strings.push(span);
      else if (role === "call") found.calls.push(span);
    }
  }
}

/** `"a-b"` → `a-b`, `module.exports.f` → `f`, `module.exports` → nothing. */
function nameOf(text: string): string {
  const bare = text.replace(/\s+/g, "").replace(/^(["'])(.*)\1$/, "$2");
  return bare.replace(/^(?:module\.)?exports(?:\.|$)/, "").slice(0, LONGEST_NAME);
}

function describeAll(source: string, found: Captures): Pick<Outline, "definitions" | "classes"> {
  const beginnings = widened(source, found);
  const describe = createDescriber(source, {
    comments: found.comments,
    strings: [],
    calls: found.calls,
    defs: found.definitions.map((one) => one.keyword),
  });
  const definitions: Outline["definitions"] = [];
  const classes: Outline["classes"] = [];
  const open: Captures["scopes"] = [];
  let next = 0;
  let end = 0;
  /** Scopes up to an offset, those left that ended before it. A class inside a function is not listed. */
  const enter = (offset: number) => {
    for (let scope = found.scopes[next]; scope !== undefined && scope.start <= offset; scope = found.scopes[++next]) {
      if (scope.start < end) continue;
      while (open.length > 0 && open.at(-1)!.end <= scope.start) open.pop();
      const name = [...open, scope]
        .map((one) => one.name)
        .filter((part) => part !== "")
        .join(".");
      if (scope.isClass) classes.push(describe.classOf({ name, start: scope.start, body: scope.end, end: scope.end }));
      open.push(scope);
    }
    while (open.length > 0 && open.at(-1)!.end <= offset) open.pop();
  };
  for (const one of beginnings) {
    if (one.start < end) continue;
    enter(one.keyword);
    const names = [...open.map((scope) => scope.name), ...one.name.split(".")].filter((part) => part !== "");
    const simpleName = names.pop()!;
    const className = names.length === 0 ? null : names.join(".");
    const { start, keyword, body } = one;
    definitions.push(describe.definition({ className, simpleName, start, keyword, colon: body, body, end: one.end }));
    end = one.end;
  }
  enter(source.length);
  return { definitions, classes };
}

/** Definitions with what belongs to them (`export`, `const`, decorators), outermost first. */
function widened(source: string, found: Captures): Captures["definitions"] {
  const outer = Map.groupBy(found.outer, (one) => one.inner);
  const decorated = new Map<number, number>();
  for (const decorator of found.decorators) {
    const rest = /^(?:\s|\/\/[^\n]*|\/\*[\s\S]*?\*\/)*/.exec(source.slice(decorator.end, decorator.end + 2_000))![0];
    decorated.set(decorator.end + rest.length, decorator.start);
  }
  return found.definitions
    .map((one) => {
      let { start, end } = one;
      const wider = () => outer.get(start)?.find((span) => span.end >= end && span.end - span.start > end - start);
      for (let span = wider(); span !== undefined; span = wider()) ({ start, end } = span);
      for (let at = decorated.get(start); at !== undefined && at < start; at = decorated.get(start)) start = at;
      return { ...one, start, end };
    })
    .sort(outermostFirst);
}
