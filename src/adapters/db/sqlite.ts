/** `Sql` on node:sqlite. */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { FunprmError } from "../../domain/errors.ts";
import type { Queryable, Sql, SqlRow, SqlValue } from "./sql.ts";

/** Primary result codes, https://www.sqlite.org/rescode.html. */
const BUSY = 5;
const LOCKED = 6;
const READONLY = 8;
const IO_ERROR = 10;
const CORRUPT = 11;
const FULL = 13;
const CANNOT_OPEN = 14;
const NOT_A_DATABASE = 26;

/**
 * Opens or creates the file. WAL, `synchronous=FULL` (a commit survives a power cut), foreign keys on.
 * `busyMilliseconds` is how long a statement waits for a writer in another process before `DATABASE_BUSY`.
 */
export async function openSqlite(path: string, busyMilliseconds = 5000): Promise<Sql> {
  if (path !== ":memory:" && !existsSync(dirname(path))) {
    throw new FunprmError(
      "DATABASE_UNUSABLE",
      `database ${path}: its folder does not exist; create it (mkdir -p ${dirname(path)}) or set another path`,
    );
  }
  const explained = (error: unknown) => explain(error, path);
  let database: DatabaseSync;
  try {
    database = new DatabaseSync(path);
  } catch (error) {
    throw explained(error);
  }

  // node:sqlite blocks the whole process while SQLite waits for a lock, so SQLite itself waits only 10 ms at a time and
  // the rest of the wait is asynchronous. It also lets two connections of one process wait for each other.
  const patiently = async <T>(attempt: () => T): Promise<T> => {
    const deadline = Date.now() + busyMilliseconds;
    for (;;) {
      try {
        return attempt();
      } catch (error) {
        const failure = explained(error);
        if (failure.code !== "DATABASE_BUSY" || !isLock(error) || Date.now() >= deadline) throw failure;
        await sleep(5 + Math.random() * 20);
      }
    }
  };

  try {
    database.exec("PRAGMA busy_timeout = 10");
    await patiently(() => database.exec("PRAGMA journal_mode = WAL"));
    database.exec("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
  } catch (error) {
    database.close();
    throw explained(error);
  }

  const statements = new Map<string, ReturnType<DatabaseSync["prepare"]>>();
  const run = (text: string, params: readonly SqlValue[]): SqlRow[] => {
    let statement = statements.get(text);
    if (!statement) {
      statement = database.prepare(text);
      statements.set(text, statement);
    }
    return statement.all(Object.fromEntries(params.map((value, index) => [`$${index + 1}`, value]))) as SqlRow[];
  };

  let tail: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = tail.then(work);
    tail = turn.catch(() => undefined);
    return turn;
  };

  const inside: Queryable = {
    query: async (text, params = []) => {
      try {
        return run(text, params);
      } catch (error) {
        throw explained(error);
      }
    },
  };

  let closed = false;
  return {
    skipLocked: "",
    query: (text, params = []) => inTurn(() => patiently(() => run(text, params))),
    transaction: (work) =>
      inTurn(async () => {
        // IMMEDIATE: a transaction that reads first and writes later could otherwise fail in the middle.
        await patiently(() => database.exec("BEGIN IMMEDIATE"));
        try {
          const result = await work(inside);
          await patiently(() => database.exec("COMMIT"));
          return result;
        } catch (error) {
          if (database.isTransaction) database.exec("ROLLBACK");
          throw error;
        }
      }),
    close: () =>
      inTurn(async () => {
        if (!closed) database.close();
        closed = true;
      }),
  };
}

function isLock(error: unknown): boolean {
  const code = resultCode(error);
  return code === BUSY || code === LOCKED;
}

function resultCode(error: unknown): number | null {
  const code = (error as { errcode?: unknown } | null)?.errcode;
  return typeof code === "number" ? code & 0xff : null;
}

function explain(error: unknown, path: string): FunprmError {
  if (error instanceof FunprmError) return error;
  const unusable = (message: string) =>
    new FunprmError("DATABASE_UNUSABLE", `database ${path}: ${message}`, { cause: error });
  // Transient although it is no lock: the job is tried again when there is room.
  const busy = (message: string) => new FunprmError("DATABASE_BUSY", `database ${path}: ${message}`, { cause: error });
  switch (resultCode(error)) {
    case BUSY:
    case LOCKED:
      return busy("locked by another process; stop the other process or try again");
    case FULL:
      return busy("the disk is full; free some space");
    case IO_ERROR:
      return busy("the disk failed to read or write; check the disk and its free space");
    case READONLY:
      return unusable("read-only; make the file and its folder writable for this user (chmod u+w, chown)");
    case CORRUPT:
      return unusable("the file is damaged; restore a backup, or move it away to start with an empty database");
    case NOT_A_DATABASE:
      return unusable("the file is not a SQLite database; set another path or move the file away");
    case CANNOT_OPEN:
      return unusable("cannot be opened; it must be a file that this user may read and write");
    default:
      return unusable(error instanceof Error ? error.message.split("\n")[0]! : String(error));
  }
}
