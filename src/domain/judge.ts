/** What the judge takes and gives (security.md section 2, rulings 16). */
import type { Verdict } from "./candidate.ts";

export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };

export type CompareRule = {
  sequence?: "strict" | "loose";
  numbers?: "strict" | "loose";
  float?: { abs: number; rel: number };
  /** `loose`: Counter, OrderedDict and defaultdict equal a dict with the same entries, as Python's `==` has it. */
  mapping?: "strict" | "loose";
  stdout?: "exact" | "lines" | "tokens";
};

export type CallCase = {
  args: JsonValue[];
  kwargs: Record<string, JsonValue>;
  expected: JsonValue;
  /** Overrides the problem's rule for this case. */
  compare?: CompareRule;
};
export type StdinCase = { input: string; expected: string };

export type JudgeProblem =
  | {
      io: "call";
      /** `name`, `Class.method` or `Class().method`. */
      entry_point: string;
      cases: CallCase[];
      compare?: CompareRule;
      /** Source that runs before the candidate, in its namespace. */
      setup?: string;
    }
  | { io: "stdin"; cases: StdinCase[]; compare?: CompareRule }
  | {
      io: "tests";
      entry_point: string | null;
      tests: string;
      style?: "check" | "asserts" | "unittest" | "pytest";
      module?: string;
      setup?: string;
    };

export type JudgeInputs =
  | { io: "call"; entry_point: string; cases: { args: JsonValue[]; kwargs: Record<string, JsonValue> }[] }
  | { io: "stdin"; cases: { input: string }[] };

export type JudgeOptions = {
  /** Per test. Defaults 2 CPU seconds, 512 MB (rulings 16). */
  cpuSeconds?: number;
  memoryMb?: number;
  /** Runs of each test; FLAKY when they differ. */
  repeat?: number;
  /** Stop at the first case that does not pass. */
  failFast?: boolean;
};

export type CaseVerdict = { verdict: Verdict; cpuMs: number; wallMs: number; detail: string | null; id?: string };

export type JudgeVerdict = {
  verdict: Verdict;
  cases: CaseVerdict[];
  cpuMs: number;
  wallMs: number;
  peakMemoryMb: number;
  attested: "out-of-process" | "in-process";
  tier: number;
  /** Version of the interpreter that ran the candidate. */
  interpreter: string;
  /** True for a TIME_LIMIT that load could explain: it does not count before a run alone says the same. */
  contended: boolean;
  detail: string | null;
};

/** One encoded output per case, or the class of the error that was raised; `contended` as in `JudgeVerdict`. */
export type JudgeOutputs = {
  outputs: ({ value: string } | { error: string; verdict: Verdict; contended?: true })[];
  tier: number;
};

export type SandboxReport = {
  /** 0 gVisor, 1 bubblewrap, 2 Landlock, 3 none: candidate code is refused. */
  tier: 0 | 1 | 2 | 3;
  probes: { name: string; ok: boolean; detail: string }[];
  /** Why not a stronger one, and how to get it. */
  message: string | null;
};

export type RepositoryTestRun = {
  status: "ran" | "cannot-run" | "not-configured";
  /** Why it could not run, one line. */
  reason: string | null;
  command: string[];
  exitCode: number | null;
  /**
   * Per test where the runner reports it; empty otherwise. `flaky`: differs between equal runs. `error`: simple name of the
   * exception that ended it, where the runner says. `executes`, `traceback`: ids of the watched functions that it ran and of
   * those in the traceback of its failure, where the request named files to watch and the runner is pytest or unittest.
   */
  tests: {
    id: string;
    outcome: "passed" | "failed" | "error" | "skipped" | "flaky";
    error?: string | null;
    executes?: string[];
    traceback?: string[];
  }[];
  cpuMs: number;
  wallMs: number;
  verdict: Verdict;
  attested: "in-process";
  tier: number;
  /** Hex SHA-256 of the runner's complete output. */
  logSha256: string;
  logTail: string;
};
