/** The `Judge` port on this machine: bubblewrap (tier 1), Landlock (tier 2), or a refusal (tier 3). */
import type { Verdict } from "../../domain/candidate.ts";
import { FunprmError } from "../../domain/errors.ts";
import type {
  CallCase,
  CompareRule,
  JudgeInputs,
  JudgeOptions,
  JudgeOutputs,
  JudgeProblem,
  JudgeVerdict,
  StdinCase,
} from "../../domain/judge.ts";
import { decodeValue, toJsonText, type Value } from "../../domain/judge-values.ts";
import type { Judge } from "../../ports.ts";
import { type Graded, gradeCall, gradeRaised, gradeStdin, readValue, STDOUT_LIMIT, singleFrame } from "./grade.ts";
import { inProcessTests } from "./in-process.ts";
import { openMachine } from "./machine.ts";
import { javascriptCallLine, loadLine, pythonCall, pythonCallsLine, stdinLine } from "./protocol.ts";
import { runRepositoryTests } from "./repository-tests.ts";
import { type Ran, runTests, type TestRequest } from "./run-candidate.ts";
import type { Machine } from "./sandbox.ts";
import { toVerdict } from "./verdict.ts";

const ANSWER_BYTES = 65_536;
const DEFAULTS = { cpuSeconds: 2, memoryMb: 512 };

export type SandboxJudge = Judge & {
  /** Version of the Python that runs candidates: part of every cache key. */
  readonly interpreter: string;
  /** Folder that every command line of its sandboxes names. */
  readonly staging: string;
  dispose(): void;
};

type Candidate = { code: string; language: "python" | "javascript" };

/**
 * Probes the machine once, with hostile programs and an honest one. Without a sandbox of at least `weakestTier` the judge
 * reports tier 3 and refuses every call with SANDBOX_UNAVAILABLE: candidate code never runs unconfined.
 */
export async function createSandboxJudge(settings: { weakestTier: number }): Promise<SandboxJudge> {
  return judgeOn(await openMachine(settings.weakestTier));
}

export function judgeOn(machine: Machine): SandboxJudge {
  const { report } = machine;
  const ready = () => {
    if (report.tier === 3) throw new FunprmError("SANDBOX_UNAVAILABLE", report.message ?? "no sandbox on this machine");
  };
  return {
    sandbox: report,
    interpreter: machine.interpreter,
    staging: machine.staging.root,
    async judge(problem, candidate, options = {}, signal) {
      ready();
      return judgeRepeatedly(machine, problem, candidate, options, signal);
    },
    async run(inputs, candidate, options = {}, signal) {
      ready();
      return outputsOf(machine, inputs, candidate, options, signal);
    },
    async runRepositoryTests(request, signal) {
      ready();
      return runRepositoryTests(machine, request, signal);
    },
    dispose: () => machine.dispose(),
  };
}

/** Once, or `repeat` times; at least three as soon as two runs differ. */
async function judgeRepeatedly(
  machine: Machine,
  problem: JudgeProblem,
  candidate: Candidate,
  options: JudgeOptions,
  signal: AbortSignal | undefined,
): Promise<JudgeVerdict> {
  const asked = Math.max(1, options.repeat ?? 1);
  const runs: JudgeVerdict[] = [];
  for (let count = asked; runs.length < count; ) {
    runs.push(await judgeOnce(machine, problem, candidate, options, signal));
    if (runs.length === asked && asked > 1 && differ(runs)) count = Math.max(asked, 3);
  }
  const first = runs[0]!;
  if (runs.length === 1 || !differ(runs)) return first;
  const cases = first.cases.map((one, index) =>
    new Set(runs.map((run) => run.cases[index]?.verdict)).size === 1
      ? one
      : {
          ...one,
          verdict: "FLAKY" as const,
          detail: `${runs.map((run) => run.cases[index]?.verdict).join(", ")} in ${runs.length} runs`,
        },
  );
  // What the machine did (INFRA) says nothing about the program.
  const verdict: Verdict = runs.some((run) => run.verdict === "INFRA") ? "INFRA" : "FLAKY";
  return { ...first, cases, verdict, detail: `${runs.map((run) => run.verdict).join(", ")} in ${runs.length} runs` };
}

function differ(runs: JudgeVerdict[]): boolean {
  const key = (run: JudgeVerdict) => run.cases.map((one) => one.verdict).join();
  return runs.some((run) => key(run) !== key(runs[0]!));
}

async function judgeOnce(
  machine: Machine,
  problem: JudgeProblem,
  candidate: Candidate,
  options: JudgeOptions,
  signal: AbortSignal | undefined,
): Promise<JudgeVerdict> {
  const limits = { ...DEFAULTS, ...definedOf(options) };
  if (problem.io === "tests") return inProcessTests(machine, problem, candidate, limits, options, signal);
  const requests =
    problem.io === "call"
      ? problem.cases.map((test) => callRequest(problem, test, candidate.language))
      : problem.cases.map((test) => stdinRequest(test, problem.compare ?? {}, candidate.language));
  const ran = await execute(machine, problem, candidate, requests, limits, options.failFast ?? false, signal);
  return toVerdict(machine, ran, candidate.language, "out-of-process");
}

function definedOf(options: JudgeOptions): Partial<typeof DEFAULTS> {
  return Object.fromEntries(
    Object.entries({ cpuSeconds: options.cpuSeconds, memoryMb: options.memoryMb }).filter(
      ([, value]) => value !== undefined,
    ),
  );
}

function execute(
  machine: Machine,
  source: JudgeProblem | JudgeInputs,
  candidate: Candidate,
  tests: TestRequest[],
  limits: typeof DEFAULTS,
  failFast: boolean,
  signal: AbortSignal | undefined,
): Promise<Ran> {
  const io = source.io === "stdin" ? "stdin" : "call";
  const longest = Math.max(ANSWER_BYTES, ...tests.map((test) => test.frameBytes));
  const staged = machine.stage(candidate);
  const setup = "setup" in source && source.setup !== undefined ? { setup: source.setup } : {};
  return runTests({
    open: () => machine.open({ mode: io, language: candidate.language, staged, longest, ...limits }),
    load: (nonce) => loadLine(candidate.language, nonce, setup),
    tests,
    ...limits,
    failFast,
    signal,
  }).finally(staged.remove);
}

const ENTRY = /^[A-Za-z_$][\w$]*(\(\))?(\.[A-Za-z_$][\w$]*)*$/;

/** `Class().method` → ["Class", "()", "method"]. */
function entryPath(entry: string): string[] {
  if (!ENTRY.test(entry)) {
    throw new FunprmError(
      "BAD_INPUT",
      `entry_point: ${JSON.stringify(entry)} is not name, Class.method or Class().method`,
    );
  }
  return entry.split(".").flatMap((part) => (part.endsWith("()") ? [part.slice(0, -2), "()"] : [part]));
}

function callLine(
  language: Candidate["language"],
  entry: string[],
  test: Pick<CallCase, "args" | "kwargs">,
): Pick<TestRequest, "line" | "call"> {
  if (language === "javascript") return { line: javascriptCallLine(entry, test) };
  const call = pythonCall(entry, test);
  return { line: pythonCallsLine([call]), call };
}

function callRequest(
  problem: JudgeProblem & { io: "call" },
  test: CallCase,
  language: Candidate["language"],
): TestRequest {
  const expected = decodeValue(test.expected);
  // JavaScript has one type of number: 1 and 1.0 are the same there.
  const base: CompareRule = language === "javascript" ? { numbers: "loose" } : {};
  const rule = { ...base, ...problem.compare, ...test.compare };
  return {
    ...callLine(language, entryPath(problem.entry_point), test),
    frameBytes: Math.max(ANSWER_BYTES, 2 * toJsonText(expected).length),
    look: (frames, status) => gradeCall(frames, status, expected, rule),
  };
}

function stdinRequest(test: StdinCase, rule: CompareRule, language: Candidate["language"]): TestRequest {
  return {
    line: stdinLine(language, test.input),
    frameBytes: 3 * STDOUT_LIMIT,
    look: (frames, status) => gradeStdin(frames, status, test, rule),
  };
}

/** Outputs without expected values: encoded values in one canonical text, so that equal answers are equal strings. */
async function outputsOf(
  machine: Machine,
  inputs: JudgeInputs,
  candidate: Candidate,
  options: JudgeOptions,
  signal: AbortSignal | undefined,
): Promise<JudgeOutputs> {
  const limits = { ...DEFAULTS, ...definedOf(options) };
  const tests: TestRequest[] =
    inputs.io === "call"
      ? inputs.cases.map((test) => ({
          // Compared with the outputs of others it says nothing by itself: a process of its own for each call.
          line: callLine(candidate.language, entryPath(inputs.entry_point), test).line,
          frameBytes: ANSWER_BYTES,
          look: (frames, status) => {
            const frame = singleFrame(frames, status);
            if ("verdict" in frame) return frame;
            const value: Value | null = frame.kind === "value" ? readValue(frame.payload) : null;
            if (value !== null) return { verdict: "PASS", detail: toJsonText(value) };
            if (frame.kind === "raised") return gradeRaised(frame.payload);
            return gradeCall([frame], status, { kind: "none" }, {});
          },
        }))
      : inputs.cases.map((test) => ({
          line: stdinLine(candidate.language, test.input),
          frameBytes: 3 * STDOUT_LIMIT,
          look: (frames, status) => {
            const text = frames.find((frame) => frame.kind === "stdout")?.payload.toString("utf8") ?? "";
            const found = gradeStdin(frames, status, { input: test.input, expected: text }, {});
            return found.verdict === "PASS" ? { verdict: "PASS", detail: text } : found;
          },
        }));
  const ran = await execute(machine, inputs, candidate, tests, limits, false, signal);
  return { outputs: ran.cases.map(toOutput), tier: machine.report.tier };
}

function toOutput(one: Graded): JudgeOutputs["outputs"][number] {
  if (one.verdict === "PASS") return { value: one.detail ?? "" };
  return {
    error: one.detail?.split(":")[0] ?? one.verdict,
    verdict: one.verdict,
    ...(one.contended ? { contended: true as const } : {}),
  };
}
