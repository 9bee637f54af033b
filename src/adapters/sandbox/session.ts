/** One live sandbox that holds one candidate: requests go in one at a time, frames come out, limits are kept from outside. */
import { randomBytes } from "node:crypto";
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Confined } from "./confined.ts";
import { killTree, outOfMemoryKills, sampleTree, sharedAwareMb } from "./process-tree.ts";

/** A program not done this long after its CPU limit is not slow because of its neighbours (they cost at most a quarter). */
export const GRACE_MS = 500;
const POLL_MS = 20;
/** Frames that the answer to one question may have, and one more that tells of a forged one. */
const FRAMES_OF_ONE = 4;
/** A driver that is still there then is killed. */
const LEAVE_MS = 200;
const STDERR_LIMIT = 8 * 2 ** 20;
/** Above what RLIMIT_NPROC gives any runner; where the limit counts a shared uid, this is what holds. */
const MOST_PROCESSES = 200;
/** However long processes queue for a CPU, nothing lasts longer than this many times its limit. */
const QUEUE_FACTOR = 8;

/** `wallMs`: since the request, or since the answer before it where one request asks several things. */
export type Frame = { kind: string; payload: Buffer; wallMs: number };

export type Stop = "time" | "memory" | "output" | "exit" | "infra" | "tampered";

export type Reply = {
  frames: Frame[];
  /** Null when the driver answered to the end. */
  stopped: Stop | null;
  /** What happened, one line. */
  detail: string | null;
  cpuMs: number;
  wallMs: number;
  peakMb: number;
  /** Waiting for a CPU could explain the time. */
  starved: boolean;
};

/** For each answer of a request: with each that comes, the time of the next begins. */
export type RequestLimits = { cpuMs: number; memoryMb: number; frameBytes: number };

type Pending = {
  nonce: string;
  limits: RequestLimits;
  frames: Frame[];
  mostFrames: number;
  startedAt: number;
  baseline: { cpuMs: number; delayMs: number } | null;
  cpuMs: number;
  delayMs: number;
  peakMb: number;
  stderrBytes: number;
  resolve: (reply: Reply) => void;
};

export type Session = {
  /** `line` gets the nonce of this request and gives the request's lines, which ask for so many `answers` (1). */
  request(line: (nonce: string) => string, limits: RequestLimits, answers?: number): Promise<Reply>;
  /** What the candidate wrote to stderr last, at most 4 KB. */
  stderrTail(): string;
  alive(): boolean;
  /** Kills whatever is left. Safe to call twice. */
  close(): Promise<void>;
};

/** Stops counting above `most`. */
function folderMb(path: string, most: number): number {
  let bytes = 0;
  const folders = [path];
  for (let folder = folders.pop(); folder !== undefined && bytes <= most * 2 ** 20; folder = folders.pop()) {
    try {
      for (const entry of readdirSync(folder, { withFileTypes: true })) {
        // A file takes a block even when it is empty: a million of them is a full disk too.
        if (entry.isDirectory()) folders.push(join(folder, entry.name));
        else bytes += 4096 + lstatSync(join(folder, entry.name)).size;
      }
    } catch {
      // removed while we look
    }
  }
  return bytes / 2 ** 20;
}

const polled = new Set<() => void>();
let poller: NodeJS.Timeout | null = null;

function poll(work: () => void): () => void {
  polled.add(work);
  poller ??= setInterval(() => {
    for (const each of polled) each();
  }, POLL_MS);
  return () => {
    polled.delete(work);
    if (polled.size === 0 && poller !== null) {
      clearInterval(poller);
      poller = null;
    }
  };
}

/** `disk`: a folder that the sandbox may write and no mount bounds, with its limit. */
export function openSession(child: Confined, disk: { path: string; mb: number } | null = null): Session {
  let buffer: Buffer = Buffer.alloc(0);
  /** What came after `buffer`, joined only when a frame may be complete: joining at each piece is quadratic. */
  let later: Buffer[] = [];
  let laterBytes = 0;
  let need: { kind: string; nonce: string; length: number } | null = null;
  let pending: Pending | null = null;
  let said = false;
  let ended: { stopped: Stop; detail: string } | null = null;
  let killing: Promise<void> | null = null;
  let tail = "";
  const killsBefore = outOfMemoryKills();
  const exited = new Promise<void>((resolve) => {
    child.onEnd(({ code, signal, error }) => {
      if (error === null) finish(...explainExit(code, signal));
      else finish("infra", `the sandbox could not be started: ${error.message}`);
      resolve();
    });
  });

  function explainExit(code: number | null, signal: string | null): [Stop, string] {
    if (!said) return ["infra", `the sandbox did not start: ${tail.trim().split("\n").at(-1) ?? `exit code ${code}`}`];
    if (signal !== null) return ["infra", `the sandbox was killed from outside (${signal})`];
    const kills = outOfMemoryKills();
    if (code === 137 && kills !== null && killsBefore !== null && kills > killsBefore) {
      return ["infra", "killed while the machine was out of memory"];
    }
    if (code === 128 + 24) return ["time", "killed at the CPU limit"];
    return ["exit", `the program ended the process that ran it (exit code ${code})`];
  }

  function settle(stopped: Stop | null, detail: string | null, driverCpuMs: number | null, driverPeakMb: number): void {
    if (pending === null) return;
    const done = pending;
    pending = null;
    const wallMs = performance.now() - done.startedAt;
    const cpuMs = driverCpuMs ?? done.cpuMs;
    const starved = done.delayMs > 0.1 * wallMs;
    const peakMb = Math.max(done.peakMb, driverPeakMb);
    done.resolve({ frames: done.frames, stopped, detail, cpuMs, wallMs, peakMb, starved });
  }

  /** The session is over. */
  function finish(stopped: Stop, detail: string): void {
    ended ??= { stopped, detail };
    stopPolling();
    settle(ended.stopped, ended.detail, null, 0);
  }

  function kill(stopped: Stop, detail: string): void {
    ended ??= { stopped, detail };
    void close();
  }

  function watch() {
    if (pending === null || ended !== null) return;
    const age = performance.now() - pending.startedAt;
    if (age < POLL_MS / 2) return;
    const pid = child.pid();
    if (pid === undefined) return;
    const now = sampleTree(pid);
    // The first look comes at most two polls after the request: what was burnt by then is counted from the answer.
    pending.baseline ??= { cpuMs: now.cpuMs, delayMs: now.delayMs };
    pending.cpuMs = Math.max(pending.cpuMs, now.cpuMs - pending.baseline.cpuMs);
    pending.delayMs = Math.max(pending.delayMs, now.delayMs - pending.baseline.delayMs);
    let memory = now.rssMb;
    if (memory > pending.limits.memoryMb) memory = sharedAwareMb(now.pids);
    pending.peakMb = Math.max(pending.peakMb, memory);
    if (memory > pending.limits.memoryMb) return kill("memory", `more than ${pending.limits.memoryMb} MB`);
    if (now.pids.length > MOST_PROCESSES) return kill("exit", `more than ${MOST_PROCESSES} processes`);
    if (disk !== null && folderMb(disk.path, disk.mb) > disk.mb)
      return kill("output", `more than ${disk.mb} MB written`);
    const seconds = pending.limits.cpuMs / 1000;
    if (pending.cpuMs > pending.limits.cpuMs + GRACE_MS) return kill("time", `more than ${seconds} s of CPU`);
    const queue = Math.min(pending.delayMs, (QUEUE_FACTOR - 1) * pending.limits.cpuMs);
    if (age - queue > pending.limits.cpuMs + GRACE_MS + 2 * POLL_MS) kill("time", `no answer after ${seconds} s`);
  }

  const stopPolling = poll(watch);

  function accept(kind: string, nonce: string, payload: Buffer) {
    if (nonce === "-" && kind === "hello" && !said) {
      said = true;
      return;
    }
    if (pending === null || nonce !== pending.nonce) return kill("tampered", "a forged frame on the result channel");
    const now = performance.now();
    const wallMs = now - pending.startedAt;
    if (kind !== "end") {
      pending.frames.push({ kind, payload, wallMs });
      if (pending.frames.length > pending.mostFrames) return kill("tampered", "more answers than questions");
      if (pending.mostFrames > FRAMES_OF_ONE) {
        Object.assign(pending, { startedAt: now, baseline: null, cpuMs: 0, delayMs: 0, stderrBytes: 0 });
      }
      return;
    }
    let facts: { status?: unknown; cpuMs?: unknown; rssKb?: unknown } = {};
    try {
      facts = JSON.parse(payload.toString("latin1")) as typeof facts;
    } catch {
      return kill("tampered", "a malformed frame on the result channel");
    }
    pending.frames.push({ kind: "end", payload, wallMs });
    const cpuMs = typeof facts.cpuMs === "number" ? Math.max(facts.cpuMs, 0) : 0;
    settle(null, null, Math.max(cpuMs, pending.cpuMs), typeof facts.rssKb === "number" ? facts.rssKb / 1024 : 0);
  }

  child.onAnswer((data) => {
    if (ended !== null) return;
    later.push(data);
    laterBytes += data.length;
    if (need !== null && buffer.length + laterBytes < need.length + 1) return;
    buffer = Buffer.concat([buffer, ...later]);
    later = [];
    laterBytes = 0;
    while (ended === null) {
      if (need === null) {
        const end = buffer.indexOf(10);
        if (end < 0) {
          if (buffer.length > 200) kill("tampered", "a malformed frame on the result channel");
          return;
        }
        const header = /^(-|[0-9a-f]{32}) ([a-z-]{1,20}) (\d{1,9})$/.exec(buffer.toString("latin1", 0, end));
        if (header === null) return kill("tampered", "a malformed frame on the result channel");
        need = { nonce: header[1]!, kind: header[2]!, length: Number(header[3]) };
        buffer = buffer.subarray(end + 1);
        if (need.length > (pending?.limits.frameBytes ?? 1024) + 1024) return kill("output", "the answer is too long");
      }
      if (buffer.length < need.length + 1) return;
      const { nonce, kind, length } = need;
      const payload = Buffer.from(buffer.subarray(0, length));
      need = null;
      const closed = buffer[length] === 10;
      buffer = buffer.subarray(length + 1);
      if (!closed) return kill("tampered", "a malformed frame on the result channel");
      accept(kind, nonce, payload);
    }
  });
  child.onNoise((data) => {
    tail = (tail + data.toString("latin1", Math.max(0, data.length - 4096))).slice(-4096);
    if (pending === null) return;
    pending.stderrBytes += data.length;
    if (pending.stderrBytes > STDERR_LIMIT) kill("output", "more than 8 MB printed");
  });

  function close(): Promise<void> {
    killing ??= (async () => {
      stopPolling();
      // At the end of its input the driver leaves, and its process namespace dies with it: cheaper than killing.
      if (disk === null && ended === null && pending === null) {
        child.end();
        let timer: NodeJS.Timeout | undefined;
        await Promise.race([exited, new Promise((resolve) => (timer = setTimeout(resolve, LEAVE_MS)))]);
        clearTimeout(timer);
      }
      const pid = child.pid();
      if (pid !== undefined && child.running()) await killTree(pid);
      child.destroy();
      await exited;
    })();
    return killing;
  }

  return {
    request(line, limits, answers = 1) {
      const nonce = randomBytes(16).toString("hex");
      return new Promise<Reply>((resolve) => {
        pending = {
          nonce,
          limits,
          frames: [],
          mostFrames: FRAMES_OF_ONE + answers - 1,
          startedAt: performance.now(),
          baseline: null,
          cpuMs: 0,
          delayMs: 0,
          peakMb: 0,
          stderrBytes: 0,
          resolve,
        };
        if (ended !== null) settle(ended.stopped, ended.detail, null, 0);
        else child.write(line(nonce));
      });
    },
    stderrTail: () => tail,
    alive: () => ended === null,
    close,
  };
}
