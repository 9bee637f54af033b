-- Comments on what was learned: one a repository and month.

CREATE TABLE posted_reports (
  repository_id BIGINT NOT NULL,
  month TEXT NOT NULL,
  installation_id BIGINT NOT NULL,
  issue BIGINT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('planned', 'sent', 'confirmed')),
  whole INTEGER NOT NULL,
  comment_id BIGINT,
  updated_at TEXT NOT NULL,
  PRIMARY KEY (repository_id, month)
);

CREATE INDEX posted_reports_installation ON posted_reports (installation_id, repository_id);
