/** Labels as training rows: disjoint whatever the log holds, the same again, without a person as if they had never been. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SPLITS, splitOf } from "../../src/domain/dataset.ts";
import { candidateScores, type LearntPull, learntRows } from "../../src/domain/learning-rows.ts";
import type { OutcomeEvent } from "../../src/domain/outcome.ts";
import { scoreSkill } from "../../src/flows/learning-scores.ts";

const DAY = 86_400_000;
const NOW = 2_000 * DAY;
const FN = "a.py#f";
const people = ["ann", "bob", "eve"];

type Story = {
  repository: number;
  number: number;
  author: string;
  day: number;
  text: number;
  covered: boolean;
  issue: number | null;
  verdicts: (0 | 1 | null)[];
  reverter: string | null;
};

function pullOf(story: Story): LearntPull {
  const { repository, number, author, day, text, covered, issue, verdicts, reverter } = story;
  const head = `head${repository}-${number}`;
  const at = day * DAY;
  const hash = `hash${text}`;
  const final = (repository * 1000 + number).toString(16).padEnd(40, "0");
  const events: OutcomeEvent[] = [
    { id: "opened", at, actor: author, kind: "opened", number, head, base: "base", defaultBranch: "main" },
    { id: "changes", at, actor: "funprm[bot]", kind: "changes", head, paths: ["a.py"], functions: [{ id: FN, hash }] },
    { id: "merged", at: at + 1, actor: "bob", kind: "merged", head, testMerge: null, final: [final] },
    {
      id: "check",
      at,
      actor: "ci",
      kind: "check",
      sha: head,
      name: "ci",
      attempt: 1,
      conclusion: "success",
      required: true,
    },
  ];
  if (covered)
    events.push({
      id: "tests",
      at,
      actor: "funprm[bot]",
      kind: "tests",
      sha: head,
      run: "sandbox",
      attempt: 1,
      results: [{ id: "t", outcome: "passed", executes: [FN], traceback: [] }],
    });
  if (reverter !== null)
    events.push({
      id: "pushed",
      at: at + DAY,
      actor: reverter,
      kind: "pushed",
      branch: "main",
      commits: [{ sha: "later", message: `This reverts commit ${final}.`, functions: [FN] }],
    });
  const run = `run${repository}-${issue}`;
  if (issue !== null) {
    events.push({ id: "linked", at, actor: "funprm[bot]", kind: "linked", run, issue, by: "closes" });
    for (const [candidate, label] of verdicts.entries())
      events.push({
        id: `judged${candidate}`,
        at,
        actor: "funprm[bot]",
        kind: "judged",
        run,
        candidate,
        occasion: "merge",
        score: 0.5,
        modelVersion: "m@1",
        sha: head,
        verdict: label === 1 ? "PASS" : "WRONG",
        label,
        reason: "",
        tier: 1,
        attested: "in-process",
        logSha256: "",
        functions: [],
        results: [],
      });
  }
  const textOf = (completions: string[], candidate: { run: string; index: number } | null) => ({
    function: FN,
    candidate,
    hash,
    language: "python" as const,
    prompt: "p",
    completions,
    renderVersion: "v1",
  });
  return {
    repositoryId: repository,
    pullRequest: number,
    events,
    texts: [
      textOf([`def f(): return ${text}`], null),
      ...verdicts.map((_, index) => textOf([`def f(): ...`, `def g(): return ${index} # ${issue}`], { run, index })),
    ],
  };
}

const story: fc.Arbitrary<Story> = fc.record({
  repository: fc.integer({ min: 1, max: 3 }),
  number: fc.integer({ min: 1, max: 40 }),
  author: fc.constantFrom(...people),
  day: fc.integer({ min: 1_000, max: 1_300 }),
  text: fc.integer({ min: 1, max: 30 }),
  covered: fc.boolean(),
  issue: fc.option(fc.integer({ min: 1, max: 5 }), { nil: null }),
  verdicts: fc.array(fc.constantFrom<0 | 1 | null>(0, 1, null), { maxLength: 4 }),
  reverter: fc.option(fc.constantFrom(...people), { nil: null }),
});
const stories = fc.uniqueArray(story, { maxLength: 25, selector: (one) => `${one.repository}/${one.number}` });
const options = { now: NOW, perActor: 50, without: [] as string[] };
const rowsOf = (found: ReturnType<typeof learntRows>) => SPLITS.flatMap((split) => found.splits[split]);

describe("labels as rows", () => {
  test("no problem, week of a repository or text stands in two sets, and each group is in its own split", () => {
    fc.assert(
      fc.property(stories, (all) => {
        const { splits } = learntRows(all.map(pullOf), options);
        for (const keyOf of [
          (row: { problem: string }) => row.problem,
          (row: { group: string }) => row.group,
          (row: { completions: string[] }) => JSON.stringify(row.completions),
        ] as ((row: (typeof splits)["meta"][number]["row"]) => string)[]) {
          const sets = SPLITS.map((split) => new Set(splits[split].map(({ row }) => keyOf(row))));
          for (const [i, one] of sets.entries())
            for (const other of sets.slice(i + 1)) expect([...one].filter((key) => other.has(key))).toEqual([]);
        }
        for (const split of SPLITS) for (const { row } of splits[split]) expect(splitOf(row.group)).toBe(split);
      }),
      { numRuns: 150 },
    );
  });

  test("depends on nothing but the log: any order gives the same rows, ids are unique", () => {
    fc.assert(
      fc.property(stories, (all) => {
        const pulls = all.map(pullOf);
        const found = learntRows(pulls, options);
        expect(learntRows(pulls.toReversed(), options)).toEqual(found);
        const ids = rowsOf(found).map(({ row }) => row.id);
        expect(new Set(ids).size).toBe(ids.length);
      }),
      { numRuns: 100 },
    );
  });

  test("leaving a person out gives what would stand had they never been", () => {
    fc.assert(
      fc.property(stories, (all) => {
        const never = all
          .filter((one) => one.author !== "eve")
          .map((one) => (one.reverter === "eve" ? { ...one, reverter: null } : one));
        expect(learntRows(all.map(pullOf), { ...options, without: ["EVE"] }).splits).toEqual(
          learntRows(never.map(pullOf), options).splits,
        );
      }),
      { numRuns: 150 },
    );
  });

  test("nobody has more labels than the cap, of functions and of candidates together", () => {
    fc.assert(
      fc.property(stories, fc.integer({ min: 1, max: 3 }), (all, perActor) => {
        const rows = rowsOf(learntRows(all.map(pullOf), { ...options, perActor }));
        for (const actor of people)
          expect(rows.filter((one) => one.actor === actor).length).toBeLessThanOrEqual(perActor);
      }),
      { numRuns: 100 },
    );
  });

  test("candidates in the meta set stand beside one of the other sign; their earlier steps are noisy, the last is clean", () => {
    fc.assert(
      fc.property(stories, (all) => {
        const { splits } = learntRows(all.map(pullOf), options);
        for (const { row, grade } of splits.meta)
          if (grade === "judged") {
            const signs = splits.meta
              .filter((one) => one.row.problem === row.problem)
              .map((one) => one.row.labels.at(-1));
            expect(new Set(signs).size).toBe(2);
          }
        for (const { row, grade } of rowsOf({ splits, labels: {}, left: {} })) {
          expect(row.source.at(-1)).toBe(grade.startsWith("B") ? "broadcast" : "outcome");
          if (grade !== "judged") continue;
          expect(row.weight).toBe(0.5);
          expect(["broadcast", "monte_carlo"]).toContain(row.source[0]);
          expect(row.counts[0]).not.toBeNull();
        }
      }),
      { numRuns: 100 },
    );
  });

  test("prefixes that four candidates of one problem share are labelled by their verdicts, counts kept", () => {
    const found = learntRows(
      [
        pullOf({
          repository: 1,
          number: 1,
          author: "ann",
          day: 1_000,
          text: 1,
          covered: false,
          issue: 1,
          verdicts: [1, 0, 0, 0],
          reverter: null,
        }),
      ],
      options,
    );
    const rows = rowsOf(found).filter((one) => one.grade === "judged");
    expect(rows).toHaveLength(4);
    for (const { row } of rows)
      expect([row.labels[0], row.counts[0], row.source[0]]).toEqual([0.25, [1, 4], "monte_carlo"]);
  });

  test("scores of judged candidates stand beside their verdicts, and say how well a model told them apart", () => {
    const one = { repository: 1, author: "ann", day: 1_000, text: 1, covered: false, reverter: null };
    const pulls = [
      pullOf({ ...one, number: 1, issue: 1, verdicts: [1, 0, null] }),
      pullOf({ ...one, number: 2, issue: 2, verdicts: [1, 1] }),
    ];
    const scores = candidateScores(pulls);
    expect(scores.map(({ correct, run, modelVersion }) => [correct, run, modelVersion])).toEqual([
      [true, "run1-1", "m@1"],
      [false, "run1-1", "m@1"],
      [true, "run1-2", "m@1"],
      [true, "run1-2", "m@1"],
    ]);
    const ranked = scores.map((found, index) => ({ ...found, score: 1 - index / 10 }));
    expect(scoreSkill(ranked)).toEqual([{ modelVersion: "m@1", problems: 1, candidates: 4, auc: 1 }]);
    expect(scoreSkill(scores.slice(2))).toEqual([]);
  });

  test("a reverted pull request's tests judge nobody", () => {
    const one = { repository: 1, number: 1, author: "ann", day: 1_000, text: 1, covered: true, issue: 1 };
    const found = learntRows([pullOf({ ...one, verdicts: [1, 0], reverter: "bob" })], options);
    expect(rowsOf(found).filter((row) => row.grade === "judged")).toEqual([]);
    expect(found.left["judged by tests that do not stand"]).toBe(2);
  });
});
