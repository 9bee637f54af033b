/**
 * What a pull request's outcome says of each of its functions (grades: product.md 4.9). Every signal is a row of its own with
 * its provenance, and which signal wins is decided when a training set is made: so one actor's facts can be taken away
 * (`withoutActor`) and the set is as if they had never been (security.md, poisoned labels).
 */
import { sha256 } from "./ids.ts";
import {
  type EventOf,
  type FunctionAt,
  history,
  type Outcome,
  type OutcomeEvent,
  ofKind,
  outcomeOf,
  type TestResult,
} from "./outcome.ts";

/** A+, A−: a test that runs the function; B+, B−: green checks with coverage, revert or fix; C: reported, never trained on. */
export type Grade = "A+" | "A-" | "B+" | "B-" | "C";

export type GradedLabel = {
  repository: number;
  pullRequest: number;
  head: string;
  function: string;
  /** Hash of the function's text the label speaks of. */
  hash: string;
  grade: Grade;
  /** 1 right, 0 wrong; null for C. */
  label: 0 | 1 | null;
  /** Whose act decided it: the author, or for B− who reverted or fixed. */
  actor: string;
  /** Who opened the pull request, or asked the app for it. */
  author: string;
  reason: string;
  /** Ids of the events it rests on, sorted. */
  events: string[];
  /** What people with write access said with `/funprm right|wrong`: null when nobody did or they disagree. */
  human: "right" | "wrong" | null;
};

type Signal = Pick<GradedLabel, "grade" | "actor" | "reason" | "events">;

/**
 * All signals of one pull request at `now`, sorted by function and grade: none while it is pending, when CI files changed or
 * when the changes at its head are not known. A function without an A or B signal has one of grade C.
 */
export function gradedLabels(repository: number, delivered: readonly OutcomeEvent[], now: number): GradedLabel[] {
  const events = history(delivered, now);
  const outcome = outcomeOf(events, now);
  const { author, head, number } = outcome;
  const changes = ofKind(events, "changes").findLast((event) => event.head === head);
  if (author === null || head === null || number === null || outcome.state === "pending") return [];
  if (changes === undefined || outcome.ciChanged !== false) return [];
  const atHead = new Map(changes.functions.map((one) => [one.id, one.hash]));
  const proposed = ofKind(events, "proposed").at(-1)?.functions ?? changes.functions;
  const inFull = { ...outcome, author };
  const facts = { repository, pullRequest: number, author };
  const runs = ofKind(events, "tests");
  const tests: TestRows = {
    head: rowsByTest(runs.filter((run) => outcome.shas.includes(run.sha))),
    base: rowsByTest(runs.filter((run) => run.sha === outcome.base)),
  };
  const standing = [...proposed]
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .flatMap(({ id, hash }) =>
      signalsOf(id, atHead.get(id) === hash, inFull, tests).map(
        (signal): GradedLabel => ({
          ...facts,
          head,
          function: id,
          hash,
          ...signal,
          events: [...new Set(signal.events)].sort(),
          label: signal.grade === "C" ? null : signal.grade.endsWith("+") ? 1 : 0,
          human: humanVerdict(events, id),
        }),
      ),
    );
  return [...standing, ...replaced(facts, changes.functions, inFull, tests)];
}

/**
 * The other half of A+: the text that the merged one replaces, where a test failed on base while it ran that function and no
 * other that the pull request changes, and passes now. So a mended function leaves both signs, of one problem.
 */
function replaced(
  facts: Pick<GradedLabel, "repository" | "pullRequest" | "author">,
  functions: readonly FunctionAt[],
  outcome: Outcome,
  { head, base }: TestRows,
): GradedLabel[] {
  if (outcome.state !== "merged" || outcome.base === null) return [];
  const failing = [...base]
    .filter(([, rows]) => rows.some((row) => row.outcome !== "passed"))
    .map(([test]) => test)
    .sort();
  const found = new Map<string, GradedLabel>();
  for (const test of failing) {
    const [after, before] = [head.get(test) ?? [], base.get(test)!];
    const executed = new Set([...after, ...before].flatMap((row) => row.executes));
    const ran = functions.filter((one) => executed.has(one.id));
    const only = ran[0];
    if (ran.length !== 1 || only?.before === undefined || found.has(only.id)) continue;
    // Comments and blank lines are no other text: what mended the test is elsewhere.
    if (only.before === only.hash) continue;
    if (after.length === 0 || !after.every((row) => row.outcome === "passed")) continue;
    if (!before.every((row) => row.outcome !== "passed" && row.executes.includes(only.id))) continue;
    found.set(only.id, {
      ...facts,
      head: outcome.base,
      function: only.id,
      hash: only.before,
      grade: "A-",
      label: 0,
      actor: facts.author,
      reason: `${test} failed on base in it and passes without it`,
      events: [...new Set([...after, ...before].map((row) => row.event))].sort(),
      human: null,
    });
  }
  return [...found.values()];
}

function signalsOf(id: string, unchanged: boolean, outcome: Outcome & { author: string }, rows: TestRows): Signal[] {
  const { author } = outcome;
  const only = (reason: string): Signal[] => [{ grade: "C", actor: author, reason, events: outcome.evidence }];
  // What was not merged was not vetted: its own tests must not earn its author a label.
  if (outcome.state === "closed") return only("closed unmerged");
  if (!unchanged) return only("rewritten or dropped before the merge");
  const signals: Signal[] = [];
  const tests = testsOf(id, rows);
  if (tests.broken) signals.push({ grade: "A-", actor: author, ...tests.broken });
  if (tests.fixed) signals.push({ grade: "A+", actor: author, ...tests.fixed });
  for (const edit of outcome.reverts)
    if (edit.functions?.includes(id))
      signals.push({ grade: "B-", actor: edit.actor, reason: `reverted by ${edit.commit}`, events: [edit.event] });
  for (const edit of outcome.fixes)
    if (edit.functions?.includes(id))
      signals.push({ grade: "B-", actor: edit.actor, reason: `fixed by ${edit.commit}`, events: [edit.event] });
  // What a revert took back is not known to be right either.
  const perhapsUndone = outcome.reverts.some((edit) => edit.functions === null);
  if (outcome.checks.state === "green" && tests.covered !== null && !perhapsUndone)
    signals.push({
      grade: "B+",
      actor: author,
      reason: "checks green and the function is covered",
      events: [...outcome.checks.events, ...tests.covered],
    });
  if (signals.length > 0) return signals;
  if (perhapsUndone) return only("reverted, not known which functions");
  return only(outcome.checks.state === "green" ? "merged, not covered" : `merged, checks: ${outcome.checks.reason}`);
}

type TestFinding = { reason: string; events: string[] } | null;

type TestRow = TestResult & { event: string; run: string };
/** What each test said in all runs of the merged code and of base, skips left out. */
type TestRows = { head: ReadonlyMap<string, TestRow[]>; base: ReadonlyMap<string, TestRow[]> };

function rowsByTest(runs: readonly EventOf<"tests">[]): Map<string, TestRow[]> {
  const rows = runs.flatMap((run) =>
    run.results
      .filter((result) => result.outcome !== "skipped")
      .map((result) => ({ ...result, event: run.id, run: `${run.sha} ${run.run} ${run.attempt}` })),
  );
  return Map.groupBy(rows, (row) => row.id);
}

/** What the tests that execute function `id` say: per test over all runs of the merged code against all runs of base. */
function testsOf(
  id: string,
  { head, base }: TestRows,
): { broken: TestFinding; fixed: TestFinding; covered: string[] | null } {
  const executing = [...head].filter(([, rows]) => rows.some((row) => row.executes.includes(id)));
  const found = { broken: null as TestFinding, fixed: null as TestFinding };
  const covered: string[] = [];
  for (const [test, now] of executing.sort(([a], [b]) => (a < b ? -1 : 1))) {
    const before = base.get(test) ?? [];
    const passes = now.every((row) => row.outcome === "passed");
    if (passes) covered.push(...now.map((row) => row.event));
    if (before.length === 0) continue;
    const events = [...now, ...before].map((row) => row.event);
    // An error that never came to the function (a name that base lacks) says nothing of it: its author could earn it at will.
    const failedInIt = before.every(
      (row) => row.outcome === "failed" || (row.outcome === "error" && row.executes.includes(id)),
    );
    if (passes && failedInIt) found.fixed ??= { reason: `${test} failed on base and passes`, events };
    const blamed = now.every(
      (row) => row.outcome === "failed" && row.executes.includes(id) && row.traceback.includes(id),
    );
    if (blamed && new Set(now.map((row) => row.run)).size >= 2 && before.every((row) => row.outcome === "passed"))
      found.broken ??= { reason: `${test} passed on base and fails twice in the function`, events };
  }
  return { ...found, covered: covered.length === 0 ? null : covered };
}

/** Each person's last word; null unless all agree. */
function humanVerdict(events: readonly OutcomeEvent[], id: string): "right" | "wrong" | null {
  const words = new Map<string, "right" | "wrong">();
  for (const event of ofKind(events, "verdict")) if (event.function === id) words.set(event.actor, event.verdict);
  const said = new Set(words.values());
  return said.size === 1 ? [...said][0]! : null;
}

/**
 * One label per function and head, sorted by key. A− wins (a function is right only when every test that runs it says so),
 * then B− over B+; A+ against B− is a disagreement: C.
 */
export function decided(labels: readonly GradedLabel[]): GradedLabel[] {
  const byKey = new Map<string, GradedLabel[]>();
  for (const label of labels) byKey.set(keyOf(label), [...(byKey.get(keyOf(label)) ?? []), label]);
  return [...byKey.keys()].sort().map((key) => {
    const all = byKey.get(key)!.sort((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1));
    const of = (grade: Grade) => all.find((label) => label.grade === grade);
    const [fixed, undone] = [of("A+"), of("B-")];
    if (of("A-") === undefined && fixed !== undefined && undone !== undefined)
      return {
        ...fixed,
        grade: "C",
        label: null,
        reason: `${fixed.reason}, but ${undone.reason}`,
        events: [...new Set([...fixed.events, ...undone.events])].sort(),
      };
    return of("A-") ?? fixed ?? undone ?? of("B+") ?? all[0]!;
  });
}

/**
 * What a model may train on: decided labels of grade A and B, at most `perActor` of the one who decided each. Which of an
 * actor's labels stay is chosen by hash, so it depends neither on time nor on anybody else's labels.
 */
export function trainable(labels: readonly GradedLabel[], perActor: number): GradedLabel[] {
  const taken = new Map<string, number>();
  return decided(labels)
    .filter((label) => label.grade !== "C")
    .map((label) => ({ label, order: sha256(keyOf(label)) }))
    .sort((a, b) => (a.order < b.order ? -1 : 1))
    .filter(({ label }) => {
      const count = (taken.get(label.actor) ?? 0) + 1;
      taken.set(label.actor, count);
      return count <= perActor;
    })
    .map(({ label }) => label);
}

/** The outcome's key (security.md section 5) with the function in place of the check. */
function keyOf({ repository, head, function: id, hash }: GradedLabel): string {
  return JSON.stringify([repository, head, id, hash]);
}

function orderOf(label: GradedLabel): string {
  return JSON.stringify([label.pullRequest, label.author, label.actor, label.events, label.reason]);
}
