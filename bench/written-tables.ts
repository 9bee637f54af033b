/** The tables of `written-evidence.ts`: what each rule picks from groups of 8, with intervals. */
import {
  brierScore,
  calibrated,
  expectedCalibrationError,
  fitPlatt,
  type LabelledScore,
} from "../src/domain/calibration.ts";
import { consensus } from "../src/domain/consensus.ts";
import { dualAgreement } from "../src/domain/dual-agreement.ts";
import { hybridChances, type Witnessed, witnesses } from "../src/domain/hybrid.ts";
import { sha256 } from "../src/domain/ids.ts";
import { type Belief, ERROR_RATES, learnErrors, UNKNOWN } from "../src/domain/reliability.ts";
import { bootstrap, groupSums, pairAuc, seeded } from "../src/evaluation/statistics.ts";

/** One group of 8: verdict of every test, rendered text and reward of each sample. */
export type Group = {
  set: string;
  group: string;
  /** Held-out: meta and validation, which the reward model was not trained on. */
  split: "training" | "held-out";
  meta: boolean;
  /** [samples × tests]. */
  cases: boolean[][];
  texts: string[];
  rewards: (number | null)[];
  /** With an LLM: verdict of every written test, and the judge's opinion of each sample. */
  written: boolean[][] | null;
  opinions: (number | null)[] | null;
};

/** Signals of one group of 8 as the rules see them; `right` is the hidden verdict. */
type View = {
  group: string;
  meta: boolean;
  texts: string[];
  passes: boolean[][];
  consensus: number[];
  rewards: (number | null)[];
  judge: (number | null)[] | null;
  right: boolean[];
};

const N = 8;
const KS = [0, 1, 2, 3, 4, 5];
/** Chances that a test is wrong, and that an opinion is. */
const RATES = [0, 0.1, 0.2, 0.3, 0.4];
const PLANTED_K = 3;
/** Draws of visible tests a group. */
const DRAWS = 4;
/** Of planted errors more: with 4, which tests and opinions were hit moved cells of 54 groups by up to .05. */
const PLANTED_DRAWS = 16;
const SPREADS = new Map<Group, number[]>();

function spreadOf(one: Group): number[] {
  const spread = SPREADS.get(one) ?? consensus(one.texts);
  SPREADS.set(one, spread);
  return spread;
}

/** k tests drawn as visible, each wrong with chance `wrong`; opinions turned round with chance `turned` (null: no judge). */
function viewOf(one: Group, k: number, draw: number, wrong: number, turned: number | null): View | null {
  const { group, meta, texts, rewards } = one;
  const common = { group, meta, texts, rewards, consensus: spreadOf(one) };
  if (one.written !== null) {
    const right = one.cases.map((row) => row.every(Boolean));
    if (new Set(right).size < 2 || draw > 0) return null;
    const passes = one.written.map((row) => row.slice(0, k));
    return { ...common, passes, judge: turned === null ? null : one.opinions, right };
  }
  const random = seeded(Number.parseInt(sha256(`${one.group} ${one.texts[0]} ${draw}`).slice(0, 8), 16));
  const order = one.cases[0]!.map((_, t) => ({ t, at: random() })).sort((a, b) => a.at - b.at);
  const visible = order.slice(0, k).map(({ t }) => t);
  const right = one.cases.map((row) => row.every((passed, t) => passed || visible.includes(t)));
  if (new Set(right).size < 2) return null;
  const keys = one.cases.map((row) => row.map(Number).join(""));
  const wrongs = one.cases.flatMap((row, i) => (row.every(Boolean) ? [] : [i]));
  const columns = visible.map((t) => {
    const [planted, whose] = [random() < wrong, Math.floor(random() * wrongs.length)];
    return one.cases.map((row, i) => (planted ? keys[i] === keys[wrongs[whose] ?? -1] : row[t]!));
  });
  const judge =
    turned === null
      ? null
      : one.texts.map((text, i) => {
          const [turn, noise] = [hashed(`turn ${draw} ${text}`) < turned, hashed(`noise ${text}`)];
          return (right[i] !== turn ? 0.85 : 0.05) + 0.1 * noise;
        });
  return { ...common, passes: one.cases.map((_, i) => columns.map((column) => column[i]!)), judge, right };
}

function hashed(text: string): number {
  return Number.parseInt(sha256(text).slice(0, 8), 16) / 2 ** 32;
}

function count(row: readonly boolean[]): number {
  return row.filter(Boolean).length;
}

type Rule = (view: View) => number[];
const SMALL = 1e-3;
const testsPassed: Rule = (view) => view.passes.map(count);
const agreement: Rule = (view) => dualAgreement(view.passes);
const byConsensus: Rule = (view) => view.consensus;
const byOpinion: Rule = (view) => view.judge!.map((one) => one ?? -1);
const byReward: Rule = (view) => view.rewards.map((one) => one ?? -1);
const inside =
  (first: Rule, then: Rule): Rule =>
  (view) => {
    const second = then(view);
    return first(view).map((one, i) => one + SMALL * second[i]!);
  };
/** The product's own rule; equal programs stand once, as its screening leaves them. */
const hybridWith =
  (belief: Belief): Rule =>
  (view) => {
    const { group, at } = distinct(view);
    const chances = hybridChances(group, belief);
    return at.map((one) => chances[one]!);
  };

function distinct(view: View): { group: Witnessed[]; at: number[] } {
  const first = [...new Set(view.texts)];
  const group = first.map((text): Witnessed => {
    const i = view.texts.indexOf(text);
    return {
      consensus: view.consensus[i]!,
      reward: view.rewards[i]!,
      passes: view.passes[i]!,
      opinion: view.judge?.[i] ?? null,
      refuted: false,
    };
  });
  return { group, at: view.texts.map((text) => first.indexOf(text)) };
}

/** Error rates from the agreement inside groups, one draw each: no verdict is looked at. */
function learned(all: readonly View[]): Belief {
  return learnErrors(all.map((view) => witnesses(distinct(view).group)));
}

const RULES: Record<string, Rule> = {
  random: (view) => view.right.map(() => 0),
  consensus: byConsensus,
  reward: byReward,
  tests: testsPassed,
  "tests, consensus": inside(testsPassed, byConsensus),
  "tests, reward": inside(testsPassed, byReward),
  "tests, dual agreement": inside(testsPassed, agreement),
  "dual agreement": agreement,
  "dual agreement, consensus": inside(agreement, byConsensus),
  "dual agreement, reward": inside(agreement, byReward),
  hybrid: hybridWith(UNKNOWN),
  oracle: (view) => view.right.map(Number),
};

/** Chance that the best by score is right: ties share, for every rule alike. */
function picked(view: View, scored: readonly number[]): number {
  const top = leading(scored);
  return top.filter((i) => view.right[i]).length / top.length;
}

function leading(scored: readonly number[]): number[] {
  const best = Math.max(...scored);
  return scored.flatMap((score, i) => (best - score < 1e-12 ? [i] : []));
}

/** Mean over rows with its 95 % interval over problems. */
function interval(rows: readonly (readonly [string, number])[]): string {
  const found = bootstrap(groupSums(rows));
  return found === null ? "–" : `${found.value.toFixed(3)} [${found.ci[0].toFixed(3)}, ${found.ci[1].toFixed(3)}]`;
}

export function printTables(groups: readonly Group[], sets: readonly string[], llm: boolean): void {
  const rates = llm ? [0] : RATES;
  const views = (
    of: (one: Group) => boolean,
    k: number,
    { wrong, turned, draws }: { wrong: number; turned: number | null; draws: number },
  ): View[] =>
    groups
      .filter(of)
      .flatMap((one) => Array.from({ length: draws }, (_, draw) => viewOf(one, k, draw, wrong, turned) ?? []).flat());
  const asTheyAre = { wrong: 0, turned: null, draws: DRAWS };

  const byRule = (title: string, of: (one: Group) => boolean) => {
    console.log(`\n## ${title}: ${groups.filter(of).length} groups of ${N}, ${DRAWS} draws of visible tests\n`);
    console.log(`| Rule | ${KS.map((k) => `k = ${k}`).join(" | ")} |\n|${" --- |".repeat(KS.length + 1)}`);
    const byK = KS.map((k) => views(of, k, asTheyAre));
    for (const [name, rule] of Object.entries(RULES)) {
      const cells = byK.map((all) => interval(all.map((view) => [view.group, picked(view, rule(view))])));
      console.log(`| ${name} | ${cells.join(" | ")} |`);
    }
  };
  for (const set of sets)
    for (const split of ["training", "held-out"])
      byRule(`${set}, ${split}`, (one) => one.set === set && one.split === split);
  byRule("all sets, held-out", (one) => one.split === "held-out");

  const isMeta = ({ meta }: Group) => meta;
  const isValidation = ({ meta, split }: Group) => split === "held-out" && !meta;
  const isTraining = ({ split }: Group) => split === "training";

  console.log("\n## Who may break a tie: right before wrong among the candidates that pass the most right tests\n");
  console.log(`| Groups | k | consensus | reward |\n|${" --- |".repeat(4)}`);
  for (const [name, of] of [
    ["training (the reward was fitted on them)", isTraining],
    ["meta", isMeta],
  ] as const)
    for (const k of [1, PLANTED_K, KS.at(-1)!]) {
      const all = views(of, k, asTheyAre);
      const cells = [byConsensus, byReward].map((rule) =>
        interval(
          all.flatMap((view): [string, number][] => {
            const tied = leading(testsPassed(view));
            const scores = rule(view);
            const auc = pairAuc(
              tied.map((i) => scores[i]!),
              tied.map((i) => Number(view.right[i])),
            );
            return auc === null ? [] : [[view.group, auc]];
          }),
        ),
      );
      console.log(`| ${name} | ${k} | ${cells.join(" | ")} |`);
    }

  const planted = (
    title: string,
    of: (one: Group) => boolean,
    withReward: boolean,
    others: { title: string; of: (one: Group) => boolean },
  ) => {
    console.log(`\n## Planted errors, ${title}, k = ${PLANTED_K}: the hybrid rule against the better of its parts\n`);
    console.log("Error rates learned from the meta groups of the same writer and judge, by agreement alone.\n");
    console.log(
      `Best part: of the parts the one with the highest share in these very groups, which flatters it; foretold part: the one that is best on ${others.title}, without the reward.\n`,
    );
    const parts: Record<string, Rule> = {
      tests: testsPassed,
      "dual agreement": agreement,
      consensus: byConsensus,
      ...(withReward ? { reward: byReward } : {}),
    };
    const names = [
      ...Object.keys(parts),
      "judge",
      "hybrid, first run",
      "− best part",
      "learned: tests, opinions wrong",
      "hybrid, after earlier runs",
      "− best part",
      "foretold part",
      "− foretold part",
    ];
    console.log(`| Wrong tests | Turned opinions | ${names.join(" | ")} |\n|${" --- |".repeat(names.length + 2)}`);
    const [firstRun, laterRuns, foretold]: number[][] = [[], [], []];
    // What a real writer and judge err is what it is.
    for (const wrong of rates)
      for (const turned of [...(llm ? [] : [null]), ...rates]) {
        const all = views(of, PLANTED_K, { wrong, turned, draws: PLANTED_DRAWS });
        if (all.length === 0) continue;
        const belief = learned(views(isMeta, PLANTED_K, { wrong, turned, draws: 1 }));
        const rules: Record<string, Rule> = { ...parts, ...(turned === null ? {} : { judge: byOpinion }) };
        const right = Object.values(rules).map((rule) => all.map((view) => picked(view, rule(view))));
        const best = right.reduce((one, other) => (mean(other) > mean(one) ? other : one));
        const [fresh, later] = [UNKNOWN, belief].map((known) => {
          const rule = hybridWith(known);
          return all.map((view) => picked(view, rule(view)));
        }) as [number[], number[]];
        const against = (one: readonly number[], other = best) =>
          interval(all.map((view, i) => [view.group, one[i]! - other[i]!]));
        const elsewhere = views(others.of, PLANTED_K, { wrong, turned, draws: PLANTED_DRAWS });
        const names = elsewhere.length === 0 ? [] : Object.keys(rules).filter((name) => name !== "reward");
        const shares = names.map((name) => mean(elsewhere.map((view) => picked(view, rules[name]!(view)))));
        const known = names[shares.indexOf(Math.max(...shares))];
        const part = known === undefined ? null : right[Object.keys(rules).indexOf(known)]!;
        if (part !== null) foretold!.push(mean(later) - mean(part));
        firstRun!.push(mean(fresh) - mean(best));
        laterRuns!.push(mean(later) - mean(best));
        const cells = [
          ...right.map((one) => mean(one).toFixed(3)),
          ...(turned === null ? ["–"] : []),
          mean(fresh).toFixed(3),
          against(fresh),
          `${rateOf(belief.wrongTests)}, ${turned === null ? "–" : rateOf(belief.wrongOpinions)}`,
          mean(later).toFixed(3),
          against(later),
          known ?? "–",
          part === null ? "–" : against(later, part),
        ];
        console.log(`| ${wrong} | ${turned ?? "no judge"} | ${cells.join(" | ")} |`);
      }
    for (const [name, all] of [
      ["first run", firstRun!],
      ["after earlier runs", laterRuns!],
      ["after earlier runs, against the foretold part", foretold!],
    ] as const)
      if (all.length > 0)
        console.log(
          `\n${name}: ${all.filter((one) => one >= -0.01).length} of ${all.length} cells hold the limit of −.01; mean ${mean(all).toFixed(3)}, worst ${Math.min(...all).toFixed(3)}`,
        );
  };
  planted("validation groups", isValidation, true, { title: "the training groups", of: isTraining });
  // The larger samples: the reward knows verdicts of theirs, so it is no part here, as it has none in the rule.
  planted("training and validation groups, without the reward", (one) => !one.meta, false, {
    title: "the meta groups",
    of: isMeta,
  });
  planted("training groups, without the reward", isTraining, false, {
    title: "the validation groups",
    of: isValidation,
  });

  console.log(
    "\n## The judge's value, calibrated as any other: Platt on the meta groups, error on the validation groups\n",
  );
  console.log(
    `| Turned opinions | Opinions | ECE raw | ECE calibrated | Brier raw | Brier calibrated |\n|${" --- |".repeat(6)}`,
  );
  for (const turned of rates) {
    const labels = (of: (one: Group) => boolean): LabelledScore[] =>
      views(of, PLANTED_K, { wrong: 0, turned, draws: DRAWS }).flatMap((view) =>
        view.judge!.flatMap((score, i) => (score === null ? [] : [{ score, correct: view.right[i]! }])),
      );
    const [fitted, raw] = [labels(isMeta), labels(isValidation)];
    if (fitted.length === 0 || raw.length === 0) continue;
    const calibrator = fitPlatt(fitted);
    const after = raw.map(({ score, correct }) => ({ score: calibrated(calibrator, score), correct }));
    const cells = [expectedCalibrationError(raw), expectedCalibrationError(after), brierScore(raw), brierScore(after)];
    console.log(`| ${turned} | ${raw.length} | ${cells.map((one) => one.toFixed(3)).join(" | ")} |`);
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, one) => sum + one, 0) / values.length;
}

function rateOf(weights: readonly number[]): string {
  return weights.reduce((sum, weight, i) => sum + weight * ERROR_RATES[i]!, 0).toFixed(2);
}
