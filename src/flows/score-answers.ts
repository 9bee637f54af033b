/**
 * An issue and a tree of files → answers, those that survive screening, and what the reward model says of each. Nothing of
 * the repository runs here: a replay does exactly this again.
 */
import type { Candidate, ChangedFile } from "../domain/candidate.ts";
import { type ChainStep, chainOfEdits, touchedFunctions } from "../domain/chain.ts";
import { promptSha256, repositoryPrompt } from "../domain/chain-of-function.ts";
import type { OutlineOf } from "../domain/cof-answer.ts";
import type { Touched } from "../domain/comment.ts";
import { sanitizeIssueText } from "../domain/issue-text.ts";
import type { Found, Located } from "../domain/relevance.ts";
import type { PatchPolicy } from "../domain/screen.ts";
import type { Checkout, Generator, RewardModel, Syntax } from "../ports.ts";
import { findRelevantCode, type LookedAt } from "./find-relevant-code.ts";
import { sampleCandidates } from "./sample-candidates.ts";
import { scoreSteps } from "./score-candidates.ts";
import { screenCandidates } from "./screen-candidates.ts";

export type Problem = {
  /** Key of recorded answers, `owner/repo#number`. */
  key: string;
  title: string;
  body: string;
  seed: number;
};

export type AnswerSettings = {
  /** How many candidates, at least 1. */
  candidates: number;
  temperature: number | null;
  maxTokens: number;
  policy: PatchPolicy;
};

export type AnswerPorts = { syntax: Syntax; generator: Generator; model: RewardModel };

export type AnswerHooks = {
  /** Candidates stored by an earlier attempt: not sampled, and not paid, again. */
  stored: readonly Candidate[];
  onStage(stage: "reading" | "sampling" | "scoring"): Promise<void>;
  /** Called whenever a candidate is new or changed, before anything rests on it. */
  onCandidate(candidate: Candidate): Promise<void>;
  onRelevant(relevant: readonly Located[], prompt: string, lookedAt: LookedAt | null): Promise<void>;
};

/** A candidate that parses, applies and stays inside the patch rules. */
export type Survivor = {
  candidate: Candidate;
  files: ChangedFile[];
  chain: ChainStep[];
  /** Functions that it changes or adds, in the order of its answer. */
  touched: Touched[];
  /** How many samples were exactly this one, itself included. */
  multiplicity: number;
};

export type ScoredAnswers = {
  /** Without what people hide in issues. */
  issue: { title: string; body: string };
  /** The issue as the reward model reads it. */
  statement: string;
  found: Found;
  promptSha256: string;
  /** All, in the order of their index. */
  candidates: Candidate[];
  survivors: Survivor[];
};

export async function scoreAnswers(
  problem: Problem,
  checkout: Checkout,
  ports: AnswerPorts,
  settings: AnswerSettings,
  hooks: AnswerHooks,
  signal: AbortSignal,
): Promise<ScoredAnswers> {
  const outlineOf: OutlineOf = (source) => ports.syntax.outline(source, "python");
  await hooks.onStage("reading");
  const issue = { title: sanitizeIssueText(problem.title).text, body: sanitizeIssueText(problem.body).text };
  const found = await findRelevantCode(checkout, issue, ports.syntax, signal);
  const messages = repositoryPrompt(issue, found.code, "cof");
  const prompt = promptSha256(messages);
  await hooks.onRelevant(found.located, prompt, found.lookedAt);

  await hooks.onStage("sampling");
  const request = {
    messages,
    n: settings.candidates,
    temperature: settings.temperature,
    seed: problem.seed,
    maxTokens: settings.maxTokens,
    problem: problem.key,
  };
  const sampled = await sampleCandidates(
    ports.generator,
    request,
    { stored: hooks.stored, outline: outlineOf, onCandidate: hooks.onCandidate },
    signal,
  );

  await hooks.onStage("scoring");
  const screened = await screenCandidates(sampled, checkout, settings.policy, outlineOf);
  const survivors = screened.flatMap(({ candidate, files }): Survivor[] =>
    files === null
      ? []
      : [
          {
            candidate,
            files,
            chain: chainOfEdits(candidate.edits!, files, outlineOf),
            touched: touchedFunctions(candidate.edits!, files, outlineOf),
            multiplicity: 1 + screened.filter((other) => other.candidate.duplicateOf === candidate.index).length,
          },
        ],
  );
  const statement = [issue.title, issue.body].filter((part) => part.trim() !== "").join("\n\n");
  const scored = await scoreSteps(
    ports.model,
    statement,
    survivors.map((one) => ({
      id: `${one.candidate.index}`,
      steps: one.chain.map(({ step, rendered }) => ({ rendered, signature: step.signature })),
    })),
    {},
    signal,
  );
  for (const [i, one] of survivors.entries()) {
    const score = scored[i]!;
    one.candidate = {
      ...one.candidate,
      status: "scored",
      steps: one.chain.map(({ step }, k) => ({
        ...step,
        reward: score.rewards[k]!,
        attribution: score.attribution[k]!,
        reason: score.reasons[k]!,
      })),
      score: score.score,
    };
  }
  const byIndex = new Map(screened.map((one) => [one.candidate.index, one.candidate]));
  for (const one of survivors) byIndex.set(one.candidate.index, one.candidate);
  for (const candidate of byIndex.values()) await hooks.onCandidate(candidate);
  const candidates = [...byIndex.values()].sort((a, b) => a.index - b.index);
  return { issue, statement, found, promptSha256: prompt, candidates, survivors };
}
