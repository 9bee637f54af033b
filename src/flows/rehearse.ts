/** Texts of the log that no label speaks of: a challenger is held to what the champion says of them, so that it forgets nothing. */
import { SPLITS, type TrainingRow } from "../domain/dataset.ts";
import { sha256 } from "../domain/ids.ts";
import type { Files, LearningStore } from "../ports.ts";
import { learntPulls } from "./build-snapshot.ts";

/** Twice what a snapshot of a busy month holds; more only costs time. */
const MOST_ROWS = 1_000;

/** Writes the rows beside the snapshot's and says how many: texts of none of its rows, in an order that no label decides. */
export async function writeRehearsal(
  { learning, files }: { learning: LearningStore; files: Files },
  snapshot: string,
  out: string,
): Promise<number> {
  const keyOf = (completions: readonly string[]) => sha256(JSON.stringify(completions));
  const labelled = new Set<string>();
  for (const split of SPLITS)
    for await (const row of files.trainingRows(`${snapshot}/${split}.jsonl.gz`)) labelled.add(keyOf(row.completions));
  const rows = new Map<string, TrainingRow>();
  for (const pull of await learntPulls(learning, null))
    for (const { completions, prompt, language, renderVersion } of pull.texts) {
      const key = keyOf(completions);
      if (labelled.has(key)) continue;
      const nothing = completions.map(() => null);
      rows.set(key, {
        id: `rehearsal/${key.slice(0, 16)}`,
        problem: `rehearsal/${key.slice(0, 16)}`,
        group: "rehearsal",
        date: null,
        language,
        pool: null,
        prompt,
        completions: [...completions],
        labels: nothing,
        own: nothing,
        counts: nothing,
        source: nothing,
        weight: 1,
        renderVersion,
      });
    }
  const kept = [...rows.keys()].sort().slice(0, MOST_ROWS);
  await files.writeRows(
    out,
    kept.map((key) => rows.get(key)!),
  );
  return kept.length;
}
