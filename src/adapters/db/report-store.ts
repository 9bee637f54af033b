/** `ReportStore` on `Sql`. */
import type { EffectState } from "../../domain/run.ts";
import type { ReportStore } from "../../ports.ts";
import { ofInstallation, type Sql } from "./sql.ts";

export function createReportStore(sql: Sql, now: () => Date): ReportStore {
  return {
    report: async (repositoryId, month) => {
      const [row] = await sql.query("SELECT * FROM posted_reports WHERE repository_id = $1 AND month = $2", [
        repositoryId,
        month,
      ]);
      if (row === undefined) return null;
      return {
        repositoryId,
        month,
        installationId: Number(row["installation_id"]),
        issue: Number(row["issue"]),
        state: String(row["state"]) as EffectState,
        whole: Number(row["whole"]) === 1,
        commentId: row["comment_id"] === null ? null : Number(row["comment_id"]),
      };
    },
    saveReport: async (one) => {
      await sql.query(
        `INSERT INTO posted_reports (repository_id, month, installation_id, issue, state, whole, comment_id, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (repository_id, month) DO UPDATE
         SET installation_id = excluded.installation_id, issue = excluded.issue, state = excluded.state,
             whole = excluded.whole, comment_id = excluded.comment_id, updated_at = excluded.updated_at`,
        [
          ...[one.repositoryId, one.month, one.installationId, one.issue, one.state, one.whole ? 1 : 0],
          ...[one.commentId, now().toISOString()],
        ],
      );
    },
    deleteInstallation: async (installationId, repositoryId) => {
      const { rows, params } = ofInstallation(installationId, repositoryId);
      await sql.query(`DELETE FROM posted_reports WHERE ${rows}`, params);
    },
    expireBefore: async (instant) => {
      const gone = await sql.query("DELETE FROM posted_reports WHERE updated_at < $1 RETURNING month", [
        instant.toISOString(),
      ]);
      return gone.length;
    },
  };
}
