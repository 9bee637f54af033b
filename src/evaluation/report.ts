/** The JSON of `funprm evaluate` (contracts.md, rulings 17). `null` where a signal is absent, never a number. */
import type { ReliabilityBin } from "../domain/calibration.ts";
import type { ModelInfo } from "../domain/model.ts";
import type { Aggregation } from "../domain/reward.ts";
import type { Granularity } from "./granularity.ts";
import type { Interval } from "./statistics.ts";

export type SelectorFigure = {
  /** Chance that the picked candidate passes the private tests. */
  pass: number;
  /** Over problems; the figure itself is the mean over candidate subsets. */
  ci: [number, number];
  /** Over problems and one candidate subset of each group; at the report's N of the whole set, else null. */
  subsetCi: [number, number] | null;
  problems: number;
  /** Pools of N candidates of one generator; a problem may have several. */
  groups: number;
  /** Share of the way from random to oracle; null where there is no way. */
  gapClosed: number | null;
  /** Paired by problem. `p`: exact McNemar on one seeded draw of each pool, which are not independent inside a problem. */
  vsRandom: { diff: number; ci: [number, number]; subsetCi: [number, number] | null; p: number } | null;
};

/** Selector name → N → figure; null where the selector's signal is not there. */
export type SelectorTable = Record<string, Record<string, SelectorFigure> | null>;

/** The same figures on a part of the groups. */
export type Breakdown = { problems: number; groups: number; auc: Interval | null; selectors: SelectorTable };

/** Best-of-N at the report's N by one aggregate of the rewards of one cut of the programs. */
export type GranularityCell = {
  granularity: Granularity;
  aggregation: Aggregation;
  pass: number;
  ci: [number, number];
  auc: Interval | null;
  problems: number;
  /** The second model's, and the first's lead over it, paired by problem; null without one. */
  second: { pass: number; ci: [number, number]; auc: Interval | null; diff: number; diffCi: [number, number] } | null;
};

/** One candidate of the step heat map; no text of it. */
export type HeatRow = {
  problem: string;
  generator: string;
  passed: boolean;
  steps: { name: string; reward: number | null }[];
};

export type RiskCoveragePoint = { coverage: number; pass: number; threshold: number };

/** Measure → mean of the picks, of a random candidate, and their difference with its 95 % interval over problems. */
export type ReadabilityTable = Record<string, { chosen: number; random: number; diff: number; ci: [number, number] }>;

export type SetReport = {
  set: string;
  problems: number;
  /** Problems with a pool of both verdicts: only there does selection matter, and only these are in the figures. */
  mixed: number;
  /** Pools of one generator and problem with both verdicts. */
  groups: number;
  candidates: number;
  /** Problems whose statement holds an example that runs. */
  withExamples: number;
  /** Share of pools in which two aggregations can differ at all: some candidate has two steps or more (rulings 3). */
  multiStep: number;
  auc: Interval | null;
  /** Inside classes whose methods have verdicts: reward against min-rule labels, attribution against own verdicts. */
  stepAuc: { value: Interval | null; own: Interval | null } | null;
  selectors: SelectorTable;
  /** Fewest log-probabilities a token that self-certainty rests on; null where all were there, or none. */
  selfCertaintyTopK: number | null;
  granularity: GranularityCell[];
  byDifficulty: Record<string, SelectorTable>;
  /** By the median of functions a program. */
  byModularity: Record<"1" | "2-3" | "4+", Breakdown>;
  /** By what at least half of the programs do. */
  byForm: Record<"nested" | "not nested" | "docstrings" | "no docstrings", Breakdown>;
  /** Generator models with at least 30 mixed problems. */
  byModel: Record<string, SelectorTable>;
  /** Hybrid against every other selector by N, from 2 on, paired by problem; `subsetCi` at the report's N only. */
  hybridAgainst: Record<
    string,
    Record<string, { diff: number; ci: [number, number]; subsetCi: [number, number] | null }>
  >;
  /** Isotonic and Platt's, fitted on one half of the groups, judged on the other; `bins` are isotonic's. */
  calibration: {
    ece: number;
    brier: number;
    platt: { ece: number; brier: number };
    rawEce: number;
    bins: ReliabilityBin[];
    labels: number;
  } | null;
  riskCoverage: Record<"hybrid" | "prm-mean", RiskCoveragePoint[]>;
  /** Shares of the hybrid rule's picks that the threshold of solves lets through or holds back; they add up to 1. */
  abstention: {
    threshold: number;
    right: number;
    wrong: number;
    abstainedRight: number;
    abstainedWrong: number;
  } | null;
  /** Ten bins of the mean reward, counts of passing and failing candidates. */
  rewardHistogram: { passing: number[]; failing: number[] } | null;
  /** Passing and failing programs of several functions, side by side. */
  heat: HeatRow[];
  /** Of the picks at the report's N, one seeded draw of each pool. */
  readability: Record<"hybrid" | "prm-mean", ReadabilityTable | null>;
  modularity: {
    model: string;
    programs: number;
    multi: number;
    docstrings: number;
    nested: number;
    mainFirst: number;
  }[];
};

export type ReportedModel = Pick<ModelInfo, "name" | "version" | "sha256" | "renderVersion">;

export type EvaluationReport = {
  split: "validation" | "meta" | "train" | "all";
  within: "model" | "problem";
  seed: number;
  /** Values of N, ascending. */
  n: number[];
  /** N of `byDifficulty`, `byModel` and the risk–coverage curve. */
  reportN: number;
  model: ReportedModel | null;
  /** The one that the first is compared with. */
  second: ReportedModel | null;
  evidence: { examples: boolean; agreement: boolean };
  sets: SetReport[];
  pooled: SetReport;
};
