/**
 * A run again from its manifest, on any machine, without a network: the same prompt, rewards, choice and tree, or what differs.
 * What ran in the sandbox is taken as recorded; nothing of the repository is executed.
 */
import { FunprmError } from "../domain/errors.ts";
import type { SurvivorEvidence } from "../domain/evidence.ts";
import type { RunFile, RunManifest } from "../domain/run-manifest.ts";
import type { Checkout, Generator, RewardModel, Syntax } from "../ports.ts";
import { chooseCandidate } from "./choose-candidate.ts";
import { type ScoredAnswers, scoreAnswers } from "./score-answers.ts";
import { boundedWords } from "./score-candidates.ts";

/** Largest difference of two rewards that count as identical: arithmetic of another processor. */
const TOLERANCE = 1e-5;

export type ReplayReport = {
  /** `recorded`: a language model judged; its answers cannot be had again and stand as they were. */
  rewards: { compared: number; maxDifference: number; source: "recomputed" | "recorded" };
  selected: number | null;
  tree: string | null;
  /** One line for everything that is not as it was; empty when the run is reproduced. */
  differences: string[];
};

/**
 * @param ports `model` is the one that the manifest names, by its hash (`MODEL_REFUSED` otherwise); unused where a language
 * model judged.
 * @param matches reads the globs of the settings.
 */
export async function replayRun(
  { manifest, texts }: RunFile,
  checkout: Checkout,
  ports: { syntax: Syntax; model: RewardModel },
  matches: (glob: string, path: string) => boolean,
  signal: AbortSignal,
): Promise<ReplayReport> {
  const judged = manifest.settings.scorer === "judge";
  if (!judged) sameModel(manifest, ports.model);
  const baseTree = await checkout.tree([]);
  if (baseTree !== manifest.base.tree)
    throw new FunprmError(
      "BAD_INPUT",
      `${checkout.root}: holds tree ${baseTree}, the run read ${manifest.base.tree} (${manifest.base.sha}); give the repository as the run found it`,
    );
  const { problem, settings } = manifest;
  const answers = await scoreAnswers(
    { key: problem.key, seed: problem.seed, title: texts.title, body: texts.body },
    checkout,
    {
      syntax: ports.syntax,
      generator: recordedAnswers(manifest, texts.answers),
      model: judged ? recordedRewards(manifest) : boundedWords(ports.model),
    },
    {
      candidates: settings.candidates,
      temperature: settings.temperature,
      maxTokens: settings.maxTokens,
      policy: { blockedPaths: settings.blockedPaths, allowedPaths: settings.allowedPaths, matches },
    },
    { stored: [], onStage: async () => {}, onCandidate: async () => {}, onRelevant: async () => {} },
    signal,
  );
  const differences: string[] = [];
  const differs = (what: string, before: unknown, now: unknown) => {
    if (JSON.stringify(before) !== JSON.stringify(now))
      differences.push(`${what}: ${JSON.stringify(before)} then, ${JSON.stringify(now)} now`);
  };
  differs("prompt", manifest.prompt.sha256, answers.promptSha256);
  const rewards = compareRewards(manifest, answers, differences);

  const evidence = new Map<number, SurvivorEvidence>(
    answers.survivors.map(({ candidate }) => [
      candidate.index,
      manifest.candidates.find(({ index }) => index === candidate.index)?.evidence ?? {
        tests: null,
        examples: null,
        written: null,
        knockout: null,
      },
    ]),
  );
  const { selection } = chooseCandidate(answers, evidence, {
    rule: settings.rule,
    scorer: settings.scorer,
    seed: problem.seed,
    sampled: settings.candidates,
    demanded: manifest.demanded,
    belief: settings.belief,
  });
  differs("selected candidate", manifest.selection.selected, selection.selected);
  differs("abstention", manifest.selection.abstention, selection.abstention?.reason ?? null);
  const chosen = answers.survivors.find(({ candidate }) => candidate.index === selection.selected);
  const added = manifest.addedTest && {
    path: manifest.addedTest.path,
    after: Buffer.from(texts.addedTest!),
  };
  const tree = chosen ? await checkout.tree([...chosen.files, ...(added ? [added] : [])]) : null;
  differs("tree", manifest.tree, tree);
  return {
    rewards: { ...rewards, source: judged ? "recorded" : "recomputed" },
    selected: selection.selected,
    tree,
    differences,
  };
}

function sameModel({ scorer }: RunManifest, { info }: RewardModel): void {
  if (info.sha256 === scorer.sha256 && info.renderVersion === scorer.renderVersion) return;
  throw new FunprmError(
    "MODEL_REFUSED",
    `the run was scored by ${scorer.name} ${scorer.version} (sha256 ${scorer.sha256.slice(0, 12)}), this is ${info.name} ${info.version} (${info.sha256.slice(0, 12)}); give its bundle with --model DIR`,
  );
}

function compareRewards(
  manifest: RunManifest,
  { candidates }: ScoredAnswers,
  differences: string[],
): { compared: number; maxDifference: number } {
  const now = new Map(candidates.map((one) => [one.index, one]));
  let [compared, maxDifference] = [0, 0];
  for (const before of manifest.candidates) {
    const one = now.get(before.index);
    if (one?.status !== before.status || one.duplicateOf !== before.duplicateOf) {
      differences.push(`candidate ${before.index}: ${before.status} then, ${one?.status ?? "missing"} now`);
      continue;
    }
    const rewards = one.steps.map(({ reward }) => reward);
    const apart = before.rewards.map((reward, k) => difference(reward, rewards[k]));
    compared += before.rewards.length;
    maxDifference = Math.max(maxDifference, ...apart);
    if (rewards.length !== before.rewards.length || apart.some((by) => by > TOLERANCE))
      differences.push(`rewards of candidate ${before.index}: ${list(before.rewards)} then, ${list(rewards)} now`);
  }
  return { compared, maxDifference };
}

/** Nothing where a number was, and the other way round, is as far apart as can be. */
function difference(before: number | null, now: number | null | undefined): number {
  if (before === null || now === null || now === undefined) return before === (now ?? null) ? 0 : 1;
  return Math.abs(before - now);
}

function list(rewards: readonly (number | null)[]): string {
  return `[${rewards.map((one) => (one === null ? "none" : one.toFixed(6))).join(", ")}]`;
}

/** The answers of the run as a generator gives them; what failed then fails again with the same words. */
function recordedAnswers(manifest: RunManifest, answers: Record<string, string>): Generator {
  const { name, model } = manifest.generator;
  return {
    name,
    model,
    origin: "replayed",
    async *sample({ n }) {
      for (const { index, finishReason, reason } of manifest.candidates.filter((one) => one.index < n)) {
        const text = answers[index] ?? "";
        const failed = text === "" ? /^([A-Z_]+): (.*)$/s.exec(reason ?? "") : null;
        const facts = {
          model,
          temperature: manifest.settings.temperature,
          seed: null,
          finishReason,
          promptTokens: null,
          completionTokens: null,
          costUsd: null,
          selfCertainty: null,
        };
        if (failed) yield { index, error: { code: failed[1]!, message: failed[2]! }, facts };
        else yield { index, text, facts };
      }
    },
  };
}

/** What a language model said then: rows of candidates by their id, nothing for the empty prefix. */
function recordedRewards({ scorer, candidates }: RunManifest): RewardModel {
  return {
    info: scorer,
    score: async (rows) =>
      rows.map((row) => {
        const found = candidates.find(({ index }) => `${index}` === row.id);
        const rewards = row.completions.map((_, k) => found?.rewards[k] ?? null);
        return {
          id: row.id,
          rewards,
          reasons: rewards.map((one) => (one === null ? "not recorded" : null)),
          tokens: row.completions.map((text) => text.length),
          truncatedTokens: 0,
          windowed: false,
        };
      }),
    dispose: async () => {},
  };
}
