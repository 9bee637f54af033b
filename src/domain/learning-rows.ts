/**
 * Labels of the log as training rows, and the split of them (issue H item 4): disjoint by problem, by repository and time,
 * and by text. What a row's group and split are depends on nothing but the log, so that a snapshot can be made again.
 */
import { labelSharedPrefixes, SPLITS, type Split, splitOf, type TrainingRow } from "./dataset.ts";
import type { Language } from "./function-step.ts";
import { type Grade, type GradedLabel, gradedLabels, trainable } from "./graded-label.ts";
import { sha256 } from "./ids.ts";
import { type EventOf, history, type OutcomeEvent, ofKind, outcomeOf, withoutActor } from "./outcome.ts";

/** Our own verdict of a candidate that nobody merged (security.md section 2, rule 5). */
const UNMERGED_WEIGHT = 0.5;
const WEEK = 7 * 24 * 3600 * 1000;

/** One pull request with its facts, and the texts that its labels speak of. */
export type LearntPull = {
  repositoryId: number;
  pullRequest: number;
  events: readonly OutcomeEvent[];
  texts: readonly LearntText[];
};

export type LearntText = {
  function: string;
  candidate: { run: string; index: number } | null;
  hash: string;
  language: Language;
  prompt: string;
  completions: string[];
  renderVersion: string;
};

export type SnapshotOptions = {
  /** Instant of the fold over the log, milliseconds since 1970. */
  now: number;
  /** Labels that one person may decide. */
  perActor: number;
  /** Logins whose facts are left out, as if they had never been. */
  without: readonly string[];
};

/** A row with what the card counts it by. */
export type LearntRow = { row: TrainingRow; repositoryId: number; grade: Grade | "judged"; actor: string };

export type LearntRows = {
  splits: Record<Split, LearntRow[]>;
  /** Labels by grade before any is left out, C among them; `judged`: verdicts of stored candidates. */
  labels: Record<string, number>;
  /** Labels left out, by reason. */
  left: Record<string, number>;
};

/** @param pulls in any order. Rows are sorted by id. */
export function learntRows(pulls: readonly LearntPull[], options: SnapshotOptions): LearntRows {
  const found: LearntRows = { splits: { training: [], meta: [], validation: [] }, labels: {}, left: {} };
  const known = pulls.map((pull) => ({
    ...pull,
    events: history(options.without.reduce<OutcomeEvent[]>(withoutActor, [...pull.events]), options.now),
  }));
  const groups = groupsOf(known);
  // Labels of each person, of functions and of candidates together.
  const taken = new Map<string, number>();
  const rows = [
    ...functionRows(known, groups, options, found, taken),
    ...candidateRows(known, groups, options, found, taken),
  ].sort((a, b) => (a.row.id < b.row.id ? -1 : 1));
  labelSharedPrefixes(rows.map(({ row }) => row));
  for (const one of rows) found.splits[splitOf(one.row.group)].push(one);
  disjointByText(found);
  found.splits.meta = withSiblings(found.splits.meta, found.left);
  return found;
}

/** The log's labels before caps, for reports and exports. */
export function labelsOf(pull: Pick<LearntPull, "repositoryId" | "events">, now: number): GradedLabel[] {
  return gradedLabels(pull.repositoryId, pull.events, now);
}

/**
 * Ids of the rows of one pull request that `actor` has a part in: all where they opened it, else those whose signals would be
 * others without them. Any snapshot may hold these, whatever it left out for other reasons.
 */
export function rowIdsOf(pull: Pick<LearntPull, "repositoryId" | "events">, actor: string, now: number): string[] {
  const signals = (events: readonly OutcomeEvent[]) =>
    Map.groupBy(gradedLabels(pull.repositoryId, events, now), (label) => rowIdOf(label));
  const without = withoutActor(pull.events, actor);
  const never = signals(without);
  const labels = [...signals(pull.events)].filter(([id, all]) => JSON.stringify(never.get(id)) !== JSON.stringify(all));
  const judged = without.length > 0 ? [] : ofKind(pull.events, "judged");
  return [...labels.map(([id]) => id), ...judged.map((one) => `candidate/${one.run}/${one.candidate}`)];
}

/** A stored candidate's score beside what the merged tests said: for calibration and figures, of any model. */
export type CandidateScore = {
  score: number;
  correct: boolean;
  language: Language;
  repositoryId: number;
  modelVersion: string;
  problem: string;
  run: string;
  candidate: number;
};

/** Every judged candidate with a label and a score, by run and index; each once. */
export function candidateScores(pulls: readonly LearntPull[]): CandidateScore[] {
  const found = new Map<string, CandidateScore>();
  for (const pull of pulls)
    for (const { run, candidate, label, score, modelVersion } of ofKind(pull.events, "judged"))
      if (label !== null && score !== null && modelVersion !== null)
        found.set(`${run} ${`${candidate}`.padStart(4, "0")}`, {
          score,
          correct: label === 1,
          language: pull.texts.find((text) => text.candidate?.run === run)?.language ?? "python",
          repositoryId: pull.repositoryId,
          modelVersion,
          problem: problemOf(pull),
          run,
          candidate,
        });
  return [...found.keys()].sort().map((key) => found.get(key)!);
}

/** Of runs whose two best were judged in shadow: how often only the first, or only the second, breaks none of base's tests. */
export type RankingSkill = { runs: number; firstOnly: number; secondOnly: number };

export function rankingSkill(pulls: readonly LearntPull[]): RankingSkill {
  const skill: RankingSkill = { runs: 0, firstOnly: 0, secondOnly: 0 };
  const shadows = pulls.flatMap((pull) => ofKind(pull.events, "judged").filter((one) => one.occasion === "shadow"));
  for (const pair of Map.groupBy(shadows, (one) => one.run).values()) {
    const [first, second] = pair
      .sort((a, b) => (b.score ?? 0) - (a.score ?? 0) || a.candidate - b.candidate)
      .map((one) => one.verdict === "PASS");
    if (first === undefined || second === undefined) continue;
    skill.runs += 1;
    if (first && !second) skill.firstOnly += 1;
    if (second && !first) skill.secondOnly += 1;
  }
  return skill;
}

/** An issue and every pull request and run of it are one problem; a pull request of no known issue is its own. */
function problemOf({ repositoryId, pullRequest, events }: LearntPull): string {
  const issue = ofKind(events, "linked")
    .map((event) => event.issue)
    .sort((a, b) => a - b)[0];
  return issue === undefined ? `${repositoryId}/pull/${pullRequest}` : `${repositoryId}/issue/${issue}`;
}

/**
 * Group of each problem: its repository and the week of its first merge. Work of one week resembles itself (one change in
 * several pull requests), so a week of a repository is never cut in two; and a problem never changes its split.
 */
function groupsOf(pulls: readonly LearntPull[]): Map<string, { group: string; date: string }> {
  const first = new Map<string, { at: number; repositoryId: number }>();
  for (const pull of pulls) {
    const at = ofKind(pull.events, "merged")[0]?.at;
    const problem = problemOf(pull);
    if (at !== undefined && at < (first.get(problem)?.at ?? Number.POSITIVE_INFINITY))
      first.set(problem, { at, repositoryId: pull.repositoryId });
  }
  return new Map(
    [...first].map(([problem, { at, repositoryId }]) => [
      problem,
      { group: `outcome/${repositoryId}/week/${Math.floor(at / WEEK)}`, date: new Date(at).toISOString().slice(0, 10) },
    ]),
  );
}

type Groups = ReturnType<typeof groupsOf>;

function functionRows(
  pulls: readonly LearntPull[],
  groups: Groups,
  options: SnapshotOptions,
  found: LearntRows,
  taken: Map<string, number>,
): LearntRow[] {
  const labels = pulls.flatMap((pull) => labelsOf(pull, options.now));
  for (const label of labels) count(found.labels, label.grade);
  const kept = trainable(labels, options.perActor);
  for (const { actor } of kept) taken.set(actor, (taken.get(actor) ?? 0) + 1);
  const decidedKeys = new Set(labels.filter((label) => label.grade !== "C").map(keyOf)).size;
  count(found.left, "over the cap of one person, or signals that disagree", decidedKeys - kept.length);
  const textOf = (label: GradedLabel) => JSON.stringify([label.repository, label.function, label.hash]);
  const shownWrong = new Set(kept.filter((label) => label.grade === "A-").map(textOf));
  return kept.flatMap((label): LearntRow[] => {
    if (label.label === 1 && shownWrong.has(textOf(label))) {
      count(found.left, "taken for right, shown wrong by a test later");
      return [];
    }
    const pull = pulls.find((one) => one.repositoryId === label.repository && one.pullRequest === label.pullRequest)!;
    const text = pull.texts.find(
      (one) => one.candidate === null && one.function === label.function && one.hash === label.hash,
    );
    const group = groups.get(problemOf(pull));
    if (text === undefined || group === undefined) {
      count(found.left, "text not kept");
      return [];
    }
    return [
      {
        repositoryId: label.repository,
        grade: label.grade,
        actor: label.actor,
        row: {
          ...factsOf(pull, group, text),
          id: rowIdOf(label),
          pool: null,
          labels: [label.label],
          own: [label.label],
          // A test that runs the function is clean; green checks, a revert and a fix speak of a whole change.
          counts: [label.grade.startsWith("A") ? null : [label.label!, 1]],
          source: [label.grade.startsWith("A") ? "outcome" : "broadcast"],
          weight: 1,
        },
      },
    ];
  });
}

function candidateRows(
  pulls: readonly LearntPull[],
  groups: Groups,
  options: SnapshotOptions,
  found: LearntRows,
  taken: Map<string, number>,
): LearntRow[] {
  const seen = new Set<string>();
  return [...pulls]
    .sort((a, b) => a.repositoryId - b.repositoryId || a.pullRequest - b.pullRequest)
    .flatMap((pull) => {
      const outcome = outcomeOf(pull.events, options.now);
      const judged = ofKind(pull.events, "judged").filter((one) => one.occasion === "merge");
      for (const one of judged) count(found.labels, one.label === null ? "judged, no label" : "judged");
      // A pull request that changes its own checks has tests that nobody vetted; a reverted one has tests that were taken back.
      if (outcome.author === null || outcome.state !== "merged" || outcome.ciChanged !== false) {
        count(found.left, "judged by tests that do not stand", judged.length);
        return [];
      }
      return judged.flatMap((one): LearntRow[] => {
        const text = pull.texts.find(
          ({ candidate }) => candidate?.run === one.run && candidate.index === one.candidate,
        );
        const group = groups.get(problemOf(pull));
        const id = `candidate/${one.run}/${one.candidate}`;
        if (one.label === null || seen.has(id)) return [];
        if (text === undefined || group === undefined) {
          count(found.left, "text not kept");
          return [];
        }
        const author = outcome.author!;
        taken.set(author, (taken.get(author) ?? 0) + 1);
        if (taken.get(author)! > options.perActor) {
          count(found.left, "over the cap of one person, or signals that disagree");
          return [];
        }
        seen.add(id);
        return [
          {
            repositoryId: pull.repositoryId,
            grade: "judged",
            actor: author,
            row: {
              ...factsOf(pull, group, text),
              id,
              pool: one.run,
              weight: UNMERGED_WEIGHT,
              ...stepLabels(one, text),
            },
          },
        ];
      });
    });
}

function factsOf(pull: LearntPull, { group, date }: { group: string; date: string }, text: LearntText) {
  return {
    problem: problemOf(pull),
    group,
    date,
    language: text.language,
    prompt: text.prompt,
    completions: [...text.completions],
    renderVersion: text.renderVersion,
  };
}

/**
 * The verdict is the last step's, clean; earlier steps have it as a broadcast until shared prefixes say more. Of the
 * functions themselves only this is known: all of a candidate that passes are right, and a lone one that fails is wrong.
 */
function stepLabels(
  judged: EventOf<"judged">,
  { completions }: LearntText,
): Pick<TrainingRow, "labels" | "own" | "counts" | "source"> {
  const label = judged.label!;
  const last = completions.length - 1;
  return {
    labels: completions.map(() => label),
    own: completions.map(() => (label === 1 ? 1 : completions.length === 1 ? 0 : null)),
    counts: completions.map((_, index) => (index === last ? null : [label, 1])),
    source: completions.map((_, index) => (index === last ? "outcome" : "broadcast")),
  };
}

/** The same text in two splits would be learnt in one and asked in the other: it stays in the later one. */
function disjointByText({ splits, left }: LearntRows): void {
  const later = new Set<string>();
  for (const split of SPLITS.toReversed()) {
    const texts = splits[split].map(({ row }) => sha256(JSON.stringify(row.completions)));
    splits[split] = splits[split].filter((_, index) => {
      if (!later.has(texts[index]!)) return true;
      count(left, "the same text in a later split");
      return false;
    });
    for (const text of texts) later.add(text);
  }
}

/** An unmerged candidate corrects labels only beside one of the other sign of the same problem. */
function withSiblings(rows: readonly LearntRow[], left: Record<string, number>): LearntRow[] {
  const signs = new Map<string, Set<number>>();
  for (const { row } of rows) signs.set(row.problem, (signs.get(row.problem) ?? new Set()).add(row.labels.at(-1)!));
  return rows.filter(({ row, grade }) => {
    if (grade !== "judged" || signs.get(row.problem)!.size === 2) return true;
    count(left, "no sibling of the other sign");
    return false;
  });
}

function rowIdOf(label: GradedLabel): string {
  return `outcome/${label.repository}/${label.pullRequest}/${sha256(keyOf(label)).slice(0, 16)}`;
}

function keyOf({ repository, head, function: id, hash }: GradedLabel): string {
  return JSON.stringify([repository, head, id, hash]);
}

function count(counts: Record<string, number>, key: string, by = 1): void {
  if (by > 0) counts[key] = (counts[key] ?? 0) + by;
}
