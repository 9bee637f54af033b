/** One candidate through its tests: one sandbox as long as it lives, a new one after it had to be killed. */
import type { Verdict } from "../../domain/candidate.ts";
import { FunprmError } from "../../domain/errors.ts";
import { type Graded, grade, gradeRaised } from "./grade.ts";
import { pythonCallsLine } from "./protocol.ts";
import type { Frame, Reply, RequestLimits, Session } from "./session.ts";

export type TestRequest = {
  /** The request's lines for a nonce, without the last line end. */
  line: (nonce: string) => string;
  /** The call alone, where light ones may follow each other in one process. */
  call?: string;
  frameBytes: number;
  look: (frames: Frame[], status: number) => { verdict: Verdict; detail: string | null };
  id?: string;
};

export type Plan = {
  open: () => Session;
  load: (nonce: string) => string;
  tests: TestRequest[];
  cpuSeconds: number;
  memoryMb: number;
  failFast: boolean;
  signal: AbortSignal | undefined;
};

export type Ran = { cases: Graded[]; peakMb: number; cpuMs: number; wallMs: number };

export const NOT_RUN: Graded = { verdict: "NOT_RUN", cpuMs: 0, wallMs: 0, detail: null, contended: false };

/** Calls sent at once: more saves nothing, and a long line costs the driver memory before the first call. */
const MOST_CALLS = 64;
const MOST_CALL_BYTES = 65_536;
/** What the calls of one fork use before the last of them (driver.py, _SHARED_SECONDS). */
const SHARED_CPU_MS = 100;

export async function runTests(plan: Plan): Promise<Ran> {
  const startedAt = performance.now();
  const ran: Ran = { cases: [], peakMb: 0, cpuMs: 0, wallMs: 0 };
  let session = null as Session | null;
  let singlyUntil = 0;
  const stop = () => void session?.close();
  plan.signal?.addEventListener("abort", stop);
  const ask = async (line: (nonce: string) => string, frameBytes: number, answers = 1) => {
    const limits: RequestLimits = { cpuMs: plan.cpuSeconds * 1000, memoryMb: plan.memoryMb, frameBytes };
    const reply = await session!.request((nonce) => `${line(nonce)}\n`, limits, answers);
    ran.cpuMs += reply.cpuMs;
    ran.peakMb = Math.max(ran.peakMb, reply.peakMb);
    return reply;
  };
  /** Null with a live session that has loaded the candidate; otherwise why it does not load. */
  const load = async (): Promise<Graded | null> => {
    if (session?.alive()) return null;
    await session?.close();
    throwIfAborted(plan.signal);
    session = plan.open();
    const loaded = grade(await ask(plan.load, 65_536), plan.cpuSeconds, lookAtLoad);
    return loaded.verdict === "PASS" ? null : loaded;
  };
  const alone = async (test: TestRequest) => grade(await ask(test.line, test.frameBytes), plan.cpuSeconds, test.look);
  try {
    while (ran.cases.length < plan.tests.length) {
      const rest = plan.tests.slice(ran.cases.length);
      if (plan.failFast && ran.cases.some((one) => one.verdict !== "PASS")) {
        ran.cases.push(...rest.map((test) => named(NOT_RUN, test)));
        break;
      }
      const broken = await load();
      if (broken !== null) {
        ran.cases.push(...rest.map((test) => named(broken, test)));
        break;
      }
      const together = rest.slice(0, ran.cases.length < singlyUntil ? 1 : callsAtOnce(rest));
      if (together.length < 2) {
        ran.cases.push(named(await alone(rest[0]!), rest[0]!));
        continue;
      }
      const frameBytes = Math.max(...together.map((test) => test.frameBytes));
      const reply = await ask(pythonCallsLine(together.map((test) => test.call!)), frameBytes, together.length);
      const answers = answersOf(reply, together.length);
      if (answers === null) {
        singlyUntil = ran.cases.length + together.length;
        continue;
      }
      for (const [index, answer] of answers.entries()) {
        const test = together[index]!;
        let graded = grade(answer, plan.cpuSeconds, test.look);
        // What earlier calls left in the process could be the reason, but for a time limit: it serves light programs only.
        const doubtful = index > 0 && !["PASS", "TIME_LIMIT"].includes(graded.verdict);
        if (doubtful && (await load()) === null) graded = await alone(test);
        ran.cases.push(named(graded, test));
        if (plan.failFast && graded.verdict !== "PASS") break;
      }
    }
    throwIfAborted(plan.signal);
  } finally {
    plan.signal?.removeEventListener("abort", stop);
    await session?.close();
  }
  ran.wallMs = performance.now() - startedAt;
  return ran;
}

function named(graded: Graded, test: TestRequest): Graded {
  return test.id === undefined ? graded : { ...graded, id: test.id };
}

/** How many of the next tests are calls that may go together. */
function callsAtOnce(tests: readonly TestRequest[]): number {
  let bytes = 0;
  const end = tests.slice(0, MOST_CALLS).findIndex((test) => {
    bytes += test.call?.length ?? Number.POSITIVE_INFINITY;
    return bytes > MOST_CALL_BYTES;
  });
  return end < 0 ? Math.min(tests.length, MOST_CALLS) : end;
}

/**
 * One reply for each call that was answered, and for the one at which time, memory or output ran out. Null where answers were forged
 * or the driver was ended: which of them a live driver would have said is not known then. The CPU time that only the whole has is the
 * last call's: the others were light, or there would be no further one.
 */
function answersOf(reply: Reply, calls: number): Reply[] | null {
  const answers = reply.frames.filter((frame) => frame.kind !== "end");
  if (answers.length > calls || ["tampered", "exit", "infra"].includes(reply.stopped ?? "")) return null;
  const end = reply.frames.filter((frame) => frame.kind === "end");
  const single = (frames: Frame[], cpuMs: number, wallMs: number): Reply => ({
    ...reply,
    frames: [...frames, ...end],
    stopped: null,
    detail: null,
    cpuMs,
    wallMs,
  });
  // A stop after the last answer is the last call's, which had not ended.
  if (reply.stopped !== null) answers.splice(calls - 1);
  const light = answers.map((frame) => Math.min(frame.wallMs, SHARED_CPU_MS));
  const before = Math.min(SHARED_CPU_MS, sum(light.slice(0, -1)));
  const heard = answers.map((frame, index) =>
    index === answers.length - 1 && reply.stopped === null
      ? single([frame], Math.max(0, reply.cpuMs - before), frame.wallMs)
      : single([frame], light[index]!, frame.wallMs),
  );
  if (reply.stopped !== null) return [...heard, { ...reply, frames: [] }];
  return heard.length > 0 ? heard : [single([], reply.cpuMs, reply.wallMs)];
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0);
}

function lookAtLoad(frames: Frame[]): { verdict: Verdict; detail: string | null } {
  const error = frames.find((frame) => frame.kind === "load-error");
  if (error) return gradeRaised(error.payload);
  return frames.length === 0
    ? { verdict: "PASS", detail: null }
    : { verdict: "TAMPERED", detail: "an answer before any question" };
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new FunprmError("INTERRUPTED", "judging was stopped");
}
