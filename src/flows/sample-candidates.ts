/** N answers of the generator → candidates, each saved as it arrives; a restart pays for none twice. */
import type { Candidate, SamplingFacts } from "../domain/candidate.ts";
import { editCompliance, type OutlineOf, parseRepositoryAnswer } from "../domain/cof-answer.ts";
import type { Generator, SampleRequest } from "../ports.ts";

export type SampleHooks = {
  stored: readonly Candidate[];
  outline: OutlineOf;
  onCandidate(candidate: Candidate): Promise<void>;
};

const NO_FACTS: SamplingFacts = {
  model: "",
  temperature: null,
  seed: null,
  finishReason: "error",
  promptTokens: null,
  completionTokens: null,
  costUsd: null,
  selfCertainty: null,
};

/** All candidates in the order of their index, the stored ones included. Stops between candidates when the signal aborts. */
export async function sampleCandidates(
  generator: Generator,
  request: SampleRequest,
  hooks: SampleHooks,
  signal: AbortSignal,
): Promise<Candidate[]> {
  const candidates = new Map(hooks.stored.map((candidate) => [candidate.index, candidate]));
  const skip = new Set(candidates.keys());
  if (skip.size < request.n) {
    for await (const sample of generator.sample({ ...request, skip }, signal)) {
      const candidate =
        "text" in sample
          ? candidateOf(sample.index, sample.text, sample.facts, hooks.outline)
          : blank(
              sample.index,
              "",
              sample.facts ?? { ...NO_FACTS, model: generator.model },
              `${sample.error.code}: ${sample.error.message}`,
            );
      candidates.set(candidate.index, candidate);
      await hooks.onCandidate(candidate);
      signal.throwIfAborted();
    }
  }
  signal.throwIfAborted();
  return [...candidates.values()].sort((a, b) => a.index - b.index);
}

function candidateOf(index: number, text: string, facts: SamplingFacts, outline: OutlineOf): Candidate {
  const answer = parseRepositoryAnswer(text, { finishReason: facts.finishReason, outline });
  if (!answer.ok) return blank(index, text, facts, answer.reason);
  return {
    ...blank(index, text, facts, null),
    edits: answer.edits,
    compliance: editCompliance(answer.edits.functions, outline),
  };
}

function blank(index: number, raw: string, sampling: SamplingFacts, reason: string | null): Candidate {
  return {
    index,
    status: reason === null ? "sampled" : "rejected",
    reason,
    duplicateOf: null,
    raw,
    sampling,
    edits: null,
    compliance: null,
    steps: [],
    score: null,
    verdict: "NOT_RUN",
  };
}
