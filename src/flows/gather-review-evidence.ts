/**
 * What machines know of a changed function beside its rewards (issue E item 4): tests that ran elsewhere, similar functions whose
 * outcome is known, candidates that were sampled for the same issue. Only what speaks against a function is evidence.
 */
import { consensus } from "../domain/consensus.ts";
import { decided, gradedLabels } from "../domain/graded-label.ts";
import { functionId, ofKind } from "../domain/outcome.ts";
import type { ReviewEvidence } from "../domain/review.ts";
import type { ChangedFunction } from "../domain/review-scope.ts";
import { sketchOf, sketchSimilarity } from "../domain/sketch.ts";
import type { Clock, LearningStore, PullRequestFacts, RepoRef, ReviewStore, RunStore } from "../ports.ts";

/** Below it two functions share little more than the language's own words. */
const SIMILAR = 0.5;
const NEIGHBOURS = { least: 3, most: 5 };
/** The newest that are looked at: the work of one review stays bounded. */
const MOST_ROWS = 20_000;
const MOST_PULL_REQUESTS = 500;
const POPULATION = { least: 3, distance: 0.2 };
const TESTS_NAMED = 3;

export type EvidencePorts = {
  reviews: Pick<ReviewStore, "reviewed">;
  learning: Pick<LearningStore, "events" | "removedActors">;
  runs: Pick<RunStore, "latestRun" | "candidates">;
  clock: Clock;
};

type Labelled = { pullRequest: number; id: string; hash: string; sketch: string; correct: boolean };
export type ReviewEvidenceAt = {
  of(one: ChangedFunction): ReviewEvidence[];
  /** Fills as functions are asked for, by body hash. */
  sketches: ReadonlyMap<string, string>;
  /** Whether a function of another pull request turned out right; null while that is not known. */
  outcomes(pullRequest: number, id: string, bodyHash: string): boolean | null;
  /** Whether a person's word no longer counts, as if it had never been said (security.md section 4, poisoned labels). */
  isRemoved(login: string): boolean;
};
type Version = { issue: number; source: string };

export async function gatherReviewEvidence(
  ports: EvidencePorts,
  ref: RepoRef,
  pull: Pick<PullRequestFacts, "number" | "headSha">,
  issues: readonly { number: number }[],
): Promise<ReviewEvidenceAt> {
  const failing = await failingTests(ports, ref, pull);
  const labelled = await labelledFunctions(ports, ref, pull.number);
  const outcomes = new Map(labelled.map((one) => [JSON.stringify([one.pullRequest, one.id, one.hash]), one.correct]));
  const population = await sampledVersions(ports, ref, issues);
  const sketches = new Map<string, string>();
  const removed = new Set((await ports.learning.removedActors()).map((login) => login.toLowerCase()));
  return {
    isRemoved: (login) => removed.has(login.toLowerCase()),
    sketches,
    outcomes: (...key) => outcomes.get(JSON.stringify(key)) ?? null,
    of: (one) => {
      const text = one.after!.rendered;
      const sketch = sketches.get(one.bodyHash) ?? sketchOf(text);
      sketches.set(one.bodyHash, sketch);
      const id = functionId(one.path, one.name);
      return [
        ...testEvidence(failing.get(id) ?? []),
        ...neighbourEvidence(sketch, labelled),
        ...populationEvidence(text, population.get(id) ?? []),
      ];
    },
  };
}

/** Tests that failed at this head and executed a function, by function id; a test that passed in another run is flaky. */
async function failingTests(
  { learning }: EvidencePorts,
  ref: RepoRef,
  pull: Pick<PullRequestFacts, "number" | "headSha">,
): Promise<Map<string, string[]>> {
  const events = await learning.events(ref.repositoryId, pull.number);
  const results = ofKind(events, "tests").flatMap((event) => (event.sha === pull.headSha ? event.results : []));
  const passed = new Set(results.filter((one) => one.outcome === "passed").map((one) => one.id));
  const failing = new Map<string, string[]>();
  for (const { id, outcome, executes } of results) {
    if (outcome !== "failed" || passed.has(id)) continue;
    for (const name of executes) failing.set(name, [...new Set([...(failing.get(name) ?? []), id])]);
  }
  return failing;
}

function testEvidence(tests: readonly string[]): ReviewEvidence[] {
  if (tests.length === 0) return [];
  const more = tests.length > TESTS_NAMED ? ` and ${tests.length - TESTS_NAMED} more` : "";
  const verb = tests.length === 1 ? "fails" : "fail";
  return [{ kind: "tests", text: `${tests.slice(0, TESTS_NAMED).join(", ")}${more} ${verb} here and executed it` }];
}

/** Functions that other pull requests of the repository changed and whose outcome is known. */
async function labelledFunctions(
  { reviews, learning, clock }: EvidencePorts,
  ref: RepoRef,
  own: number,
): Promise<Labelled[]> {
  const known = await reviews.reviewed({ repositoryId: ref.repositoryId, newest: MOST_ROWS });
  const rows = known.filter((row) => row.pullRequest !== own);
  const labelled: Labelled[] = [];
  for (const [pullRequest, functions] of [...Map.groupBy(rows, (row) => row.pullRequest)].slice(-MOST_PULL_REQUESTS)) {
    const events = await learning.events(ref.repositoryId, pullRequest);
    const sketches = new Map(functions.map((row) => [JSON.stringify([row.function, row.bodyHash]), row.sketch]));
    for (const { function: id, hash, label } of decided(
      gradedLabels(ref.repositoryId, events, clock.now().getTime()),
    )) {
      const sketch = sketches.get(JSON.stringify([id, hash]));
      if (sketch !== undefined && label !== null)
        labelled.push({ pullRequest, id, hash, sketch, correct: label === 1 });
    }
  }
  return labelled;
}

function neighbourEvidence(sketch: string, neighbours: readonly Labelled[]): ReviewEvidence[] {
  const near = neighbours
    .map((one) => ({ ...one, similarity: sketchSimilarity(sketch, one.sketch) }))
    .filter((one) => one.similarity >= SIMILAR)
    .sort((a, b) => b.similarity - a.similarity)
    .slice(0, NEIGHBOURS.most);
  const wrong = near.filter((one) => !one.correct).length;
  if (near.length < NEIGHBOURS.least || 2 * wrong <= near.length) return [];
  const [most, least] = [near[0]!.similarity, near.at(-1)!.similarity];
  return [
    {
      kind: "neighbours",
      text: `${wrong} of the ${near.length} most similar functions with a known outcome were wrong (similarity ${least.toFixed(2)} to ${most.toFixed(2)})`,
    },
  ];
}

/** Distinct versions of each function in the candidates of the issues that the pull request closes. */
async function sampledVersions(
  { runs }: EvidencePorts,
  ref: RepoRef,
  issues: readonly { number: number }[],
): Promise<Map<string, Version[]>> {
  const versions = new Map<string, Version[]>();
  for (const { number } of issues) {
    const run = await runs.latestRun(ref.repositoryId, number);
    for (const { candidate } of run === null ? [] : await runs.candidates(run.id)) {
      if (candidate.status !== "scored") continue;
      for (const step of candidate.steps) {
        if (step.path === null) continue;
        const id = functionId(step.path, step.name);
        versions.set(id, [...(versions.get(id) ?? []), { issue: number, source: step.source }]);
      }
    }
  }
  return versions;
}

function populationEvidence(text: string, versions: readonly Version[]): ReviewEvidence[] {
  if (versions.length < POPULATION.least) return [];
  const [own, ...others] = consensus([text, ...versions.map((one) => one.source)]);
  const mean = others.reduce((sum, value) => sum + value, 0) / others.length;
  if (own! >= Math.min(...others) || mean - own! <= POPULATION.distance) return [];
  return [
    {
      kind: "population",
      text: `further from the ${versions.length} versions sampled for #${versions[0]!.issue} (similarity ${own!.toFixed(2)}) than these are from each other (${mean.toFixed(2)})`,
    },
  ];
}
