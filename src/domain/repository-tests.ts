/** What a candidate does to the repository's own tests, from two runs of the same command. */
import type { TestSummary } from "./evidence.ts";
import type { RepositoryTestRun } from "./judge.ts";

/** Test files and what steers a runner: a candidate never replaces them, whatever its patch says. */
export function isTestOrRunnerFile(path: string): boolean {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return (
    /^(test_.*|.*_test)\.py$/.test(name) ||
    /\.(test|spec)\.[cm]?[jt]sx?$/.test(name) ||
    /(^|\/)(tests?|__tests__)\//.test(path) ||
    isRunnerFile(path)
  );
}

/** What decides how tests run and which, and whether they pass: by name, at any depth. */
export function isRunnerFile(path: string): boolean {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return (
    /^(\.?pytest\.ini|tox\.ini|setup\.cfg|pyproject\.toml|package\.json|package-lock\.json|\.coveragerc|\.mocharc.*)$/.test(
      name,
    ) ||
    /^(conftest|noxfile|setup|sitecustomize|usercustomize)\.py$/.test(name) ||
    /^(jest|vitest|mocha|playwright|karma)\.config\..*$/.test(name) ||
    /\.pth$/.test(name) ||
    // Would be imported in place of the runner.
    /^(pytest|_pytest|pluggy|iniconfig|unittest|doctest)(\.py$|\/)/.test(path)
  );
}

/** The whole run counts as one test when the runner reports none by name. */
const WHOLE = "(whole run)";

/** `broke`: passed on base and does not pass now. `fixed`: did not pass on base and passes now. Skips and flaky tests are neither. */
export function compareTests(
  base: RepositoryTestRun,
  candidate: RepositoryTestRun,
): { broke: string[]; fixed: string[] } {
  const before = outcomes(base);
  const after = outcomes(candidate);
  const broke = [...before]
    .filter(([id, outcome]) => outcome === "passed" && !["passed", "skipped", "flaky"].includes(after.get(id) ?? ""))
    .map(([id]) => id);
  const fixed = [...after]
    .filter(([id, outcome]) => outcome === "passed" && (before.get(id) === "failed" || before.get(id) === "error"))
    .map(([id]) => id);
  return { broke: broke.sort(), fixed: fixed.sort() };
}

export function summarizeTests(run: RepositoryTestRun): TestSummary {
  const count = (...kinds: string[]) => [...outcomes(run).values()].filter((outcome) => kinds.includes(outcome)).length;
  return {
    verdict: run.verdict,
    exitCode: run.exitCode,
    passed: count("passed"),
    failed: count("failed", "error"),
    skipped: count("skipped"),
    logSha256: run.logSha256,
    wallMs: run.wallMs,
  };
}

function outcomes(run: RepositoryTestRun): Map<string, string> {
  if (run.tests.length === 0) return new Map([[WHOLE, run.exitCode === 0 ? "passed" : "failed"]]);
  return new Map(run.tests.map((test) => [test.id, test.outcome]));
}
