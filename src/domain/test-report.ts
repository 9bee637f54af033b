/**
 * What a repository's own CI says of its tests, in artifacts of workflow runs: JUnit XML and coverage, as test results of the
 * log (product.md 4.9). Pure; reading the files is the adapter's.
 */
import type { Conclusion, TestResult } from "./outcome.ts";

export const ARTIFACT_KINDS = ["junit", "coverage"] as const;
export type ArtifactKind = (typeof ARTIFACT_KINDS)[number];

export type ReportedTest = {
  /** `classname.name` of JUnit, as pytest writes it: `tests.test_a.TestF.test_ok[1]`. */
  id: string;
  /** `flaky`: the report itself has it with both results. */
  outcome: TestResult["outcome"] | "flaky";
  /** Ids of the functions in the text of its failure. */
  traceback: string[];
};

/** What artifacts say. Functions are ids of the log (`functionId`). */
export type TestReport = {
  tests: ReportedTest[];
  /** Tests that ran a line of the function's body, by function. Only coverage with contexts names any. */
  ranBy: Map<string, Set<string>>;
  /** Functions that ran, by coverage that names no test. */
  ran: Set<string>;
};

export function emptyReport(): TestReport {
  return { tests: [], ranBy: new Map(), ran: new Set() };
}

/** Adds tests that ran a line of the function `id`. */
export function addRanBy({ ranBy }: TestReport, id: string, tests: ReadonlySet<string>): void {
  ranBy.set(id, new Set([...(ranBy.get(id) ?? []), ...tests]));
}

/** The function whose body holds a line (1-based) of a file as CI names it; null: none that is looked at. */
export type FunctionAtLine = (path: string, line: number) => string | null;

/** One attempt of a workflow run. `headRepositoryId`: where its code came from; null when that repository is gone. */
export type WorkflowAttempt = {
  run: number;
  attempt: number;
  event: string;
  sha: string;
  headRepositoryId: number | null;
  /** Null while it runs. */
  conclusion: Conclusion | null;
};

/** Conclusions after which the results stand: what was cancelled or timed out ran only in part. */
const STANDING: ReadonlySet<Conclusion> = new Set(["success", "failure"]);
/** Events whose run checks out the commit that the run names, and no other that its workflow or a comment asks for. */
const OF_COMMIT = new Set(["push", "merge_group"]);

/**
 * Which code an attempt at `sha` ran: `exact` that commit's; `merged` the pull request's head merged into a base that may have
 * moved on, so that only files which the merge left alone have the head's lines. Null: it says nothing. A fork's workflows are
 * its owner's to write, and `pull_request_target`, `workflow_run`, `workflow_dispatch` may check out anything.
 */
export function codeOfAttempt(
  one: WorkflowAttempt,
  at: { sha: string; head: string; base: string },
  repositoryId: number,
): "exact" | "merged" | null {
  if (one.headRepositoryId !== repositoryId || one.sha !== at.sha) return null;
  if (one.conclusion === null || !STANDING.has(one.conclusion)) return null;
  if (at.sha === at.base) return OF_COMMIT.has(one.event) ? "exact" : null;
  if (at.sha === at.head) return one.event === "push" ? "exact" : one.event === "pull_request" ? "merged" : null;
  return OF_COMMIT.has(one.event) ? "merged" : null;
}

/** Of what CI ran, as the log names it: no run of our own has such a name, nor a test such a start. */
export const RUN_OF = { junit: "junit artifact of run", coverage: "coverage artifact of run" } as const;

/** What CI and our own driver call alike is not the same run. */
const idOf = (test: string) => `ci ${test}`;

/**
 * Results of one attempt: tests of its JUnit artifacts, with what each executed where coverage names tests, and what all of
 * it executed where coverage names none. A test that is flaky or stands in it with two outcomes has no result.
 *
 * Without contexts a traceback is all that is known of what a test executed: enough at a head, where a function in the
 * traceback ran for sure; not on base, where "it ran this function and no other that was changed" would be made of it.
 * Coverage without contexts counts only at a head that ended green: of a base it says of no function which test it failed.
 */
export function resultsOfReport(
  { tests, ranBy, ran }: TestReport,
  { onBase, green }: { onBase: boolean; green: boolean },
): Record<ArtifactKind, TestResult[]> {
  const executed = new Map<string, string[]>();
  for (const [id, names] of ranBy) for (const name of names) executed.set(name, [...(executed.get(name) ?? []), id]);
  const junit: TestResult[] = [];
  for (const [test, rows] of Map.groupBy(tests, (row) => row.id)) {
    const outcomes = new Set(rows.map((row) => row.outcome));
    const [outcome] = outcomes;
    if (outcomes.size > 1 || outcome === undefined || outcome === "flaky") continue;
    const traceback = [...new Set(rows.flatMap((row) => row.traceback))].sort();
    const known = executed.get(test);
    const seen = known !== undefined || !onBase ? traceback : [];
    junit.push({ id: idOf(test), outcome, executes: [...new Set([...(known ?? []), ...seen])].sort(), traceback });
  }
  const whole = green && !onBase && ran.size > 0;
  return {
    junit: junit.sort((a, b) => (a.id < b.id ? -1 : 1)),
    coverage: whole ? [{ id: idOf("(whole run)"), outcome: "passed", executes: [...ran].sort(), traceback: [] }] : [],
  };
}

/** Tests of one pull request that its log keeps; those that fail somewhere before those that never do. */
const MOST_TESTS = 2_000;

/** Results of several runs without the tests that touch no function in any of them: they decide nothing and fill the log. */
export function touching(runs: readonly (readonly TestResult[])[]): TestResult[][] {
  const all = runs.flat();
  const fails = new Set(all.filter((one) => one.outcome === "failed" || one.outcome === "error").map(({ id }) => id));
  const touched = new Set(all.filter((one) => one.executes.length > 0).map(({ id }) => id));
  const order = [...touched].sort((a, b) => Number(fails.has(b)) - Number(fails.has(a)) || (a < b ? -1 : 1));
  const kept = new Set(order.slice(0, MOST_TESTS));
  return runs.map((run) => run.filter((one) => kept.has(one.id)));
}

/**
 * The file of the tree that CI means, or null. An absolute path is one below the folder that GitHub checks a repository out
 * to, `…/REPO/REPO/`: whatever lies elsewhere is not of the repository, whatever its name. A relative one may start at any
 * folder of it, as tests do that run in a part of the repository, so it must be the end of one path only.
 */
export function fileOfTree(path: string, files: readonly string[], repo: string): string | null {
  const plain = path.replaceAll("\\", "/").replace(/^(\.\/)+/, "");
  if (/^(\/|[A-Za-z]:\/)/.test(plain)) {
    const workspace = `/${repo}/${repo}/`;
    const from = plain.indexOf(workspace);
    const inside = plain.slice(from + workspace.length);
    return from >= 0 && files.includes(inside) ? inside : null;
  }
  const ending = plain === "" ? [] : files.filter((file) => file === plain || file.endsWith(`/${plain}`));
  return ending.length === 1 ? ending[0]! : null;
}
