/** A solution as the manifest that a replay starts from. */
import type { Candidate } from "../domain/candidate.ts";
import { COF_PROMPT_VERSION } from "../domain/chain-of-function.ts";
import type { ReproductionReport } from "../domain/evidence.ts";
import { sha256 } from "../domain/ids.ts";
import type { ModelInfo } from "../domain/model.ts";
import type { RunFile, RunManifest } from "../domain/run-manifest.ts";
import type { Checkout, Generator } from "../ports.ts";
import type { Problem } from "./score-answers.ts";
import type { Solution, SolveSettings } from "./solve-problem.ts";

export type RunFacts = Pick<RunManifest, "at" | "run"> & {
  problem: Problem;
  base: Checkout["sha"];
  settings: SolveSettings;
  generator: Pick<Generator, "name" | "model" | "origin">;
  scorer: ModelInfo;
};

export function manifestOf({ problem, settings, ...facts }: RunFacts, solution: Solution): Omit<RunManifest, "funprm"> {
  const { selection, evidence } = solution;
  const { candidates, temperature, maxTokens, rule, scorer, addTest, belief, policy, tests } = settings;
  const added = addedTest(solution.reproduction);
  return {
    version: 1,
    at: facts.at,
    run: facts.run,
    base: { sha: facts.base, tree: solution.baseTree },
    problem: {
      key: problem.key,
      seed: problem.seed,
      titleSha256: sha256(problem.title),
      bodySha256: sha256(problem.body),
    },
    settings: {
      candidates,
      temperature,
      maxTokens,
      rule,
      scorer,
      addTest,
      belief,
      blockedPaths: policy.blockedPaths,
      allowedPaths: policy.allowedPaths,
      tests: { run: tests.run, command: tests.command, timeoutSeconds: tests.timeoutSeconds },
    },
    prompt: { version: COF_PROMPT_VERSION, sha256: solution.promptSha256 },
    generator: { name: facts.generator.name, model: facts.generator.model, origin: facts.generator.origin },
    scorer: facts.scorer,
    candidates: solution.candidates.map((one) => ({
      index: one.index,
      answerSha256: sha256(one.raw),
      finishReason: one.sampling.finishReason,
      status: one.status,
      reason: one.reason,
      duplicateOf: one.duplicateOf,
      rewards: one.steps.map(({ reward }) => reward),
      score: one.score,
      evidence: evidence.get(one.index) ?? null,
    })),
    demanded: solution.demanded,
    addedTest: added && { path: added.path, sha256: sha256(added.source) },
    selection: {
      selected: selection.selected,
      reason: selection.reason,
      abstention: selection.abstention?.reason ?? null,
    },
    tree: solution.tree,
  };
}

/** The texts that the manifest holds the digests of. */
export function textsOf(
  problem: Pick<Problem, "title" | "body">,
  candidates: readonly Candidate[],
  reproduction: ReproductionReport | null,
): RunFile["texts"] {
  return {
    title: problem.title,
    body: problem.body,
    answers: Object.fromEntries(candidates.map(({ index, raw }) => [index, raw])),
    addedTest: addedTest(reproduction)?.source ?? null,
  };
}

function addedTest(reproduction: ReproductionReport | null): { path: string; source: string } | null {
  if (!reproduction?.added || reproduction.path === null) return null;
  const test = reproduction.tests.find(({ name }) => name === reproduction.added);
  return test ? { path: reproduction.path, source: test.source } : null;
}
