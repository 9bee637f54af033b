/** Scores beside what became of the code: reviewed functions and stored candidates alike, for calibration, reports and figures. */
import { candidateScores } from "../domain/learning-rows.ts";
import type { ReviewLabel } from "../domain/review-calibration.ts";
import { pairAuc } from "../evaluation/statistics.ts";
import type { Clock, LearningStore, ReviewStore } from "../ports.ts";
import { learntPulls } from "./build-snapshot.ts";
import { reviewLabels } from "./refit-calibrations.ts";

/** `problem`: what the score was to tell apart; null for a reviewed function, which was scored alone. */
export type LearningScore = ReviewLabel & { problem: string | null };

/** Reviewed functions by attribution, judged candidates by their score; only graded A or B, or judged with a label. */
export async function learningScores(ports: {
  reviews: ReviewStore;
  learning: LearningStore;
  clock: Clock;
}): Promise<LearningScore[]> {
  const reviewed = (await reviewLabels(ports)).map((label) => ({ ...label, problem: null }));
  const judged = candidateScores(await learntPulls(ports.learning, null)).map(
    ({ score, correct, language, repositoryId, modelVersion, problem }) => ({
      ...{ score, correct, language, repositoryId, modelVersion },
      problem,
    }),
  );
  return [...reviewed, ...judged];
}

export type ScoreSkill = { modelVersion: string; problems: number; candidates: number; auc: number };

/** How well each model's scores told right candidates of a problem from wrong ones: mean over problems with both. */
export function scoreSkill(scores: readonly LearningScore[]): ScoreSkill[] {
  const judged = scores.filter((one) => one.problem !== null);
  return [...Map.groupBy(judged, (one) => one.modelVersion)]
    .map(([modelVersion, own]) => {
      const groups = [...Map.groupBy(own, (one) => one.problem).values()];
      const aucs = groups.flatMap((group) => {
        const auc = pairAuc(
          group.map((one) => one.score),
          group.map((one) => (one.correct ? 1 : 0)),
        );
        return auc === null ? [] : [auc];
      });
      const auc = aucs.reduce((sum, one) => sum + one, 0) / aucs.length;
      return { modelVersion, problems: aucs.length, candidates: own.length, auc };
    })
    .filter((one) => one.problems > 0)
    .sort((a, b) => (a.modelVersion < b.modelVersion ? -1 : 1));
}
