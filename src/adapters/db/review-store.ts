/** `ReviewStore` on `Sql`. Records are JSON beside the columns that are searched. */
import type { Finding, ReviewedPull, ReviewedRow } from "../../domain/finding.ts";
import type { ScoredRow } from "../../domain/model.ts";
import type { StoredCalibration } from "../../domain/review-calibration.ts";
import type { ReviewStore } from "../../ports.ts";
import { ofInstallation, repositoriesIn, type Sql, type SqlRow, whereGiven } from "./sql.ts";

/** Placeholders of one statement; SQLite takes 32,766, PostgreSQL 65,535. */
const KEYS_A_QUERY = 500;
/** What is kept of a repository. */
const TABLES = ["calibrations", "reviewed_functions", "findings", "reviewed_pulls"];

export function createReviewStore(sql: Sql, now: () => Date): ReviewStore {
  const instant = () => now().toISOString();
  const newest = async (key: Pick<StoredCalibration, "repositoryId" | "language" | "modelVersion">) => {
    const [row] = await sql.query(
      `SELECT * FROM calibrations WHERE repository_id = $1 AND language = $2 AND model_version = $3
       ORDER BY version DESC LIMIT 1`,
      [key.repositoryId, key.language, key.modelVersion],
    );
    return row ? calibrationFrom(row) : null;
  };

  return {
    saveReviewed: (rows) =>
      sql.transaction(async (inside) => {
        for (const row of rows)
          await inside.query(
            `INSERT INTO reviewed_functions (repository_id, pull_request, head, function_id, body_hash, model_version,
               installation_id, language, value, attribution, base_attribution, finding, sketch, reviewed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
             ON CONFLICT (repository_id, pull_request, head, function_id, body_hash, model_version) DO UPDATE
             SET installation_id = excluded.installation_id, value = excluded.value, attribution = excluded.attribution,
                 base_attribution = excluded.base_attribution, finding = excluded.finding, sketch = excluded.sketch,
                 reviewed_at = excluded.reviewed_at`,
            [
              row.repositoryId,
              row.pullRequest,
              row.head,
              row.function,
              row.bodyHash,
              row.modelVersion,
              row.installationId,
              row.language,
              row.value,
              row.attribution,
              row.baseAttribution,
              Number(row.finding),
              row.sketch,
              row.reviewedAt,
            ],
          );
      }),
    reviewed: async (filter = {}) => {
      const { where, params } = whereGiven([
        ["repository_id =", filter.repositoryId],
        ["pull_request =", filter.pullRequest],
      ]);
      const limit = filter.newest === undefined ? "" : `LIMIT $${params.length + 1}`;
      const rows = await sql.query(
        `SELECT * FROM reviewed_functions ${where}
         ORDER BY reviewed_at DESC, pull_request DESC, head DESC, function_id DESC, body_hash DESC ${limit}`,
        filter.newest === undefined ? params : [...params, filter.newest],
      );
      return rows.reverse().map(reviewedFrom);
    },
    reviewedKeys: async () => {
      const rows = await sql.query(
        `SELECT DISTINCT repository_id, language, model_version FROM reviewed_functions
         ORDER BY repository_id, language, model_version`,
      );
      return rows.map((row) => ({
        repositoryId: Number(row["repository_id"]),
        language: String(row["language"]) as ReviewedRow["language"],
        modelVersion: String(row["model_version"]),
      }));
    },

    saveFinding: async (finding) => {
      const at = instant();
      await sql.query(
        `INSERT INTO findings (repository_id, pull_request, path, name, body_hash, model_version, installation_id, state,
           comment_id, thread_id, created_at, updated_at, record)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12)
         ON CONFLICT (repository_id, pull_request, path, name, body_hash, model_version) DO UPDATE
         SET installation_id = excluded.installation_id, state = excluded.state, comment_id = excluded.comment_id,
             thread_id = excluded.thread_id, updated_at = excluded.updated_at, record = excluded.record`,
        [
          finding.repositoryId,
          finding.pullRequest,
          finding.path,
          finding.name,
          finding.bodyHash,
          finding.modelVersion,
          finding.installationId,
          finding.state,
          finding.commentId,
          finding.threadId,
          at,
          JSON.stringify(finding),
        ],
      );
    },
    findings: async (filter) => {
      const { where, params } = whereGiven([
        ["repository_id =", filter.repositoryId],
        ["pull_request =", filter.pullRequest],
      ]);
      const rows = await sql.query(
        `SELECT * FROM findings ${where} ORDER BY created_at, path, name, body_hash, model_version`,
        params,
      );
      return rows.map(findingFrom);
    },

    pull: async (place) => {
      const [row] = await sql.query(
        "SELECT record FROM reviewed_pulls WHERE repository_id = $1 AND pull_request = $2",
        [place.repositoryId, place.pullRequest],
      );
      const { repositoryId, installationId, pullRequest } = place;
      return row
        ? (JSON.parse(String(row["record"])) as ReviewedPull)
        : { repositoryId, installationId, pullRequest, pausedBy: null, rounds: [] };
    },
    savePull: async (pull) => {
      await sql.query(
        `INSERT INTO reviewed_pulls (repository_id, pull_request, installation_id, record, updated_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (repository_id, pull_request) DO UPDATE
         SET installation_id = excluded.installation_id, record = excluded.record, updated_at = excluded.updated_at`,
        [pull.repositoryId, pull.pullRequest, pull.installationId, JSON.stringify(pull), instant()],
      );
    },

    rewards: async (installationId, modelSha256, keys) => {
      const found = new Map<string, ScoredRow>();
      for (let from = 0; from < keys.length; from += KEYS_A_QUERY) {
        const some = keys.slice(from, from + KEYS_A_QUERY);
        const rows = await sql.query(
          `SELECT row_sha256, record FROM reward_cache WHERE installation_id = $1 AND model_sha256 = $2
           AND row_sha256 IN (${some.map((_, index) => `$${index + 3}`).join(", ")})`,
          [installationId, modelSha256, ...some],
        );
        for (const row of rows) found.set(String(row["row_sha256"]), JSON.parse(String(row["record"])) as ScoredRow);
      }
      return found;
    },
    saveRewards: (installationId, modelSha256, rows) =>
      sql.transaction(async (inside) => {
        for (const [key, row] of rows)
          await inside.query(
            `INSERT INTO reward_cache (installation_id, model_sha256, row_sha256, record, scored_at)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (installation_id, model_sha256, row_sha256) DO UPDATE SET scored_at = excluded.scored_at`,
            [installationId, modelSha256, key, JSON.stringify(row), instant()],
          );
      }),

    calibration: newest,
    saveCalibration: async (calibration) => {
      const known = await newest(calibration);
      if (known) {
        const { version: _, fittedAt: __, ...content } = known;
        if (JSON.stringify(content) === JSON.stringify(calibration)) return known;
      }
      const saved = { ...calibration, version: (known?.version ?? 0) + 1, fittedAt: instant() };
      await sql.query(
        `INSERT INTO calibrations (repository_id, language, model_version, version, fitted_at, record, installation_id)
         VALUES ($1, $2, $3, $4, $5, $6, COALESCE((SELECT installation_id FROM reviewed_functions
           WHERE repository_id = $1 ORDER BY reviewed_at DESC LIMIT 1), 0))`,
        [
          saved.repositoryId,
          saved.language,
          saved.modelVersion,
          saved.version,
          saved.fittedAt,
          JSON.stringify(calibration),
        ],
      );
      return saved;
    },

    repositoriesOf: (installationId) => repositoriesIn(sql, TABLES, installationId),
    deleteInstallation: (installationId, repositoryId) =>
      sql.transaction(async (inside) => {
        const { rows, params } = ofInstallation(installationId, repositoryId);
        for (const table of TABLES) await inside.query(`DELETE FROM ${table} WHERE ${rows}`, params);
        // Hashes of texts do not say whose they are: better scored again than kept of a repository that is gone.
        await inside.query("DELETE FROM reward_cache WHERE installation_id = $1", [installationId]);
      }),
    expireBefore: (instant) =>
      sql.transaction(async (inside) => {
        const before = [instant.toISOString()];
        await inside.query("DELETE FROM reward_cache WHERE scored_at < $1", before);
        await inside.query("DELETE FROM findings WHERE updated_at < $1", before);
        await inside.query("DELETE FROM reviewed_pulls WHERE updated_at < $1", before);
        const gone = await inside.query(
          "DELETE FROM reviewed_functions WHERE reviewed_at < $1 RETURNING function_id",
          before,
        );
        return gone.length;
      }),
  };
}

function reviewedFrom(row: SqlRow): ReviewedRow {
  return {
    repositoryId: Number(row["repository_id"]),
    installationId: Number(row["installation_id"]),
    pullRequest: Number(row["pull_request"]),
    head: String(row["head"]),
    function: String(row["function_id"]),
    bodyHash: String(row["body_hash"]),
    language: String(row["language"]) as ReviewedRow["language"],
    modelVersion: String(row["model_version"]),
    value: Number(row["value"]),
    attribution: Number(row["attribution"]),
    baseAttribution: row["base_attribution"] === null ? null : Number(row["base_attribution"]),
    finding: Number(row["finding"]) === 1,
    sketch: String(row["sketch"]),
    reviewedAt: String(row["reviewed_at"]),
  };
}

function findingFrom(row: SqlRow): Finding {
  const record = JSON.parse(String(row["record"])) as Finding;
  return { ...record, createdAt: String(row["created_at"]), updatedAt: String(row["updated_at"]) };
}

function calibrationFrom(row: SqlRow): StoredCalibration {
  const record = JSON.parse(String(row["record"])) as Omit<StoredCalibration, "version" | "fittedAt">;
  return { ...record, version: Number(row["version"]), fittedAt: String(row["fitted_at"]) };
}
