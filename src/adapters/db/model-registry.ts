/** `ModelRegistry` on `Sql`. A version is one JSON record: a new field needs no migration. */
import { FunprmError } from "../../domain/errors.ts";
import type { ModelSwitch, ModelVersion } from "../../domain/model-version.ts";
import type { ModelRegistry } from "../../ports.ts";
import type { Queryable, Sql, SqlRow } from "./sql.ts";

export function createModelRegistry(sql: Sql, now: () => Date): ModelRegistry {
  const read = async (inside: Queryable, sha256: string): Promise<ModelVersion | null> => {
    const [row] = await inside.query("SELECT record FROM models WHERE sha256 = $1", [sha256]);
    return row ? versionFrom(row) : null;
  };
  return {
    register: (version) =>
      sql.transaction(async (inside) => {
        const known = await read(inside, version.sha256);
        const record: ModelVersion = {
          decision: null,
          ...known,
          ...version,
          createdAt: known?.createdAt ?? now().toISOString(),
        };
        await inside.query(
          `INSERT INTO models (sha256, created_at, record) VALUES ($1, $2, $3)
           ON CONFLICT (sha256) DO UPDATE SET record = excluded.record`,
          [record.sha256, record.createdAt, JSON.stringify(record)],
        );
        return record;
      }),
    versions: async () => (await sql.query("SELECT record FROM models ORDER BY created_at, sha256")).map(versionFrom),
    version: (sha256) => read(sql, sha256),
    active: async () => {
      const [row] = await sql.query(
        `SELECT record FROM models WHERE sha256 = (SELECT sha256 FROM model_switches ORDER BY seq DESC LIMIT 1)`,
      );
      return row ? versionFrom(row) : null;
    },
    activate: async (sha256, { by, reason }) => {
      const inserted = await sql.query(
        `INSERT INTO model_switches (seq, sha256, made_by, reason, at)
         SELECT COALESCE((SELECT MAX(seq) FROM model_switches), 0) + 1, sha256, $2, $3, $4 FROM models WHERE sha256 = $1
         RETURNING seq`,
        [sha256, by, reason, now().toISOString()],
      );
      if (inserted.length === 0)
        throw new FunprmError("BAD_USAGE", `no model ${sha256.slice(0, 12)} is registered: nothing was switched`);
    },
    switches: async () =>
      (await sql.query("SELECT * FROM model_switches ORDER BY seq DESC")).map(
        (row): ModelSwitch => ({
          sha256: String(row["sha256"]),
          by: String(row["made_by"]),
          reason: String(row["reason"]),
          at: String(row["at"]),
        }),
      ),
  };
}

function versionFrom(row: SqlRow): ModelVersion {
  return JSON.parse(String(row["record"])) as ModelVersion;
}
