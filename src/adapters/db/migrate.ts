/** Brings a database to the version of this program. Numbered files in `migrations/`, applied in order, each once. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { FunprmError } from "../../domain/errors.ts";
import type { Sql } from "./sql.ts";

type Migration = { number: number; name: string; statements: string[] };

function migrations(): Migration[] {
  const folder = join(import.meta.dirname, "migrations");
  return readdirSync(folder)
    .filter((name) => /^\d{4}-.+\.sql$/.test(name))
    .sort()
    .map((name) => ({
      number: Number(name.slice(0, 4)),
      name,
      statements: readFileSync(join(folder, name), "utf8")
        .replace(/^--.*$/gm, "")
        .split(/;\s*$/m)
        .map((statement) => statement.trim())
        .filter((statement) => statement !== ""),
    }));
}

/** Refuses a database that a newer program has migrated (`DATABASE_UNUSABLE`) and leaves it untouched. */
export async function migrate(sql: Sql, path: string, now: () => Date): Promise<void> {
  const known = migrations();
  const newest = known.at(-1)!.number;
  await sql.transaction(async (inside) => {
    await inside.query(
      "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL)",
    );
    const applied = new Set((await inside.query("SELECT number FROM migrations")).map((row) => Number(row["number"])));
    const latest = Math.max(0, ...applied);
    if (latest > newest) {
      throw new FunprmError(
        "DATABASE_UNUSABLE",
        `database ${path}: written by a newer FunPRM (schema ${latest}, this program knows ${newest}); upgrade FunPRM or use another database`,
      );
    }
    for (const migration of known.filter(({ number }) => !applied.has(number))) {
      for (const statement of migration.statements) await inside.query(statement);
      await inside.query("INSERT INTO migrations (number, name, applied_at) VALUES ($1, $2, $3)", [
        migration.number,
        migration.name,
        now().toISOString(),
      ]);
    }
  });
}
