/** Candidate sets → scored and executed pools → the evaluation report. Every result is kept by content hash. */
import { programCompliance } from "../domain/cof-answer.ts";
import {
  type CandidateSetProblem,
  candidateRow,
  isConstructed,
  languageOf,
  poolOf,
  type SetCandidate,
  samplesByPool,
  splitOf,
} from "../domain/dataset.ts";
import type { Outline } from "../domain/function-step.ts";
import { sha256 } from "../domain/ids.ts";
import { type Readability, readabilityOf } from "../domain/readability.ts";
import { RENDER_VERSION, renderSteps } from "../domain/render.ts";
import { decodeSource, segment } from "../domain/segment.ts";
import { WORDS_VERSION, withoutWords } from "../domain/words.ts";
import { type SetInput, type StepTruth, setReport } from "../evaluation/evaluate.ts";
import { type Granularity, passesOf, piecesOf } from "../evaluation/granularity.ts";
import { type EvaluateSettings, type Judged, judgePools } from "../evaluation/judge-pools.ts";
import type { Member, PieceRewards, Pool } from "../evaluation/pools.ts";
import type { EvaluationReport, ReportedModel, SetReport } from "../evaluation/report.ts";
import type { Judge, RewardModel, RowCache, Syntax } from "../ports.ts";
import { EVIDENCE_VERSION, type Evidence, gatherEvidence, NO_EVIDENCE, withFormImports } from "./gather-evidence.ts";
import { boundedWords, type Chain, type ScoredChain, scoreSteps } from "./score-candidates.ts";

export type Reward = Pick<ScoredChain, "rewards" | "attribution"> & { tokens: number[] };

export type EvaluatePorts = {
  syntax: Syntax;
  /** Null: no selector that needs rewards. */
  model: RewardModel | null;
  /** A second model, whose rewards stand beside those of the first; null for none. */
  second: { model: RewardModel; rewards: RowCache<Reward> } | null;
  /** Null: nothing is executed, and no selector that needs it. */
  judge: Judge | null;
  rewards: RowCache<Reward>;
  evidence: RowCache<Evidence>;
};

export type EvaluateOptions = EvaluateSettings & {
  split: EvaluationReport["split"];
  within: EvaluationReport["within"];
  /** Cuts of the programs that are scored; `function` always is. */
  granularities: readonly Granularity[];
  /** Problems of each set; null for all. */
  limit: number | null;
  slots: number;
  onProgress(at: { set: string; problems: number; candidates: number }): void;
};

export type LoadedSet = SetInput & { verdicts: Map<string, boolean> };

export async function evaluateSets(
  sets: readonly { name: string; problems: AsyncIterable<CandidateSetProblem> }[],
  ports: EvaluatePorts,
  options: EvaluateOptions,
  signal?: AbortSignal,
): Promise<EvaluationReport> {
  const loaded: LoadedSet[] = [];
  for (const set of sets) loaded.push(await loadSet(set, ports, options, signal));
  const verdicts = new Map(loaded.flatMap((one) => [...one.verdicts]));
  const reports: SetReport[] = [];
  const all: Judged[] = [];
  for (const one of loaded) {
    const judged = judgePools(one.pools, verdicts, options);
    reports.push(setReport(one, judged, options));
    all.push(...judged);
  }
  const sum = (of: (one: LoadedSet) => number) => loaded.reduce((total, one) => total + of(one), 0);
  const steps = loaded.flatMap((one) => one.steps ?? []);
  const pooled: SetInput = {
    set: "pooled",
    pools: [],
    steps: steps.length === 0 ? null : steps,
    modularity: [],
    problems: sum((one) => one.problems),
    candidates: sum((one) => one.candidates),
    withExamples: sum((one) => one.withExamples),
  };
  const reported = (model: RewardModel | undefined | null): ReportedModel | null =>
    model
      ? {
          name: model.info.name,
          version: model.info.version,
          sha256: model.info.sha256,
          renderVersion: model.info.renderVersion,
        }
      : null;
  return {
    split: options.split,
    within: options.within,
    seed: options.seed,
    n: [...options.n],
    reportN: options.reportN,
    model: reported(ports.model),
    second: reported(ports.second?.model),
    evidence: { examples: ports.judge !== null, agreement: ports.judge !== null },
    sets: reports,
    pooled: setReport(pooled, all, options),
  };
}

/** Scores and runs the candidates of one set: its pools, and apart from them the private verdicts. */
export async function loadSet(
  set: { name: string; problems: AsyncIterable<CandidateSetProblem> },
  ports: EvaluatePorts,
  options: EvaluateOptions,
  signal?: AbortSignal,
): Promise<LoadedSet> {
  const loaded: LoadedSet = {
    set: set.name,
    pools: [],
    steps: null,
    modularity: [],
    problems: 0,
    candidates: 0,
    withExamples: 0,
    verdicts: new Map(),
  };
  const pools: Pool[] = [];
  const steps: StepTruth[] = [];
  const modularity = new Map<string, SetReport["modularity"][number]>();
  for await (const problem of set.problems) {
    signal?.throwIfAborted();
    if (languageOf(problem) !== "python" || !inSplit(problem, options.split)) continue;
    if (options.limit !== null && loaded.problems >= options.limit) break;
    const labelled = problem.candidates.filter((one): one is Labelled => one.passed !== null);
    if (labelled.length === 0) continue;
    loaded.problems += 1;
    loaded.candidates += labelled.length;
    const groups = isConstructed(problem.set) ? new Map() : poolsOf(problem, labelled, options.within);
    const mixed = [...groups].filter(
      ([, members]) => new Set(members.map((one: Counted) => one.candidate.passed)).size === 2,
    );
    const withTruth = labelled.filter(
      (one) => one.own !== undefined || Object.values(one.methods ?? {}).some((own) => own !== null),
    );
    const needed = new Map<string, Labelled>();
    for (const [, members] of mixed) for (const { candidate } of members) needed.set(candidate.id, candidate);
    const outlines = new Map<string, Outline>();
    const outlineOf = (code: string): Outline => {
      const known = outlines.get(code) ?? ports.syntax.outline(code, "python");
      outlines.set(code, known);
      return known;
    };
    const programs = new Map(
      [...new Map([...needed, ...withTruth.map((one) => [one.id, one] as const)]).values()].map((one) => [
        one.id,
        programOf(one.code, outlineOf(one.code)),
      ]),
    );
    const rewards = new Map<Granularity, Map<string, Reward>>();
    const second: typeof rewards = new Map();
    for (const granularity of new Set(["function", ...options.granularities] as const)) {
      if (ports.model !== null)
        rewards.set(granularity, await rewardsOf(problem, programs, granularity, ports.model, ports.rewards, signal));
      if (ports.second !== null)
        second.set(
          granularity,
          await rewardsOf(problem, programs, granularity, ports.second.model, ports.second.rewards, signal),
        );
    }
    const evidence = await evidenceOf(problem, [...needed.values()], ports, options, signal);
    if ([...evidence.values()].some((one) => one.examples !== null)) loaded.withExamples += 1;
    for (const [generator, members] of mixed) {
      pools.push(poolFrom(problem, generator, members, programs, { rewards, second }, evidence));
      for (const { candidate } of members) loaded.verdicts.set(idOf(problem, candidate), candidate.passed);
    }
    for (const one of withTruth) {
      const truth = stepTruth(problem, one, programs.get(one.id)!, rewards.get("function")?.get(one.id));
      if (truth) steps.push(truth);
    }
    for (const one of labelled) countModularity(modularity, one, problem.entry_point ?? null, outlineOf(one.code));
    options.onProgress({ set: set.name, problems: loaded.problems, candidates: loaded.candidates });
  }
  loaded.pools = pools;
  loaded.steps = steps.length === 0 ? null : merged(steps);
  loaded.modularity = [...modularity.values()].sort((a, b) => b.programs - a.programs);
  return loaded;
}

type Labelled = SetCandidate & { passed: boolean };
type Counted = { candidate: Labelled; count: number };

function inSplit(problem: CandidateSetProblem, split: EvaluationReport["split"]): boolean {
  return split === "all" || splitOf(problem.group) === (split === "train" ? "training" : split);
}

const idOf = (problem: CandidateSetProblem, candidate: SetCandidate) => `${problem.set}/${candidate.id}`;

function poolsOf(
  problem: CandidateSetProblem,
  labelled: readonly Labelled[],
  within: EvaluationReport["within"],
): Map<string, Counted[]> {
  const pools = new Map<string, Counted[]>();
  for (const candidate of labelled)
    for (const [generator, count] of samplesByPool(problem.set, candidate)) {
      const key = within === "problem" ? "all generators" : generator;
      const members = pools.get(key) ?? [];
      const known = members.find((one) => one.candidate.id === candidate.id);
      if (known) known.count += count;
      else members.push({ candidate, count });
      pools.set(key, members);
    }
  return pools;
}

type Program = {
  parsed: boolean;
  readability: Readability;
  steps: {
    name: string;
    simpleName: string;
    rendered: string;
    signature: string;
    docstring: boolean;
    nested: number;
  }[];
};

function programOf(code: string, outline: Outline): Program {
  const file = segment(decodeSource(Buffer.from(code)), outline, null);
  const rendered = renderSteps(file, outline);
  return {
    parsed: file.parsed,
    readability: readabilityOf(code, outline),
    steps: file.steps.map(({ name, simpleName, signature, docstring, nested }, k) => ({
      name,
      simpleName,
      signature,
      docstring,
      nested,
      rendered: rendered[k]!,
    })),
  };
}

async function rewardsOf(
  problem: CandidateSetProblem,
  programs: ReadonlyMap<string, Program>,
  granularity: Granularity,
  model: RewardModel,
  kept: RowCache<Reward>,
  signal: AbortSignal | undefined,
): Promise<Map<string, Reward>> {
  const found = new Map<string, Reward>();
  const missing: { id: string; key: string; chains: Chain[]; skip: number[] }[] = [];
  for (const [id, { steps }] of programs) {
    const rendered = steps.map((step) => step.rendered);
    const pieces = piecesOf(rendered, granularity);
    const key = sha256(JSON.stringify([model.info.sha256, RENDER_VERSION, WORDS_VERSION, problem.prompt, pieces]));
    const known = kept.get(key);
    if (known) found.set(id, known);
    else if (granularity === "function") missing.push({ id, key, chains: [{ id, steps }], skip: [0] });
    else {
      const passes = passesOf(pieces);
      const chains = passes.map(({ from, to }) => ({
        id,
        // Only a function has a signature that can stand for it.
        steps: pieces.slice(from, to).map((piece) => ({ rendered: piece, signature: "" })),
      }));
      missing.push({ id, key, chains, skip: passes.map(({ from, read }) => read - from) });
    }
  }
  const chains = missing.flatMap((one) => one.chains);
  const scored = chains.length === 0 ? [] : await scoreSteps(boundedWords(model), problem.prompt, chains, {}, signal);
  let at = 0;
  for (const { id, key, skip } of missing) {
    const parts = skip.map((before) => ({ ...scored[at++]!, before }));
    const reward: Reward = {
      rewards: parts.flatMap((part) => part.rewards.slice(part.before)),
      attribution: parts.flatMap((part) => part.attribution.slice(part.before)),
      tokens: parts.flatMap((part) => part.tokens.slice(part.before)),
    };
    kept.put(key, reward);
    found.set(id, reward);
  }
  return found;
}

async function evidenceOf(
  problem: CandidateSetProblem,
  candidates: readonly Labelled[],
  { judge, syntax, evidence }: EvaluatePorts,
  options: EvaluateOptions,
  signal: AbortSignal | undefined,
): Promise<Map<string, Evidence>> {
  if (judge === null) return new Map();
  const text = {
    prompt: problem.prompt,
    entryPoint: problem.entry_point ?? null,
    io: problem.io ?? "call",
    preamble: problem.preamble ?? "",
  } as const;
  const keyOf = (code: string) =>
    sha256(JSON.stringify([EVIDENCE_VERSION, judge.sandbox.tier, text, withFormImports(text.io, code)]));
  const missing = [...new Set(candidates.map(({ code }) => code))].filter((code) => !evidence.get(keyOf(code)));
  const gathered = await gatherEvidence({ judge, syntax }, text, missing, { slots: options.slots }, signal);
  for (const [at, code] of missing.entries()) {
    const { settled, ...found } = gathered[at]!;
    if (settled) evidence.put(keyOf(code), found);
  }
  return new Map(candidates.map(({ id, code }) => [id, evidence.get(keyOf(code)) ?? NO_EVIDENCE]));
}

function poolFrom(
  problem: CandidateSetProblem,
  generator: string,
  members: readonly Counted[],
  programs: ReadonlyMap<string, Program>,
  scored: Record<"rewards" | "second", ReadonlyMap<Granularity, ReadonlyMap<string, Reward>>>,
  evidence: ReadonlyMap<string, Evidence>,
): Pool {
  const byCut = (side: "rewards" | "second", id: string): Member["rewards"] =>
    Object.fromEntries(
      [...scored[side]].map(([granularity, of]): [Granularity, PieceRewards] => {
        const { rewards, tokens } = of.get(id)!;
        return [granularity, { rewards, tokens }];
      }),
    );
  return {
    set: problem.set,
    problem: problem.problem_id,
    group: problem.group,
    generator,
    model: generator.split("|")[0]!,
    difficulty: difficultyOf(problem),
    date: problem.date ?? null,
    members: members.map(({ candidate, count }, order): Member => {
      const program = programs.get(candidate.id)!;
      const { examples, outputs } = evidence.get(candidate.id) ?? NO_EVIDENCE;
      return {
        id: idOf(problem, candidate),
        count,
        order,
        length: program.steps.reduce((sum, step) => sum + step.rendered.length, 0),
        parsed: program.parsed,
        nested: program.steps.some((step) => step.nested > 0),
        documented: program.steps.every((step) => step.docstring),
        rewards: byCut("rewards", candidate.id),
        second: byCut("second", candidate.id),
        selfCertainty: candidate.selfCertainty ?? null,
        topK: candidate.topK ?? null,
        functions: program.steps.map((step) => ({ name: step.simpleName, text: withoutWords(step.rendered) })),
        examples,
        outputs,
        readability: program.readability,
      };
    }),
  };
}

/** LeetCode numbers what others name. */
function difficultyOf({ difficulty }: CandidateSetProblem): string | null {
  if (difficulty == null) return null;
  const text = String(difficulty).toLowerCase();
  return { "1": "easy", "2": "medium", "3": "hard" }[text] ?? text;
}

/** Values against min-rule labels, attributions against own verdicts. */
function stepTruth(
  problem: CandidateSetProblem,
  candidate: Labelled,
  program: Program,
  reward: Reward | undefined,
): StepTruth | null {
  if (!reward) return null;
  const steps = program.steps.map(({ name, simpleName, rendered }) => ({ name, simpleName, text: rendered }));
  const row = candidateRow(problem, candidate, steps, { prompt: "", renderVersion: RENDER_VERSION });
  const truth: StepTruth = { group: `${problem.group} ${poolOf(problem.set, candidate)}`, value: [], own: [] };
  row.labels.forEach((label, k) => {
    const [value, attribution] = [reward.rewards[k] ?? null, reward.attribution[k] ?? null];
    if (value !== null && label !== null && (row.source[k] === "min_rule" || row.source[k] === "mutation"))
      truth.value.push([value, label]);
    if (attribution !== null && row.own[k] != null) truth.own.push([attribution, row.own[k]]);
  });
  return truth;
}

/** Candidates of one problem and generator are compared with one another too. */
function merged(steps: readonly StepTruth[]): StepTruth[] {
  const byGroup = new Map<string, StepTruth>();
  for (const { group, value, own } of steps) {
    const sum = byGroup.get(group) ?? { group, value: [], own: [] };
    sum.value.push(...value);
    sum.own.push(...own);
    byGroup.set(group, sum);
  }
  // The unit of the bootstrap is the problem, whichever generator wrote the candidate.
  return [...byGroup.values()].map((one) => ({ ...one, group: one.group.split(" ")[0]! }));
}

function countModularity(
  counts: Map<string, SetReport["modularity"][number]>,
  candidate: Labelled,
  entryPoint: string | null,
  outline: Outline,
): void {
  const { definitions } = outline;
  const count = counts.get(candidate.model) ?? {
    model: candidate.model,
    programs: 0,
    multi: 0,
    docstrings: 0,
    nested: 0,
    mainFirst: 0,
  };
  count.programs += 1;
  if (definitions.length >= 2) count.multi += 1;
  if (definitions.length > 0 && definitions.every((one) => one.docstring !== null)) count.docstrings += 1;
  if (definitions.some((one) => one.nested > 0)) count.nested += 1;
  if (programCompliance(candidate.code, entryPoint, () => outline).mainFirst) count.mainFirst += 1;
  counts.set(candidate.model, count);
}
