/** The one seam to a relational database. Its texts run on SQLite and PostgreSQL unchanged: `$1` placeholders, text ids, upserts. */

export type SqlValue = string | number | null;
export type SqlRow = Record<string, string | number | null>;

export interface Queryable {
  /** Rows of one statement; empty when it returns none. Whole numbers may come back as text: read them with `Number`. */
  query(text: string, params?: readonly SqlValue[]): Promise<SqlRow[]>;
}

/** Throws `DATABASE_BUSY` when it may work later, `DATABASE_UNUSABLE` when a person has to mend something. */
export interface Sql extends Queryable {
  /** Ends a sub-select that picks a row to lock: `FOR UPDATE SKIP LOCKED` where rows are locked, empty where the whole file is. */
  readonly skipLocked: string;
  /** All or nothing. Callers of one connection wait for each other; `work` must use the `Queryable` it is given, never the outer one. */
  transaction<T>(work: (inside: Queryable) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}
