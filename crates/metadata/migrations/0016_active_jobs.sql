-- Jobs that are not finished are counted every few seconds; finished ones, which are many more, are not looked at.
CREATE INDEX job_active ON job (kind, state, run_at) WHERE state IN ('queued', 'running');
