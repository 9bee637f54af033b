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

/** The condition that holds for an installation's rows, or for those of one repository of it, with its values as `$1` onwards. */
export function ofInstallation(installationId: number, repositoryId?: number): { rows: string; params: SqlValue[] } {
  return repositoryId === undefined
    ? { rows: "installation_id = $1", params: [installationId] }
    : { rows: "installation_id = $1 AND repository_id = $2", params: [installationId, repositoryId] };
}

/** The repositories that rows of an installation name, in any of the tables; sorted. */
export async function repositoriesIn(
  on: Queryable,
  tables: readonly string[],
  installationId: number,
): Promise<number[]> {
  const one = (table: string) =>
    `SELECT repository_id FROM ${table} WHERE installation_id = $1 AND repository_id IS NOT NULL`;
  const rows = await on.query(`${tables.map(one).join(" UNION ")} ORDER BY repository_id`, [installationId]);
  return rows.map((row) => Number(row["repository_id"]));
}

/** The `WHERE` of the conditions that are given, each `column operator`, with their values as `$1` onwards; empty without any. */
export function whereGiven(conditions: readonly [string, SqlValue | undefined][]): {
  where: string;
  params: SqlValue[];
} {
  const given = conditions.filter((one): one is [string, SqlValue] => one[1] !== undefined);
  return {
    where: given.length === 0 ? "" : `WHERE ${given.map(([left], index) => `${left} $${index + 1}`).join(" AND ")}`,
    params: given.map(([, value]) => value),
  };
}
