/** The stores on one database. */
import { idSource } from "../../domain/ids.ts";
import type { JobStore, LearningStore, ModelRegistry, ReportStore, ReviewStore, RunStore } from "../../ports.ts";
import { createJobStore } from "./job-store.ts";
import { createLearningStore } from "./learning-store.ts";
import { migrate } from "./migrate.ts";
import { createModelRegistry } from "./model-registry.ts";
import { createReportStore } from "./report-store.ts";
import { createReviewStore } from "./review-store.ts";
import { createRunStore } from "./run-store.ts";
import { openSqlite } from "./sqlite.ts";

export type Database = {
  jobs: JobStore;
  runs: RunStore;
  learning: LearningStore;
  reviews: ReviewStore;
  models: ModelRegistry;
  reports: ReportStore;
  close(): Promise<void>;
};

/**
 * Opens, or creates, and migrates the SQLite file at `path` (`:memory:` for one that dies with the process).
 * Throws `DATABASE_UNUSABLE` or `DATABASE_BUSY` with the cure. `random(n)` gives n random bytes for ids.
 */
export async function openDatabase(options: {
  path: string;
  now: () => Date;
  random: (bytes: number) => Uint8Array;
  /** How long a statement waits for another process's lock. */
  busyMilliseconds?: number;
}): Promise<Database> {
  const sql = await openSqlite(options.path, options.busyMilliseconds);
  try {
    await migrate(sql, options.path, options.now);
  } catch (error) {
    await sql.close();
    throw error;
  }
  const newId = idSource(options.now, options.random);
  return {
    jobs: createJobStore(sql, options.now, newId),
    runs: createRunStore(sql, options.now, newId),
    learning: createLearningStore(sql, options.now),
    reviews: createReviewStore(sql, options.now),
    models: createModelRegistry(sql, options.now),
    reports: createReportStore(sql, options.now),
    close: () => sql.close(),
  };
}
