/**
 * One issue, one tree of files → candidates, rewards, evidence, and the chosen one or the reason why none was chosen.
 * No GitHub in here: `funprm solve` and the app run the same steps.
 */
import type { Candidate, ChangedFile } from "../domain/candidate.ts";
import type { Touched } from "../domain/comment.ts";
import {
  type CandidateTests,
  type ExamplesReport,
  examplesPassed,
  type KnockoutReport,
  NO_EXAMPLES,
  NOT_RUN,
  type ReproductionReport,
  type SurvivorEvidence,
  separatingTest,
  type TestsReport,
  writtenPasses,
} from "../domain/evidence.ts";
import { issueExamples } from "../domain/issue-examples.ts";
import type { Located } from "../domain/relevance.ts";
import type { Belief } from "../domain/reliability.ts";
import { renderPrompt } from "../domain/render.ts";
import { compareTests, summarizeTests } from "../domain/repository-tests.ts";
import { screenAddedTest } from "../domain/screen.ts";
import type { Contender, Selection, SelectOptions, SelectRule } from "../domain/select.ts";
import type { Checkout, Judge, PairJudge } from "../ports.ts";
import { chooseCandidate } from "./choose-candidate.ts";
import { holdKnockout, KNOCKOUT_SIZE } from "./hold-knockout.ts";
import { findTestHome, runReproduction, writeReproduction } from "./reproduce-issue.ts";
import { runIssueExamples } from "./run-issue-examples.ts";
import {
  type AnswerHooks,
  type AnswerPorts,
  type AnswerSettings,
  type Problem,
  type Survivor,
  scoreAnswers,
} from "./score-answers.ts";

export type SolveSettings = AnswerSettings & {
  rule: SelectRule;
  /** Whether the patch also holds the written test that separates the chosen candidate (`fix.add_test`). */
  addTest: boolean;
  scorer: SelectOptions["scorer"];
  /** What earlier runs say of how often the writer of tests and the judge err. */
  belief: Belief;
  tests: { run: boolean; command: string[] | null; environment: string | null; timeoutSeconds: number };
};

export type SolvePorts = AnswerPorts & {
  judge: Judge | null;
  /** Null where no LLM is configured. */
  pairs: PairJudge | null;
};

export type SolveStage = "reading" | "sampling" | "scoring" | "testing";

export type SolveHooks = Omit<AnswerHooks, "onStage"> & {
  onStage(stage: SolveStage): Promise<void>;
  /** Tests that an earlier attempt had written: not asked, and not paid, again. */
  reproduction: ReproductionReport | null;
  /** Called with the answer before its tests run, and again with what they said. */
  onReproduction(report: ReproductionReport): Promise<void>;
};

export type Solution = {
  candidates: Candidate[];
  selection: Selection;
  /** Files of the selected candidate, and the written test that goes with them; empty on abstention. */
  files: ChangedFile[];
  /** Functions that the selected candidate changes or adds, in the order of its answer. */
  touched: Touched[];
  tests: TestsReport;
  examples: ExamplesReport;
  /** Null where nothing is executed. */
  reproduction: ReproductionReport | null;
  /** Null where none was held. */
  knockout: KnockoutReport | null;
  /** What the choice rests on, by candidate index. */
  evidence: ReadonlyMap<number, SurvivorEvidence>;
  /** Whether an example of the issue that fails on base was written as a demand. */
  demanded: boolean;
  relevant: Located[];
  promptSha256: string;
  /** Git's id of the tree that was read, and of the one that the files make of it; null on abstention. */
  baseTree: string;
  tree: string | null;
};

export async function solveProblem(
  problem: Problem,
  checkout: Checkout,
  ports: SolvePorts,
  settings: SolveSettings,
  hooks: SolveHooks,
  signal: AbortSignal,
): Promise<Solution> {
  const outlineOf = (source: string) => ports.syntax.outline(source, "python");
  const answers = await scoreAnswers(problem, checkout, ports, settings, hooks, signal);
  const { issue, found, survivors } = answers;
  const candidates = new Map(answers.candidates.map((one) => [one.index, one]));

  await hooks.onStage("testing");
  const tests = await runTests(checkout, ports.judge, settings, survivors, signal);
  for (const one of survivors) {
    const row = tests.candidates.find((candidate) => candidate.index === one.candidate.index);
    if (!row) continue;
    one.candidate = { ...one.candidate, verdict: row.verdict };
    candidates.set(one.candidate.index, one.candidate);
    await hooks.onCandidate(one.candidate);
  }

  const trees = survivors.map((one) => ({ index: one.candidate.index, files: one.files }));
  const inIssue = settings.tests.run ? issueExamples(`${issue.title}\n${issue.body}`, found.located) : [];
  const examples =
    inIssue.length === 0 || !ports.judge
      ? NO_EXAMPLES
      : await runIssueExamples(ports.judge, checkout, inIssue, trees, settings.tests.environment, signal);

  const asked = { key: problem.key, ...issue, seed: problem.seed };
  let reproduction: ReproductionReport | null = null;
  if (settings.tests.run && ports.judge && survivors.length > 0) {
    const home = await findTestHome(checkout, problem.key, found.located);
    reproduction = await writeReproduction(ports.generator, asked, found.code, home, hooks.reproduction, signal);
    await hooks.onReproduction(reproduction);
    reproduction = await runReproduction(
      ports.judge,
      checkout,
      asked,
      home,
      reproduction,
      trees,
      { environment: settings.tests.environment, outline: outlineOf },
      signal,
    );
    await hooks.onReproduction(reproduction);
  }

  const evidence = new Map<number, SurvivorEvidence>();
  for (const { index } of trees) {
    const row = tests.candidates.find((candidate) => candidate.index === index);
    evidence.set(index, {
      tests: row ? { broke: row.broke, fixed: row.fixed } : null,
      examples: examplesPassed(examples, index),
      written: writtenPasses(reproduction, index),
      knockout: null,
    });
  }
  const demanded = examples.examples.some((one) => one.demanded && one.base !== "passed");
  const options = {
    rule: settings.rule,
    scorer: settings.scorer,
    seed: problem.seed,
    sampled: settings.candidates,
    demanded,
    belief: settings.belief,
  };
  let { selection, contenders } = chooseCandidate(answers, evidence, options);
  const leading = settings.rule === "knockout" && ports.pairs ? leadersOf(selection, contenders) : [];
  let knockout: KnockoutReport | null = null;
  if (leading.length > 1) {
    knockout = await holdKnockout(ports.pairs!, renderPrompt(answers.statement), leading, signal);
    for (const [place, index] of knockout.order.entries())
      evidence.get(index)!.knockout = knockout.order.length - 1 - place;
    ({ selection, contenders } = chooseCandidate(answers, evidence, options));
  }
  const chosen = survivors.find((one) => one.candidate.index === selection.selected);
  const test = chosen && settings.addTest ? separatingTest(reproduction, chosen.candidate.index) : null;
  const testFile = test && { path: reproduction!.path!, before: null, after: Buffer.from(test.source) };
  const adds = testFile !== null && screenAddedTest(testFile, settings.policy) === null;
  if (reproduction && adds) {
    reproduction = { ...reproduction, added: test!.name };
    await hooks.onReproduction(reproduction);
  }
  const files = chosen ? [...chosen.files, ...(adds ? [testFile] : [])] : [];
  return {
    candidates: [...candidates.values()].sort((a, b) => a.index - b.index),
    selection,
    files,
    touched: chosen ? chosen.touched : [],
    tests,
    examples,
    reproduction,
    knockout,
    evidence,
    demanded,
    relevant: found.located,
    promptSha256: answers.promptSha256,
    baseTree: await checkout.tree([]),
    tree: chosen ? await checkout.tree(files) : null,
  };
}

/** Whom what ran leaves equal at the top: a judge's opinion never stands against a run. */
function leadersOf({ selected, ranking }: Selection, contenders: readonly Contender[]): Contender[] {
  const [first] = ranking;
  if (selected === null || !first) return [];
  return ranking
    .filter((one) => one.fixed === first.fixed && one.examples === first.examples && one.written === first.written)
    .slice(0, KNOCKOUT_SIZE)
    .map(({ index }) => contenders.find((one) => one.index === index)!);
}

/** The repository's tests on base, then on each survivor; test files and runner configuration stay as on base. */
async function runTests(
  checkout: Checkout,
  judge: Judge | null,
  settings: SolveSettings,
  survivors: readonly Survivor[],
  signal: AbortSignal,
): Promise<TestsReport> {
  if (!settings.tests.run) return NOT_RUN;
  if (!judge)
    return {
      ...NOT_RUN,
      status: "cannot-run",
      reason: "no sandbox on this machine; funprm doctor says how to get one",
    };
  const request = {
    root: checkout.root,
    command: settings.tests.command,
    environment: settings.tests.environment,
    timeoutSeconds: settings.tests.timeoutSeconds,
  };
  const base = await judge.runRepositoryTests({ ...request, overlay: [] }, signal);
  if (base.status !== "ran") return { ...NOT_RUN, status: base.status, reason: base.reason, command: base.command };
  const rows: CandidateTests[] = [];
  for (const { candidate, files } of survivors) {
    const overlay = files.map((file) => ({ path: file.path, content: file.after }));
    const run = await judge.runRepositoryTests({ ...request, overlay }, signal);
    const { broke, fixed } = compareTests(base, run);
    rows.push({ index: candidate.index, ...summarizeTests(run), broke, fixed });
  }
  return {
    status: "ran",
    reason: null,
    command: base.command,
    tier: base.tier,
    base: summarizeTests(base),
    candidates: rows,
  };
}
