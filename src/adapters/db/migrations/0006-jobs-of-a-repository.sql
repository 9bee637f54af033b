-- Which repository a job is about, so that it goes with it. Older jobs say so in their payload alone: `"repositoryId":7,`.

ALTER TABLE jobs ADD COLUMN repository_id BIGINT;

UPDATE jobs SET repository_id = (
  SELECT MAX(known.repository_id)
  FROM (SELECT repository_id FROM runs
        UNION SELECT repository_id FROM reviewed_pulls
        UNION SELECT repository_id FROM learning_repositories) AS known
  WHERE jobs.payload LIKE '%"repositoryId":' || known.repository_id || ',%'
);

CREATE INDEX jobs_installation ON jobs (installation_id, repository_id);
