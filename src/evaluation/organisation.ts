/**
 * A synthetic organisation: people and an app change real functions, some with errors; tests, merges, fixes and reverts
 * follow as they do in life, so that labels are late, partial and sometimes wrong while the truth is known (issue H). What
 * comes out are the events and texts that a `LearningStore` would hold. Pure and seeded.
 */

import { sha256 } from "../domain/ids.ts";
import type { OutcomeEvent, TestResult } from "../domain/outcome.ts";
import { functionId } from "../domain/outcome.ts";
import { RENDER_VERSION, renderPrompt } from "../domain/render.ts";
import type { LabelledText } from "../ports.ts";
import { FAMILY, type KnownFunction } from "./known-functions.ts";
import { seeded } from "./statistics.ts";

export type OrganisationSettings = {
  pulls: number;
  repositories: number;
  people: number;
  seed: number;
  /** Share of function versions with an error of the family (where they have a place for it), and with another error. */
  familyShare: number;
  otherShare: number;
  /** Of functions, how many have a test that runs them; of wrong ones with such a test, how often it fails. */
  covered: number;
  testsCatch: number;
  /** Of errors that were merged, how many someone fixes within the window; of fixes, how many name an innocent function too. */
  fixed: number;
  innocent: number;
  /** Of changes, how many are issues that the app solved: stored candidates, judged by the merged tests. */
  solved: number;
  candidates: number;
};

export const ORGANISATION: OrganisationSettings = {
  pulls: 240,
  repositories: 12,
  people: 12,
  seed: 1,
  familyShare: 0.3,
  otherShare: 0.2,
  covered: 0.75,
  testsCatch: 0.35,
  fixed: 0.7,
  innocent: 0.25,
  solved: 0.35,
  candidates: 5,
};

export type SimulatedPull = {
  repositoryId: number;
  pullRequest: number;
  author: string;
  /** Facts of the pull request itself, and those that belong to its repository. */
  events: OutcomeEvent[];
  repositoryEvents: OutcomeEvent[];
  texts: LabelledText[];
};

/** What a version of a function is in truth. `kind` is `right`, the family's name or the kind of another error. */
type Truth = { right: 0 | 1; kind: string; function: string };

export type Organisation = {
  pulls: SimulatedPull[];
  /** By hash of the text. */
  truth: Map<string, Truth>;
  /** A time after every survival window. */
  end: number;
};

const START = Date.UTC(2026, 0, 5);
const HOUR = 3_600_000;
const INSTALLATION = 1;

type Change = { known: KnownFunction; text: string; kind: string; covered: boolean };

export function simulateOrganisation(
  functions: readonly KnownFunction[],
  settings: OrganisationSettings,
): Organisation {
  const random = seeded(settings.seed);
  const chance = (share: number) => random() < share;
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const people = Array.from({ length: settings.people }, (_, index) => `person-${index + 1}`);
  const shuffled = functions
    .map((one) => ({ one, order: random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ one }) => one);
  const owned = Array.from({ length: settings.repositories }, (_, index) =>
    shuffled.filter((_one, at) => at % settings.repositories === index),
  );
  const covered = new Map(functions.map((one) => [one, chance(settings.covered)]));
  const organisation: Organisation = { pulls: [], truth: new Map(), end: START };
  const numbers = owned.map(() => 0);
  const next = owned.map(() => 0);
  /** Errors that stand on a default branch, to be fixed by the pull request that comes at `due`. */
  const standing: { repository: number; change: Change; beside: Change[]; due: number }[] = [];

  for (let index = 0; index < settings.pulls; index++) {
    const now = START + index * 4 * HOUR;
    const ripe = standing.findIndex((one) => one.due <= now);
    const fix = ripe < 0 ? null : standing.splice(ripe, 1)[0]!;
    const repository = fix?.repository ?? Math.floor(random() * settings.repositories);
    const pool = owned[repository]!;
    const take = () => pool[next[repository]!++ % pool.length]!;
    const solves = fix === null && chance(settings.solved);
    const attempts = solves ? candidatesOf(take()) : [];
    const changes: Change[] = fix
      ? [versionOf(fix.change.known, "right")]
      : solves
        ? [attempts.find((one) => one.kind === "right") ?? attempts[0]!]
        : Array.from({ length: 1 + Math.floor(random() * 4) }, () => drawn(take()));
    numbers[repository]! += 1;
    const pull = pullRequest(repository, numbers[repository]!, now, changes, fix);
    if (solves) addJudged(pull, attempts, now);
    organisation.pulls.push(pull);
    for (const change of [...changes, ...attempts])
      organisation.truth.set(hashOf(change.text), {
        right: change.kind === "right" ? 1 : 0,
        kind: change.kind,
        function: functionId(change.known.path, change.known.name),
      });
    for (const change of changes)
      if (change.kind !== "right" && chance(settings.fixed))
        standing.push({
          repository,
          change,
          beside: changes.filter((one) => one !== change),
          due: now + (1 + Math.floor(random() * 20)) * 24 * HOUR,
        });
    standing.sort((a, b) => a.due - b.due);
    organisation.end = now + 31 * 24 * HOUR;
  }
  return organisation;

  function drawn(known: KnownFunction): Change {
    const draw = random();
    const wrong =
      draw < settings.familyShare && known.family.length > 0
        ? pick(known.family)
        : draw > 1 - settings.otherShare
          ? pick(known.others)
          : null;
    return versionOf(known, wrong?.kind ?? "right", wrong?.text);
  }

  /** Different answers to one issue: the right one, its errors of the family, other errors. */
  function candidatesOf(known: KnownFunction): Change[] {
    const wrong = [known.family[0], known.others[0], known.family[1], ...known.others.slice(1)].filter(
      (one) => one !== undefined,
    );
    const all = [versionOf(known, "right"), ...wrong.map((one) => versionOf(known, one.kind, one.text))];
    return all.slice(0, settings.candidates);
  }

  function addJudged(pull: SimulatedPull, attempts: readonly Change[], at: number): void {
    const run = `run-${pull.repositoryId}-${pull.pullRequest}`;
    const fact = { actor: pull.author, at: at + 7 * HOUR };
    const opened = pull.events.find((event) => event.kind === "merged")!;
    pull.events.push({
      ...fact,
      kind: "linked",
      id: `${run}/linked`,
      run,
      issue: 10_000 + pull.pullRequest,
      by: "run",
    });
    for (const [candidate, change] of attempts.entries()) {
      const functions = [{ id: idOf(change.known), hash: hashOf(change.text) }];
      const right = change.kind === "right";
      pull.events.push({
        ...fact,
        kind: "judged",
        id: `${run}/judged ${candidate}`,
        run,
        candidate,
        occasion: "merge",
        score: null,
        modelVersion: null,
        sha: opened.head,
        verdict: right ? "PASS" : "WRONG",
        label: right ? 1 : 0,
        reason: right ? "passes what the merged head passes" : "fails a test that the merged head passes",
        tier: 1,
        attested: "in-process",
        logSha256: sha256(`${run} ${candidate}`),
        functions,
        results: [],
      });
      pull.texts.push({ ...textOf(change, `Change ${change.known.name}`), candidate: { run, index: candidate } });
    }
  }

  function versionOf(known: KnownFunction, kind: string, text = known.text): Change {
    return { known, kind, text, covered: covered.get(known)! };
  }

  function pullRequest(
    repository: number,
    number: number,
    at: number,
    changes: readonly Change[],
    fix: (typeof standing)[number] | null,
  ): SimulatedPull {
    const repositoryId = 9_000 + repository;
    const author = pick(people);
    const sha = (what: string) => sha256(`${repositoryId} ${number} ${what}`).slice(0, 40);
    const [head, base, final] = [sha("head"), sha("base"), sha("final")];
    const fact = { actor: author };
    const id = (what: string) => `${repositoryId}/${number}/${what}`;
    const functionsAt = changes.map(({ known, text }) => ({ id: idOf(known), hash: hashOf(text) }));
    const tests = changes.filter((change) => change.covered);
    const caught = tests.filter((change) => change.kind !== "right" && chance(settings.testsCatch));
    const run = (commit: string, attempt: number, after: boolean): OutcomeEvent => ({
      ...fact,
      kind: "tests",
      id: id(`tests ${commit} ${attempt}`),
      at: at + (after ? 3 + attempt : 1) * HOUR,
      sha: commit,
      run: "ci",
      attempt,
      results: tests.map(
        (change): TestResult => ({
          id: `test_${change.known.name}`,
          // A fix comes with the test that shows the error: it fails on base.
          outcome: (after && caught.includes(change)) || (!after && fix !== null) ? "failed" : "passed",
          executes: [idOf(change.known)],
          traceback: after && caught.includes(change) ? [idOf(change.known)] : [],
        }),
      ),
    });
    const check = (commit: string, green: boolean): OutcomeEvent => ({
      ...fact,
      kind: "check",
      id: id(`check ${commit}`),
      at: at + 2 * HOUR,
      sha: commit,
      name: "test",
      attempt: 1,
      conclusion: green ? "success" : "failure",
      required: false,
    });
    const title = fix ? `Fix ${fix.change.known.name}` : `Change ${changes.map(({ known }) => known.name).join(", ")}`;
    const events: OutcomeEvent[] = [
      { ...fact, kind: "opened", id: id("opened"), at, number, head, base, defaultBranch: "main" },
      {
        ...fact,
        kind: "changes",
        id: id("changes"),
        at,
        head,
        paths: [...new Set(changes.map(({ known }) => known.path))],
        functions: functionsAt,
      },
      check(base, true),
      check(head, caught.length === 0),
      run(base, 1, false),
      run(head, 1, true),
      run(head, 2, true),
      { ...fact, kind: "merged", id: id("merged"), at: at + 6 * HOUR, head, testMerge: null, final: [final] },
    ];
    // A person's fix sometimes touches what was right as well.
    const innocents = fix ? fix.beside.filter(() => chance(settings.innocent)) : [];
    const pushed: OutcomeEvent = {
      ...fact,
      kind: "pushed",
      id: id("pushed"),
      at: at + 6 * HOUR,
      branch: "main",
      commits: [
        {
          sha: final,
          message: `${title} (#${number})`,
          functions: [...changes.map(({ known }) => idOf(known)), ...innocents.map(({ known }) => idOf(known))],
        },
      ],
    };
    const texts = changes.map((change) => textOf(change, title));
    return { repositoryId, pullRequest: number, author, events, repositoryEvents: [pushed], texts };
  }
}

function textOf({ known, text }: Change, title: string): LabelledText {
  return {
    function: idOf(known),
    candidate: null,
    hash: hashOf(text),
    language: "python",
    prompt: renderPrompt(`${title}\n\n${known.purpose}`),
    completions: [text],
    renderVersion: RENDER_VERSION,
  };
}

const idOf = (known: KnownFunction) => functionId(known.path, known.name);
const hashOf = (text: string) => sha256(text);

/** Where the facts of a simulated pull request belong. */
export function placeOf(pull: SimulatedPull) {
  return { installationId: INSTALLATION, repositoryId: pull.repositoryId, pullRequest: pull.pullRequest };
}

/** The poison: what the tests say of `actor`'s own pull requests is turned round. */
export function flipped(pull: SimulatedPull, actor: string): SimulatedPull {
  if (pull.author !== actor) return pull;
  const bases = new Set(pull.events.flatMap((event) => (event.kind === "opened" ? [event.base] : [])));
  return {
    ...pull,
    events: pull.events.map((event) => {
      if (event.kind === "judged" && event.label !== null) return { ...event, label: event.label === 1 ? 0 : 1 };
      if (event.kind !== "tests" || bases.has(event.sha)) return event;
      const results = event.results.map(
        (one): TestResult => ({
          ...one,
          outcome: one.outcome === "passed" ? "failed" : "passed",
          traceback: [...one.executes],
        }),
      );
      return { ...event, results };
    }),
  };
}

export type Pair = { function: string; kind: string; prompt: string; right: string; wrong: string };

/** Right against wrong of functions that the organisation never saw: the family apart from the other kinds. */
export function unseenPairs(functions: readonly KnownFunction[]): Pair[] {
  return functions.flatMap((known) => {
    const wrong = [known.family[0], known.others[0]].filter((one) => one !== undefined);
    return wrong.map((version) => ({
      function: idOf(known),
      kind: version.kind === FAMILY ? FAMILY : "other",
      prompt: renderPrompt(`Change ${known.name}\n\n${known.purpose}`),
      right: known.text,
      wrong: version.text,
    }));
  });
}
