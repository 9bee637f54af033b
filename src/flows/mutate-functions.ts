/**
 * Functions of repositories → one candidate set: each function as it stands, the same in other words (`equivalent-edit.ts`), and each of
 * these with one bug (`mutate.ts`). Nothing is run: what stands in a released package is taken for right, a mutant for wrong.
 */
import type { CandidateSetProblem, SetCandidate } from "../domain/dataset.ts";
import { type EquivalentEdit, equivalentEdits } from "../domain/equivalent-edit.ts";
import type { Definition } from "../domain/function-step.ts";
import { inDrawnOrder, sha256 } from "../domain/ids.ts";
import { applyMutation, drawMutations, mutationsOf } from "../domain/mutate.ts";
import { neighbourSignatures } from "../domain/review-scope.ts";
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
    counts[name] = 0;
    for (const one of inDrawnOrder(found, ({ key }) => `${request.seed}|${key}`)) {
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
    const others = definitions.filter((other) => other !== one);
    return {
      ...{ key, source, name: one.name },
      code: source.text.slice(one.span.start, one.span.end),
      context: neighbourSignatures(one, others, MOST_NEIGHBOURS),
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
  /** The definition of a text that is one function; null for any other. */
  const oneOf = (text: string): Definition | null => {
    const { parsed, definitions } = syntax.outline(text, "python");
    return parsed && definitions.length === 1 ? definitions[0]! : null;
  };
  const definition = oneOf(code);
  if (definition === null) return null;
  const candidate = (id: string, text: string, kind: string, passed: boolean): SetCandidate => ({
    id: `${key}${id}`,
    model: "mutation",
    // One pool a function: its versions are compared with each other.
    variant: name,
    code: text,
    passed,
    kind,
  });
  const wordings = [
    { right: candidate("", code, "as released", true), definition },
    ...drawn(equivalentEdits(code, definition), edits, `${seed}|${key}`).flatMap((edit, at) => {
      const written = oneOf(edit.text);
      const right = candidate(`~edit${at}`, edit.text, `edit: ${edit.kind}`, true);
      return written === null ? [] : [{ right, definition: written }];
    }),
  ];
  const rightTexts = new Set(wordings.map(({ right }) => bare(right.code)));
  const versions = wordings.map(({ right, definition }, at) => {
    // A value that a name was made for is the same by that name and by its own.
    const fitting = mutationsOf(right.code, definition).filter(
      (one) => right.kind !== "edit: named" || one.kind !== "variable",
    );
    const wrong = drawMutations(fitting, bugs, `${seed}|${key}|${at}`)
      .map((one, k) => candidate(`~bug${at * bugs + k}`, applyMutation(right.code, one), one.kind, false))
      .filter((one) => oneOf(one.code) !== null && !rightTexts.has(bare(one.code)));
    return { right, wrong };
  });
  // Each wording once right and as often wrong as the others: what marks an edit must say nothing of a bug.
  const kept = versions.filter(({ wrong }) => wrong.length === bugs);
  if (kept[0] === undefined || kept[0] !== versions[0]) return null;
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
    candidates: [...kept.map(({ right }) => right), ...kept.flatMap(({ wrong }) => wrong)],
  };
}

/** Without blanks and brackets: `return (None)` is what `return None` was. */
function bare(code: string): string {
  return code.replaceAll(/[\s()]/g, "");
}

/** Half of them (rounded up) of kinds that write the function anew, the rest of those that fit nearly every function. */
function drawn(edits: readonly EquivalentEdit[], count: number, key: string): EquivalentEdit[] {
  const ordered = inDrawnOrder(edits, (_, at) => `${key}|edit|${at}`);
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
