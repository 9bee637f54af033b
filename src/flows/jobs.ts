/** The job loop: claims jobs, runs their handlers side by side, and settles each by the kind of its error. */
import { FunprmError } from "../domain/errors.ts";
import type { Job, JobKind } from "../domain/run.ts";
import type { Clock, JobStore, Log } from "../ports.ts";

/** Why a handler was asked to stop: the `reason` of its signal. A handler that has tidied up throws it again, or returns. */
export class Interruption extends Error {
  readonly why: "cancelled" | "lease-lost" | "shutdown";

  constructor(why: Interruption["why"]) {
    super(`job interrupted: ${why}`);
    this.name = "Interruption";
    this.why = why;
  }
}

/** `fence` goes with every write of the handler. */
export type JobHandler = (job: Job, signal: AbortSignal, fence: number) => Promise<void>;

export type WorkerPorts = { jobs: JobStore; clock: Clock; log: Log };

export type WorkerOptions = {
  /** Names this process in the store and in logs. */
  name: string;
  handlers: Record<JobKind, JobHandler>;
  /** Tells people that a job is given up. Called at least once a dead job, while the job is still held. */
  onDead: (job: Job, error: { code: string; message: string }) => Promise<void>;
  /** Jobs at one time. */
  concurrency: number;
  /** A holder that is silent for so long is taken for dead. Heartbeats come every third of it. */
  leaseSeconds: number;
  /** Between two looks at an empty queue. */
  pollSeconds: number;
  /** How long `drain` lets running jobs finish. */
  graceSeconds: number;
  /** In [0,1), spreads retries. */
  random: () => number;
};

export type Worker = {
  /** Looks at the queue now. */
  wake(): void;
  /** Stops claiming, lets running jobs finish for the grace period, then gives them back. */
  drain(): Promise<void>;
  /** `lastLook` is the instant of the last look at the queue that the store answered. */
  health(): { running: string[]; lastLook: Date; draining: boolean };
};

/** Time that interrupted handlers get to tidy up before their jobs are given back over their heads. */
const SETTLE_SECONDS = 5;
const BACKOFF_SECONDS = { first: 1, longest: 300 };
const DEATH_NOTE_ATTEMPTS = 3;

/** 1, 2, 4 … 300 seconds after attempt 1, 2, 3 …, the upper half of each spread by `random`; never under a second. */
export function backoffSeconds(attempt: number, random: () => number): number {
  const full = Math.min(BACKOFF_SECONDS.longest, BACKOFF_SECONDS.first * 2 ** Math.max(0, attempt - 1));
  return Math.max(BACKOFF_SECONDS.first, full * (0.5 + 0.5 * random()));
}

export function startWorker({ jobs, clock, log }: WorkerPorts, options: WorkerOptions): Worker {
  const running = new Map<Job, { abort: AbortController; done: Promise<void> }>();
  let draining = false;
  let lastLook = clock.now();
  let bell = new AbortController();
  const wake = () => bell.abort();

  const loop = async (): Promise<void> => {
    while (!draining) {
      bell = new AbortController();
      let pause = options.pollSeconds;
      if (running.size < options.concurrency) {
        try {
          const job = await jobs.claim(options.name, options.leaseSeconds);
          lastLook = clock.now();
          if (job) {
            start(job);
            pause = 0;
          }
        } catch (error) {
          log.error("the queue cannot be read", describe(error));
        }
      } else {
        lastLook = clock.now();
      }
      if (pause > 0) await clock.sleep(pause * 1000, bell.signal);
    }
  };

  const start = (job: Job): void => {
    const abort = new AbortController();
    const done = work(job, abort)
      .catch((error) =>
        log.error("a job could not be settled; its lease will run out", { job: job.id, ...describe(error) }),
      )
      .finally(() => {
        running.delete(job);
        wake();
      });
    running.set(job, { abort, done });
    if (draining) abort.abort(new Interruption("shutdown"));
  };

  const work = async (job: Job, abort: AbortController): Promise<void> => {
    const settled = new AbortController();
    const beating = heartbeat(job, abort, settled.signal);
    log.info("job started", { job: job.id, kind: job.kind, attempt: job.attempts });
    try {
      await settle(job, abort.signal, await outcome(job, abort.signal));
    } catch (error) {
      if (!(error instanceof FunprmError && error.code === "FENCED")) throw error;
      log.warn("job lost to another worker", { job: job.id });
    } finally {
      settled.abort();
      await beating;
    }
  };

  /** What the handler threw, or null. */
  const outcome = async (job: Job, signal: AbortSignal): Promise<unknown> => {
    if (job.attempts > job.maxAttempts) {
      return new FunprmError("INTERRUPTED", `the worker died ${job.maxAttempts} times while it worked on this`);
    }
    try {
      await options.handlers[job.kind](job, signal, job.fence);
      return null;
    } catch (error) {
      return error ?? new Error("the handler threw nothing");
    }
  };

  const settle = async (job: Job, signal: AbortSignal, error: unknown): Promise<void> => {
    const why = signal.reason instanceof Interruption ? signal.reason.why : null;
    if (why === "lease-lost") return;
    if (error === null) {
      await jobs.complete(job);
      log.info("job done", { job: job.id });
      return;
    }
    const stopped =
      error === signal.reason ||
      (error as { name?: unknown }).name === "AbortError" ||
      (error instanceof FunprmError && error.code === "INTERRUPTED");
    if (stopped && why === "cancelled") {
      await jobs.complete(job);
      log.info("job cancelled", { job: job.id });
      return;
    }
    if (stopped && why === "shutdown") {
      await jobs.release(job);
      log.info("job given back", { job: job.id });
      return;
    }
    // An error that is none of ours may be anything: it is tried again like a transient one, within the attempts.
    const known = error instanceof FunprmError ? error : null;
    const failure = { code: known?.code ?? "UNEXPECTED", message: messageOf(error) };
    if (known?.code === "FENCED") return;
    if ((known === null || known.kind === "transient") && job.attempts < job.maxAttempts) {
      const delay = known?.retryAfter ?? backoffSeconds(job.attempts, options.random);
      await jobs.retry(job, failure, delay);
      log.warn("job will be tried again", {
        job: job.id,
        delay,
        ...failure,
        stack: known ? undefined : stackOf(error),
      });
      return;
    }
    if (!(await tellDeath(job, failure))) {
      await jobs.release(job);
      return;
    }
    await jobs.bury(job, failure);
    log.error("job given up", { job: job.id, ...failure, stack: known ? undefined : stackOf(error) });
  };

  /**
   * Before the burial, so that a crash between the two tells twice and never nothing. False when a shutdown comes first:
   * then the job has to live on.
   */
  const tellDeath = async (job: Job, failure: { code: string; message: string }): Promise<boolean> => {
    for (let attempt = 1; attempt <= DEATH_NOTE_ATTEMPTS; attempt++) {
      try {
        await options.onDead(job, failure);
        return true;
      } catch (error) {
        if (error instanceof FunprmError && error.code === "FENCED") throw error;
        log.error("the note about a dead job failed", { job: job.id, ...describe(error) });
        if (error instanceof FunprmError && error.kind !== "transient") return true;
        if (draining) return false;
        if (attempt < DEATH_NOTE_ATTEMPTS) await clock.sleep(backoffSeconds(attempt + 1, options.random) * 1000);
      }
    }
    return true;
  };

  const heartbeat = async (job: Job, abort: AbortController, settled: AbortSignal): Promise<void> => {
    let leaseUntil = clock.now().getTime() + options.leaseSeconds * 1000;
    if (job.cancelRequested) abort.abort(new Interruption("cancelled"));
    for (;;) {
      await clock.sleep((options.leaseSeconds * 1000) / 3, settled);
      if (settled.aborted) return;
      try {
        const now = clock.now().getTime();
        await jobs.heartbeat(job, options.leaseSeconds);
        leaseUntil = now + options.leaseSeconds * 1000;
        if (await jobs.isCancelRequested(job)) abort.abort(new Interruption("cancelled"));
      } catch (error) {
        if (settled.aborted) return;
        const fenced = error instanceof FunprmError && error.code === "FENCED";
        log.warn("heartbeat failed", { job: job.id, ...describe(error) });
        if (fenced || clock.now().getTime() >= leaseUntil) {
          abort.abort(new Interruption("lease-lost"));
          return;
        }
      }
    }
  };

  const looping = loop();
  return {
    wake,
    drain: async () => {
      draining = true;
      wake();
      await looping;
      const all = () => Promise.all([...running.values()].map(({ done }) => done));
      const within = async (seconds: number): Promise<void> => {
        const early = new AbortController();
        await Promise.race([all().then(() => early.abort()), clock.sleep(seconds * 1000, early.signal)]);
      };
      await within(options.graceSeconds);
      for (const { abort } of running.values()) abort.abort(new Interruption("shutdown"));
      await within(SETTLE_SECONDS);
      for (const job of running.keys()) {
        await jobs.release(job).catch((error) => log.warn("job not given back", { job: job.id, ...describe(error) }));
      }
    },
    health: () => ({ running: [...running.keys()].map((job) => job.id), lastLook, draining }),
  };
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0]!;
}

function stackOf(error: unknown): string | undefined {
  return error instanceof Error ? error.stack : undefined;
}

function describe(error: unknown): { code: string; message: string } {
  return { code: error instanceof FunprmError ? error.code : "UNEXPECTED", message: messageOf(error) };
}
