/**
 * Stored candidates judged again by the tests of the merged head (issue H item 1): one verdict a candidate, both signs, no
 * selection bias. What the tests cannot tell is no label (security.md section 2, rules 5 and 6).
 */
import type { Verdict } from "./candidate.ts";
import { sha256 } from "./ids.ts";
import type { RepositoryTestRun } from "./judge.ts";
import type { TestResult } from "./outcome.ts";

type Row = RepositoryTestRun["tests"][number];

/** Two tests of the app's own that run with the others: one must pass, one must fail. */
export type Canary = { path: string; content: Uint8Array; marker: string };

export type MergedVerdict = { verdict: Verdict; label: 0 | 1 | null; reason: string; results: TestResult[] };

/** How a test ends that names what base does not have: the group says nothing when nothing else fails. */
const MISSING_NAME = new Set(["ImportError", "ModuleNotFoundError", "AttributeError", "NameError", "TypeError"]);

/**
 * @param head the merged head's own tests on it, and `base` the same tests on its base. @param runs of each candidate with
 * those tests and the canary, repeated; null where the sandbox gave none.
 */
export function judgeMerged(
  head: RepositoryTestRun,
  base: RepositoryTestRun,
  runs: ReadonlyMap<number, RepositoryTestRun | null>,
  canary: Canary,
): Map<number, MergedVerdict> {
  const decisive = rowsOf(head, canary)
    .filter((row) => row.outcome === "passed")
    .map((row) => row.id);
  const before = outcomesOf(base, canary, decisive);
  const kept = decisive.filter((id) => before.get(id)!.outcome === "passed");
  const fails = decisive.filter((id) => ["failed", "error", "missing"].includes(before.get(id)!.outcome));
  const verdicts = new Map<number, MergedVerdict>();
  const judged = new Map<number, Map<string, Ended>>();
  for (const [index, run] of runs) {
    const results = run === null ? [] : resultsOf(run, canary);
    const broken = run === null ? UNAPPLIED : canariesHold(head, canary) ? whyUnusable(run, canary) : null;
    if (run === null || broken !== null) {
      verdicts.set(index, { ...broken!, label: null, results });
      continue;
    }
    judged.set(index, outcomesOf(run, canary, decisive));
    verdicts.set(index, { verdict: run.verdict, label: null, reason: "", results });
  }
  const tampered = [...verdicts.values()].some((one) => one.verdict === "TAMPERED");
  const cannotTell = (id: string) =>
    isMissingName(before.get(id)!) && [...judged.values()].every((found) => isMissingName(found.get(id)!));
  const asked = fails.filter((id) => !cannotTell(id));
  const silent = !canariesHold(head, canary)
    ? "the test command does not run the canary tests"
    : decisive.length === 0
      ? "no test passes at the merged head"
      : fails.length > 0 && asked.length === 0
        ? "the merged tests name what does not exist on base"
        : null;
  for (const [index, found] of judged) {
    const one = verdicts.get(index)!;
    const ended = (ids: readonly string[], ...outcomes: Ended["outcome"][]) =>
      ids.filter((id) => outcomes.includes(found.get(id)!.outcome));
    const [failed, broke] = [ended(asked, "failed", "error"), ended(kept, "failed", "error")];
    const flaky = ended([...asked, ...kept], "flaky");
    const missing = ended([...asked, ...kept], "missing");
    const say = (verdict: Verdict, label: 0 | 1 | null, reason: string) =>
      verdicts.set(index, { ...one, verdict, label, reason });
    const stopped = ["TIME_LIMIT", "MEMORY_LIMIT", "OUTPUT_LIMIT"].includes(one.verdict);
    const verdict = stopped ? one.verdict : failed.length + broke.length === 0 ? "PASS" : "WRONG";
    if (tampered) say(verdict, null, "a candidate of the run tampered with the tests");
    else if (silent !== null) say(verdict, null, silent);
    else if (stopped) say(verdict, 0, `the merged tests ended by ${one.verdict}`);
    else if (flaky.length > 0) say("FLAKY", null, `${flaky.length} tests differ between equal runs`);
    else if (missing.length > 0) say("INFRA", null, `the runner did not report ${named(missing)}`);
    else if (broke.length > 0) say(verdict, 0, `breaks ${named(broke)}`);
    else if (failed.length > 0) say(verdict, 0, `fails ${named(failed)}`);
    else if (asked.length === 0) say(verdict, null, "no test of the merged head fails on base");
    else say(verdict, 1, `passes ${named(asked)}, which ${asked.length === 1 ? "fails" : "fail"} on base`);
  }
  return verdicts;
}

/** `beside`: a test file of the repository, so that whatever finds it finds the canary too. `seed` makes its name unlike any other. */
export function canaryBeside(beside: string, seed: string): Canary {
  const marker = `funprm_${sha256(seed).slice(0, 12)}`;
  const text = `import unittest


class Test${marker}(unittest.TestCase):
    def test_holds(self):
        self.assertEqual(1, 1)

    def test_breaks(self):
        self.assertEqual(1, 2)
`;
  const folder = beside.slice(0, beside.lastIndexOf("/") + 1);
  return { path: `${folder}test_${marker}.py`, content: new TextEncoder().encode(text), marker };
}

/** What a run says, test by test, without the canary and without what flickers. */
export function resultsOf(run: RepositoryTestRun, canary: Canary | null): TestResult[] {
  return rowsOf(run, canary).flatMap(({ id, outcome, executes, traceback }) =>
    outcome === "flaky" ? [] : [{ id, outcome, executes: executes ?? [], traceback: traceback ?? [] }],
  );
}

/** What base says of the merged head's tests: one whose file cannot be loaded there ended as its file did. */
export function resultsOnBase(base: RepositoryTestRun, head: RepositoryTestRun): TestResult[] {
  const results = resultsOf(base, null);
  const known = new Set(base.tests.map((row) => row.id));
  const unseen = head.tests.map((row) => row.id).filter((id) => !known.has(id));
  const unloaded = [...outcomesOf(base, null, unseen)].filter(([, ended]) => ended.outcome === "error");
  return [...results, ...unloaded.map(([id]) => ({ id, outcome: "error" as const, executes: [], traceback: [] }))];
}

function rowsOf(run: RepositoryTestRun, canary: Canary | null): Row[] {
  return run.tests.filter((row) => canary === null || !row.id.includes(canary.marker));
}

type Unusable = { verdict: Verdict; reason: string };
const UNAPPLIED: Unusable = { verdict: "NOT_RUN", reason: "it does not apply to base any more" };

function canariesHold(run: RepositoryTestRun, canary: Canary): boolean {
  const own = run.tests.filter((row) => row.id.includes(canary.marker)).map((row) => row.outcome);
  return own.sort().join() === "failed,passed";
}

function whyUnusable(run: RepositoryTestRun, canary: Canary): Unusable | null {
  if (run.status !== "ran") return { verdict: "NOT_RUN", reason: run.reason ?? "the tests cannot run" };
  if (run.verdict === "INFRA" || run.verdict === "TAMPERED")
    return { verdict: run.verdict, reason: run.reason ?? `the sandbox said ${run.verdict}` };
  if (["TIME_LIMIT", "MEMORY_LIMIT", "OUTPUT_LIMIT"].includes(run.verdict)) return null;
  if (run.tests.length === 0) return { verdict: "RUNTIME_ERROR", reason: run.reason ?? "the runner reported no test" };
  if (!canariesHold(run, canary)) return { verdict: "TAMPERED", reason: "the canary tests did not end as they must" };
  return null;
}

type Ended = { outcome: Row["outcome"] | "missing"; error: string | null };

/** A test whose file could not be loaded ended as its file did. */
function outcomesOf(run: RepositoryTestRun, canary: Canary | null, ids: readonly string[]): Map<string, Ended> {
  const rows = rowsOf(run, canary);
  const byId = new Map(rows.map((row) => [row.id, row]));
  const files = rows
    .filter((row) => row.outcome === "error")
    .map((row) => ({ error: row.error ?? null, stem: `${row.id.replace(/^unittest\.loader\._FailedTest\./, "")}.` }));
  return new Map(
    ids.map((id): [string, Ended] => {
      const row = byId.get(id);
      if (row !== undefined) return [id, { outcome: row.outcome, error: row.error ?? null }];
      const file = files.find(({ stem }) => id.startsWith(stem));
      return [id, file === undefined ? { outcome: "missing", error: null } : { outcome: "error", error: file.error }];
    }),
  );
}

function isMissingName({ outcome, error }: Ended): boolean {
  return (outcome === "failed" || outcome === "error") && error !== null && MISSING_NAME.has(error);
}

function named(ids: readonly string[]): string {
  return ids.length === 1 ? ids[0]! : `${ids[0]} and ${ids.length - 1} more`;
}
