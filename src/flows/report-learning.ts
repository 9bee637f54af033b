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

/** Of all repositories, or of one, over the last days. `wanted` is the precision that findings must keep. */
export async function reportLearning(
  ports: ReportPorts,
  options: { days: number; repositoryId: number | null; wanted: number },
): Promise<LearnedReport> {
  const to = ports.clock.now();
  const from = new Date(to.getTime() - options.days * DAY_MS);
  return await reportPeriod(ports, { ...options, from, to });
}

/** What was learned between two instants, both included; labels are those that the facts until then decide. */
export async function reportPeriod(
  ports: ReportPorts,
  options: { from: Date; to: Date; repositoryId: number | null; wanted: number },
): Promise<LearnedReport> {
  const { from: since, to } = options;
  const until = to.getTime();
  const isWithin = (instant: string) => instant >= since.toISOString() && instant <= to.toISOString();
  const only = options.repositoryId === null ? {} : { repositoryId: options.repositoryId };
  const places = (await ports.learning.repositories()).filter(
    (one) => options.repositoryId === null || one.repositoryId === options.repositoryId,
  );
  const nameOf = new Map(places.map((one) => [one.repositoryId, `${one.owner}/${one.repo}`]));
  const labels: GradedLabel[] = [];
  const merged = new Set<string>();
  let pullRequests = 0;
  for (const { repositoryId, pullRequest } of await ports.learning.pullRequests({ ...only, since })) {
    const events = await ports.learning.events(repositoryId, pullRequest);
    if (!events.some(({ at }) => at >= since.getTime() && at <= until)) continue;
    pullRequests += 1;
    labels.push(...decided(gradedLabels(repositoryId, events, until)));
    if (outcomeOf(events, until).state === "merged") merged.add(`${repositoryId} ${pullRequest}`);
  }
  const { compared, mistakes } = await disagreements(ports, labels, nameOf);
  const runs = (await ports.runs.listRuns({ ...only, limit: MOST_RUNS })).filter((run) => isWithin(run.createdAt));
  const opened = runs.filter((run) => run.pullRequest !== null);
  const active = await ports.models.active();
  return {
    from: since.toISOString(),
    to: to.toISOString(),
    active: active ?? { name: "the bundled model", version: "", sha256: "" },
    pullRequests,
    labels: Object.fromEntries(
      GRADES.map((grade) => [grade, labels.filter((label) => label.grade === grade).length]),
    ) as LearnedReport["labels"],
    people: new Set(labels.filter((label) => label.grade !== "C").map((label) => label.actor)).size,
    decisions: (await ports.models.versions())
      .flatMap(({ decision }) => (decision !== null && isWithin(decision.at) ? [decision] : []))
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

/** As reviews see it: what a removed person said does not count, and an outcome speaks where nobody did. */
async function precisions(
  { reviews, learning, clock }: ReportPorts,
  places: readonly { repositoryId: number; owner: string; repo: string }[],
  wanted: number,
): Promise<LearnedReport["precision"]> {
  const found: LearnedReport["precision"] = [];
  const removed = new Set((await learning.removedActors()).map((login) => login.toLowerCase()));
  for (const { repositoryId, owner, repo } of places) {
    const findings = (await reviews.findings({ repositoryId })).filter(
      (one) => one.by === null || !removed.has(one.by.toLowerCase()),
    );
    const outcomes = new Map<string, boolean>();
    for (const number of new Set(findings.map((one) => one.pullRequest))) {
      const events = await learning.events(repositoryId, number);
      for (const { function: id, hash, label } of decided(gradedLabels(repositoryId, events, clock.now().getTime())))
        if (label !== null) outcomes.set(keyOf(repositoryId, number, id, hash), label === 1);
    }
    const judged = judgedFindings(findings, (...key) => outcomes.get(keyOf(repositoryId, ...key)) ?? null);
    if (judged.length === 0) continue;
    const precision = findingPrecision(judged, wanted);
    found.push({ ...precision, repository: `${owner}/${repo}`, wanted });
  }
  return found;
}

function keyOf(repository: number, pullRequest: number, id: string, hash: string): string {
  return JSON.stringify([repository, pullRequest, id, hash]);
}
