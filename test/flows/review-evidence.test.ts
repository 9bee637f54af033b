/** Evidence from outside the model, and calibration from stored outcomes, over the stores that the app has. */
import { beforeEach, describe, expect, test } from "vitest";
import { openDatabase } from "../../src/adapters/db/open-database.ts";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import type { Candidate } from "../../src/domain/candidate.ts";
import type { ReviewedRow } from "../../src/domain/finding.ts";
import type { OutcomeEvent } from "../../src/domain/outcome.ts";
import { type ReviewedFile, scopeOfReview } from "../../src/domain/review-scope.ts";
import { sketchOf } from "../../src/domain/sketch.ts";
import { gatherReviewEvidence } from "../../src/flows/gather-review-evidence.ts";
import { calibrateOnBenchmark, refitCalibrations, reviewLabels } from "../../src/flows/refit-calibrations.ts";
import { createFakeRewardModel } from "../fakes/fake-reward-model.ts";

const ref = { installationId: 7, repositoryId: 5, owner: "o", repo: "r" };
const DAY = 24 * 3600 * 1000;
const START = Date.UTC(2026, 0, 1);
const NOW = START + 90 * DAY;
const clock = { now: () => new Date(NOW), sleep: async () => {} };
const HEAD = "c".repeat(40);
const syntax = await createSyntax();

let stores: Awaited<ReturnType<typeof openDatabase>>;
beforeEach(async () => {
  stores = await openDatabase({ path: ":memory:", now: clock.now, random: (bytes) => new Uint8Array(bytes) });
});
const gather = async (issues: { number: number }[] = []) =>
  gatherReviewEvidence({ ...stores, clock }, ref, { number: 100, headSha: HEAD }, issues);

const total = (change: string) =>
  `def total(items):\n    """Sums the items."""\n    result = 0\n    for item in items:\n        result += item.price * item.count\n    return result${change}\n`;
function changed(source: string) {
  const file: ReviewedFile = {
    path: "shop.py",
    previousPath: null,
    before: null,
    after: Buffer.from(source),
    unreadable: null,
  };
  return scopeOfReview([file], (text, language) => syntax.outline(text, language), {
    validated: new Set(["python"]),
    ignored: () => false,
  }).functions[0]!;
}

const row = (pullRequest: number, more: Partial<ReviewedRow> = {}): ReviewedRow => ({
  ...{
    repositoryId: 5,
    installationId: 7,
    pullRequest,
    head: `${pullRequest}`.padStart(40, "0"),
    function: "shop.py#f",
  },
  ...{ bodyHash: `${pullRequest}`, language: "python", modelVersion: "m@1", value: 0.5, attribution: 0.5 },
  ...{ baseAttribution: null, finding: false, sketch: sketchOf(total("")), reviewedAt: new Date(START).toISOString() },
  ...more,
});

/** The life of a pull request that was merged and either survived, its test green, or was reverted. */
function life(number: number, right: boolean, id = "shop.py#f"): OutcomeEvent[] {
  const [head, base, merge] = [`${number}`.padStart(40, "0"), "b".repeat(40), `${number}`.padStart(40, "f")];
  const fact = (name: string, days: number) => ({
    id: `${number} ${name}`,
    at: START + days * DAY,
    actor: `dev${number % 20}`,
  });
  const events: OutcomeEvent[] = [
    { ...fact("opened", 0), kind: "opened", number, head, base, defaultBranch: "main" },
    { ...fact("changes", 0), kind: "changes", head, paths: ["shop.py"], functions: [{ id, hash: `${number}` }] },
    { ...fact("merged", 1), kind: "merged", head, testMerge: null, final: [merge] },
  ];
  if (!right)
    return [
      ...events,
      {
        ...fact("push", 3),
        kind: "pushed",
        branch: "main",
        commits: [
          { sha: `${number}`.padStart(40, "e"), message: `Revert\n\nThis reverts commit ${merge}.`, functions: [id] },
        ],
      },
    ];
  const result = { id: "test_shop", outcome: "passed" as const, executes: [id], traceback: [] };
  return [
    ...events,
    { ...fact("check", 1), kind: "check", sha: head, name: "ci", attempt: 1, conclusion: "success", required: true },
    { ...fact("tests", 1), kind: "tests", sha: head, run: "ci", attempt: 1, results: [result] },
  ];
}
async function past(number: number, right: boolean, more: Partial<ReviewedRow> = {}) {
  await stores.reviews.saveReviewed([row(number, more)]);
  await stores.learning.append({ installationId: 7, repositoryId: 5, pullRequest: number }, life(number, right));
}

describe("evidence beside the rewards", () => {
  test("none without data", async () => {
    expect((await gather()).of(changed(total("")))).toEqual([]);
  });

  test("similar functions whose outcome is known, when most of them were wrong", async () => {
    for (const number of [1, 2, 3]) await past(number, false);
    const evidence = await gather();
    expect(evidence.of(changed(total(" + 1")))).toMatchObject([
      {
        kind: "neighbours",
        text: expect.stringMatching(
          /^3 of the 3 most similar functions with a known outcome were wrong \(similarity 0\.\d\d/,
        ),
      },
    ]);
    expect(evidence.of(changed("def other(a):\n    with open(a) as file:\n        return file.read()\n"))).toEqual([]);
    expect([evidence.outcomes(1, "shop.py#f", "1"), evidence.outcomes(9, "shop.py#f", "1")]).toEqual([false, null]);
    for (const number of [4, 5]) await past(number, true);
    expect((await gather()).of(changed(total(" + 1")))).toMatchObject([
      { text: expect.stringContaining("3 of the 5") },
    ]);
    for (const number of [6, 7, 8]) await past(number, true);
    await stores.reviews.saveReviewed([6, 7, 8].map((number) => row(number, { sketch: sketchOf(total(" + 1")) })));
    expect((await gather()).of(changed(total(" + 1")))).toEqual([]);
  });

  test("tests that fail at this head and executed the function; not one that also passed, nor of another head", async () => {
    const results = (outcome: "passed" | "failed") => [
      { id: "test_total", outcome, executes: ["shop.py#total"], traceback: [] },
    ];
    const tests = (attempt: number, outcome: "passed" | "failed", sha = HEAD) =>
      stores.learning.append({ installationId: 7, repositoryId: 5, pullRequest: 100 }, [
        {
          id: `t${attempt}${sha}`,
          at: NOW,
          actor: "ci",
          kind: "tests",
          sha,
          run: "ci",
          attempt,
          results: results(outcome),
        },
      ]);
    await tests(1, "failed", "d".repeat(40));
    expect((await gather()).of(changed(total("")))).toEqual([]);
    await tests(1, "failed");
    expect((await gather()).of(changed(total("")))).toEqual([
      { kind: "tests", text: "test_total fails here and executed it" },
    ]);
    await tests(2, "passed");
    expect((await gather()).of(changed(total("")))).toEqual([]);
  });

  test("distance from the candidates that were sampled for the issue", async () => {
    const { run } = await stores.runs.openRun({
      ...ref,
      issueNumber: 12,
      trigger: { kind: "label", label: "funprm:fix" },
      startedBy: "ada",
    });
    for (const [index, change] of ["", " + 0", " or 0"].entries())
      await stores.runs.saveCandidate(
        {
          runId: run.id,
          candidate: {
            index,
            status: "scored",
            steps: [{ path: "shop.py", name: "total", source: total(change) }],
          } as unknown as Candidate,
        },
        0,
      );
    const evidence = await gather([{ number: 12 }]);
    expect(evidence.of(changed(total(" or None")))).toEqual([]);
    const odd = "def total(items):\n    return max(len(items), 3) // 2 if items else -1\n";
    expect(evidence.of(changed(odd))).toMatchObject([
      { kind: "population", text: expect.stringMatching(/^further from the 3 versions sampled for #12/) },
    ]);
  });
});

describe("calibration from stored outcomes", () => {
  test("uncalibrated, then the repository's own; versions count up; another actor's flood counts only so far", async () => {
    const refit = async () => (await refitCalibrations({ ...stores, clock }))[0]!.calibration;
    // Low attributions turn out wrong, high ones right.
    const one = (number: number) =>
      past(number, number % 10 < (number % 100) / 10, { attribution: (number % 100) / 100 });
    for (let number = 1; number <= 60; number++) await one(number);
    expect(await reviewLabels({ ...stores, clock })).toHaveLength(60);
    expect(await refit()).toBeNull();
    for (let number = 61; number <= 200; number++) await one(number);
    const first = await refit();
    expect(first).toMatchObject({ state: "repository", version: 1, labels: { repository: 200, others: 0 } });
    expect(first!.ece).toBeLessThan(0.1);
    expect((await refit())!.version).toBe(1);
    await one(201);
    expect((await refit())!.version).toBe(2);
    // One actor's three hundred pull requests, all green.
    for (let number = 300; number < 600; number++) {
      await stores.reviews.saveReviewed([row(number)]);
      await stores.learning.append(
        { installationId: 7, repositoryId: 5, pullRequest: number },
        life(number, true).map((event) => ({ ...event, actor: "flood" })),
      );
    }
    expect(await reviewLabels({ ...stores, clock })).toHaveLength(201 + 200);
  }, 60_000);

  test("a benchmark's verdicts are the prior of repositories that have said too little, and the model's own", async () => {
    const model = createFakeRewardModel((_, prefix) => {
      const text = prefix.at(-1)!;
      return text === "" ? 0.5 : text.includes("BUG") ? 0.2 : 0.6;
    });
    const rows = async function* (count: number) {
      for (let k = 0; k < count; k++)
        yield {
          ...{ id: `r${k}`, problem: "p", group: "p", date: null, language: "python", pool: null, prompt: "Problem" },
          completions: [`def f():\n    return ${k}`, `def g():\n    return BUG ${k}`],
          ...{
            labels: [null, 0],
            own: [k % 10 === 0 ? 0 : 1, k % 10 === 0 ? 1 : 0] as (0 | 1)[],
            counts: [null, null],
          },
          ...{ source: [null, null], weight: 1, renderVersion: "v1" },
        };
    };
    const scored = { reviews: stores.reviews, model };
    expect(await calibrateOnBenchmark(scored, rows(40), 2_000)).toBeNull();
    const benchmark = await calibrateOnBenchmark(scored, rows(100), 150);
    expect(benchmark).toMatchObject({
      state: "benchmark",
      modelVersion: "fake@0",
      labels: { repository: 0, others: 150 },
    });
    expect(benchmark!.points.map((one) => [one.score.toFixed(2), one.total > 50]).sort()).toEqual([
      ["0.40", true],
      ["1.20", true],
    ]);
    await past(1, true, { modelVersion: "fake@0" });
    await past(2, true, { modelVersion: "other@1" });
    expect(
      (await refitCalibrations({ ...stores, clock })).map((one) => [one.modelVersion, one.calibration?.state]),
    ).toEqual([
      ["fake@0", "benchmark"],
      ["other@1", undefined],
    ]);
  });
});
