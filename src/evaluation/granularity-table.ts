/** Aggregation × cut of the program × model as one table (issue D item 4). */
import { AGGREGATIONS, type Aggregation } from "../domain/reward.ts";
import { GRANULARITIES, type Granularity } from "./granularity.ts";
import type { Judged } from "./judge-pools.ts";
import type { Member } from "./pools.ts";
import type { GranularityCell } from "./report.ts";
import { solutionScore } from "./selectors.ts";
import { bootstrap, groupSums, pairAuc, topOfK } from "./statistics.ts";

export function granularityTable(judged: readonly Judged[], n: number, seed: number): GranularityCell[] {
  const rows = judged.filter(({ samples }) => samples.length >= n);
  return GRANULARITIES.flatMap((granularity) => {
    const isScored = (side: "rewards" | "second") =>
      rows.length > 0 && rows.every(({ pool }) => pool.members.every((one) => one[side][granularity] !== undefined));
    if (!isScored("rewards")) return [];
    // Of one piece every aggregate is its reward.
    const aggregations = granularity === "whole" ? (["mean"] as const) : AGGREGATIONS;
    return aggregations.map((aggregation): GranularityCell => {
      const first = cell(rows, (member) => member.rewards, granularity, aggregation, n);
      const second = isScored("second") ? cell(rows, (member) => member.second, granularity, aggregation, n) : null;
      const pass = bootstrap(first.pass, seed)!;
      const of = second && {
        pass: bootstrap(second.pass, seed)!,
        auc: bootstrap(second.auc, seed),
        diff: bootstrap(
          first.pass.map((one, at) => ({ ...one, numerator: one.numerator - second.pass[at]!.numerator })),
          seed,
        )!,
      };
      return {
        granularity,
        aggregation,
        pass: pass.value,
        ci: pass.ci,
        auc: bootstrap(first.auc, seed),
        problems: pass.problems,
        second: of && {
          pass: of.pass.value,
          ci: of.pass.ci,
          auc: of.auc,
          diff: of.diff.value,
          diffCi: of.diff.ci,
        },
      };
    });
  });
}

function cell(
  rows: readonly Judged[],
  side: (member: Member) => Member["rewards"],
  granularity: Granularity,
  aggregation: Aggregation,
  n: number,
) {
  const passes: [string, number][] = [];
  const aucs: [string, number][] = [];
  for (const { pool, samples, passes: right } of rows) {
    const scores = pool.members.map((member) => solutionScore(side(member), aggregation, granularity) ?? -1);
    const ofSamples = (values: readonly number[]) => samples.map((member) => values[member]!);
    passes.push([pool.group, topOfK(ofSamples(scores), ofSamples(right), n)]);
    const auc = pairAuc(scores, right);
    if (auc !== null) aucs.push([pool.group, auc]);
  }
  return { pass: groupSums(passes), auc: groupSums(aucs) };
}
