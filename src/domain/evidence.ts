/** What ran, as machine records: the only source of the Evidence block. Text of a model never gets in here. */
import type { SamplingFacts, Verdict } from "./candidate.ts";
import { dualAgreement } from "./dual-agreement.ts";
import type { IssueExample } from "./issue-examples.ts";

/** The repository's own tests on one tree. Ids are the runner's. */
export type TestSummary = {
  verdict: Verdict;
  exitCode: number | null;
  passed: number;
  failed: number;
  skipped: number;
  /** Hex SHA-256 of the runner's complete output. */
  logSha256: string;
  wallMs: number;
};

export type CandidateTests = TestSummary & { index: number; broke: string[]; fixed: string[] };

export type TestsReport = {
  status: "ran" | "cannot-run" | "not-configured";
  /** Why nothing ran, one line. */
  reason: string | null;
  command: string[];
  /** Sandbox tier (security.md section 3); null when nothing ran. */
  tier: number | null;
  base: TestSummary | null;
  candidates: CandidateTests[];
};

/** `error`: it raised, or the tree could not run it. */
export type ExampleOutcome = "passed" | "failed" | "error";

/** Examples of the issue on base and on each survivor, by candidate index. */
export type ExamplesReport = {
  status: "ran" | "none" | "cannot-run";
  examples: (IssueExample & { base: ExampleOutcome; candidates: Record<string, ExampleOutcome> })[];
};

export const NO_EXAMPLES: ExamplesReport = { status: "none", examples: [] };

/** How many of the examples that fail on base a candidate passes; null when there are none. */
export function examplesPassed(report: ExamplesReport, index: number): { passed: number; total: number } | null {
  const open = report.examples.filter((one) => one.base !== "passed");
  if (open.length === 0) return null;
  return { passed: open.filter((one) => one.candidates[index] === "passed").length, total: open.length };
}

/** Tests that a model wrote from the issue: what it answered, what base said of each, what each candidate does. */
export type ReproductionReport = {
  /** `written`: answered, not run yet. */
  status: "ran" | "written" | "not-written";
  /** Why there is none, one line. */
  reason: string | null;
  /** Name of the model that wrote them, and whether it was one (`llm`, `replayed`, `scripted`). */
  writer: { model: string; origin: string } | null;
  promptVersion: string;
  promptSha256: string;
  /** The answer as it came; null when there was none. */
  answer: string | null;
  sampling: SamplingFacts | null;
  /** Where the file stood while it ran, relative to the repository. */
  path: string | null;
  tests: WrittenTestRecord[];
  /** Name of the test that the pull request adds (`fix.add_test`); null for none. */
  added: string | null;
};

export type WrittenTestRecord = {
  name: string;
  /** A whole test file with this test alone; empty for one that was never run. */
  source: string;
  /** It failed on base three times, by an assertion or by the error that the issue names. */
  kept: boolean;
  /** How it failed on base, or why it is set aside. */
  base: string;
  /** By candidate index; empty for one that is set aside. */
  candidates: Record<string, ExampleOutcome>;
};

/** Duels of the knockout: the chance that `first` is better, over both orders; null where the judge did not answer. */
export type KnockoutReport = {
  duels: { first: number; second: number; probability: number | null }[];
  /** Candidate indices, the winner first. */
  order: number[];
};

/** What running the repository's tests said of one candidate against base. */
export type TestEvidence = { broke: string[]; fixed: string[] };

/** What ran on one survivor; null where nothing of the kind did. */
export type SurvivorEvidence = {
  tests: TestEvidence | null;
  /** Examples of the issue that fail on base. */
  examples: { passed: number; total: number } | null;
  /** Whether it passes each kept test that the model wrote. */
  written: boolean[] | null;
  /** Candidates that it left behind in the knockout. */
  knockout: number | null;
};

export type WrittenEvidence = {
  /** Whether it passes each test. */
  passes: boolean[];
  passed: number;
  total: number;
  /** Dual agreement of tests and candidates, in [0,1]. */
  agreement: number;
};

/** Whether a candidate passes each of the kept tests; null when none was kept. */
export function writtenPasses(report: ReproductionReport | null, index: number): boolean[] | null {
  const kept = report?.tests.filter((test) => test.kept) ?? [];
  return kept.length === 0 ? null : kept.map((test) => test.candidates[index] === "passed");
}

/** What the kept tests say of each candidate, in order; null where there are none. `multiplicity` as in `dualAgreement`. */
export function writtenEvidence(
  passes: readonly (boolean[] | null)[],
  multiplicity: readonly number[],
): (WrittenEvidence | null)[] {
  const rows = passes.map((row) => row ?? []);
  const agreement = dualAgreement(rows, multiplicity);
  return passes.map(
    (row, i) => row && { passes: row, passed: row.filter(Boolean).length, total: row.length, agreement: agreement[i]! },
  );
}

/** The kept test that the chosen candidate passes and the fewest others do, the first among equals; null when it passes none. */
export function separatingTest(report: ReproductionReport | null, chosen: number): WrittenTestRecord | null {
  const passed = (report?.tests ?? []).filter((test) => test.kept && test.candidates[chosen] === "passed");
  const others = (test: WrittenTestRecord) => Object.values(test.candidates).filter((one) => one === "passed").length;
  return passed.sort((a, b) => others(a) - others(b))[0] ?? null;
}

export const NOT_RUN: TestsReport = {
  status: "not-configured",
  reason: null,
  command: [],
  tier: null,
  base: null,
  candidates: [],
};
