-- Reviews of people's pull requests: what was scored, what was said, what people answered. No source text.

CREATE TABLE reviewed_functions (
  repository_id BIGINT NOT NULL,
  pull_request BIGINT NOT NULL,
  head TEXT NOT NULL,
  function_id TEXT NOT NULL,
  body_hash TEXT NOT NULL,
  model_version TEXT NOT NULL,
  installation_id BIGINT NOT NULL,
  language TEXT NOT NULL,
  value DOUBLE PRECISION NOT NULL,
  attribution DOUBLE PRECISION NOT NULL,
  base_attribution DOUBLE PRECISION,
  finding INTEGER NOT NULL,
  sketch TEXT NOT NULL,
  reviewed_at TEXT NOT NULL,
  PRIMARY KEY (repository_id, pull_request, head, function_id, body_hash, model_version)
);

CREATE INDEX reviewed_functions_installation ON reviewed_functions (installation_id);

CREATE INDEX reviewed_functions_age ON reviewed_functions (reviewed_at);

CREATE TABLE findings (
  repository_id BIGINT NOT NULL,
  pull_request BIGINT NOT NULL,
  path TEXT NOT NULL,
  name TEXT NOT NULL,
  body_hash TEXT NOT NULL,
  model_version TEXT NOT NULL,
  installation_id BIGINT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('posted', 'muted', 'dismissed', 'right', 'wrong', 'fixed')),
  comment_id BIGINT,
  thread_id TEXT,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  record TEXT NOT NULL,
  PRIMARY KEY (repository_id, pull_request, path, name, body_hash, model_version)
);

CREATE INDEX findings_installation ON findings (installation_id);

CREATE TABLE reviewed_pulls (
  repository_id BIGINT NOT NULL,
  pull_request BIGINT NOT NULL,
  installation_id BIGINT NOT NULL,
  record TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  PRIMARY KEY (repository_id, pull_request)
);

CREATE TABLE reward_cache (
  installation_id BIGINT NOT NULL,
  model_sha256 TEXT NOT NULL,
  row_sha256 TEXT NOT NULL,
  record TEXT NOT NULL,
  scored_at TEXT NOT NULL,
  PRIMARY KEY (installation_id, model_sha256, row_sha256)
);

CREATE INDEX reward_cache_age ON reward_cache (scored_at);

CREATE TABLE calibrations (
  repository_id BIGINT NOT NULL,
  language TEXT NOT NULL,
  model_version TEXT NOT NULL,
  version INTEGER NOT NULL,
  fitted_at TEXT NOT NULL,
  record TEXT NOT NULL,
  PRIMARY KEY (repository_id, language, model_version, version)
);
