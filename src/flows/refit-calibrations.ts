/** Labels of reviewed functions → calibrations of every repository, nightly and by command (issue E item 5). */
import type { Finding } from "../domain/finding.ts";
import { gradedLabels, trainable } from "../domain/graded-label.ts";
import { fitReviewCalibration, type ReviewLabel, type StoredCalibration } from "../domain/review-calibration.ts";
import type { Clock, LearningStore, ReviewStore } from "../ports.ts";

/** Of one actor and repository: nobody calibrates alone (security.md section 4, poisoned labels). */
const MOST_LABELS_AN_ACTOR = 200;

type Ports = { reviews: ReviewStore; learning: Pick<LearningStore, "events">; clock: Clock };
export type Refit = Pick<Finding, "repositoryId"> &
  Pick<StoredCalibration, "language" | "modelVersion"> & {
    /** Null: too few labels, uncalibrated. */
    calibration: StoredCalibration | null;
  };

/** One label a function and model: its attribution at the newest head that was reviewed with the labelled text. */
export async function reviewLabels({ reviews, learning, clock }: Ports): Promise<ReviewLabel[]> {
  const labels: ReviewLabel[] = [];
  const byRepository = Map.groupBy(await reviews.reviewed(), (row) => row.repositoryId);
  for (const [repositoryId, rows] of byRepository) {
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
      labels.push({ score: row.attribution, correct, language, repositoryId, modelVersion });
    }
  }
  return labels;
}

/** `benchmark`: labels of benchmarks, which no repository's own outweigh less than others' do. */
export async function refitCalibrations(ports: Ports, benchmark: readonly ReviewLabel[] = []): Promise<Refit[]> {
  const labels = [...(await reviewLabels(ports)), ...benchmark];
  const keys = new Map<string, Pick<Refit, "repositoryId" | "language" | "modelVersion">>();
  for (const { repositoryId, language, modelVersion } of await ports.reviews.reviewed())
    keys.set(JSON.stringify([repositoryId, language, modelVersion]), { repositoryId, language, modelVersion });
  const refits: Refit[] = [];
  for (const key of keys.values()) {
    const fitted = fitReviewCalibration(labels, key);
    refits.push({ ...key, calibration: fitted === null ? null : await ports.reviews.saveCalibration(fitted) });
  }
  return refits;
}
