/**
 * What tests written from an issue, and a judge's opinion, are worth (docs/adr/0009-written-evidence.md):
 *
 *   node bench/written-evidence.ts DATA CACHE [PROBLEMS A SET AND SPLIT]         stand-ins, no LLM
 *   OPENAI_API_KEY=… LLM_MODELS=… node bench/written-evidence.ts DATA CACHE 25 --llm   the same tables, written and judged by it
 *
 * k of a problem's own tests stand for tests that a model wrote; the others are the hidden verdict. Then the same with
 * planted errors: a wrong test asks for what one wrong candidate does, a wrong opinion is turned round. Groups of 8 samples
 * of one generator, held-out groups in the tables, meta groups where something is fitted (rulings 2).
 */

import { cpus } from "node:os";
import { join } from "node:path";
import { createFiles } from "../src/adapters/files/files.ts";
import { openRowCache } from "../src/adapters/files/row-cache.ts";
import { openRewardModel } from "../src/adapters/onnx/reward-model.ts";
import { createSandboxJudge } from "../src/adapters/sandbox/sandbox-judge.ts";
import { createSyntax } from "../src/adapters/tree-sitter/create-syntax.ts";
import { EMBEDDED_MODEL, openGenerator, openLlmJudge } from "../src/compose.ts";
import { readEnvironment } from "../src/config/env.ts";
import { createBudget } from "../src/domain/budget.ts";
import {
  brierScore,
  calibrated,
  expectedCalibrationError,
  fitPlatt,
  type LabelledScore,
} from "../src/domain/calibration.ts";
import type { PromptMessage } from "../src/domain/chain-of-function.ts";
import { consensus } from "../src/domain/consensus.ts";
import { type CandidateSetProblem, type SetCandidate, samplesByPool, splitOf } from "../src/domain/dataset.ts";
import { dualAgreement } from "../src/domain/dual-agreement.ts";
import { hybridChances, type Witnessed, witnesses } from "../src/domain/hybrid.ts";
import { sha256 } from "../src/domain/ids.ts";
import { type Belief, ERROR_RATES, learnErrors, UNKNOWN } from "../src/domain/reliability.ts";
import { renderSteps } from "../src/domain/render.ts";
import { parseWrittenTests, reproductionPrompt, reproductionSha256 } from "../src/domain/reproduction-prompt.ts";
import { decodeSource, segment } from "../src/domain/segment.ts";
import { problemOfRow } from "../src/domain/test-forms.ts";
import { bootstrap, seeded } from "../src/evaluation/statistics.ts";
import { judgeCandidates } from "../src/flows/judge-candidates.ts";
import { scoreSteps } from "../src/flows/score-candidates.ts";

const [data, cache, most = "25"] = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
if (!data || !cache) throw new Error("node bench/written-evidence.ts DATA CACHE [PROBLEMS A SET AND SPLIT]");
const SETS = ["humaneval_codet", "humaneval_guni", "mint_codegen", "classeval"];
const N = 8;
const POOLS_A_PROBLEM = 3;
const KS = [0, 1, 2, 3, 4, 5];
const MOST_VISIBLE = 5;
/** Chances that a test is wrong, and that an opinion is. */
const RATES = [0, 0.1, 0.2, 0.3, 0.4];
const PLANTED_K = 3;

/** One group of 8: verdict of every test, rendered text and reward of each sample. */
type Group = {
  set: string;
  group: string;
  /** Held-out: meta and validation, which the reward model was not trained on. */
  split: "training" | "held-out";
  meta: boolean;
  /** [samples × tests]. */
  cases: boolean[][];
  texts: string[];
  rewards: (number | null)[];
  /** With `--llm`: verdict of every written test, and the judge's opinion of each sample. */
  written: boolean[][] | null;
  opinions: (number | null)[] | null;
};

type Answer = { text: string; finishReason: string };

const env = readEnvironment();
const llm = process.argv.includes("--llm");
const BUDGET_USD = 20;
const writer = llm ? openGenerator(env, { model: null, budget: createBudget(BUDGET_USD) }) : null;
const opinion = llm ? openLlmJudge(env, { model: null, budget: createBudget(BUDGET_USD) }) : null;
// What an answer cost is not paid again when the command breaks off and is run anew.
const paid = llm
  ? {
      tests: openRowCache<Answer>(join(cache, `llm-tests-${sha256(env.LLM_MODELS).slice(0, 12)}.jsonl`)),
      opinions: openRowCache<number | null>(join(cache, `llm-opinions-${sha256(env.LLM_MODELS).slice(0, 12)}.jsonl`)),
    }
  : null;
const syntax = await createSyntax();
const model = await openRewardModel(EMBEDDED_MODEL);
const judge = await createSandboxJudge({ weakestTier: 2 });
const verdicts = openRowCache<boolean[]>(join(cache, "written-verdicts.jsonl"));
const scores = openRowCache<number | null>(join(cache, `written-rewards-${model.info.sha256.slice(0, 12)}.jsonl`));
const groups: Group[] = [];
for (const set of SETS) {
  const problems = { training: 0, "held-out": 0 };
  for await (const problem of createFiles().candidateSet(join(data, `${set}.jsonl.gz`))) {
    const part = splitOf(problem.group);
    const split = part === "training" ? "training" : "held-out";
    if (problems[split] >= Number(most)) continue;
    const drawn = drawnOf(problem);
    if (drawn.length === 0) continue;
    const found = await groupsOf(problem, drawn, split, part === "meta");
    if (found.length === 0) continue;
    problems[split] += 1;
    groups.push(...found);
    process.stderr.write(
      `\r${set}: ${problems.training} + ${problems["held-out"]} problems, ${groups.length} groups   `,
    );
  }
  process.stderr.write("\n");
}
judge.dispose();
await model.dispose();

function drawnOf(problem: CandidateSetProblem): SetCandidate[][] {
  const pools = new Map<string, SetCandidate[]>();
  for (const one of problem.candidates)
    if (one.passed !== null)
      for (const [generator, count] of samplesByPool(problem.set, one)) {
        // Its generators have five samples each at most.
        const pool = problem.set.startsWith("classeval") ? "all" : generator;
        pools.set(pool, [...(pools.get(pool) ?? []), ...Array.from({ length: Math.min(count, N) }, () => one)]);
      }
  return [...pools]
    .filter(([, all]) => all.length >= N && new Set(all.map((one) => one.passed)).size === 2)
    .slice(0, POOLS_A_PROBLEM)
    .map(([pool, all]) => {
      const random = seeded(Number.parseInt(sha256(`${problem.problem_id} ${pool}`).slice(0, 8), 16));
      return all
        .map((one) => ({ one, at: random() }))
        .sort((a, b) => a.at - b.at)
        .slice(0, N)
        .map(({ one }) => one);
    });
}

async function groupsOf(
  problem: CandidateSetProblem,
  drawn: SetCandidate[][],
  split: Group["split"],
  meta: boolean,
): Promise<Group[]> {
  const found = problemOfRow(problem);
  if (found === null) return [];
  const codes = [...new Set(drawn.flat().map(({ code }) => code))];
  const keyOf = (code: string) => sha256(JSON.stringify([problem.set, problem.problem_id, runnable(problem, code)]));
  const missing = codes.filter((code) => verdicts.get(keyOf(code)) === undefined);
  const batch = await judgeCandidates(
    judge,
    missing.map((code) => ({
      problem: found.problem,
      candidate: { code: runnable(problem, code), language: "python" as const },
    })),
    { slots: cpus().length, cpuSeconds: 2 },
  );
  for (const [at, code] of missing.entries()) verdicts.put(keyOf(code), casesOf(batch.verdicts[at]!.cases));
  const width = Math.max(...codes.map((code) => verdicts.get(keyOf(code))!.length));
  if (width <= MOST_VISIBLE) return [];
  const programs = new Map(
    codes.map((code) => {
      const outline = syntax.outline(code, "python");
      const file = segment(decodeSource(Buffer.from(code)), outline, null);
      const rendered = renderSteps(file, outline);
      return [code, file.steps.map(({ signature }, k) => ({ signature, rendered: rendered[k]! }))];
    }),
  );
  const unscored = codes.filter((code) => scores.get(keyOf(code)) === undefined);
  const scored = await scoreSteps(
    model,
    problem.prompt,
    unscored.map((code) => ({ id: "", steps: programs.get(code)! })),
  );
  for (const [at, code] of unscored.entries()) scores.put(keyOf(code), scored[at]!.score);
  const written = writer && (await writtenVerdicts(problem, codes));
  if (opinion !== null && paid !== null) {
    const unasked = codes.filter((code) => paid.opinions.get(keyOf(code)) === undefined);
    const judged = await scoreSteps(
      opinion,
      problem.prompt,
      unasked.map((id) => ({ id, steps: programs.get(id)! })),
    );
    // What the budget left out is asked the next time.
    if (judged.some(({ reasons }) => reasons.includes("budget")))
      throw new Error(`$${BUDGET_USD} are spent on opinions`);
    for (const { id, score } of judged) paid.opinions.put(keyOf(id), score);
  }
  return drawn.map((all) => ({
    written: written && all.map(({ code }) => written.get(code)!),
    opinions: paid && all.map(({ code }) => paid.opinions.get(keyOf(code))!),
    set: problem.set,
    group: problem.group,
    split,
    meta,
    // A program that ended before a test has failed it.
    cases: all.map(({ code }) => Array.from({ length: width }, (_, t) => verdicts.get(keyOf(code))![t] ?? false)),
    texts: all.map(({ code }) =>
      programs
        .get(code)!
        .map(({ rendered }) => rendered)
        .join("\n"),
    ),
    rewards: all.map(({ code }) => scores.get(keyOf(code))!),
  }));
}

/** As the set's own harness ran it: with the names of typing, and the method of a `Solution` under the entry point's name. */
function runnable({ io, entry_point, tests }: CandidateSetProblem, code: string): string {
  if (io !== "call" || !entry_point || /\bunittest\b/.test(`${tests}`) || !/^class Solution\b/m.test(code)) return code;
  return `from typing import *\n${code}\n\nif "${entry_point}" not in globals():\n    ${entry_point} = Solution().${entry_point}\n`;
}

/** The LLM's own tests of a problem, each on every program. */
async function writtenVerdicts(
  problem: CandidateSetProblem,
  codes: readonly string[],
): Promise<Map<string, boolean[]>> {
  const entry = problem.entry_point!;
  const messages = reproductionPrompt(
    { title: `Write ${entry}`, body: problem.prompt },
    { functions: [{ path: "task.py", name: entry, source: problem.prompt }], outlines: [], headers: [] },
    "unittest",
    null,
  );
  const found = new Map(codes.map((code) => [code, [] as boolean[]]));
  const key = reproductionSha256(messages);
  const answer = paid!.tests.get(key) ?? (await askForTests(messages, problem.problem_id));
  if (paid!.tests.get(key) === undefined) paid!.tests.put(key, answer);
  const parsed = parseWrittenTests(answer.text, {
    finishReason: answer.finishReason,
    style: "unittest",
    outline: (source) => syntax.outline(source, "python"),
  });
  if (!parsed.ok) return found;
  for (const { source } of parsed.tests) {
    const tests = { io: "tests", entry_point: entry, tests: source, style: "unittest", module: "task" } as const;
    const batch = await judgeCandidates(
      judge,
      codes.map((code) => ({
        problem: tests,
        candidate: { code: runnable(problem, code), language: "python" as const },
      })),
      { slots: cpus().length },
    );
    for (const [at, code] of codes.entries()) found.get(code)!.push(batch.verdicts[at]!.verdict === "PASS");
  }
  return found;
}

async function askForTests(messages: PromptMessage[], problem: string): Promise<Answer> {
  const request = { messages, n: 1, temperature: null, seed: 0, maxTokens: 4096, problem, purpose: "tests" as const };
  for await (const sample of writer!.sample(request)) {
    if ("text" in sample) return { text: sample.text, finishReason: sample.facts.finishReason };
    throw new Error(`${sample.error.code}: ${sample.error.message}`);
  }
  throw new Error("the generator gave no answer");
}

function casesOf(cases: readonly { verdict: string; id?: string }[]): boolean[] {
  // unittest reports by name, in any order.
  const ordered = cases.every(({ id }) => id !== undefined)
    ? [...cases].sort((a, b) => a.id!.localeCompare(b.id!))
    : cases;
  return ordered.map(({ verdict }) => verdict === "PASS");
}

// ---------------------------------------------------------------- what each rule picks

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
const DRAWS = 4;
const SPREADS = new Map<Group, number[]>();

/** k tests drawn as visible, each wrong with chance `wrong`; opinions turned round with chance `turned` (null: no judge). */
function viewOf(one: Group, k: number, draw: number, wrong: number, turned: number | null): View | null {
  if (one.written !== null) {
    const right = one.cases.map((row) => row.every(Boolean));
    if (new Set(right).size < 2 || draw > 0) return null;
    const passes = one.written.map((row) => row.slice(0, k));
    const { group, meta, texts, rewards, opinions } = one;
    return {
      group,
      meta,
      texts,
      passes,
      consensus: consensus(texts),
      rewards,
      judge: turned === null ? null : opinions,
      right,
    };
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
  const spread = SPREADS.get(one) ?? consensus(one.texts);
  SPREADS.set(one, spread);
  const judge =
    turned === null
      ? null
      : one.texts.map((text, i) => {
          const [turn, noise] = [hashed(`turn ${draw} ${text}`) < turned, hashed(`noise ${text}`)];
          return (right[i] !== turn ? 0.85 : 0.05) + 0.1 * noise;
        });
  return {
    group: one.group,
    meta: one.meta,
    texts: one.texts,
    passes: one.cases.map((_, i) => columns.map((column) => column[i]!)),
    consensus: spread,
    rewards: one.rewards,
    judge,
    right,
  };
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

/** Error rates from the agreement inside the meta groups, one draw each: no verdict is looked at. */
function learned(all: readonly View[]): Belief {
  const once = [...new Map(all.map((view) => [`${view.group} ${view.texts[0]}`, view])).values()];
  return learnErrors(once.map((view) => witnesses(distinct(view).group)));
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

/** Chance that the best by score is right; ties share. */
function picked(view: View, scored: readonly number[]): number {
  const best = Math.max(...scored);
  const top = scored.flatMap((score, i) => (best - score < 1e-12 ? [i] : []));
  return top.filter((i) => view.right[i]).length / top.length;
}

function views(split: Group["split"], k: number, wrong: number, turned: number | null, set?: string): View[] {
  return groups
    .filter((one) => one.split === split && (set === undefined || one.set === set))
    .flatMap((one) => Array.from({ length: DRAWS }, (_, draw) => viewOf(one, k, draw, wrong, turned) ?? []).flat());
}

function interval(all: readonly View[], rule: Rule): string {
  const sums = [...Map.groupBy(all, (one) => one.group)].map(([group, rows]) => ({
    group,
    numerator: rows.reduce((sum, row) => sum + picked(row, rule(row)), 0),
    denominator: rows.length,
  }));
  const found = bootstrap(sums);
  return found === null ? "–" : `${found.value.toFixed(3)} [${found.ci[0].toFixed(3)}, ${found.ci[1].toFixed(3)}]`;
}

/** a − b, paired, over groups. */
function difference(all: readonly View[], a: Rule, b: Rule): string {
  const sums = [...Map.groupBy(all, (one) => one.group)].map(([group, rows]) => ({
    group,
    numerator: rows.reduce((sum, row) => sum + picked(row, a(row)) - picked(row, b(row)), 0),
    denominator: rows.length,
  }));
  const { value, ci } = bootstrap(sums)!;
  return `${value.toFixed(3)} [${ci[0].toFixed(3)}, ${ci[1].toFixed(3)}]`;
}

function mean(all: readonly View[], rule: Rule): number {
  return all.reduce((sum, view) => sum + picked(view, rule(view)), 0) / all.length;
}

for (const set of [...SETS, undefined])
  for (const split of set === undefined ? (["training", "held-out"] as const) : (["held-out"] as const)) {
    const size = groups.filter((one) => one.split === split && (set === undefined || one.set === set)).length;
    console.log(`\n## ${set ?? "all sets"}, ${split}: ${size} groups of ${N}, ${DRAWS} draws of visible tests\n`);
    console.log(`| Rule | ${KS.map((k) => `k = ${k}`).join(" | ")} |\n|${" --- |".repeat(KS.length + 1)}`);
    const byK = KS.map((k) => views(split, k, 0, null, set));
    for (const [name, rule] of Object.entries(RULES))
      console.log(`| ${name} | ${byK.map((all) => interval(all, rule)).join(" | ")} |`);
  }

const isMeta = ({ meta }: View) => meta;
const isValidation = ({ meta }: View) => !meta;

function planted(
  title: string,
  of: (all: readonly View[]) => View[],
  split: Group["split"],
  withReward: boolean,
): void {
  console.log(`\n## Planted errors, ${title}, k = ${PLANTED_K}: the hybrid rule against the better of its parts\n`);
  console.log("Error rates learned from the meta groups of the same writer and judge, by agreement alone.\n");
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
  ];
  console.log(`| Wrong tests | Turned opinions | ${names.join(" | ")} |\n|${" --- |".repeat(names.length + 2)}`);
  const unrewarded = (all: readonly View[]) =>
    withReward ? all : all.map((view) => ({ ...view, rewards: view.rewards.map(() => null) }));
  // What a real writer and judge err is what it is.
  for (const wrong of llm ? [0] : RATES)
    for (const turned of llm ? [0] : [null, ...RATES]) {
      const all = unrewarded(of(views(split, PLANTED_K, wrong, turned)));
      if (all.length === 0) continue;
      const belief = learned(unrewarded(views("held-out", PLANTED_K, wrong, turned).filter(isMeta)));
      const [fresh, later] = [hybridWith(UNKNOWN), hybridWith(belief)];
      const rate = (weights: readonly number[]) =>
        weights.reduce((sum, weight, i) => sum + weight * ERROR_RATES[i]!, 0).toFixed(2);
      const rules = [...Object.values(parts), ...(turned === null ? [] : [byOpinion])];
      const best = rules.reduce((one, other) => (mean(all, other) > mean(all, one) ? other : one));
      const cells = [
        ...Object.values(parts).map((rule) => mean(all, rule).toFixed(3)),
        turned === null ? "–" : mean(all, byOpinion).toFixed(3),
        mean(all, fresh).toFixed(3),
        difference(all, fresh, best),
        `${rate(belief.wrongTests)}, ${turned === null ? "–" : rate(belief.wrongOpinions)}`,
        mean(all, later).toFixed(3),
        difference(all, later, best),
      ];
      console.log(`| ${wrong} | ${turned ?? "no judge"} | ${cells.join(" | ")} |`);
    }
}
planted("validation groups", (all) => all.filter(isValidation), "held-out", true);
// The larger sample: nothing of the rule but the reward was fitted on these groups.
planted("training groups, the reward left out of rule and parts", (all) => [...all], "training", false);

console.log(
  "\n## The judge's value, calibrated as any other: Platt on the meta groups, error on the validation groups\n",
);
console.log(
  `| Turned opinions | Opinions | ECE raw | ECE calibrated | Brier raw | Brier calibrated |\n|${" --- |".repeat(6)}`,
);
for (const turned of llm ? [0] : RATES) {
  const held = views("held-out", PLANTED_K, 0, turned);
  const labels = (all: readonly View[]): LabelledScore[] =>
    all.flatMap((view) =>
      view.judge!.flatMap((score, i) => (score === null ? [] : [{ score, correct: view.right[i]! }])),
    );
  const [fitted, raw] = [labels(held.filter(isMeta)), labels(held.filter(isValidation))];
  if (fitted.length === 0 || raw.length === 0) continue;
  const calibrator = fitPlatt(fitted);
  const after = raw.map(({ score, correct }) => ({ score: calibrated(calibrator, score), correct }));
  const cells = [expectedCalibrationError(raw), expectedCalibrationError(after), brierScore(raw), brierScore(after)];
  console.log(`| ${turned} | ${raw.length} | ${cells.map((one) => one.toFixed(3)).join(" | ")} |`);
}
