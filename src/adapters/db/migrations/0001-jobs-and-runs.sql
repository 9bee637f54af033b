-- A statement ends with a semicolon at the end of a line. The text runs on SQLite and PostgreSQL.
-- Instants are ISO 8601 in UTC with milliseconds: their text order is their time order.

CREATE TABLE deliveries (
  id TEXT PRIMARY KEY,
  event TEXT NOT NULL,
  action TEXT,
  job_id TEXT,
  received_at TEXT NOT NULL
);

CREATE TABLE jobs (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  dedupe_key TEXT NOT NULL,
  lane TEXT NOT NULL,
  installation_id BIGINT,
  payload TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'dead')),
  attempts INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  fence BIGINT NOT NULL,
  worker TEXT,
  lease_until TEXT,
  cancel_requested INTEGER NOT NULL,
  error_code TEXT,
  error_message TEXT,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  run_after TEXT NOT NULL
);

CREATE UNIQUE INDEX jobs_live_dedupe_key ON jobs (dedupe_key) WHERE state IN ('queued', 'running');

CREATE UNIQUE INDEX jobs_running_lane ON jobs (lane) WHERE state = 'running';

CREATE INDEX jobs_due ON jobs (state, run_after, id);

CREATE INDEX jobs_fence ON jobs (fence);

CREATE TABLE runs (
  id TEXT PRIMARY KEY,
  repository_id BIGINT NOT NULL,
  installation_id BIGINT NOT NULL,
  issue_number BIGINT NOT NULL,
  generation INTEGER NOT NULL,
  state TEXT NOT NULL,
  cost_usd DOUBLE PRECISION,
  fence BIGINT NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  finished_at TEXT,
  expired_at TEXT,
  record TEXT NOT NULL,
  UNIQUE (repository_id, issue_number, generation)
);

CREATE UNIQUE INDEX runs_live_issue ON runs (repository_id, issue_number)
  WHERE state IN ('queued', 'reading', 'sampling', 'scoring', 'testing', 'publishing');

CREATE INDEX runs_installation ON runs (installation_id);

CREATE INDEX runs_finished ON runs (finished_at);

CREATE TABLE candidates (
  run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  candidate_index INTEGER NOT NULL,
  record TEXT,
  record_sha256 TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  PRIMARY KEY (run_id, candidate_index)
);

CREATE TABLE run_events (
  run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  seq INTEGER NOT NULL,
  at TEXT NOT NULL,
  kind TEXT NOT NULL,
  message TEXT NOT NULL,
  PRIMARY KEY (run_id, seq)
);

CREATE TABLE effects (
  run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  kind TEXT NOT NULL,
  effect_key TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('planned', 'sent', 'confirmed')),
  remote_id TEXT,
  updated_at TEXT NOT NULL,
  PRIMARY KEY (run_id, kind, effect_key)
);
