-- Calibrations of repositories were fitted to attributions, and are read with attributions against base since: the next fit makes them again.
DELETE FROM calibrations WHERE repository_id <> 0;
