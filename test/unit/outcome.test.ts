import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decided, type Grade, gradedLabels, trainable } from "../../src/domain/graded-label.ts";
import {
  type Conclusion,
  type DefaultBranchCommit,
  type OutcomeEvent,
  outcomeOf,
  SURVIVAL_WINDOW,
  type TestResult,
  withoutActor,
} from "../../src/domain/outcome.ts";
import { findingPrecision, PRECISION_WINDOW } from "../../src/domain/precision.ts";
import { seeded } from "../../src/evaluation/statistics.ts";

const DAY = 24 * 3600 * 1000;
const MERGED_AT = 10 * DAY;
const [BASE, HEAD, OLD, TEST_MERGE, QUEUE, FINAL, REVERT, AGAIN, THIRD] = [
  "b000001",
  "a000001",
  "a000000",
  "d000001",
  "e000001",
  "c000001",
  "f000001",
  "f000002",
  "f000003",
];
const F = "src/a.py#f";

type Body = OutcomeEvent extends infer E ? (E extends OutcomeEvent ? Omit<E, "id" | "at" | "actor"> : never) : never;

/** Days since 1970; the id is made of the content, as GitHub's is of the fact. */
function at(day: number, body: Body, actor = "ann"): OutcomeEvent {
  return { id: `${day}:${actor}:${JSON.stringify(body)}`, at: day * DAY, actor, ...body } as OutcomeEvent;
}

const opened = at(1, { kind: "opened", number: 7, head: HEAD, base: BASE, defaultBranch: "main" });
const changes = (head = HEAD, paths = ["src/a.py"], hash = "f1") =>
  at(1, { kind: "changes", head, paths, functions: [{ id: F, hash }] });
const proposed = at(1, { kind: "proposed", functions: [{ id: F, hash: "f1" }] });
const merged = (final = [FINAL], testMerge: string | null = TEST_MERGE, head = HEAD) =>
  at(10, { kind: "merged", head, testMerge, final }, "mia");
const check = (
  sha: string,
  conclusion: Conclusion | null,
  more: Partial<{ name: string; attempt: number; required: boolean }> = {},
) => at(2, { kind: "check", sha, name: "ci", attempt: 1, required: false, conclusion, ...more }, "ci");
const one = (outcome: TestResult["outcome"], executes = [F], traceback: string[] = []): TestResult => ({
  id: "test_f",
  outcome,
  executes,
  traceback,
});
const tests = (sha: string, results: TestResult[], attempt = 1, run = "r") =>
  at(3, { kind: "tests", sha, run, attempt, results }, "ci");
const push = (day: number, commit: Partial<DefaultBranchCommit>, actor = "rob", branch = "main") =>
  at(day, { kind: "pushed", branch, commits: [{ sha: REVERT, message: "", functions: [F], ...commit }] }, actor);
const reverting = (sha: string) => `Revert "a"\n\nThis reverts commit ${sha}.`;

const begun = [opened, changes()];
const done = [...begun, merged()];
const green = [check(HEAD, "success"), check(BASE, "success")];
const passes = tests(HEAD, [one("passed")]);
const covered = [passes, tests(BASE, [one("passed")])];
const good = [...done, ...green, ...covered]; // B+
const fixes = [passes, tests(BASE, [one("failed")])];
const inF = one("failed", [F], [F]);
const broken = [tests(BASE, [one("passed")]), tests(HEAD, [inF]), tests(HEAD, [inF], 2)];

type State = "pending" | "merged" | "closed" | "reverted";
const HISTORIES: [name: string, events: OutcomeEvent[], state: State, grade: Grade | null, now?: number][] = [
  ["nothing known", [], "pending", null],
  ["open", begun, "pending", null],
  ["open with green checks and tests", [...begun, ...green, ...fixes], "pending", null],
  ["open, failing twice", [...begun, ...broken], "pending", null],
  ["merge not yet seen", good, "pending", null, 9 * DAY],
  ["checks before the pull request is known", [...green, ...fixes], "pending", null],
  ["merge before the opening is known", [changes(), merged(), ...green, ...covered], "merged", null],
  ["changes at head not known", [opened, merged(), ...green, ...covered], "merged", null],
  ["closed unmerged", [...begun, at(9, { kind: "closed" })], "closed", "C"],
  ["closed unmerged, its own tests pass", [...begun, ...fixes, ...green, at(9, { kind: "closed" })], "closed", "C"],
  ["closed unmerged, failing twice", [...begun, ...broken, at(9, { kind: "closed" })], "closed", "C"],
  ["closed and reopened", [...begun, at(8, { kind: "closed" }), at(9, { kind: "reopened" })], "pending", null],
  ["closed, reopened, merged", [...good, at(8, { kind: "closed" }), at(9, { kind: "reopened" })], "merged", "B+"],
  ["closed event beside the merge", [...good, at(10, { kind: "closed" })], "merged", "B+"],
  ["fork deleted while open", [...begun, at(5, { kind: "fork_deleted" })], "pending", null],
  ["fork deleted, then closed", [...begun, at(5, { kind: "fork_deleted" }), at(5, { kind: "closed" })], "closed", "C"],
  ["fork deleted after the merge", [...good, at(11, { kind: "fork_deleted" })], "merged", "B+"],
  ["merged, nothing else known", done, "merged", "C"],
  ["green, no coverage", [...done, ...green], "merged", "C"],
  [
    "green, test runs another function",
    [...done, ...green, tests(HEAD, [one("passed", ["src/b.py#g"])])],
    "merged",
    "C",
  ],
  ["green and covered", good, "merged", "B+"],
  [
    "opened by an account that was deleted",
    [...good.filter((event) => event !== opened), { ...opened, actor: "Ghost" }],
    "merged",
    null,
  ],
  ["covered, no check", [...done, ...covered], "merged", "C"],
  ["covered, only a skipped test", [...done, ...green, tests(HEAD, [one("skipped")])], "merged", "C"],
  ["a test fixed, no check", [...done, ...fixes], "merged", "A+"],
  ["a test fixed, checks red", [...done, ...fixes, check(HEAD, "failure"), check(BASE, "success")], "merged", "A+"],
  ["base could not load the test", [...done, passes, tests(BASE, [one("error", [])])], "merged", "C"],
  ["base could not load the test, green", [...done, ...green, passes, tests(BASE, [one("error", [])])], "merged", "B+"],
  ["base ended in an error in it", [...done, passes, tests(BASE, [one("error")])], "merged", "A+"],
  ["test never ran on base", [...done, passes], "merged", "C"],
  ["test skipped on base", [...done, passes, tests(BASE, [one("skipped")])], "merged", "C"],
  [
    "test flaky on base",
    [...done, passes, tests(BASE, [one("failed")]), tests(BASE, [one("passed")], 2)],
    "merged",
    "C",
  ],
  ["fixed test flaky at head", [...done, ...fixes, tests(HEAD, [one("failed")], 2)], "merged", "C"],
  ["broken twice in f", [...done, ...broken], "merged", "A-"],
  ["broken once", [...done, ...broken.slice(0, 2)], "merged", "C"],
  ["one failure delivered twice", [...done, ...broken.slice(0, 2), broken[1]!], "merged", "C"],
  [
    "broken twice, f not in the traceback",
    [...done, broken[0]!, tests(HEAD, [one("failed")]), tests(HEAD, [one("failed")], 2)],
    "merged",
    "C",
  ],
  [
    "broken twice, f not executed",
    [...done, broken[0]!, tests(HEAD, [one("failed", [], [F])]), tests(HEAD, [one("failed", [], [F])], 2)],
    "merged",
    "C",
  ],
  ["broken on base already", [...done, tests(BASE, [inF]), ...broken.slice(1)], "merged", "C"],
  ["fails, then passes", [...done, ...broken.slice(0, 2), tests(HEAD, [one("passed")], 2)], "merged", "C"],
  [
    "could not load at head",
    [...done, broken[0]!, tests(HEAD, [one("error", [])]), tests(HEAD, [one("error", [])], 2)],
    "merged",
    "C",
  ],
  [
    "one test fixed, another broken in f",
    [
      ...done,
      ...broken,
      tests(HEAD, [{ ...one("passed"), id: "t2" }], 1, "s"),
      tests(BASE, [{ ...one("failed"), id: "t2" }], 1, "s"),
    ],
    "merged",
    "A-",
  ],
  ["broken at an older head only", [...done, broken[0]!, tests(OLD, [inF]), tests(OLD, [inF], 2)], "merged", "C"],
  ["checks red, base green", [...done, ...covered, check(HEAD, "failure"), check(BASE, "success")], "merged", "C"],
  ["checks red, base red", [...done, ...covered, check(HEAD, "failure"), check(BASE, "failure")], "merged", "C"],
  ["checks red, base unknown", [...done, ...covered, check(HEAD, "failure")], "merged", "C"],
  ["re-run: failed, then passed", [...good, check(HEAD, "failure", { attempt: 2 })], "merged", "C"],
  ["re-run: cancelled, then passed", [...good, check(HEAD, "cancelled", { attempt: 0 })], "merged", "B+"],
  ["re-run: passed twice", [...good, check(HEAD, "success", { attempt: 2 })], "merged", "B+"],
  ["re-run still running", [...good, check(HEAD, null, { attempt: 2 })], "merged", "C"],
  ["queued event of a check that finished", [...good, check(HEAD, null)], "merged", "B+"],
  ["another check still running", [...good, check(HEAD, null, { name: "lint" })], "merged", "C"],
  ...(["cancelled", "timed_out", "startup_failure", "action_required", "stale"] as const).map(
    (conclusion): [string, OutcomeEvent[], State, Grade] => [
      `checks ${conclusion}`,
      [...done, ...covered, check(HEAD, conclusion), check(BASE, "success")],
      "merged",
      "C",
    ],
  ),
  ["every check skipped", [...done, ...covered, check(HEAD, "skipped")], "merged", "C"],
  ["one check skipped beside a green one", [...good, check(HEAD, "skipped", { name: "docs" })], "merged", "B+"],
  [
    "required green, optional red",
    [...done, ...covered, check(HEAD, "success", { required: true }), check(HEAD, "failure", { name: "x" })],
    "merged",
    "B+",
  ],
  ["green at an older head only", [...done, ...covered, check(OLD, "success")], "merged", "C"],
  ["green at the test merge", [...done, ...covered, check(TEST_MERGE, "success")], "merged", "B+"],
  ["squash: green at the final commit", [...done, ...covered, check(FINAL, "success")], "merged", "B+"],
  ["merge skew: green at head, red at final", [...good, check(FINAL, "failure")], "merged", "C"],
  [
    "rebase: green at the last of two",
    [...begun, merged([AGAIN, FINAL], null), ...covered, check(FINAL, "success")],
    "merged",
    "B+",
  ],
  [
    "rebase: one of two reverted",
    [...begun, merged([AGAIN, FINAL], null), ...covered, ...green, push(12, { message: reverting(AGAIN) })],
    "reverted",
    "B-",
  ],
  [
    "merge queue: green in the queue",
    [...done, ...covered, at(9, { kind: "queued", sha: QUEUE }), check(QUEUE, "success")],
    "merged",
    "B+",
  ],
  [
    "merge queue: red, taken out, merged green",
    [...good, at(8, { kind: "queued", sha: QUEUE }), check(QUEUE, "failure"), at(9, { kind: "dequeued", sha: QUEUE })],
    "merged",
    "B+",
  ],
  [
    "taken out of the queue, not merged",
    [...begun, at(8, { kind: "queued", sha: QUEUE }), at(9, { kind: "dequeued", sha: QUEUE })],
    "pending",
    null,
  ],
  [
    "force-push before the merge",
    [
      ...good,
      at(4, { kind: "head_moved", head: OLD, base: BASE }),
      at(5, { kind: "head_moved", head: HEAD, base: BASE }),
    ],
    "merged",
    "B+",
  ],
  [
    "force-push moved the base",
    [...done, ...fixes, at(5, { kind: "head_moved", head: HEAD, base: THIRD })],
    "merged",
    "C",
  ],
  [
    "force-push after the tests of the old head",
    [
      opened,
      changes(OLD),
      at(5, { kind: "head_moved", head: OLD, base: BASE }),
      merged([FINAL], null, OLD),
      ...green,
      ...fixes,
    ],
    "merged",
    "C",
  ],
  [
    "CI files changed",
    [opened, changes(HEAD, ["src/a.py", ".github/workflows/ci.yml"]), merged(), ...green, ...fixes],
    "merged",
    null,
  ],
  ["conftest changed", [opened, changes(HEAD, ["tests/conftest.py"]), merged(), ...green, ...fixes], "merged", null],
  ...[
    "pyproject.toml",
    "lib/setup.cfg",
    "setup.py",
    ".pytest.ini",
    "tox.ini",
    "pytest.ini",
    "package.json",
    "Makefile",
    ".github/funprm.yml",
    "src/sitecustomize.py",
    ".pre-commit-config.yaml",
    "vitest.config.ts",
  ].map((path): [string, OutcomeEvent[], State, null] => [
    `${path} changed`,
    [opened, changes(HEAD, ["src/a.py", path]), merged(), ...green, ...fixes],
    "merged",
    null,
  ]),
  ["CI files changed at an older head only", [...good, changes(OLD, [".github/workflows/ci.yml"])], "merged", "B+"],
  ["merged as proposed", [...good, proposed], "merged", "B+"],
  [
    "rewritten by a person before the merge",
    [opened, proposed, changes(HEAD, ["src/a.py"], "f2"), merged(), ...green, ...fixes],
    "merged",
    "C",
  ],
  [
    "rewritten before the merge, then reverted",
    [opened, proposed, changes(HEAD, ["src/a.py"], "f2"), merged(), push(12, { message: reverting(FINAL) })],
    "reverted",
    "C",
  ],
  ["reverted", [...good, push(12, { message: reverting(FINAL) })], "reverted", "B-"],
  [
    "reverted, functions not known",
    [...good, push(12, { message: reverting(FINAL), functions: null })],
    "reverted",
    "C",
  ],
  [
    "a pull request of another repository reverted",
    [...good, push(12, { message: "Bump lib\n\nReverts other/lib#7" })],
    "merged",
    "B+",
  ],
  [
    "revert left f alone",
    [...good, push(12, { message: reverting(FINAL), functions: ["src/b.py#g"] })],
    "reverted",
    "B+",
  ],
  ["reverted by the button", [...good, push(12, { message: 'Revert "a" (#9)\n\nReverts #7' })], "reverted", "B-"],
  ["another pull request reverted", [...good, push(12, { message: 'Revert "a" (#9)\n\nReverts #70' })], "merged", "B+"],
  ["reverted after the window", [...good, push(41, { message: reverting(FINAL) })], "merged", "B+", 50 * DAY],
  ["revert not yet seen", [...good, push(12, { message: reverting(FINAL) })], "merged", "B+", 11.5 * DAY],
  ["reverted on another branch", [...good, push(12, { message: reverting(FINAL) }, "rob", "dev")], "merged", "B+"],
  [
    "reverted after the default branch was renamed",
    [
      ...good,
      at(11, { kind: "default_branch_renamed", from: "main", to: "trunk" }),
      push(12, { message: reverting(FINAL) }, "rob", "trunk"),
    ],
    "reverted",
    "B-",
  ],
  [
    "revert of the revert",
    [...good, push(12, { message: reverting(FINAL) }), push(13, { sha: AGAIN, message: reverting(REVERT) })],
    "merged",
    "B+",
  ],
  [
    "revert of the revert by the button",
    [
      ...good,
      push(12, { message: 'Revert "a" (#9)\n\nReverts #7' }),
      push(13, { sha: AGAIN, message: 'Revert "Revert "a"" (#10)\n\nReverts #9' }),
    ],
    "merged",
    "B+",
  ],
  [
    "revert of the revert of the revert",
    [
      ...good,
      push(12, { message: reverting(FINAL) }),
      push(13, { sha: AGAIN, message: reverting(REVERT) }),
      push(14, { sha: THIRD, message: reverting(AGAIN) }),
    ],
    "reverted",
    "B-",
  ],
  ["a revert that names itself", [...good, push(12, { message: reverting(REVERT) })], "merged", "B+"],
  ["a test fixed, then reverted", [...done, ...fixes, push(12, { message: reverting(FINAL) })], "reverted", "C"],
  ["broken twice, then reverted", [...done, ...broken, push(12, { message: reverting(FINAL) })], "reverted", "A-"],
  ["fixed later", [...good, push(12, { message: "Fix f on empty input" })], "merged", "B-"],
  ["fix of another function", [...good, push(12, { message: "Fix g", functions: ["src/b.py#g"] })], "merged", "B+"],
  ["fix, functions not known", [...good, push(12, { message: "Fix f", functions: null })], "merged", "B+"],
  ["edited later without a fix keyword", [...good, push(12, { message: "Rename f's argument" })], "merged", "B+"],
  ["prefix is no fix", [...good, push(12, { message: "Add a prefix to f" })], "merged", "B+"],
  ["fixed after the window", [...good, push(41, { message: "Fix f" })], "merged", "B+", 50 * DAY],
  [
    "fixed, the fix reverted",
    [...good, push(12, { message: "Fix f" }), push(13, { sha: AGAIN, message: reverting(REVERT) })],
    "merged",
    "B+",
  ],
  ["its own squash says fix", [...good, push(10, { sha: FINAL, message: "Fix f (#7)" }, "mia")], "merged", "B+"],
  ["fix before the merge", [...good, push(5, { message: "Fix f" })], "merged", "B+"],
  ["thread resolved", [...done, at(9, { kind: "thread_resolved", function: F })], "merged", "C"],
  ["a person says wrong", [...good, at(11, { kind: "verdict", function: F, verdict: "wrong" }, "ola")], "merged", "B+"],
];

const NOW = 40 * DAY;

describe("an outcome and its labels", () => {
  test("the table has at least 60 histories, each named once", () => {
    expect(HISTORIES.length).toBeGreaterThanOrEqual(60);
    expect(new Set(HISTORIES.map(([name]) => name)).size).toBe(HISTORIES.length);
  });

  test.each(HISTORIES)("%s", (_name, events, state, grade, now = NOW) => {
    expect(outcomeOf(events, now).state).toBe(state);
    const labels = decided(gradedLabels(1, events, now));
    expect(labels.map((label) => label.grade)).toEqual(grade === null ? [] : [grade]);
    for (const label of labels)
      expect(label).toMatchObject({
        label: label.grade === "C" ? null : label.grade[1] === "+" ? 1 : 0,
        author: "ann",
      });
  });

  const anyHistory = fc.uniqueArray(
    fc.constantFrom(...new Map(HISTORIES.flatMap(([, events]) => events).map((e) => [e.id, e])).values()),
    {
      selector: (event) => event.id,
      maxLength: 25,
    },
  );

  test("neither the order of delivery nor redeliveries matter, on any mixture of events", () => {
    fc.assert(
      fc.property(
        anyHistory.chain((events) =>
          fc.record({
            events: fc.constant(events),
            delivered: fc
              .subarray(events)
              .chain((again) =>
                fc.shuffledSubarray([...events, ...again], { minLength: events.length + again.length }),
              ),
          }),
        ),
        fc.integer({ min: 0, max: 60 }),
        ({ events, delivered }, day) => {
          expect(outcomeOf(delivered, day * DAY)).toEqual(outcomeOf(events, day * DAY));
          expect(gradedLabels(1, delivered, day * DAY)).toEqual(gradedLabels(1, events, day * DAY));
        },
      ),
      { numRuns: 300 },
    );
  });

  test("without a closing event every mixture is pending and gives no label", () => {
    fc.assert(
      fc.property(anyHistory, (events) => {
        const open = events.filter((event) => event.kind !== "merged" && event.kind !== "closed");
        expect(outcomeOf(open, NOW).state).toBe("pending");
        expect(gradedLabels(1, open, NOW)).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });

  test("it is settled when the survival window is over", () => {
    expect(outcomeOf(good, MERGED_AT + SURVIVAL_WINDOW - 1).settled).toBe(false);
    expect(outcomeOf(good, MERGED_AT + SURVIVAL_WINDOW).settled).toBe(true);
  });

  test("commits that all name each other as reverted are looked at once each", () => {
    const shas = Array.from({ length: 40 }, (_, i) => `${i}`.padStart(7, "f"));
    const all = [FINAL, ...shas].map(reverting).join("\n");
    const outcome = outcomeOf([...good, ...shas.map((sha, i) => push(12 + i / 100, { sha, message: all }))], NOW);
    // The newest stands, and reverts the others.
    expect(outcome.reverts.map((edit) => edit.commit)).toEqual([shas.at(-1)]);
  });

  test("each result of a run is looked at a few times, however many tests there are", () => {
    let reads = 0;
    const results = Array.from(
      { length: 1_000 },
      (_, i): TestResult => ({
        ...one("passed"),
        get id() {
          reads += 1;
          return `t${i}`;
        },
      }),
    );
    const failed = results.map((_, i): TestResult => ({ ...one("failed"), id: `t${i}` }));
    const labels = decided(gradedLabels(1, [...done, tests(HEAD, results), tests(BASE, failed)], NOW));
    expect(labels.map((label) => label.grade)).toEqual(["A+"]);
    expect(reads).toBeLessThan(20 * results.length);
  });

  test("a label names its head, actor and events", () => {
    const [label] = decided(gradedLabels(1, [...good, push(12, { message: reverting(FINAL) })], NOW));
    expect(label).toMatchObject({ repository: 1, pullRequest: 7, head: HEAD, hash: "f1", actor: "rob", author: "ann" });
    expect(label!.events).toEqual([push(12, { message: reverting(FINAL) }).id]);
  });

  test("people's words are kept beside the grade: the last of each, none when they disagree", () => {
    const says = (day: number, verdict: "right" | "wrong", actor: string) =>
      at(day, { kind: "verdict", function: F, verdict }, actor);
    const human = (...events: OutcomeEvent[]) => gradedLabels(1, [...good, ...events], NOW)[0]!.human;
    expect(human()).toBe(null);
    expect(human(says(11, "wrong", "ola"), says(12, "right", "ola"))).toBe("right");
    expect(human(says(11, "wrong", "ola"), says(12, "right", "pia"))).toBe(null);
  });
});

describe("the text that a mend replaces", () => {
  const G = "src/a.py#g";
  const mended = (functions: { id: string; hash: string; before?: string }[]) => [
    opened,
    at(1, { kind: "changes", head: HEAD, paths: ["src/a.py"], functions }),
    merged(),
  ];
  const f = { id: F, hash: "f1", before: "f0" };
  const replacedBy = (...events: OutcomeEvent[]) =>
    gradedLabels(1, events, NOW)
      .filter((label) => label.hash === "f0")
      .map(({ grade, label, head, function: id }) => ({ grade, label, head, id }));

  test("is wrong where a test failed on base while it ran nothing else that changed", () => {
    expect(replacedBy(...mended([f]), ...fixes)).toEqual([{ grade: "A-", label: 0, head: BASE, id: F }]);
    const both = [{ ...one("failed", [F, G]) }];
    const passing = tests(HEAD, [one("passed", [F, G])]);
    const other = { id: G, hash: "g1", before: "g0" };
    expect(replacedBy(...mended([f]), passing, tests(BASE, both))).toHaveLength(1);
    expect(replacedBy(...mended([f, other]), passing, tests(BASE, both))).toEqual([]);
  });

  test.each([
    ["new functions replace nothing", mended([{ id: F, hash: "f1" }]), fixes],
    ["only its comments changed", mended([{ ...f, hash: "f0" }]), fixes],
    ["base could not load the test", mended([f]), [passes, tests(BASE, [one("error", [])])]],
    ["the test flickers on base", mended([f]), [...fixes, tests(BASE, [one("passed")], 2)]],
    ["the test fails at the head too", mended([f]), [tests(HEAD, [one("failed")]), tests(BASE, [one("failed")])]],
    ["it was reverted", [...mended([f]), push(12, { message: reverting(FINAL) })], fixes],
    ["it was not merged", mended([f]).slice(0, 2), fixes],
  ])("says nothing when %s", (_, begin, ran) => {
    expect(replacedBy(...begin, ...ran).filter((label) => label.grade !== "A+" && label.label === 0)).toEqual([]);
  });
});

describe("training labels", () => {
  const people = ["ann", "bob", "eve", "rob"];
  /** One pull request of `author`, perhaps reverted by `reverter`: few heads, so that people's labels collide. */
  const story = fc.record({
    author: fc.constantFrom(...people),
    reverter: fc.constantFrom(null, ...people),
    events: fc.constantFrom(good, [...done, ...fixes], [...done, ...broken], done),
    repository: fc.integer({ min: 1, max: 6 }),
  });
  type Story = { author: string; reverter: string | null; events: readonly OutcomeEvent[]; repository: number };
  const eventsOf = ({ author, reverter, events }: Story): OutcomeEvent[] => [
    ...events.map((event) => (event.kind === "opened" ? { ...event, actor: author } : event)),
    ...(reverter === null ? [] : [push(12, { message: reverting(FINAL) }, reverter)]),
  ];
  const labelsOf = (story: Story) => gradedLabels(story.repository, eventsOf(story), NOW);

  test("removing an actor equals the actor never having opened, reverted or fixed anything", () => {
    fc.assert(
      fc.property(fc.array(story, { maxLength: 15 }), fc.integer({ min: 1, max: 4 }), (stories, cap) => {
        const never = stories
          .filter((one) => one.author !== "eve")
          .map((one) => (one.reverter === "eve" ? { ...one, reverter: null } : one));
        const kept = stories.flatMap((one) => gradedLabels(one.repository, withoutActor(eventsOf(one), "Eve"), NOW));
        expect(trainable(kept, cap)).toEqual(trainable(never.flatMap(labelsOf), cap));
      }),
      { numRuns: 300 },
    );
  });

  test("only A and B train, at most the cap of each actor, whatever the order of the labels", () => {
    fc.assert(
      fc.property(fc.array(story, { maxLength: 15 }), fc.integer({ min: 1, max: 3 }), (stories, cap) => {
        const labels = stories.flatMap(labelsOf);
        const set = trainable(labels, cap);
        expect(trainable(labels.toReversed(), cap)).toEqual(set);
        expect(set.every((label) => label.grade !== "C" && label.label !== null)).toBe(true);
        for (const actor of people)
          expect(set.filter((label) => label.actor === actor).length).toBeLessThanOrEqual(cap);
      }),
      { numRuns: 200 },
    );
  });
});

describe("precision of findings", () => {
  const stream = (shares: number[], seed: number) => {
    const random = seeded(seed);
    return shares.map((share, i) => ({ id: `${i}`, at: i, correct: random() < share }));
  };
  const times = (n: number, share: number): number[] => Array.from({ length: n }, () => share);

  test("a drop from 0.8 to 0.3 mutes within 25 adjudicated findings and 0.9 brings the comments back", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const findings = stream([...times(100, 0.8), ...times(50, 0.3), ...times(100, 0.9)], seed);
      const mutedAt = findings.findIndex((_, i) => i >= 100 && findingPrecision(findings.slice(0, i + 1), 0.6).muted);
      expect(mutedAt - 99).toBeLessThanOrEqual(25);
      expect(mutedAt).toBeGreaterThan(0);
      expect(findingPrecision(findings, 0.6).muted).toBe(false);
    }
  });

  test("too few findings do not mute unless they are certainly bad", () => {
    expect(findingPrecision([], 0.6)).toMatchObject({ muted: false, precision: null, adjudicated: 0 });
    expect(findingPrecision(stream(times(5, 0.0), 1), 0.6).muted).toBe(true);
    expect(findingPrecision(stream(times(5, 1), 1), 0.6).muted).toBe(false);
  });

  test("only the last findings count, each once, in any order", () => {
    const findings = stream(times(80, 0.5), 3);
    const now = findingPrecision(findings, 0.6);
    expect(now.adjudicated).toBe(PRECISION_WINDOW);
    expect(findingPrecision([...findings, ...findings].toReversed(), 0.6)).toEqual(now);
  });
});
