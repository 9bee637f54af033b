/** Which artifacts of CI count, and what their tests say: nothing that a fork, a dispatch or half a report says becomes a label. */
import { describe, expect, it } from "vitest";
import type { Conclusion } from "../../src/domain/outcome.ts";
import {
  codeOfAttempt,
  emptyReport,
  fileOfTree,
  resultsOfReport,
  type TestReport,
  touching,
  type WorkflowAttempt,
} from "../../src/domain/test-report.ts";

const REPOSITORY = 7;
const COMMITS = { head: "head", base: "base" };

describe("which code an attempt ran", () => {
  const code = (sha: string, more: Partial<WorkflowAttempt>) =>
    codeOfAttempt(
      { run: 1, attempt: 1, event: "push", sha, headRepositoryId: REPOSITORY, conclusion: "success", ...more },
      { sha, ...COMMITS },
      REPOSITORY,
    );
  it.each<[string, Partial<WorkflowAttempt>, "exact" | "merged" | null]>([
    ["head", { event: "push" }, "exact"],
    ["head", { event: "push", conclusion: "failure" }, "exact"],
    ["head", { event: "pull_request" }, "merged"],
    ["head", { event: "pull_request", headRepositoryId: 8 }, null],
    ["head", { event: "pull_request", headRepositoryId: null }, null],
    ["head", { event: "push", headRepositoryId: 8 }, null],
    ["head", { event: "pull_request_target" }, null],
    ["head", { event: "workflow_run" }, null],
    ["head", { event: "workflow_dispatch" }, null],
    ["head", { event: "schedule" }, null],
    ["head", { event: "issue_comment" }, null],
    ["base", { event: "push" }, "exact"],
    ["base", { event: "merge_group" }, "exact"],
    ["base", { event: "pull_request" }, null],
    ["base", { event: "schedule" }, null],
    ["final", { event: "push" }, "merged"],
    ["final", { event: "merge_group" }, "merged"],
    ["final", { event: "pull_request" }, null],
    ["head", { sha: "other" }, null],
    ...(
      ["cancelled", "timed_out", "neutral", "skipped", "startup_failure", "action_required", "stale", null] as const
    ).map((conclusion: Conclusion | null): [string, Partial<WorkflowAttempt>, null] => ["head", { conclusion }, null]),
  ])("%s %j → %s", (sha, more, expected) => expect(code(sha, more)).toBe(expected));
});

describe("which file CI means", () => {
  const files = ["src/a.py", "lib/src/b.py", "main.py", "examples/main.py", "decoder.py"];
  it.each([
    ["src/a.py", "src/a.py"],
    ["./src/a.py", "src/a.py"],
    ["src\\a.py", "src/a.py"],
    ["a.py", "src/a.py"],
    ["src/b.py", "lib/src/b.py"],
    // Two end so: a part of the repository may have been the folder of the tests.
    ["main.py", null],
    ["examples/main.py", "examples/main.py"],
    ["/home/runner/work/shop/shop/src/a.py", "src/a.py"],
    ["D:\\a\\shop\\shop\\src\\a.py", "src/a.py"],
    ["/__w/shop/shop/main.py", "main.py"],
    ["/usr/lib/python3.12/json/decoder.py", null],
    ["/home/runner/work/shop/shop/.venv/lib/decoder.py", null],
    ["/home/runner/work/other/other/src/a.py", null],
    ["../src/a.py", null],
    ["/etc/passwd", null],
    ["", null],
    [".", null],
  ])("%s → %s", (path, file) => expect(fileOfTree(path, files, "shop")).toBe(file));
});

describe("results of one attempt", () => {
  const report = (more: Partial<TestReport>): TestReport => ({ ...emptyReport(), ...more });
  const test = (id: string, outcome: TestReport["tests"][number]["outcome"], traceback: string[] = []) => ({
    id,
    outcome,
    traceback,
  });
  const HEAD = { onBase: false, green: true };
  const BASE = { onBase: true, green: true };

  it("a test with both results, in one report or between two of an attempt, has none", () => {
    const tests = [
      test("a", "passed"),
      test("a", "failed"),
      test("b", "flaky"),
      test("c", "passed"),
      test("c", "passed"),
    ];
    expect(resultsOfReport(report({ tests }), HEAD).junit.map(({ id }) => id)).toEqual(["ci c"]);
  });

  it("a traceback says at a head what ran, and on base only beside coverage that names the test", () => {
    const tests = [test("a", "failed", ["x.py#f"])];
    const executes = (more: Partial<TestReport>, where: typeof HEAD) =>
      resultsOfReport(report({ tests, ...more }), where).junit[0]!.executes;
    expect(executes({}, HEAD)).toEqual(["x.py#f"]);
    expect(executes({}, BASE)).toEqual([]);
    const ranBy = new Map([["x.py#g", new Set(["a"])]]);
    expect(executes({ ranBy }, BASE)).toEqual(["x.py#f", "x.py#g"]);
    expect(executes({ ranBy: new Map([["x.py#g", new Set(["b"])]]) }, BASE)).toEqual([]);
  });

  it("coverage without tests speaks of the whole run, at a head that ended green", () => {
    const ran = new Set(["x.py#f"]);
    expect(resultsOfReport(report({ ran }), HEAD).coverage).toEqual([
      { id: "ci (whole run)", outcome: "passed", executes: ["x.py#f"], traceback: [] },
    ]);
    for (const where of [BASE, { onBase: false, green: false }])
      expect(resultsOfReport(report({ ran }), where).coverage).toEqual([]);
  });

  it("tests that touch no function fill no log; where there are too many, those that fail stay", () => {
    const result = (id: string, outcome: "passed" | "failed", executes: string[]) => ({
      id,
      outcome,
      executes,
      traceback: [],
    });
    const [head, base] = touching([
      [result("a", "passed", ["f"]), result("b", "passed", [])],
      [result("a", "failed", []), result("b", "failed", [])],
    ]);
    expect([head!.map(({ id }) => id), base!.map(({ id }) => id)]).toEqual([["a"], ["a"]]);
    const many = Array.from({ length: 5_000 }, (_, n) => result(`t${n}`, "passed", ["f"]));
    const [kept] = touching([[...many, result("z", "failed", ["f"])]]);
    expect([kept!.length, kept!.some(({ id }) => id === "z")]).toEqual([2_000, true]);
  });
});
