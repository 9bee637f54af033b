/** Tests that must share a process with the candidate (check, asserts, unittest, pytest): canaries first, every known test asked for. */
import { FunprmError } from "../../domain/errors.ts";
import type { CaseVerdict, JudgeOptions, JudgeProblem, JudgeVerdict } from "../../domain/judge.ts";
import { knownTests, styleOf } from "../../domain/test-forms.ts";
import { gradeRaised, singleFrame } from "./grade.ts";
import { loadLine, testLine } from "./protocol.ts";
import { hasPytest } from "./pytest.ts";
import { NOT_RUN, runTests, type TestRequest } from "./run-candidate.ts";
import type { Machine } from "./sandbox.ts";
import type { Frame } from "./session.ts";
import { toVerdict } from "./verdict.ts";

const ANSWER_BYTES = 65_536;
/** Assertions that must fail and the one that must pass, as test_bench.py lists them. */
const UNITTEST_CANARIES = [...Array<string>(12).fill("failed"), "passed"].join(",");

type Limits = { cpuSeconds: number; memoryMb: number };

export async function inProcessTests(
  machine: Machine,
  problem: JudgeProblem & { io: "tests" },
  candidate: { code: string; language: "python" | "javascript" },
  limits: Limits,
  options: JudgeOptions,
  signal: AbortSignal | undefined,
): Promise<JudgeVerdict> {
  if (candidate.language !== "python") {
    throw new FunprmError("BAD_INPUT", 'io "tests" is for Python; give JavaScript problems as "call" or "stdin" cases');
  }
  const style = problem.style ?? styleOf(problem.tests);
  const known = knownTests(problem.tests, style);
  if (known.length === 0) throw new FunprmError("BAD_INPUT", `tests: no ${style} test found in the source`);
  if (style === "check" && problem.entry_point === null && !/^check\(/m.test(problem.tests)) {
    throw new FunprmError("BAD_INPUT", "entry_point: a check(candidate) test needs the name of the function");
  }
  if (style === "pytest" && !hasPytest(null)) return withoutPytest(machine, known);
  const canaries = canaryRequests(style);
  const staged = machine.stage(candidate);
  const ran = await runTests({
    open: () => machine.open({ mode: "tests", language: "python", staged, longest: ANSWER_BYTES, ...limits }),
    load: (nonce) =>
      loadLine("python", nonce, {
        tests: problem.tests,
        style,
        entry: problem.entry_point ?? "",
        ...(problem.module === undefined ? {} : { module: problem.module }),
        ...(problem.setup === undefined ? {} : { setup: problem.setup }),
      }),
    tests: [...canaries, ...known.map((test) => testRequest(style, test, /skip/i.test(problem.tests)))],
    ...limits,
    failFast: options.failFast ?? false,
    signal,
  }).finally(staged.remove);
  const broken = ran.cases.slice(0, canaries.length).find((one) => one.verdict === "TAMPERED");
  ran.cases = ran.cases.slice(canaries.length);
  if (broken) ran.cases = ran.cases.map((one) => ({ ...one, verdict: "TAMPERED" as const, detail: broken.detail }));
  const verdict = toVerdict(machine, ran, "python", "in-process");
  return acceptSkips(verdict, style);
}

function withoutPytest(machine: Machine, known: { id: string }[]): JudgeVerdict {
  const detail = "pytest is not there for the system's Python; install it (apt-get install python3-pytest)";
  const cases = known.map(({ id }) => ({ ...NOT_RUN, id, detail }));
  return toVerdict(machine, { cases, peakMb: 0, cpuMs: 0, wallMs: 0 }, "python", "in-process");
}

/** A test that its own source skips is no failure, as long as another one passed. */
function acceptSkips(verdict: JudgeVerdict, style: string): JudgeVerdict {
  if (style !== "unittest" && style !== "pytest") return verdict;
  const ran = verdict.cases.filter((one: CaseVerdict) => one.verdict !== "NOT_RUN");
  const bad = ran.find((one) => one.verdict !== "PASS");
  if (bad || ran.length === 0) return verdict;
  return { ...verdict, verdict: "PASS", detail: null };
}

function canaryRequests(style: string): TestRequest[] {
  const number = 10_000 + Math.floor(Math.random() * 1e9);
  const source = (text: string, expected: string): TestRequest => ({
    line: testLine("source", text),
    frameBytes: ANSWER_BYTES,
    look: (frames) => canary(frames, frames[0]?.kind === expected),
  });
  const requests = [
    source(`assert ${number} == ${number + 1}`, "failed"),
    source(`assert ${number} == ${number}`, "passed"),
  ];
  if (style === "unittest") {
    requests.push({
      line: testLine("canaries", String(number)),
      frameBytes: ANSWER_BYTES,
      look: (frames) => canary(frames, frames[0]?.payload.toString() === UNITTEST_CANARIES),
    });
  }
  return requests;
}

/** A program that died or raised while it was loaded claims nothing: its tests say what became of it. */
function canary(frames: Frame[], held: boolean): { verdict: "PASS" | "TAMPERED"; detail: string | null } {
  const [first] = frames;
  if (first === undefined || (frames.length === 1 && (held || first.kind === "raised")))
    return { verdict: "PASS", detail: null };
  const detail = "a test that must fail passed, or one that must pass failed";
  return {
    verdict: "TAMPERED",
    detail: first.kind === "tampered" ? first.payload.toString("utf8").slice(0, 200) : detail,
  };
}

function testRequest(style: string, test: { id: string; asserts: number }, maySkip: boolean): TestRequest {
  return {
    id: test.id,
    line: testLine(style, test.id),
    frameBytes: ANSWER_BYTES,
    look: (frames: Frame[], status: number) => {
      const frame = singleFrame(frames, status);
      if ("verdict" in frame) return frame;
      switch (frame.kind) {
        case "passed":
          return style === "asserts" && Number(frame.payload.toString()) !== test.asserts
            ? { verdict: "TAMPERED", detail: `${frame.payload.toString()} of ${test.asserts} asserts accounted for` }
            : { verdict: "PASS", detail: null };
        case "failed":
          return { verdict: "WRONG", detail: gradeRaised(frame.payload).detail };
        case "raised":
          return gradeRaised(frame.payload);
        case "skipped":
          return maySkip
            ? { verdict: "NOT_RUN", detail: "skipped by the test's own source" }
            : { verdict: "RUNTIME_ERROR", detail: "skipped by the program under test" };
        case "tampered":
          return { verdict: "TAMPERED", detail: frame.payload.toString("utf8").slice(0, 200) };
        default:
          return { verdict: "TAMPERED", detail: "an unknown frame on the result channel" };
      }
    },
  };
}
