/** The worker inside a process: drains on SIGTERM and SIGINT, and ends the process when the loop is dead but the process is not. */
import { startWorker, type Worker, type WorkerOptions, type WorkerPorts } from "../flows/jobs.ts";

/** Longer than any single look at the queue takes, shorter than people's patience (security.md section 5). */
const SILENCE_SECONDS = 60;
/** EX_TEMPFAIL of sysexits.h: a supervisor should start the process again. */
const WATCHDOG_EXIT = 75;

/**
 * Runs until a signal comes, then drains, then calls `closed` (close servers and the database) and exits 0. When no look
 * at the queue has succeeded for 60 s the process exits 75, so that a supervisor starts a working one.
 */
export function runWorker(ports: WorkerPorts, options: WorkerOptions, closed: () => Promise<void>): Worker {
  const worker = startWorker(ports, options);
  const watchdog = setInterval(() => {
    const { lastLook, draining } = worker.health();
    const silent = (ports.clock.now().getTime() - lastLook.getTime()) / 1000;
    if (draining || silent < SILENCE_SECONDS) return;
    ports.log.error("the worker has not reached its queue; exiting so that it is started again", { silent });
    process.exit(WATCHDOG_EXIT);
  }, 5000);
  watchdog.unref();
  let stopping = false;
  const stop = (signal: NodeJS.Signals) => {
    if (stopping) return;
    stopping = true;
    ports.log.info("draining", { signal, running: worker.health().running });
    worker
      .drain()
      .then(closed)
      .then(
        () => process.exit(0),
        (error) => {
          ports.log.error("shutdown failed", { message: error instanceof Error ? error.message : String(error) });
          process.exit(1);
        },
      );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  return {
    ...worker,
    // Whoever drains by hand ends things by hand too: a later signal must not do it twice.
    drain: async () => {
      process.off("SIGTERM", stop);
      process.off("SIGINT", stop);
      clearInterval(watchdog);
      await worker.drain();
    },
  };
}
