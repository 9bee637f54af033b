/** Judged pools → the report's tables. Pure and seeded. */
import {
  brierScore,
  type Calibrator,
  calibrated,
  expectedCalibrationError,
  fitIsotonic,
  fitPlatt,
  type LabelledScore,
  reliability,
} from "../domain/calibration.ts";
import { ABSTAIN_BELOW } from "../domain/confidence.ts";
import { fold } from "../domain/dataset.ts";
import { readabilityOfPicks } from "./chosen-readability.ts";
import { granularityTable } from "./granularity-table.ts";
import { heatRows } from "./heat-rows.ts";
import type { EvaluateSettings, Judged } from "./judge-pools.ts";
import type { Pool } from "./pools.ts";
import type { Breakdown, RiskCoveragePoint, SelectorFigure, SelectorTable, SetReport } from "./report.ts";
import { SELECTORS, solutionScore } from "./selectors.ts";
import { bootstrap, groupSums, type Interval, mcnemar, pairAuc, subsetBootstrap } from "./statistics.ts";

const MIXED_FOR_MODEL = 30;

export type StepTruth = { group: string; value: [number, number][]; own: [number, number][] };

export type SetInput = {
  set: string;
  pools: readonly Pool[];
  /** Steps with a truth of their own, one entry a (problem, generator): [score, label] pairs. */
  steps: readonly StepTruth[] | null;
  modularity: SetReport["modularity"];
  problems: number;
  candidates: number;
  withExamples: number;
};

export function setReport(input: SetInput, judged: readonly Judged[], settings: EvaluateSettings): SetReport {
  const { reportN, seed } = settings;
  const names = (settings.selectors ?? SELECTORS).map((selector) => selector.name);
  const subsets = subsetIntervals(judged, reportN, seed);
  const picksOf = (name: string) =>
    readabilityOfPicks(
      judged.flatMap(({ pool, outcomes }) => {
        const once = outcomes.get(name)?.get(reportN)?.once;
        return once ? [{ pool, member: once.member }] : [];
      }),
      seed,
    );
  const part = (of: (pool: Pool) => boolean): Breakdown => {
    const some = judged.filter(({ pool }) => of(pool));
    return {
      problems: new Set(some.map(({ pool }) => pool.group)).size,
      groups: some.length,
      auc: aucOf(some, seed),
      selectors: selectorTable([...names, "oracle"], some, [reportN], seed),
    };
  };
  const distinct = (of: (pool: Pool) => string | null) =>
    [...new Set(judged.map(({ pool }) => of(pool)))].filter((one) => one !== null).sort();
  return {
    set: input.set,
    problems: input.problems,
    mixed: new Set(judged.map(({ pool }) => pool.group)).size,
    groups: judged.length,
    candidates: input.candidates,
    withExamples: input.withExamples,
    multiStep: judged.length === 0 ? 0 : judged.filter(({ pool }) => hasSteps(pool)).length / judged.length,
    auc: aucOf(judged, seed),
    stepAuc: input.steps && {
      value: stepAuc(input.steps, "value", seed),
      own: stepAuc(input.steps, "own", seed),
    },
    selectors: selectorTable([...names, "oracle"], judged, settings.n, seed, { n: reportN, of: subsets }),
    selfCertaintyTopK: fewest(judged.flatMap(({ pool }) => pool.members.flatMap(({ topK }) => topK ?? []))),
    granularity: granularityTable(judged, reportN, seed),
    byDifficulty: Object.fromEntries(
      distinct((pool) => pool.difficulty).map((one) => [one, part((pool) => pool.difficulty === one).selectors]),
    ),
    byModularity: {
      "1": part((pool) => modularityOf(pool) === "1"),
      "2-3": part((pool) => modularityOf(pool) === "2-3"),
      "4+": part((pool) => modularityOf(pool) === "4+"),
    },
    byForm: {
      nested: part((pool) => mostly(pool, ({ nested }) => nested)),
      "not nested": part((pool) => !mostly(pool, ({ nested }) => nested)),
      docstrings: part((pool) => mostly(pool, ({ documented }) => documented)),
      "no docstrings": part((pool) => !mostly(pool, ({ documented }) => documented)),
    },
    byModel: Object.fromEntries(
      distinct((pool) => pool.model)
        .map((model) => [model, part((pool) => pool.model === model)] as const)
        .filter(([, { problems }]) => problems >= MIXED_FOR_MODEL)
        .map(([model, { selectors }]) => [model, selectors]),
    ),
    hybridAgainst: Object.fromEntries(
      settings.n
        .filter((n) => n > 1 || n === reportN)
        .map((n) => [n, against("hybrid", [...names, "oracle"], judged, n, seed, n === reportN ? subsets : null)]),
    ),
    calibration: calibrationOf(judged),
    riskCoverage: {
      hybrid: riskCoverage(judged, "hybrid", reportN),
      "prm-mean": riskCoverage(judged, "prm-mean", reportN),
    },
    abstention: abstentionOf(judged, reportN),
    rewardHistogram: histogram(judged),
    heat: heatRows(judged),
    readability: { hybrid: picksOf("hybrid"), "prm-mean": picksOf("prm-mean") },
    modularity: input.modularity,
  };
}

/** Interval of a selector's pass, or of its lead over another, where problems and candidate subsets are drawn. */
type SubsetIntervals = (name: string, other: string | null) => [number, number] | null;

function subsetIntervals(judged: readonly Judged[], n: number, seed: number): SubsetIntervals {
  const rows = judged.filter(({ outcomes }) => outcomes.get("random")?.get(n));
  const counts = rows.map(({ outcomes }) => outcomes.get("random")!.get(n)!.draws!.length);
  const interval = subsetBootstrap(
    rows.map(({ pool }) => pool.group),
    counts,
    seed,
  );
  const all = counts.reduce((sum, one) => sum + one, 0);
  return (name, other) => {
    const values = new Float64Array(all);
    let at = 0;
    for (const { outcomes } of rows) {
      const random = outcomes.get("random")!.get(n)!;
      const mine = (outcomes.get(name)?.get(n) ?? random).draws!;
      const theirs = other === null ? null : (outcomes.get(other)?.get(n) ?? random).draws!;
      for (let draw = 0; draw < mine.length; draw++) values[at++] = mine[draw]! - (theirs?.[draw] ?? 0);
    }
    return interval(values);
  };
}

function selectorTable(
  names: readonly string[],
  judged: readonly Judged[],
  sizes: readonly number[],
  seed: number,
  subsets?: { n: number; of: SubsetIntervals },
): SelectorTable {
  return Object.fromEntries(
    names.map((name) => {
      // A selector that sees nothing in some pools picks there at random; one that sees nothing anywhere has no figure.
      if (!judged.some(({ outcomes }) => outcomes.has(name))) return [name, null];
      const byN: Record<string, SelectorFigure> = {};
      for (const n of sizes) {
        const figure = selectorFigure(name, judged, n, seed, subsets?.n === n ? subsets.of : null);
        if (figure !== null) byN[n] = figure;
      }
      return [name, byN];
    }),
  );
}

function selectorFigure(
  name: string,
  judged: readonly Judged[],
  n: number,
  seed: number,
  subsets: SubsetIntervals | null,
): SelectorFigure | null {
  const rows = judged.flatMap((one) => {
    const random = one.outcomes.get("random")?.get(n);
    const mine = one.outcomes.get(name)?.get(n) ?? random;
    const oracle = one.outcomes.get("oracle")?.get(n);
    return mine && random && oracle ? [{ group: one.pool.group, mine, random, oracle }] : [];
  });
  const pass = bootstrap(groupSums(rows.map((row) => [row.group, row.mine.pass])), seed);
  if (pass === null) return null;
  const mean = (of: (row: (typeof rows)[number]) => number) =>
    rows.reduce((sum, row) => sum + of(row), 0) / rows.length;
  const gap = mean((row) => row.oracle.pass) - mean((row) => row.random.pass);
  const difference = bootstrap(groupSums(rows.map((row) => [row.group, row.mine.pass - row.random.pass])), seed)!;
  const better = rows.filter((row) => row.mine.once.pass && !row.random.once.pass).length;
  const worse = rows.filter((row) => !row.mine.once.pass && row.random.once.pass).length;
  return {
    pass: pass.value,
    ci: pass.ci,
    subsetCi: subsets?.(name, null) ?? null,
    problems: pass.problems,
    groups: rows.length,
    gapClosed: gap > 1e-9 ? difference.value / gap : null,
    vsRandom:
      name === "random"
        ? null
        : {
            diff: difference.value,
            ci: difference.ci,
            subsetCi: subsets?.(name, "random") ?? null,
            p: mcnemar(better, worse),
          },
  };
}

function against(
  name: string,
  names: readonly string[],
  judged: readonly Judged[],
  n: number,
  seed: number,
  subsets: SubsetIntervals | null,
): SetReport["hybridAgainst"][string] {
  return Object.fromEntries(
    names.flatMap((other) => {
      if (other === name || !judged.some(({ outcomes }) => outcomes.has(other))) return [];
      const rows = judged.flatMap(({ pool, outcomes }): [string, number][] => {
        const random = outcomes.get("random")?.get(n);
        const [a, b] = [outcomes.get(name)?.get(n) ?? random, outcomes.get(other)?.get(n) ?? random];
        return a && b ? [[pool.group, a.pass - b.pass]] : [];
      });
      const difference = bootstrap(groupSums(rows), seed);
      if (difference === null) return [];
      return [
        [
          other,
          { diff: difference.value, ci: difference.ci, subsetCi: subsets === null ? null : subsets(name, other) },
        ],
      ];
    }),
  );
}

function aucOf(judged: readonly Judged[], seed: number): Interval | null {
  return bootstrap(
    groupSums(
      judged.flatMap(({ pool, passes }): [string, number][] => {
        const scores = pool.members.map(({ rewards }) => solutionScore(rewards));
        if (scores.every((score) => score === null)) return [];
        const auc = pairAuc(
          scores.map((score) => score ?? -1),
          passes,
        );
        return auc === null ? [] : [[pool.group, auc]];
      }),
    ),
    seed,
  );
}

function stepAuc(truths: readonly StepTruth[], which: "value" | "own", seed: number): Interval | null {
  return bootstrap(
    groupSums(
      truths.flatMap((truth): [string, number][] => {
        const auc = pairAuc(
          truth[which].map(([score]) => score),
          truth[which].map(([, label]) => label),
        );
        return auc === null ? [] : [[truth.group, auc]];
      }),
    ),
    seed,
  );
}

const fewest = (values: readonly number[]) =>
  values.length === 0 ? null : values.reduce((least, one) => Math.min(least, one));

const hasSteps = (pool: Pool) => pool.members.some((one) => one.functions.length > 1);

/** Of at least half of the programs. */
function mostly(pool: Pool, of: (member: Pool["members"][number]) => boolean): boolean {
  return 2 * pool.members.filter(of).length >= pool.members.length;
}

function modularityOf(pool: Pool): "1" | "2-3" | "4+" {
  const counts = pool.members.map((member) => member.functions.length).sort((a, b) => a - b);
  const median = counts[Math.floor(counts.length / 2)] ?? 1;
  return median <= 1 ? "1" : median <= 3 ? "2-3" : "4+";
}

function calibrationOf(judged: readonly Judged[]): SetReport["calibration"] {
  const part: { fit: LabelledScore[]; judge: LabelledScore[] } = { fit: [], judge: [] };
  for (const { pool, passes } of judged) {
    // By group: the same problem never stands on both sides.
    const side = fold(`calibration:${pool.group}`) < 50 ? part.fit : part.judge;
    pool.members.forEach((member, index) => {
      const score = solutionScore(member.rewards);
      if (score !== null) side.push({ score, correct: passes[index] === 1 });
    });
  }
  if (part.fit.length < 20 || part.judge.length < 20) return null;
  const judgedBy = (calibrator: Calibrator) => {
    const predictions = part.judge.map(({ score, correct }) => ({ score: calibrated(calibrator, score), correct }));
    return { ece: expectedCalibrationError(predictions), brier: brierScore(predictions), predictions };
  };
  const [isotonic, platt] = [judgedBy(fitIsotonic(part.fit)), judgedBy(fitPlatt(part.fit))];
  return {
    ece: isotonic.ece,
    brier: isotonic.brier,
    platt: { ece: platt.ece, brier: platt.brier },
    rawEce: expectedCalibrationError(part.judge),
    bins: reliability(isotonic.predictions),
    labels: part.judge.length,
  };
}

/** Of the most confident picks first: how many are right. One seeded draw of each pool; equally sure picks come together. */
function riskCoverage(judged: readonly Judged[], name: string, n: number): RiskCoveragePoint[] {
  const picks = judged
    .flatMap(({ outcomes }) => outcomes.get(name)?.get(n)?.once ?? [])
    .sort((a, b) => b.confidence - a.confidence);
  const points: RiskCoveragePoint[] = [];
  let count = 0;
  for (let step = 1; step <= 20; step++) {
    if (Math.round((picks.length * step) / 20) <= count) continue;
    count = Math.round((picks.length * step) / 20);
    while (count < picks.length && picks[count]!.confidence === picks[count - 1]!.confidence) count += 1;
    const kept = picks.slice(0, count);
    points.push({
      coverage: count / picks.length,
      pass: kept.filter((one) => one.pass).length / count,
      threshold: kept.at(-1)!.confidence,
    });
  }
  return points;
}

/** What the threshold that solves use does here to the hybrid rule's picks. */
function abstentionOf(judged: readonly Judged[], n: number): SetReport["abstention"] {
  const picks = judged.flatMap(({ outcomes }) => outcomes.get("hybrid")?.get(n)?.once ?? []);
  if (picks.length === 0) return null;
  const share = (of: (one: (typeof picks)[number]) => boolean) => picks.filter(of).length / picks.length;
  const opened = ({ confidence }: (typeof picks)[number]) => confidence >= ABSTAIN_BELOW;
  return {
    threshold: ABSTAIN_BELOW,
    right: share((one) => opened(one) && one.pass),
    wrong: share((one) => opened(one) && !one.pass),
    abstainedRight: share((one) => !opened(one) && one.pass),
    abstainedWrong: share((one) => !opened(one) && !one.pass),
  };
}

function histogram(judged: readonly Judged[]): SetReport["rewardHistogram"] {
  const counts = { passing: Array<number>(10).fill(0), failing: Array<number>(10).fill(0) };
  let scored = 0;
  for (const { pool, passes } of judged)
    pool.members.forEach((member, index) => {
      const score = solutionScore(member.rewards);
      if (score === null) return;
      scored += 1;
      const bin = Math.min(9, Math.floor(score * 10));
      const side = passes[index] === 1 ? counts.passing : counts.failing;
      side[bin] = side[bin]! + 1;
    });
  return scored === 0 ? null : counts;
}
