/** Verdicts of stored candidates by the merged head's tests: who passes, who fails, and when nothing can be said. */
import { describe, expect, it } from "vitest";
import type { RepositoryTestRun } from "../../src/domain/judge.ts";
import { canaryBeside, judgeMerged, resultsOnBase } from "../../src/domain/merged-tests.ts";

type Row = RepositoryTestRun["tests"][number];
const canary = canaryBeside("tests/test_a.py", "seed");
const CANARIES: Row[] = [
  { id: `tests.test_${canary.marker}.T.test_holds`, outcome: "passed" },
  { id: `tests.test_${canary.marker}.T.test_breaks`, outcome: "failed", error: "AssertionError" },
];

function run(tests: Record<string, string>, more: Partial<RepositoryTestRun> = {}): RepositoryTestRun {
  const rows = Object.entries(tests).map(([id, said]): Row => {
    const [outcome, error] = said.split(" ");
    return { id, outcome: outcome as Row["outcome"], error: error ?? null };
  });
  return {
    status: "ran",
    reason: null,
    command: [],
    exitCode: 1,
    tests: [...rows, ...CANARIES],
    cpuMs: 1,
    wallMs: 1,
    verdict: "WRONG",
    attested: "in-process",
    tier: 1,
    logSha256: "x",
    logTail: "",
    ...more,
  };
}

const head = run({ "t.fix": "passed", "t.old": "passed", "t.broken": "failed", "t.skip": "skipped" });
const base = run({ "t.fix": "failed AssertionError", "t.old": "passed", "t.broken": "failed", "t.skip": "skipped" });
const judge = (...candidates: (RepositoryTestRun | null)[]) => {
  const verdicts = judgeMerged(head, base, new Map(candidates.map((one, index) => [index, one])), canary);
  return candidates.map((_, index) => [verdicts.get(index)!.label, verdicts.get(index)!.verdict]);
};
const good = run({ "t.fix": "passed", "t.old": "passed", "t.broken": "failed", "t.skip": "skipped" });
const bad = run({ "t.fix": "failed AssertionError", "t.old": "passed", "t.broken": "passed" });

describe("candidates under the tests of the merged head", () => {
  it("one passes what the head passes and base does not, one does not, one breaks what passed: 1, 0, 0", () => {
    const breaks = run({ "t.fix": "passed", "t.old": "failed AssertionError" });
    expect(judge(good, bad, breaks)).toEqual([
      [1, "PASS"],
      [0, "WRONG"],
      [0, "WRONG"],
    ]);
  });

  it("tests that fail on the head too say nothing of a candidate", () => {
    expect(judge(run({ "t.fix": "passed", "t.old": "passed" }))).toEqual([[1, "PASS"]]);
  });

  it.each([
    ["flaky", run({ "t.fix": "flaky", "t.old": "passed" }), "FLAKY"],
    ["INFRA", run({}, { verdict: "INFRA", tests: [] }), "INFRA"],
    ["no test reported", run({}, { tests: [] }), "RUNTIME_ERROR"],
    ["cannot run", run({}, { status: "cannot-run", reason: "no pytest", tests: [] }), "NOT_RUN"],
    ["does not apply", null, "NOT_RUN"],
  ])("%s is no label, and its siblings keep theirs", (_, one, verdict) => {
    expect(judge(one, good, bad)).toEqual([
      [null, verdict],
      [1, "PASS"],
      [0, "WRONG"],
    ]);
  });

  it("a time limit is a failure of the candidate", () => {
    expect(judge(run({}, { verdict: "TIME_LIMIT", tests: [] }))).toEqual([[0, "TIME_LIMIT"]]);
  });

  it("a canary that passes is tampering: neither the candidate nor a sibling gets a label", () => {
    const cheat = run({ "t.fix": "passed", "t.old": "passed" });
    cheat.tests = cheat.tests.map((row) => ({ ...row, outcome: "passed" }));
    const gone = { ...good, tests: good.tests.filter((row) => !row.id.includes(canary.marker)) };
    for (const one of [cheat, gone])
      expect(judge(one, good)).toEqual([
        [null, "TAMPERED"],
        [null, "PASS"],
      ]);
  });

  it("where the head's own command does not run the canary, nobody gets a label", () => {
    const plain = { ...head, tests: head.tests.filter((row) => !row.id.includes(canary.marker)) };
    const verdicts = judgeMerged(plain, base, new Map([[0, good]]), canary);
    expect(verdicts.get(0)).toMatchObject({ label: null, reason: "the test command does not run the canary tests" });
  });

  it("tests that name what base does not have: no label when all fail by it, judged by the others when one does not", () => {
    const unnamed = run({ "t.fix": "error ImportError", "t.old": "passed" });
    const only = judgeMerged(
      run({ "t.fix": "passed", "t.old": "passed" }),
      unnamed,
      new Map([
        [0, unnamed],
        [1, run({ "t.fix": "error ImportError", "t.old": "failed AssertionError" })],
      ]),
      canary,
    );
    expect([...only.values()].map((one) => one.label)).toEqual([null, null]);
    expect(only.get(0)!.reason).toBe("the merged tests name what does not exist on base");
    const named = judgeMerged(
      run({ "t.fix": "passed", "t.old": "passed" }),
      unnamed,
      new Map([
        [0, unnamed],
        [1, run({ "t.fix": "passed", "t.old": "passed" })],
      ]),
      canary,
    );
    expect([...named.values()].map((one) => one.label)).toEqual([0, 1]);
  });

  it("a test whose file does not load ended as its file did, on base and on a candidate", () => {
    const fresh = run({ "tests.test_new.T.test_a": "passed", "t.old": "passed" });
    const unloaded = run({ "unittest.loader._FailedTest.tests.test_new": "error ImportError", "t.old": "passed" });
    const verdicts = judgeMerged(fresh, unloaded, new Map([[0, unloaded]]), canary);
    expect(verdicts.get(0)!.label).toBeNull();
    expect(resultsOnBase(unloaded, fresh).find((one) => one.id === "tests.test_new.T.test_a")?.outcome).toBe("error");
    const pytest = run({ "tests.test_new": "error ImportError", "t.old": "passed" });
    expect(resultsOnBase(pytest, fresh).find((one) => one.id === "tests.test_new.T.test_a")?.outcome).toBe("error");
  });

  it("without a test that fails on base a pass says nothing, a broken test still does", () => {
    const same = run({ "t.old": "passed" });
    const verdicts = judgeMerged(
      same,
      same,
      new Map([
        [0, same],
        [1, run({ "t.old": "failed AssertionError" })],
      ]),
      canary,
    );
    expect([...verdicts.values()].map((one) => one.label)).toEqual([null, 0]);
  });

  it("every known test has to be accounted for: one that is not reported leaves no label", () => {
    expect(judge(run({ "t.old": "passed" }))).toEqual([[null, "INFRA"]]);
  });
});
