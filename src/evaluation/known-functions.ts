/**
 * Real functions with wrong versions of themselves: what a synthetic organisation writes, where the truth is known by
 * construction (issue H, "Measured and tested"). Pure: sources come in as text.
 */
import type { Definition, Language, Outline } from "../domain/function-step.ts";
import { sha256 } from "../domain/ids.ts";
import { applyMutation, drawMutations, mutationsOf } from "../domain/mutate.ts";
import { renderSteps } from "../domain/render.ts";
import { decodeSource, segment } from "../domain/segment.ts";

/** `kind`: `one-short` for the family, else the kind of `domain/mutate.ts`. `text` as the reward model reads it. */
type WrongVersion = { kind: string; text: string; source: string };

export type KnownFunction = {
  path: string;
  name: string;
  text: string;
  source: string;
  /** First line of its docstring, else its name in words. */
  purpose: string;
  /** Versions with an error of the family; empty where the function has no place for it. */
  family: WrongVersion[];
  /** One error each, of other kinds, those of different kinds first. */
  others: WrongVersion[];
};

/** The injected family: a length or a range is one too short. */
export const FAMILY = "one-short";
const FEWEST_LINES = 4;
const MOST_LINES = 40;
const MOST_OTHERS = 6;

type OutlineOf = (source: string, language: Language) => Outline;

/** The functions and methods of `source`, each on its own, that have a place for at least two errors. */
export function knownFunctions(path: string, source: string, outlineOf: OutlineOf): KnownFunction[] {
  return outlineOf(source, "python").definitions.flatMap((definition) => {
    const text = dedented(source, definition.span.start, definition.span.end);
    const lines = text.split("\n").length;
    if (!/^(?:async )?def /.test(text) || lines < FEWEST_LINES || lines > MOST_LINES) return [];
    const known = knownFunction(path, definition.name, `${text}\n`, outlineOf);
    return known === null ? [] : [known];
  });
}

function dedented(source: string, start: number, end: number): string {
  const margin = /[ \t]*$/.exec(source.slice(0, start))![0];
  return source
    .slice(start, end)
    .split("\n")
    .map((line, at) => (at > 0 && line.startsWith(margin) ? line.slice(margin.length) : line))
    .join("\n")
    .trimEnd();
}

function knownFunction(path: string, name: string, source: string, outlineOf: OutlineOf): KnownFunction | null {
  const own = rendered(source, outlineOf);
  if (own === null) return null;
  const { definition, text } = own;
  const wrong = (kind: string, mutated: string): WrongVersion[] => {
    const version = rendered(mutated, outlineOf);
    return version === null || version.text === text ? [] : [{ kind, text: version.text, source: mutated }];
  };
  const others = drawMutations(mutationsOf(source, definition), MOST_OTHERS, source).flatMap((mutation) =>
    wrong(mutation.kind, applyMutation(source, mutation)),
  );
  const family = oneShort(source).flatMap((mutated) => wrong(FAMILY, mutated));
  if (others.length < 2) return null;
  const docstring = /^\s*(?:r|u)?(?:"""|''')\s*(\S[^\n"']*)/m.exec(source)?.[1];
  return {
    path,
    name,
    text,
    source,
    purpose: (docstring ?? definition.simpleName.replaceAll("_", " ")).trim(),
    family,
    others,
  };
}

function rendered(source: string, outlineOf: OutlineOf): { definition: Definition; text: string } | null {
  const outline = outlineOf(source, "python");
  const [definition, ...more] = outline.definitions;
  if (!outline.parsed || definition === undefined || more.length > 0) return null;
  const text = renderSteps(segment(decodeSource(Buffer.from(source)), outline, null), outline)[0]!;
  return { definition, text };
}

/** Every version in which one length or one range is taken one too short, in the order of the text. */
function oneShort(source: string): string[] {
  const versions: string[] = [];
  for (const match of source.matchAll(/\b(len|range)\(/g)) {
    const open = match.index + match[0].length;
    const close = closing(source, open);
    // A definition of that name, or one that is short already.
    if (close === null || /^ *- *1\b/.test(source.slice(close + 1)) || /def $/.test(source.slice(0, match.index)))
      continue;
    if (match[1] === "len") {
      versions.push(replaced(source, close + 1, "", " - 1"));
      continue;
    }
    const parts = topLevel(source.slice(open, close));
    const stop = parts.at(-1);
    // Three arguments end with a step.
    if (stop === undefined || parts.length > 2) continue;
    const earlier = / \+ 1$/.test(stop) ? stop.replace(/ \+ 1$/, "") : `${stop} - 1`;
    versions.push(replaced(source, source.lastIndexOf(stop, close - 1), stop, earlier));
  }
  return [...new Set(versions)];
}

function replaced(source: string, at: number, old: string, by: string): string {
  return source.slice(0, at) + by + source.slice(at + old.length);
}

function closing(source: string, from: number): number | null {
  let depth = 1;
  for (let at = from; at < source.length; at++) {
    if ("([{".includes(source[at]!)) depth += 1;
    else if (")]}".includes(source[at]!)) depth -= 1;
    if (depth === 0) return at;
  }
  return null;
}

/** The arguments between commas that stand in no bracket. */
function topLevel(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    if ("([{".includes(text[at]!)) depth += 1;
    else if (")]}".includes(text[at]!)) depth -= 1;
    else if (text[at] === "," && depth === 0) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  return [...parts, text.slice(start)].map((part) => part.trim()).filter((part) => part !== "");
}

/** The share `part` of functions that an organisation never sees, by hash of their text; the rest. */
export function heldBack(
  functions: readonly KnownFunction[],
  part: number,
): { seen: KnownFunction[]; unseen: KnownFunction[] } {
  const isUnseen = (one: KnownFunction) =>
    Number.parseInt(sha256(`unseen:${one.name}`).slice(0, 8), 16) / 2 ** 32 < part;
  return { seen: functions.filter((one) => !isUnseen(one)), unseen: functions.filter(isUnseen) };
}
