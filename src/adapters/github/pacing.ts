/**
 * When the next write of an installation may go out. GitHub allows 80 content-creating requests a minute and 500 an hour
 * and asks for at least a second between them; who goes on after a limit gets banned (product.md 4.7).
 */
import { FunprmError } from "../../domain/errors.ts";
import type { Clock } from "../../ports.ts";

export type PacingLimits = { spacingMs: number; perMinute: number; perHour: number };
export const GITHUB_PACING: PacingLimits = { spacingMs: 1_000, perMinute: 80, perHour: 500 };

const MINUTE = 60_000;
const HOUR = 3_600_000;
/** Longer waits go back to the job queue, where they survive a restart. */
const LONGEST_WAIT_MS = 30_000;

/** Earliest time in ms at which one more write may start, given the start times of earlier ones, ascending. */
export function nextWriteAt(writes: readonly number[], now: number, limits: PacingLimits): number {
  let at = now;
  const last = writes.at(-1);
  if (last !== undefined) at = Math.max(at, last + limits.spacingMs);
  // With the n-th last write out of the window, fewer than n remain in it.
  const minuteEdge = writes.at(-limits.perMinute);
  if (minuteEdge !== undefined) at = Math.max(at, minuteEdge + MINUTE);
  const hourEdge = writes.at(-limits.perHour);
  if (hourEdge !== undefined) at = Math.max(at, hourEdge + HOUR);
  return at;
}

export type Pacer = {
  /** Waits for the installation's next slot; GITHUB_RATE_LIMIT when that is more than 30 s away. */
  write(installationId: number): Promise<void>;
  /** Throws GITHUB_RATE_LIMIT while GitHub told this installation to wait. The others go on. */
  check(installationId: number): void;
  pause(installationId: number, seconds: number): void;
};

/** One for each process. Reservations are made before waiting, so that parallel callers get different slots. */
export function createPacer(clock: Clock, limits: PacingLimits): Pacer {
  const writes = new Map<number, number[]>();
  const pausedUntil = new Map<number, number>();

  function check(installationId: number): void {
    const until = pausedUntil.get(installationId) ?? 0;
    const left = until - clock.now().getTime();
    if (left > 0) throw limited(installationId, left);
  }

  return {
    check,
    pause(installationId, seconds) {
      const until = clock.now().getTime() + seconds * 1_000;
      pausedUntil.set(installationId, Math.max(until, pausedUntil.get(installationId) ?? 0));
    },
    async write(installationId) {
      check(installationId);
      const now = clock.now().getTime();
      const history = (writes.get(installationId) ?? []).filter((at) => at > now - HOUR);
      const at = nextWriteAt(history, now, limits);
      if (at - now > LONGEST_WAIT_MS) throw limited(installationId, at - now);
      history.push(at);
      writes.set(installationId, history);
      if (at > now) await clock.sleep(at - now);
    },
  };
}

function limited(installationId: number, milliseconds: number): FunprmError {
  const seconds = Math.ceil(milliseconds / 1_000);
  return new FunprmError(
    "GITHUB_RATE_LIMIT",
    `installation ${installationId} pauses for ${seconds} s: GitHub's limits for writing`,
    { retryAfter: seconds },
  );
}
