-- Facts of pull requests (src/domain/outcome.ts). `pull_request` 0: a fact of the repository. `at` is milliseconds since 1970.

CREATE TABLE outcome_events (
  repository_id BIGINT NOT NULL,
  pull_request BIGINT NOT NULL,
  event_id TEXT NOT NULL,
  installation_id BIGINT NOT NULL,
  kind TEXT NOT NULL,
  at BIGINT NOT NULL,
  actor TEXT NOT NULL,
  sha TEXT,
  record TEXT NOT NULL,
  PRIMARY KEY (repository_id, pull_request, event_id)
);

CREATE INDEX outcome_events_installation ON outcome_events (installation_id);

CREATE INDEX outcome_events_actor ON outcome_events (actor);

CREATE INDEX outcome_events_sha ON outcome_events (repository_id, sha);

CREATE TABLE outcome_commits (
  repository_id BIGINT NOT NULL,
  pull_request BIGINT NOT NULL,
  sha TEXT NOT NULL,
  PRIMARY KEY (repository_id, pull_request, sha)
);

CREATE INDEX outcome_commits_sha ON outcome_commits (repository_id, sha);

CREATE TABLE learning_texts (
  repository_id BIGINT NOT NULL,
  pull_request BIGINT NOT NULL,
  text_key TEXT NOT NULL,
  installation_id BIGINT NOT NULL,
  record TEXT NOT NULL,
  saved_at TEXT NOT NULL,
  PRIMARY KEY (repository_id, pull_request, text_key)
);

CREATE INDEX learning_texts_installation ON learning_texts (installation_id);

CREATE TABLE learning_repositories (
  repository_id BIGINT PRIMARY KEY,
  installation_id BIGINT NOT NULL,
  owner TEXT NOT NULL,
  repo TEXT NOT NULL
);

CREATE TABLE removed_actors (
  actor TEXT PRIMARY KEY,
  removed_at TEXT NOT NULL
);
