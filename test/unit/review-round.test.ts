import fc from "fast-check";
import { marked } from "marked";
import { describe, expect, test } from "vitest";
import { type Finding, meantFindings } from "../../src/domain/finding.ts";
import { takesAnchor } from "../../src/domain/hunks.ts";
import { linkedIssues } from "../../src/domain/linked-issues.ts";
import { BODY_LIMIT, code, table, tableWithin } from "../../src/domain/markdown.ts";
import { DEFAULT_REPO_CONFIG, type PathSettings, reviewSettings } from "../../src/domain/repo-config.ts";
import type { ReviewedFunction, ReviewReport } from "../../src/domain/review.ts";
import { reviewCheck } from "../../src/domain/review-check.ts";
import { findingComment, findingMarker, readFindingMarker } from "../../src/domain/review-comment.ts";
import { inlineComments } from "../../src/domain/review-inline.ts";
import { reviewedKey, reviewRound } from "../../src/domain/review-round.ts";
import { sketchOf, sketchSimilarity } from "../../src/domain/sketch.ts";

const one = (name: string, more: Partial<ReviewedFunction> = {}): ReviewedFunction => ({
  path: "m.py",
  name,
  language: "python",
  startLine: 1,
  endLine: 3,
  change: "modified",
  reward: 0.2,
  attribution: 0.25,
  baseReward: 0.8,
  baseAttribution: 1,
  reason: null,
  rank: 1,
  estimate: null,
  calibration: "uncalibrated",
  calibrationVersion: null,
  evidence: [{ kind: "before-after", text: "attribution 1.00 on base, 0.25 here" }],
  finding: true,
  bodyHash: `hash of ${name}`,
  ...more,
});
const reportOf = (functions: ReviewedFunction[], more: Partial<ReviewReport> = {}): ReviewReport => ({
  model: { name: "m", version: "1", sha256: "0", renderVersion: "v1" },
  calibrated: false,
  coverage: { scored: functions.length, inScope: functions.length, notScored: [] },
  ledger: `scored ${functions.length}/${functions.length}`,
  otherFiles: 0,
  hidden: [],
  functions,
  ...more,
});
const found = (name: string, more: Partial<Finding> = {}): Finding => ({
  repositoryId: 1,
  installationId: 1,
  pullRequest: 1,
  path: "m.py",
  name,
  bodyHash: `hash of ${name}`,
  modelVersion: "m@1",
  state: "posted",
  head: "h",
  attribution: 0.25,
  estimate: null,
  inline: true,
  commentId: 5,
  threadId: "t",
  verdict: null,
  judgedAt: null,
  by: null,
  reason: null,
  createdAt: "",
  updatedAt: "",
  ...more,
});
const round = (functions: ReviewedFunction[], findings: Finding[], reviewed: string[] = [], full = false) =>
  reviewRound(reportOf(functions), { findings, reviewed: new Set(reviewed), full });
const names = (functions: { name: string }[]) => functions.map(({ name }) => name);

describe("what a later review says", () => {
  test("a body that was spoken of is not spoken of again, whatever model finds it", () => {
    const known = round([one("f")], [found("f", { modelVersion: "m@0" })]);
    expect([names(known.fresh), known.standing.length, known.fixed]).toEqual([[], 1, []]);
    expect(round([one("f", { bodyHash: "new" })], [found("f")])).toMatchObject({
      fresh: [{ name: "f" }],
      fixed: [{ name: "f" }],
    });
  });

  test("what a person declined or called wrong is silent under every model, until the body changes", () => {
    for (const state of ["dismissed", "wrong"] as const) {
      const silent = round([one("f")], [found("f", { state }), found("f", { modelVersion: "m@2", state: "posted" })]);
      expect([names(silent.fresh), silent.standing, names(silent.silenced)]).toEqual([[], [], ["f"]]);
      expect(silent.report.functions[0]!.finding).toBe(false);
      expect(names(round([one("f", { bodyHash: "new" })], [found("f", { state })]).fresh)).toEqual(["f"]);
    }
  });

  test("a function that did not change never gains a finding, unless all is asked for afresh", () => {
    const seen = [reviewedKey("m.py#f", "hash of f")];
    expect(round([one("f")], [], seen).report.functions[0]!.finding).toBe(false);
    expect(names(round([one("f")], [], seen, true).fresh)).toEqual(["f"]);
  });

  test("a file that was renamed takes its findings along; two equal functions are two", () => {
    const moved = round([one("f", { path: "n.py" })], [found("f")]);
    expect([names(moved.fresh), moved.standing.length, moved.fixed]).toEqual([[], 1, []]);
    const both = round([one("f"), one("f", { path: "n.py" })], [found("f")]);
    expect([both.fresh.map(({ path }) => path), both.standing.length]).toEqual([["n.py"], 1]);
  });

  test("of what could not be looked at nothing is said, neither that it is fixed", () => {
    const report = reportOf([], {
      coverage: { scored: 0, inScope: 1, notScored: [{ path: "m.py", name: "<file>", reason: "x" }] },
    });
    expect(reviewRound(report, { findings: [found("f")], reviewed: new Set(), full: false }).fixed).toEqual([]);
    expect(round([one("f", { change: "deleted", attribution: null })], [found("f")]).fixed).toHaveLength(1);
  });

  test("whatever happened before, a function is said at most once and never when silenced", () => {
    const state = fc.constantFrom("posted", "muted", "dismissed", "right", "wrong", "fixed");
    const history = fc.array(
      fc.record({
        name: fc.constantFrom("a", "b", "c"),
        bodyHash: fc.constantFrom("1", "2"),
        state,
        modelVersion: fc.constantFrom("m@1", "m@2"),
      }),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(
        history,
        fc.array(fc.constantFrom("1", "2"), { minLength: 3, maxLength: 3 }),
        fc.boolean(),
        (past, bodies, full) => {
          const functions = ["a", "b", "c"].map((name, k) => one(name, { bodyHash: bodies[k]! }));
          const said = round(
            functions,
            past.map((finding) => found(finding.name, finding as Partial<Finding>)),
            [],
            full,
          );
          const places = [said.fresh, said.standing.map(({ now }) => now), said.silenced].flatMap(names);
          expect(places.sort()).toEqual(["a", "b", "c"]);
          for (const fresh of said.fresh)
            expect(past.some((was) => was.name === fresh.name && was.bodyHash === fresh.bodyHash)).toBe(false);
          for (const fixed of said.fixed)
            expect(functions.some((now) => now.name === fixed.name && now.bodyHash === fixed.bodyHash)).toBe(false);
        },
      ),
    );
  });
});

describe("which finding a command means", () => {
  const all = [found("A.f", { commentId: 1 }), found("g", { commentId: 2 })];
  const meant = (verb: string, text: string, thread: number | null = null, findings = all) => {
    const { findings: those, reason } = meantFindings(findings, { verb, text }, thread);
    return [names(those), reason];
  };
  test("its thread, a name, all, or the only one; else none", () => {
    expect(meant("wrong", "we checked", 2)).toEqual([["g"], "we checked"]);
    expect(meant("wrong", "`A.f` we checked")).toEqual([["A.f"], "we checked"]);
    expect(meant("ignore", "f")).toEqual([["A.f"], null]);
    expect(meant("ignore", "m.py:g")).toEqual([["g"], null]);
    expect(meant("ignore", "PR")).toEqual([["A.f", "g"], null]);
    expect(meant("wrong", "pr")).toEqual([[], "pr"]);
    expect(meant("right", "")).toEqual([[], null]);
    expect(meant("wrong", "no idea", null, all.slice(0, 1))).toEqual([["A.f"], "no idea"]);
  });
});

describe("inline comments", () => {
  const patch = ["@@ -1,4 +1,4 @@", " def f(x):", "-    return x", "+    return -x", " ", " def g(x):"].join("\n");
  test("stand on lines of one hunk, as many as each setting allows", () => {
    const findings = [one("f"), one("g", { startLine: 4, endLine: 9 }), one("h", { startLine: 40, endLine: 50 })];
    const lines = (most: number) =>
      inlineComments(findings, new Map([["m.py", patch]]), () => ({ setting: "", most })).map(({ startLine, line }) => [
        startLine,
        line,
      ]);
    expect(lines(5)).toEqual([
      [1, 3],
      [null, 4],
    ]);
    expect(lines(1)).toHaveLength(1);
    expect(lines(0)).toEqual([]);
    expect(inlineComments(findings, new Map([["m.py", null]]), () => ({ setting: "", most: 9 }))).toEqual([]);
    expect([takesAnchor(patch, { startLine: null, line: 5 }), takesAnchor(patch, { startLine: 3, line: 3 })]).toEqual([
      false,
      false,
    ]);
  });

  test("of the settings that match a path the last one that gives each decides, and the repository's where none does", () => {
    const paths: PathSettings[] = [
      { match: "a/**", review: { max_inline: 2, rounds: 9 }, check: { fail_on: "finding" } },
      { match: "a/b/**", review: { max_inline: 0 } },
      { match: "a/b/c/**", review: { min_precision: 0.9 }, check: { fail_on: "none" } },
    ];
    const at = reviewSettings({ ...DEFAULT_REPO_CONFIG, paths }, (glob, path) => path.startsWith(glob.slice(0, -2)));
    const own = { max_inline: 0, counted: "", min_precision: 0.6, rounds: 3, fail_on: "none" };
    const first = { ...own, max_inline: 2, counted: "a/**", rounds: 9, fail_on: "finding" };
    const second = { ...first, max_inline: 0, counted: "a/b/**" };
    expect(["x.py", "a/x.py", "a/b/x.py", "a/b/c/x.py"].map(at)).toEqual([
      own,
      first,
      second,
      { ...second, min_precision: 0.9, fail_on: "none" },
    ]);
  });

  test("carry their finding in a marker that only the app can write, and no number before the repository's own labels", () => {
    const place = { repositoryId: 1, number: 7 };
    const marker = findingMarker(
      "key",
      { path: "a b/ü.py", name: "C.f", bodyHash: "9f", modelVersion: "m@1" },
      7,
      place,
    );
    expect(marker).toContain("cal=7");
    expect(readFindingMarker("key", `${marker}\ntext`, place)).toEqual({
      id: "a b/ü.py#C.f",
      bodyHash: "9f",
      modelVersion: "m@1",
    });
    expect(readFindingMarker("other", marker, place)).toBeNull();
    expect(readFindingMarker("key", marker, { repositoryId: 2, number: 7 })).toBeNull();
    const hostile = findingComment(
      marker,
      one("@octocat](http://x) <img src=x> `\n# h", {
        evidence: [{ kind: "tests", text: "@all www.x.org <b> `a` fails" }],
      }),
      47,
      false,
    );
    const html = marked.parse(hostile, { async: false }).replaceAll(/<code>.*?<\/code>/g, "");
    expect(html).not.toMatch(/@\w|<a |<img|<b>|<h1|\d %/);
    expect(hostile).toContain("rank 1 of 47, uncalibrated");
    const estimate = {
      probability: 0.31,
      labels: 240,
      bucket: { low: 0.2, high: 0.4, correct: 15, total: 61, wilson: [0.15, 0.37] as [number, number] },
    };
    const say = (calibration: "benchmark" | "repository", declined: boolean) =>
      findingComment(marker, one("f", { calibration, estimate }), 47, declined).split("\n")[1];
    expect(say("benchmark", true)).toBe(
      "**Low reward · `f`** — rank 1 of 47, calibrated on benchmark programs (240), changed since you declined",
    );
    expect(say("repository", false)).toBe(
      "**Low reward · `f`** — estimated chance it is correct: **31 %** (bucket 20–40 %: 46 of 61 past functions were wrong in this repo, 95 % interval 63 % to 85 %; calibrated on this repository (240))",
    );
  });
});

describe("the check run", () => {
  const settings = ({
    fail_on = "none",
    ...more
  }: {
    fail_on?: "none" | "finding";
    neutral_as?: "action_required";
  }) => ({
    neutral_as: DEFAULT_REPO_CONFIG.check.neutral_as,
    failOn: () => fail_on,
    ...more,
  });
  test("fails only where the repository asks for it; is green only when all was scored, calibrated and nothing is low", () => {
    const low = reportOf([one("f")]);
    const clean = reportOf([one("f", { finding: false, calibration: "repository" })], { calibrated: true });
    const say = (report: ReviewReport, more: Parameters<typeof settings>[0] = {}) =>
      reviewCheck(report, [], settings(more)).conclusion;
    expect([say(low), say(low, { fail_on: "finding" }), say(low, { neutral_as: "action_required" })]).toEqual([
      "neutral",
      "failure",
      "action_required",
    ]);
    expect([say(clean), say({ ...clean, calibrated: false }), say(clean, { fail_on: "finding" })]).toEqual([
      "success",
      "neutral",
      "success",
    ]);
    const partial = {
      ...clean,
      coverage: { scored: 1, inScope: 2, notScored: [{ path: "x", name: "y", reason: "z" }] },
    };
    expect(say(partial)).toBe("neutral");
  });

  test("annotates what no comment says, and shows a number only when calibrated on the repository", () => {
    const [f, g] = [one("f"), one("g")];
    expect(reviewCheck(reportOf([f, g]), [], settings({}), new Set([f])).annotations.map(({ title }) => title)).toEqual(
      ["Low reward: g"],
    );
    const estimate = {
      probability: 0.31,
      labels: 240,
      bucket: { low: 0.2, high: 0.4, correct: 15, total: 61, wilson: [0.15, 0.37] as [number, number] },
    };
    const known = reviewCheck(reportOf([one("f", { calibration: "repository", estimate })], { calibrated: true }), []);
    expect(known.title).toBe("1/1 functions scored · 1 low · calibrated on this repository (240) · lowest f 31 %");
    expect(known.summary).toMatch(/\| 31 % \| bucket 20–40 %: 46 of 61 past functions were wrong in this repo, 95 %/);
    expect(reviewCheck(reportOf([one("f", { calibration: "benchmark", estimate })]), []).summary).not.toMatch(/\d %/);
  });
});

test("a check run of thousands of functions says what it leaves out, and names both the scored and the others", () => {
  const many = Array.from({ length: 2_000 }, (_, at) => one(`function_${at}`, { rank: at + 1, finding: false }));
  const notScored = Array.from({ length: 1_000 }, (_, at) => ({ path: "b.py", name: `g${at}`, reason: "generated" }));
  const check = reviewCheck(
    reportOf(many, { coverage: { scored: 2_000, inScope: 3_000, notScored }, ledger: "scored 2000/3000" }),
    [],
  );
  const rows = (pattern: RegExp) => [...check.text!.matchAll(pattern)].length;
  const omitted = [...check.text!.matchAll(/(\d+) rows omitted\./g)].map(([, count]) => Number(count));
  expect(check.text!.length).toBeLessThanOrEqual(BODY_LIMIT);
  expect([rows(/`m\.py: function_/g), rows(/`b\.py: g/g)].map((shown, at) => shown + omitted[at]!)).toEqual([
    2_000, 1_000,
  ]);
  expect(Math.min(rows(/`m\.py: function_/g), rows(/`b\.py: g/g))).toBeGreaterThan(200);
  expect(check.text).toMatch(/`funprm review` in a clone prints everything\.$/);
  const few = reviewCheck(reportOf(many.slice(0, 300)), []);
  expect(few.text).not.toMatch(/omitted/);
  fc.assert(
    fc.property(
      fc.array(fc.string({ maxLength: 9 }), { maxLength: 40 }),
      fc.integer({ min: 60, max: 400 }),
      (cells, limit) => {
        const rows = cells.map((cell) => [code(cell)]);
        const [whole, shown] = [table(["A"], rows), tableWithin(["A"], rows, limit)];
        const left = Number(/(\d+) rows? omitted\.$/.exec(shown)?.[1] ?? 0);
        expect(shown.length).toBeLessThanOrEqual(limit);
        expect(shown.split("\n\n")[0]).toBe(
          whole
            .split("\n")
            .slice(0, 2 + rows.length - left)
            .join("\n"),
        );
      },
    ),
  );
});

test("sketches tell similar functions from others without their text", () => {
  const text = (words: string) =>
    `def f(x):\n    total = 0\n    for item in x:\n        total += ${words}\n    return total\n`;
  const near = sketchSimilarity(sketchOf(text("item * 2")), sketchOf(text("item * 3")));
  const far = sketchSimilarity(
    sketchOf(text("item * 2")),
    sketchOf("class A:\n    async def g(self, y):\n        await y.close()\n"),
  );
  expect([sketchSimilarity(sketchOf(text("1")), sketchOf(text("1"))), near > 0.5, far < 0.2]).toEqual([1, true, true]);
  expect(sketchOf("")).toBe("");
});

test("issues that a pull request closes are read by GitHub's own keywords", () => {
  expect(linkedIssues("Fixes #12, closes: #3 and resolves #12. See #4, fixes other/repo#5.")).toEqual([12, 3]);
});
