/**
 * The promotion gate: champion against challenger on a frozen validation set, pair by pair on the same rows (issue H item 6).
 * Pure and seeded. A challenger is promoted when it orders better inside problems, with an interval, and nothing else falls.
 */
import { type Calibrator, calibrated, expectedCalibrationError } from "../domain/calibration.ts";
import type { GateCheck, GateDecision, PairedFigure } from "../domain/model-version.ts";
import { bootstrap, type GroupSum, pairAuc, seeded, topOfK } from "./statistics.ts";

/** A held-out chain with a clean label, scored by both. A score is null where a model had none: it ranks last. */
export type HeldOutRow = {
  problem: string;
  language: string;
  label: 0 | 1;
  champion: number | null;
  challenger: number | null;
  /** Attribution of each step with a verdict of its own. */
  steps: readonly { own: 0 | 1; champion: number | null; challenger: number | null }[];
};

/** Of one model: what it takes to score the same rows, and the calibrator that goes with it (null: its scores as they are). */
export type Contender = Pick<GateDecision, "champion">["champion"] & {
  calibrators: ReadonlyMap<string, Calibrator>;
  cpuSeconds: number;
};

/** Problems with both labels below which an interval says nothing. */
const FEWEST_PROBLEMS = 20;
/** Of one language: with fewer its fall is shown and does not decide. */
const FEWEST_OF_LANGUAGE = 10;
/** What a figure may fall by without refusal when its interval holds 0. */
const TOLERANCE = 0.02;
/** Half a bin of ten. With 140 labels the difference of two equally calibrated models has a spread of .04: .03 refused one in four. */
const ECE_TOLERANCE = 0.05;
/** A bundle of the same architecture costs the same; what is slower by half would break the budget of a review. */
const SLOWEST = 1.5;
/** Candidates of one choice. */
const BEST_OF = 8;
const ROUNDS = 1_000;

export function decide(
  rows: readonly HeldOutRow[],
  champion: Contender,
  challenger: Contender,
  facts: { validation: string; at: string; parity: { ok: boolean; said: string }; seed?: number },
): GateDecision {
  const seed = facts.seed ?? 0;
  const clusters = clustersOf(rows);
  const mixed = clusters.filter((cluster) => new Set(cluster.map((row) => row.label)).size === 2);
  const auc = paired(mixed, aucOf, seed);
  const ratio = champion.cpuSeconds === 0 ? 1 : challenger.cpuSeconds / champion.cpuSeconds;
  const checks: GateCheck[] = [
    { name: "bundle", ok: facts.parity.ok, said: facts.parity.said, figure: null },
    {
      name: "held-out problems",
      ok: mixed.length >= FEWEST_PROBLEMS,
      said: `${mixed.length} with both labels, at least ${FEWEST_PROBLEMS} are needed`,
      figure: null,
    },
    {
      name: "within-problem AUC",
      ok: auc !== null && auc.difference.ci[0] > 0,
      said: "must rise, its interval above 0",
      figure: auc,
    },
    notWorse(`Best-of-${BEST_OF} lift over a random pick`, paired(mixed, liftOf, seed), TOLERANCE),
    notWorse("step AUC", paired(mixedSteps(clusters), stepAucOf, seed), TOLERANCE),
    notWorse("expected calibration error", eceOf(clusters, champion, challenger, seed), ECE_TOLERANCE, -1),
    ...[...new Set(rows.map((row) => row.language))].sort().map((language) => {
      const own = mixed.filter((cluster) => cluster[0]!.language === language);
      const check = notWorse(`within-problem AUC, ${language}`, paired(own, aucOf, seed), TOLERANCE);
      return own.length < FEWEST_OF_LANGUAGE
        ? { ...check, ok: true, said: `${own.length} problems: too few to decide` }
        : check;
    }),
    {
      name: "time to score",
      ok: ratio <= SLOWEST,
      said: `${ratio.toFixed(2)} × the champion's on the same rows, at most ${SLOWEST}`,
      figure: null,
    },
  ];
  return {
    verdict: checks.every((check) => check.ok) ? "promoted" : "refused",
    champion: { name: champion.name, version: champion.version, sha256: champion.sha256 },
    challenger: { name: challenger.name, version: challenger.version, sha256: challenger.sha256 },
    checks,
    rows: rows.length,
    problems: mixed.length,
    validation: facts.validation,
    at: facts.at,
  };
}

type Side = "champion" | "challenger";
type Cluster = readonly HeldOutRow[];

/** Rows of one problem and language; both models must have been asked for the same. */
function clustersOf(rows: readonly HeldOutRow[]): HeldOutRow[][] {
  const clusters = new Map<string, HeldOutRow[]>();
  for (const row of rows) {
    const key = `${row.language} ${row.problem}`;
    clusters.set(key, [...(clusters.get(key) ?? []), row]);
  }
  const place = (score: number | null) => score ?? -1;
  // Floating-point sums depend on their order: the order of the rows must not reach a figure.
  const inOrder = (a: HeldOutRow, b: HeldOutRow) =>
    a.label - b.label || place(a.champion) - place(b.champion) || place(a.challenger) - place(b.challenger);
  return [...clusters.keys()].sort().map((key) => clusters.get(key)!.sort(inOrder));
}

const scoresOf = (cluster: Cluster, side: Side) => cluster.map((row) => row[side] ?? Number.NEGATIVE_INFINITY);
const labelsOf = (cluster: Cluster) => cluster.map((row) => row.label);

const aucOf = (cluster: Cluster, side: Side) => pairAuc(scoresOf(cluster, side), labelsOf(cluster))!;

function liftOf(cluster: Cluster, side: Side): number {
  const labels = labelsOf(cluster);
  const random = labels.reduce<number>((sum, label) => sum + label, 0) / labels.length;
  return topOfK(scoresOf(cluster, side), labels, Math.min(BEST_OF, labels.length)) - random;
}

const stepsOf = (cluster: Cluster) => cluster.flatMap((row) => row.steps);

function mixedSteps(clusters: readonly Cluster[]): Cluster[] {
  return clusters.filter((cluster) => new Set(stepsOf(cluster).map((step) => step.own)).size === 2);
}

function stepAucOf(cluster: Cluster, side: Side): number {
  const steps = stepsOf(cluster);
  return pairAuc(
    steps.map((step) => step[side] ?? Number.NEGATIVE_INFINITY),
    steps.map((step) => step.own),
  )!;
}

/** Mean over problems of both and of their difference, resampled together; null without a problem. */
function paired(
  clusters: readonly Cluster[],
  figure: (cluster: Cluster, side: Side) => number,
  seed: number,
): PairedFigure | null {
  const sums = (of: (cluster: Cluster) => number): GroupSum[] =>
    clusters.map((cluster) => ({ group: cluster[0]!.problem, numerator: of(cluster), denominator: 1 }));
  const difference = bootstrap(
    sums((cluster) => figure(cluster, "challenger") - figure(cluster, "champion")),
    seed,
  );
  if (difference === null) return null;
  const mean = (side: Side) => clusters.reduce((sum, cluster) => sum + figure(cluster, side), 0) / clusters.length;
  return {
    champion: mean("champion"),
    challenger: mean("challenger"),
    difference: { value: difference.value, ci: difference.ci },
    count: clusters.length,
  };
}

/** Over all rows with a score of both: calibration is of single functions, whose problem may hold one label only. */
function eceOf(
  clusters: readonly Cluster[],
  champion: Contender,
  challenger: Contender,
  seed: number,
): PairedFigure | null {
  const chance = (row: HeldOutRow, side: Side): number => {
    const calibrator = { champion, challenger }[side].calibrators.get(row.language);
    return calibrator === undefined ? row[side]! : calibrated(calibrator, row[side]!);
  };
  const known = clusters
    .map((cluster) => cluster.filter((row) => row.champion !== null && row.challenger !== null))
    .filter((cluster) => cluster.length > 0)
    .map((cluster) =>
      cluster.map((row) => ({
        champion: { score: chance(row, "champion"), correct: row.label === 1 },
        challenger: { score: chance(row, "challenger"), correct: row.label === 1 },
      })),
    );
  if (known.length === 0) return null;
  const ece = (some: typeof known, side: Side) => expectedCalibrationError(some.flat().map((row) => row[side]));
  const random = seeded(seed);
  const differences = Array.from({ length: ROUNDS }, () => {
    const drawn = known.map(() => known[Math.floor(random() * known.length)]!);
    return ece(drawn, "challenger") - ece(drawn, "champion");
  }).sort((a, b) => a - b);
  const [before, after] = [ece(known, "champion"), ece(known, "challenger")];
  return {
    champion: before,
    challenger: after,
    difference: {
      value: after - before,
      ci: [differences[Math.floor(0.025 * ROUNDS)]!, differences[Math.ceil(0.975 * ROUNDS) - 1]!],
    },
    count: known.flat().length,
  };
}

/** `sign` −1: lower is better. Falls when the interval excludes 0 on the bad side or the value is worse than the tolerance. */
function notWorse(name: string, figure: PairedFigure | null, tolerance: number, sign: 1 | -1 = 1): GateCheck {
  if (figure === null) return { name, ok: true, said: "nothing held out to measure it on", figure };
  const { value, ci } = figure.difference;
  const best = sign === 1 ? ci[1] : -ci[0];
  return {
    name,
    ok: best >= 0 && sign * value >= -tolerance,
    said: `must not be worse by more than ${tolerance}, nor worse with an interval`,
    figure,
  };
}
