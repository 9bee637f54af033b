/** Scored answers and what ran on them → the chosen one, or why none was chosen. Pure: a replay decides the same again. */
import { type SurvivorEvidence, writtenEvidence } from "../domain/evidence.ts";
import { type Contender, type Selection, type SelectOptions, select } from "../domain/select.ts";
import { withoutWords } from "../domain/words.ts";
import type { ScoredAnswers } from "./score-answers.ts";

export type Choice = { selection: Selection; contenders: Contender[] };

/** @param evidence by candidate index, one for every survivor. */
export function chooseCandidate(
  answers: ScoredAnswers,
  evidence: ReadonlyMap<number, SurvivorEvidence>,
  settings: Pick<SelectOptions, "rule" | "scorer" | "seed" | "sampled" | "demanded" | "belief">,
): Choice {
  const { survivors, candidates, found } = answers;
  const written = writtenEvidence(
    survivors.map(({ candidate }) => evidence.get(candidate.index)!.written),
    survivors.map(({ multiplicity }) => multiplicity),
  );
  const contenders = survivors.map(({ candidate, chain, touched, multiplicity }, i): Contender => {
    const { tests, examples, knockout } = evidence.get(candidate.index)!;
    return {
      index: candidate.index,
      score: candidate.score,
      text: chain.map(({ rendered }) => withoutWords(rendered)).join("\n"),
      multiplicity,
      steps: chain.length,
      touches: touched.map((touch) => `${touch.path}::${touch.name}`),
      tests,
      examples,
      written: written[i]!,
      knockout,
    };
  });
  const selection = select(contenders, {
    ...settings,
    rejections: mostFrequent(
      candidates.flatMap((one) => (one.status === "rejected" && one.reason ? [one.reason] : [])),
    ),
    named: found.named,
  });
  return { selection, contenders };
}

function mostFrequent(reasons: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([reason]) => reason);
}
