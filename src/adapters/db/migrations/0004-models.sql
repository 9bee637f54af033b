-- Versions of the reward model, by the hash of their weights.
CREATE TABLE models (
  sha256 TEXT PRIMARY KEY,
  created_at TEXT NOT NULL,
  record TEXT NOT NULL
);

-- Append-only: the newest row names the version that scores, so a switch is one insert and a rollback another.
CREATE TABLE model_switches (
  seq INTEGER PRIMARY KEY,
  sha256 TEXT NOT NULL REFERENCES models (sha256),
  made_by TEXT NOT NULL,
  reason TEXT NOT NULL,
  at TEXT NOT NULL
);
