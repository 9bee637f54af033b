/** `LearningStore` on `Sql`. A fact is one JSON record beside the columns that are searched. */
import { sha256 } from "../../domain/ids.ts";
import { commitsNamed, type OutcomeEvent, withoutActor } from "../../domain/outcome.ts";
import type { FactPlace, LabelledText, LearningStore, PullRequestKey } from "../../ports.ts";
import { ofInstallation, type Queryable, type Sql, type SqlRow, whereGiven } from "./sql.ts";

/** `pull_request` of a fact of the repository. */
const REPOSITORY = 0;

export function createLearningStore(sql: Sql, now: () => Date): LearningStore {
  const insert = async (inside: Queryable, place: FactPlace, event: OutcomeEvent): Promise<number> => {
    const pullRequest = place.pullRequest ?? REPOSITORY;
    const stored = await inside.query(
      `INSERT INTO outcome_events (repository_id, pull_request, event_id, installation_id, kind, at, actor, sha, record)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
       ON CONFLICT (repository_id, pull_request, event_id) DO UPDATE
       SET installation_id = excluded.installation_id, kind = excluded.kind, at = excluded.at, actor = excluded.actor,
           sha = excluded.sha, record = excluded.record
       WHERE excluded.at > outcome_events.at
          OR (excluded.at = outcome_events.at AND excluded.record > outcome_events.record)
       RETURNING event_id`,
      [
        place.repositoryId,
        pullRequest,
        event.id,
        place.installationId,
        event.kind,
        event.at,
        event.actor.toLowerCase(),
        place.pullRequest === null ? (commitsNamed(event)[0] ?? null) : null,
        JSON.stringify(event),
      ],
    );
    if (place.pullRequest !== null)
      for (const sha of commitsNamed(event))
        await inside.query(
          `INSERT INTO outcome_commits (repository_id, pull_request, sha) VALUES ($1, $2, $3)
           ON CONFLICT (repository_id, pull_request, sha) DO NOTHING`,
          [place.repositoryId, pullRequest, sha],
        );
    return stored.length;
  };
  /** Commits and texts of pull requests without a fact. */
  const tidy = async (inside: Queryable): Promise<void> => {
    for (const table of ["outcome_commits", "learning_texts"])
      await inside.query(
        `DELETE FROM ${table} WHERE NOT EXISTS (SELECT 1 FROM outcome_events AS own
           WHERE own.repository_id = ${table}.repository_id AND own.pull_request = ${table}.pull_request)`,
      );
  };

  return {
    saveRepository: async ({ repositoryId, installationId, owner, repo }) => {
      await sql.query(
        `INSERT INTO learning_repositories (repository_id, installation_id, owner, repo) VALUES ($1, $2, $3, $4)
         ON CONFLICT (repository_id) DO UPDATE
         SET installation_id = excluded.installation_id, owner = excluded.owner, repo = excluded.repo`,
        [repositoryId, installationId, owner, repo],
      );
    },
    repositories: async () =>
      (await sql.query("SELECT * FROM learning_repositories ORDER BY repository_id")).map((row) => ({
        installationId: Number(row["installation_id"]),
        repositoryId: Number(row["repository_id"]),
        owner: String(row["owner"]),
        repo: String(row["repo"]),
      })),

    append: (place, events) =>
      sql.transaction(async (inside) => {
        const removed = await inside.query("SELECT actor FROM removed_actors");
        const kept = removed.reduce((left, row) => withoutActor(left, String(row["actor"])), [...events]);
        let stored = 0;
        for (const event of kept) stored += await insert(inside, place, event);
        return stored;
      }),

    events: async (repositoryId, pullRequest) => {
      const rows = await sql.query(
        `SELECT record FROM outcome_events WHERE repository_id = $1 AND (pull_request = $2 OR (pull_request = ${REPOSITORY}
           AND ((sha IS NULL
                 AND at >= (SELECT MIN(own.at) FROM outcome_events AS own WHERE own.repository_id = $1 AND own.pull_request = $2))
             OR sha IN (SELECT sha FROM outcome_commits WHERE repository_id = $1 AND pull_request = $2))))
         ORDER BY at, event_id`,
        [repositoryId, pullRequest ?? REPOSITORY],
      );
      return rows.map(eventFrom);
    },

    pullRequests: async (filter = {}) => {
      const { where, params } = whereGiven([
        ["pull_request <>", REPOSITORY],
        ["installation_id =", filter.installationId],
        ["repository_id =", filter.repositoryId],
        ["at >=", filter.since?.getTime()],
      ]);
      const rows = await sql.query(
        `SELECT DISTINCT installation_id, repository_id, pull_request FROM outcome_events ${where}
         ORDER BY repository_id, pull_request`,
        params,
      );
      return rows.map(keyFrom);
    },

    pullRequestsAt: async (repositoryId, sha) => {
      const rows = await sql.query(
        `SELECT DISTINCT installation_id, repository_id, pull_request FROM outcome_events
         WHERE repository_id = $1 AND pull_request IN
           (SELECT pull_request FROM outcome_commits WHERE repository_id = $1 AND sha = $2)
         ORDER BY pull_request`,
        [repositoryId, sha],
      );
      return rows.map(keyFrom);
    },

    saveTexts: (place, texts) =>
      sql.transaction(async (inside) => {
        const [opened] = await inside.query(
          "SELECT 1 AS found FROM outcome_events WHERE repository_id = $1 AND pull_request = $2 AND kind = 'opened' LIMIT 1",
          [place.repositoryId, place.pullRequest],
        );
        if (opened === undefined) return;
        for (const text of texts)
          await inside.query(
            `INSERT INTO learning_texts (repository_id, pull_request, text_key, installation_id, record, saved_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (repository_id, pull_request, text_key) DO UPDATE
             SET installation_id = excluded.installation_id, record = excluded.record, saved_at = excluded.saved_at`,
            [
              place.repositoryId,
              place.pullRequest,
              textKey(text),
              place.installationId,
              JSON.stringify(text),
              now().toISOString(),
            ],
          );
      }),
    texts: async (repositoryId, pullRequest) => {
      const rows = await sql.query(
        "SELECT record FROM learning_texts WHERE repository_id = $1 AND pull_request = $2 ORDER BY text_key",
        [repositoryId, pullRequest],
      );
      return rows.map((row) => JSON.parse(String(row["record"])) as LabelledText);
    },

    removeActor: (actor) =>
      sql.transaction(async (inside) => {
        const login = actor.toLowerCase();
        await inside.query(
          "INSERT INTO removed_actors (actor, removed_at) VALUES ($1, $2) ON CONFLICT (actor) DO NOTHING",
          [login, now().toISOString()],
        );
        const places = await inside.query(
          "SELECT DISTINCT repository_id, pull_request FROM outcome_events WHERE actor = $1",
          [login],
        );
        let gone = 0;
        for (const row of places) {
          const place = [Number(row["repository_id"]), Number(row["pull_request"])];
          const own = "FROM outcome_events WHERE repository_id = $1 AND pull_request = $2";
          const rows = await inside.query(`SELECT installation_id, record ${own}`, place);
          const kept = withoutActor(rows.map(eventFrom), login);
          await inside.query(`DELETE ${own}`, place);
          const [repositoryId, number] = place as [number, number];
          const installationId = Number(rows[0]!["installation_id"]);
          const back = { installationId, repositoryId, pullRequest: number === REPOSITORY ? null : number };
          for (const event of kept) await insert(inside, back, event);
          gone += rows.length - kept.length;
        }
        await tidy(inside);
        return gone;
      }),
    removedActors: async () =>
      (await sql.query("SELECT actor FROM removed_actors ORDER BY actor")).map((row) => String(row["actor"])),

    deleteInstallation: (installationId, repositoryId) =>
      sql.transaction(async (inside) => {
        const { rows, params } = ofInstallation(installationId, repositoryId);
        for (const table of ["outcome_events", "learning_texts", "learning_repositories"])
          await inside.query(`DELETE FROM ${table} WHERE ${rows}`, params);
        await tidy(inside);
      }),

    expireBefore: (instant) =>
      sql.transaction(async (inside) => {
        const gone = await inside.query(
          `DELETE FROM outcome_events WHERE (pull_request = ${REPOSITORY} AND at < $1)
             OR (pull_request <> ${REPOSITORY} AND NOT EXISTS (SELECT 1 FROM outcome_events AS own
               WHERE own.repository_id = outcome_events.repository_id
                 AND own.pull_request = outcome_events.pull_request AND own.at >= $1))
           RETURNING event_id`,
          [instant.getTime()],
        );
        await tidy(inside);
        return gone.length;
      }),
  };
}

function eventFrom(row: SqlRow): OutcomeEvent {
  return JSON.parse(String(row["record"])) as OutcomeEvent;
}

function keyFrom(row: SqlRow): PullRequestKey {
  return {
    installationId: Number(row["installation_id"]),
    repositoryId: Number(row["repository_id"]),
    pullRequest: Number(row["pull_request"]),
  };
}

function textKey({ candidate, function: id, hash }: LabelledText): string {
  return sha256(JSON.stringify([candidate?.run ?? null, candidate?.index ?? null, id, hash]));
}
