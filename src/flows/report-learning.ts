/** The stores → what the app learned in a period. */
import { judgedFindings } from "../domain/finding.ts";
import { decided, type GradedLabel, gradedLabels } from "../domain/graded-label.ts";
import { outcomeOf } from "../domain/outcome.ts";
import { findingPrecision } from "../domain/precision.ts";
import { GRADES, type LearnedReport, type Mistake } from "../evaluation/learned-report.ts";
import type { Clock, LearningStore, ModelRegistry, ReviewStore, RunStore } from "../ports.ts";

export type ReportPorts = {
  learning: LearningStore;
  reviews: ReviewStore;
  runs: RunStore;
  models: ModelRegistry;
  clock: Clock;
};

const DAY_MS = 86_400_000;
const MOST_MISTAKES = 10;
const MOST_RUNS = 10_000;
/** A reward beyond these and an outcome that says otherwise: a mistake. */
const SURE = { right: 0.6, wrong: 0.4 };

/** Of all repositories, or of one. `wanted` is the precision that findings must keep. */
export async function reportLearning(
  ports: ReportPorts,
  options: { days: number; repositoryId: number | null; wanted: number },
): Promise<LearnedReport> {
  const now = ports.clock.now();
  const since = new Date(now.getTime() - options.days * DAY_MS);
  const only = options.repositoryId === null ? {} : { repositoryId: options.repositoryId };
  const places = (await ports.learning.repositories()).filter(
    (one) => options.repositoryId === null || one.repositoryId === options.repositoryId,
  );
  const nameOf = new Map(places.map((one) => [one.repositoryId, `${one.owner}/${one.repo}`]));
  const keys = await ports.learning.pullRequests({ ...only, since });
  const labels: GradedLabel[] = [];
  const merged = new Set<string>();
  for (const { repositoryId, pullRequest } of keys) {
    const events = await ports.learning.events(repositoryId, pullRequest);
    labels.push(...decided(gradedLabels(repositoryId, events, now.getTime())));
    if (outcomeOf(events, now.getTime()).state === "merged") merged.add(`${repositoryId} ${pullRequest}`);
  }
  const { compared, mistakes } = await disagreements(ports, labels, nameOf);
  const runs = (await ports.runs.listRuns({ ...only, limit: MOST_RUNS })).filter(
    (run) => run.createdAt >= since.toISOString(),
  );
  const opened = runs.filter((run) => run.pullRequest !== null);
  const active = await ports.models.active();
  return {
    from: since.toISOString(),
    to: now.toISOString(),
    active: active ?? { name: "the bundled model", version: "", sha256: "" },
    pullRequests: keys.length,
    labels: Object.fromEntries(
      GRADES.map((grade) => [grade, labels.filter((label) => label.grade === grade).length]),
    ) as LearnedReport["labels"],
    people: new Set(labels.filter((label) => label.grade !== "C").map((label) => label.actor)).size,
    decisions: (await ports.models.versions())
      .flatMap(({ decision }) => (decision !== null && decision.at >= since.toISOString() ? [decision] : []))
      .sort((a, b) => (a.at < b.at ? 1 : -1)),
    compared,
    mistakes,
    cost: {
      runs: runs.length,
      opened: opened.length,
      accepted: opened.filter((run) => merged.has(`${run.repositoryId} ${run.pullRequest!.number}`)).length,
      usd: runs.some((run) => run.costUsd === null && run.generator !== null)
        ? null
        : runs.reduce((sum, run) => sum + (run.costUsd ?? 0), 0),
    },
    precision: await precisions(ports, places, options.wanted),
    known: [],
  };
}

/** Reviewed functions whose outcome says otherwise, the surest first. */
async function disagreements(
  { reviews }: ReportPorts,
  labels: readonly GradedLabel[],
  nameOf: ReadonlyMap<number, string>,
): Promise<{ compared: number; mistakes: Mistake[] }> {
  const byKey = new Map(labels.map((one) => [keyOf(one.repository, one.pullRequest, one.function, one.hash), one]));
  const found: (Mistake & { sure: number })[] = [];
  const seen = new Set<string>();
  const rows = [];
  for (const repositoryId of nameOf.keys()) rows.push(...(await reviews.reviewed({ repositoryId })));
  for (const row of rows) {
    const key = keyOf(row.repositoryId, row.pullRequest, row.function, row.bodyHash);
    const label = byKey.get(key);
    if (label === undefined || label.label === null) continue;
    seen.add(`${key} ${row.modelVersion}`);
    const wrong = label.label === 0 ? row.value >= SURE.right : row.value <= SURE.wrong;
    if (!wrong) continue;
    found.push({
      repository: nameOf.get(row.repositoryId)!,
      pullRequest: row.pullRequest,
      function: row.function,
      grade: label.grade,
      reason: label.reason,
      reward: row.value,
      modelVersion: row.modelVersion,
      sure: Math.abs(row.value - label.label),
    });
  }
  const mistakes = found
    .sort((a, b) => b.sure - a.sure || (a.function < b.function ? -1 : 1))
    .slice(0, MOST_MISTAKES)
    .map(({ sure: _, ...one }) => one);
  return { compared: seen.size, mistakes };
}

async function precisions(
  { reviews }: ReportPorts,
  places: readonly { repositoryId: number; owner: string; repo: string }[],
  wanted: number,
): Promise<LearnedReport["precision"]> {
  const found: LearnedReport["precision"] = [];
  for (const { repositoryId, owner, repo } of places) {
    const judged = judgedFindings(await reviews.findings({ repositoryId }));
    if (judged.length === 0) continue;
    const precision = findingPrecision(judged, wanted);
    found.push({ ...precision, repository: `${owner}/${repo}`, wanted });
  }
  return found;
}

function keyOf(repository: number, pullRequest: number, id: string, hash: string): string {
  return JSON.stringify([repository, pullRequest, id, hash]);
}
