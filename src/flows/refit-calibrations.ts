/** Labels of reviewed functions → calibrations of every repository, nightly and by command (issue E item 5). */
import type { TrainingRow } from "../domain/dataset.ts";
import { type Finding, modelVersion } from "../domain/finding.ts";
import type { Language } from "../domain/function-step.ts";
import { gradedLabels, trainable } from "../domain/graded-label.ts";
import { sha256 } from "../domain/ids.ts";
import { againstBase } from "../domain/review.ts";
import {
  BENCHMARK,
  benchmarkLabels,
  fitReviewCalibration,
  type ReviewLabel,
  type StoredCalibration,
} from "../domain/review-calibration.ts";
import { attribute } from "../domain/reward.ts";
import type { Clock, LearningStore, ReviewStore, RewardModel } from "../ports.ts";

const SCORED_AT_ONCE = 64;
/** Of a repository, the newest: older ones say little of what is written today. */
const MOST_ROWS = 100_000;

/** Of one actor and repository: nobody calibrates alone (security.md section 4, poisoned labels). */
const MOST_LABELS_AN_ACTOR = 200;

type Ports = { reviews: ReviewStore; learning: Pick<LearningStore, "events">; clock: Clock };
export type Refit = Pick<Finding, "repositoryId"> &
  Pick<StoredCalibration, "language" | "modelVersion"> & {
    /** Null: too few labels, uncalibrated. */
    calibration: StoredCalibration | null;
  };

/** One label a function and model: its attribution against base at the newest head that was reviewed with the labelled text. */
export async function reviewLabels({ reviews, learning, clock }: Ports): Promise<ReviewLabel[]> {
  const labels: ReviewLabel[] = [];
  for (const repositoryId of new Set((await reviews.reviewedKeys()).map((key) => key.repositoryId))) {
    const rows = await reviews.reviewed({ repositoryId, newest: MOST_ROWS });
    const graded = [];
    for (const number of new Set(rows.map((row) => row.pullRequest)))
      graded.push(...gradedLabels(repositoryId, await learning.events(repositoryId, number), clock.now().getTime()));
    const keyOf = (pullRequest: number, id: string, hash: string) => JSON.stringify([pullRequest, id, hash]);
    const verdicts = new Map(
      trainable(graded, MOST_LABELS_AN_ACTOR).map((one) => [
        keyOf(one.pullRequest, one.function, one.hash),
        one.label === 1,
      ]),
    );
    const newest = new Map(
      rows.map((row) => [`${row.modelVersion} ${keyOf(row.pullRequest, row.function, row.bodyHash)}`, row]),
    );
    for (const row of newest.values()) {
      const correct = verdicts.get(keyOf(row.pullRequest, row.function, row.bodyHash));
      if (correct === undefined) continue;
      const { language, modelVersion } = row;
      labels.push({ score: againstBase(row), correct, language, repositoryId, modelVersion });
    }
  }
  return labels;
}

export async function refitCalibrations(ports: Ports): Promise<Refit[]> {
  const labels = await reviewLabels(ports);
  const refits: Refit[] = [];
  for (const key of await ports.reviews.reviewedKeys()) {
    const benchmark = await ports.reviews.calibration({ ...key, repositoryId: BENCHMARK });
    const known = benchmark === null ? labels : [...labels, ...benchmarkLabels(benchmark)];
    const fitted = fitReviewCalibration(known, key);
    refits.push({ ...key, calibration: fitted === null ? null : await ports.reviews.saveCalibration(fitted) });
  }
  return refits;
}

/**
 * Functions with a known verdict, each scored alone as a review does, become the model's benchmark calibration. At most
 * `limit`, spread over the rows. Null: too few, or all of one kind.
 */
export async function calibrateOnBenchmark(
  { reviews, model }: { reviews: ReviewStore; model: RewardModel },
  rows: AsyncIterable<TrainingRow>,
  limit: number,
  signal?: AbortSignal,
): Promise<StoredCalibration | null> {
  const known: { language: Language; prompt: string; text: string; correct: boolean; order: string }[] = [];
  for await (const row of rows)
    row.completions.forEach((text, index) => {
      // Of a program of one function the verdict is the function's own.
      const alone = row.completions.length === 1 && row.source[0] === "unit_test" ? row.labels[0] : null;
      const verdict = row.own[index] ?? alone ?? null;
      if (verdict === null || (verdict !== 0 && verdict !== 1)) return;
      const order = sha256(`${row.id} ${index}`);
      known.push({ language: row.language as Language, prompt: row.prompt, text, correct: verdict === 1, order });
    });
  const taken = known.sort((a, b) => (a.order < b.order ? -1 : 1)).slice(0, limit);
  const version = modelVersion(model.info);
  const labels: ReviewLabel[] = [];
  for (let from = 0; from < taken.length; from += SCORED_AT_ONCE) {
    const some = taken.slice(from, from + SCORED_AT_ONCE);
    const scored = await model.score(
      some.flatMap(({ prompt, text }, index) => [
        { id: `empty-${index}`, prompt, completions: [""] },
        { id: `alone-${index}`, prompt, completions: [text] },
      ]),
      signal,
    );
    some.forEach(({ correct, language }, index) => {
      const [score] = attribute(scored[2 * index]!.rewards[0]!, scored[2 * index + 1]!.rewards);
      if (score != null) labels.push({ score, correct, language, repositoryId: null, modelVersion: version });
    });
  }
  const language = labels[0]?.language;
  if (language === undefined) return null;
  const fitted = fitReviewCalibration(labels, { repositoryId: BENCHMARK, language, modelVersion: version });
  return fitted === null ? null : await reviews.saveCalibration(fitted);
}
