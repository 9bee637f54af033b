/**
 * Labelled Python candidates again, with a sentence in a docstring or a string of one function, verdicts unchanged: rows
 * from which a reward model learns that what is said about code is no evidence (issue E item 3).
 */
import { TEXT_PLACES, type TextPlace, withText } from "../domain/appended-text.ts";
import { type CandidateSetProblem, languageOf, type SetCandidate } from "../domain/dataset.ts";
import { FunprmError } from "../domain/errors.ts";
import { sha256 } from "../domain/ids.ts";
import type { Files, Syntax, WrittenFile } from "../ports.ts";

/** The renderer cuts comments away: a text in one makes no row. */
const PLACES: readonly TextPlace[] = TEXT_PLACES.filter((place) => place !== "comment");

export type AppendTextsRequest = {
  sets: readonly string[];
  texts: readonly string[];
  out: string;
  /** Share of the candidates, the same in both classes. */
  share: number;
  seed: number;
};

/** Writes one candidate set of all sets; which candidates, texts and places is drawn by the seed and the candidate alone. */
export async function appendTexts(
  request: AppendTextsRequest,
  files: Files,
  syntax: Syntax,
): Promise<{ file: WrittenFile; passed: number; failed: number }> {
  const { sets, texts, out, share, seed } = request;
  if (texts.length === 0) throw new FunprmError("BAD_INPUT", "the file of texts is empty: give one text a line");
  const count = { passed: 0, failed: 0 };
  async function* rows(): AsyncIterable<CandidateSetProblem> {
    for (const path of sets)
      for await (const problem of files.candidateSet(path)) {
        if (languageOf(problem) !== "python") continue;
        const candidates = problem.candidates.flatMap((one) => {
          const draw = Number.parseInt(sha256(`${seed}|${problem.set}|${one.id}|${one.code}`).slice(0, 12), 16);
          if (one.passed === null || (draw % 10_000) / 10_000 >= share) return [];
          const changed = changedCandidate(one, texts, Math.floor(draw / 10_000), syntax);
          if (changed !== null) count[one.passed ? "passed" : "failed"] += 1;
          return changed ?? [];
        });
        if (candidates.length > 0) yield { ...problem, candidates };
      }
  }
  const file = await files.writeRows(out, rows());
  return { file, ...count };
}

function changedCandidate(
  one: SetCandidate,
  texts: readonly string[],
  draw: number,
  syntax: Syntax,
): SetCandidate | null {
  const { definitions, parsed } = syntax.outline(one.code, "python");
  const definition = definitions[draw % Math.max(1, definitions.length)];
  if (!parsed || definition === undefined) return null;
  const place = PLACES[Math.floor(draw / 97) % PLACES.length]!;
  const code = withText(one.code, definition, texts[Math.floor(draw / 7) % texts.length]!, place);
  if (code === null) return null;
  const after = syntax.outline(code, "python");
  // A name more would be another program: verdicts of its methods are read by their names.
  const isSame = after.parsed && after.definitions.every((each, at) => each.name === definitions[at]?.name);
  return isSame && after.definitions.length === definitions.length ? { ...one, id: `${one.id}~text`, code } : null;
}
