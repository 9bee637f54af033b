-- Whose labels a calibration was fitted on, so that it goes with them; 0: a benchmark's. One that nobody can be named for goes.

ALTER TABLE calibrations ADD COLUMN installation_id BIGINT NOT NULL DEFAULT 0;

UPDATE calibrations SET installation_id = COALESCE(
  (SELECT MAX(installation_id) FROM reviewed_functions AS own WHERE own.repository_id = calibrations.repository_id),
  (SELECT MAX(installation_id) FROM reviewed_pulls AS own WHERE own.repository_id = calibrations.repository_id),
  (SELECT MAX(installation_id) FROM learning_repositories AS own WHERE own.repository_id = calibrations.repository_id),
  0
);

DELETE FROM calibrations WHERE repository_id <> 0 AND installation_id = 0;

CREATE INDEX calibrations_installation ON calibrations (installation_id);
