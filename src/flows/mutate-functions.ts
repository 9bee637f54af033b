/**
 * Functions of repositories → one candidate set: each function as it stands, the same in other words (`equivalent-edit.ts`), and each of
 * these with one bug (`mutate.ts`). Nothing is run: what stands in a released package is taken for right, a mutant for wrong.
 */
import type { CandidateSetProblem, SetCandidate } from "../domain/dataset.ts";
import { type EquivalentEdit, equivalentEdits } from "../domain/equivalent-edit.ts";
import type { Definition } from "../domain/function-step.ts";
import { sha256 } from "../domain/ids.ts";
import { applyMutation, drawMutations, mutationsOf } from "../domain/mutate.ts";
import type { Files, Syntax, WrittenFile } from "../ports.ts";

/** Lines of a function that people read at once. */
const LEAST_LINES = 4;
const MOST_LINES = 60;
/** Signatures of the file's own functions that stand beside the statement, as in a review. */
const MOST_NEIGHBOURS = 6;

/** `licence` of the package; null where it states none. */
export type SourceFile = { package: string; path: string; text: string; licence: string | null };

export type MutateFunctionsRequest = {
  files: Iterable<SourceFile>;
  out: string;
  /** Functions of one package at most, mutants of each wording, other wordings of one function at most. */
  functions: number;
  bugs: number;
  edits: number;
  seed: number;
};

export type MutateFunctionsSummary = {
  file: WrittenFile;
  functions: number;
  byPackage: Record<string, number>;
  mutants: number;
  edits: number;
};

/** A function of a file, cut out as the renderer of a review cuts it. */
type Found = { key: string; source: SourceFile; name: string; code: string; context: string[]; statement: string };

/** The same request gives the same file. */
export async function mutateFunctions(
  request: MutateFunctionsRequest,
  files: Files,
  syntax: Syntax,
): Promise<MutateFunctionsSummary> {
  const byPackage = new Map<string, Found[]>();
  const seen = new Set<string>();
  for (const source of request.files) {
    const found = byPackage.get(source.package) ?? [];
    byPackage.set(source.package, found);
    for (const one of functionsOf(source, syntax, request.seed)) {
      const body = sha256(one.code.replaceAll(/\s+/g, " "));
      if (!seen.has(body)) found.push(one);
      seen.add(body);
    }
  }
  const counts: Record<string, number> = {};
  const rows: CandidateSetProblem[] = [];
  for (const [name, found] of byPackage) {
    const orderOf = (one: Found) => sha256(`${request.seed}|${one.key}`);
    counts[name] = 0;
    for (const one of found.toSorted((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1))) {
      if (counts[name] === request.functions) break;
      const row = rowOf(one, request, syntax);
      if (row === null) continue;
      rows.push(row);
      counts[name] += 1;
    }
  }
  const file = await files.writeRows(request.out, rows);
  const candidates = rows.flatMap((row) => row.candidates);
  return {
    file,
    functions: rows.length,
    byPackage: counts,
    mutants: candidates.filter((one) => one.passed === false).length,
    edits: candidates.filter((one) => one.kind?.startsWith("edit") === true).length,
  };
}

function functionsOf(source: SourceFile, syntax: Syntax, seed: number): Found[] {
  const { definitions, parsed } = syntax.outline(source.text, "python");
  if (!parsed) return [];
  const names = Map.groupBy(definitions, (one) => one.name);
  return definitions.flatMap((one) => {
    const lines = one.endLine - one.startLine + 1;
    if (names.get(one.name)!.length > 1 || lines < LEAST_LINES || lines > MOST_LINES) return [];
    const key = `${source.package}/${source.path}#${one.name}`;
    const near = definitions.filter(
      (other) => other !== one && (one.calls.includes(other.simpleName) || other.calls.includes(one.simpleName)),
    );
    return {
      ...{ key, source, name: one.name },
      code: source.text.slice(one.span.start, one.span.end),
      context: [...new Set(near.map((other) => other.signature))].sort().slice(0, MOST_NEIGHBOURS),
      statement: statementOf(source, one, `${seed}|${key}`),
    };
  });
}

/** Null where the function does not parse alone or no bug fits. */
function rowOf(
  { key, source, name, code, context, statement }: Found,
  { bugs, edits, seed }: MutateFunctionsRequest,
  syntax: Syntax,
): CandidateSetProblem | null {
  const isOne = (text: string) => {
    const outline = syntax.outline(text, "python");
    return outline.parsed && outline.definitions.length === 1;
  };
  if (!isOne(code)) return null;
  const definition = syntax.outline(code, "python").definitions[0]!;
  const candidate = (id: string, text: string, kind: string, passed: boolean): SetCandidate => ({
    id: `${key}${id}`,
    model: "mutation",
    // One pool a function: its versions are compared with each other.
    variant: name,
    code: text,
    passed,
    kind,
  });
  const written = drawn(equivalentEdits(code, definition), edits, `${seed}|${key}`)
    .map((edit, at) => candidate(`~edit${at}`, edit.text, `edit: ${edit.kind}`, true))
    .filter((one) => isOne(one.code));
  const right = [candidate("", code, "as released", true), ...written];
  // Each wording once right and as often wrong as the others: what marks an edit must say nothing of a bug.
  const wrong = right.map((wording, at) => {
    const here = syntax.outline(wording.code, "python").definitions[0]!;
    // A value that a name was made for is the same by that name and by its own.
    const fitting = mutationsOf(wording.code, here).filter(
      (one) => wording.kind !== "edit: named" || one.kind !== "variable",
    );
    return drawMutations(fitting, bugs, `${seed}|${key}|${at}`)
      .map((one, k) => candidate(`~bug${at * bugs + k}`, applyMutation(wording.code, one), one.kind, false))
      .filter((one) => isOne(one.code) && !right.some((other) => bare(other.code) === bare(one.code)));
  });
  // A wording without a bug would stand for right functions alone.
  const kept = right.filter((_, at) => wrong[at]!.length === bugs);
  if (!kept.includes(right[0]!)) return null;
  return {
    set: `functions_${source.package}`,
    problem_id: key,
    // One file stands in one split.
    group: `functions/${source.package}/${source.path}`,
    prompt: statement,
    ...(source.licence === null ? {} : { license: source.licence }),
    context,
    io: "call",
    tests: null,
    candidates: [...kept, ...wrong.filter((of) => of.length === bugs).flat()],
  };
}

/** Without blanks and brackets: `return (None)` is what `return None` was. */
function bare(code: string): string {
  return code.replaceAll(/[\s()]/g, "");
}

/** Half of them (rounded up) of kinds that write the function anew, the rest of those that fit nearly every function. */
function drawn(edits: readonly EquivalentEdit[], count: number, key: string): EquivalentEdit[] {
  const ordered = edits
    .map((edit, at) => ({ edit, order: sha256(`${key}|edit|${at}`) }))
    .sort((a, b) => (a.order < b.order ? -1 : 1))
    .map(({ edit }) => edit);
  const idle = ordered.filter((one) => one.kind === "pass" || one.kind === "return");
  const others = ordered.filter((one) => !idle.includes(one)).slice(0, Math.ceil(count / 2));
  return [...others, ...idle].slice(0, count);
}

/** What a change might be called; it says nothing of which version is right. */
function statementOf({ path }: SourceFile, { simpleName, docstring }: Definition, key: string): string {
  const name = path.slice(path.lastIndexOf("/") + 1);
  const summary = docstring?.text.trim().split("\n")[0] ?? "";
  const choices = ["", `Change ${simpleName}`, `Clean up ${name}`, summary];
  return choices[Number.parseInt(sha256(`${key}|statement`).slice(0, 8), 16) % choices.length]!;
}
