/** What the app does without being asked: finds lost webhooks, forgets what is old. */
import { type ForgetInstallationPayload, forgetJob } from "../domain/job-payloads.ts";
import type { Clock, GitHost, JobStore, LearningStore, Log, ReviewStore, RunStore } from "../ports.ts";

/** Security.md section 5: a lost webhook is found within 5 minutes. */
const SWEEP_SECONDS = 300;
const DAY_MS = 86_400_000;
/** GitHub sends a delivery again for 3 days (product.md 4.6). */
const REDELIVERABLE_DAYS = 3;
/** A delivery that the app refuses every time is not sent for ever. */
const MOST_ATTEMPTS = 5;
/** Longer than a lease: by then a holder has seen that its job is gone. */
const FORGET_AGAIN_SECONDS = 30;

type Ports = {
  host: Pick<GitHost, "failedDeliveries" | "redeliver">;
  stores: readonly { expireBefore(instant: Date): Promise<number> }[];
  clock: Clock;
  log: Log;
};

/** `daily`: at the start and once a day; `what` is said when it fails. */
export function startHousekeeping(
  ports: Ports,
  retentionDays: number,
  daily: readonly { what: string; run(): Promise<void> }[] = [],
): { stop(): Promise<void> } {
  const { clock, log } = ports;
  const end = new AbortController();
  let expired = Number.NEGATIVE_INFINITY;
  const loop = async () => {
    while (!end.signal.aborted) {
      const now = clock.now();
      if (now.getTime() - expired >= DAY_MS) {
        expired = now.getTime();
        await guarded(log, "old records could not be cut", async () => {
          let records = 0;
          for (const store of ports.stores)
            records += await store.expireBefore(new Date(now.getTime() - retentionDays * DAY_MS));
          if (records > 0) log.info("old records cut to hashes or removed", { records, retentionDays });
        });
        for (const { what, run } of daily) await guarded(log, what, run);
      }
      await guarded(log, "webhook deliveries could not be swept", () => redeliverFailed(ports));
      await clock.sleep(SWEEP_SECONDS * 1000, end.signal);
    }
  };
  const looping = loop();
  return {
    async stop() {
      end.abort();
      await looping;
    },
  };
}

/** What holds rows of an installation; with a repository only that one's rows go. */
export type Forgetful = { deleteInstallation(installationId: number, repositoryId?: number): Promise<void> };

/**
 * Rows of an installation that is gone, or of a repository that was removed from it, in every store (rulings 31). Their jobs
 * end first: whoever holds one is refused at the next heartbeat. What a holder wrote in between goes in a second round, when
 * none can be left.
 */
export async function forgetInstallation(
  stores: readonly Forgetful[],
  clock: Clock,
  { installationId, repositoryId }: ForgetInstallationPayload,
  signal: AbortSignal,
): Promise<void> {
  for (const store of stores) await store.deleteInstallation(installationId, repositoryId);
  await clock.sleep(FORGET_AGAIN_SECONDS * 1000, signal);
  signal.throwIfAborted();
  for (const store of stores) await store.deleteInstallation(installationId, repositoryId);
}

/** A job to forget each repository that something is stored of and that the installation no longer reaches. */
export async function forgetUnreached(
  ports: {
    host: Pick<GitHost, "reachedRepositories">;
    jobs: Pick<JobStore, "accept">;
    runs: Pick<RunStore, "repositoriesOf">;
    reviews: Pick<ReviewStore, "repositoriesOf">;
    learning: Pick<LearningStore, "repositories">;
  },
  installationId: number,
): Promise<void> {
  const reached = new Set(await ports.host.reachedRepositories(installationId));
  const learnt = (await ports.learning.repositories()).filter((ref) => ref.installationId === installationId);
  const stored = new Set([
    ...(await ports.runs.repositoriesOf(installationId)),
    ...(await ports.reviews.repositoriesOf(installationId)),
    ...learnt.map((ref) => ref.repositoryId),
  ]);
  for (const repositoryId of stored)
    if (!reached.has(repositoryId)) await ports.jobs.accept(null, forgetJob({ installationId, repositoryId }));
}

/** Asks GitHub for every delivery that was never answered. The delivery id makes one that did arrive a no-op. */
export async function redeliverFailed({ host, clock, log }: Omit<Ports, "stores">): Promise<void> {
  const since = new Date(clock.now().getTime() - REDELIVERABLE_DAYS * DAY_MS);
  for (const { id, guid, attempts } of await host.failedDeliveries(since)) {
    if (attempts >= MOST_ATTEMPTS) continue;
    // One that GitHub refuses to send again keeps none of the others back.
    await guarded(log, "a lost webhook could not be asked for", async () => {
      await host.redeliver(id);
      log.info("asked for a lost webhook again", { guid, attempts });
    });
  }
}

/** Housekeeping never ends the app: the next round tries again. */
async function guarded(log: Log, what: string, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    log.warn(what, { message: error instanceof Error ? error.message : String(error) });
  }
}
