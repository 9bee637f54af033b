/** What ran, as machine records: the only source of the Evidence block. Text of a model never gets in here. */
import type { Verdict } from "./candidate.ts";

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

export const NOT_RUN: TestsReport = {
  status: "not-configured",
  reason: null,
  command: [],
  tier: null,
  base: null,
  candidates: [],
};
