-- What scanners other than ours said of an artifact of a repository, and what all of them together come to there. Derived:
-- a scan brings it back.

-- The newest report of a registered scanner, which stands until another one is there. `reason` says why the newest attempt
-- brought none.
CREATE TABLE scanner_report (
  repository_id INT8 NOT NULL,
  digest TEXT NOT NULL,
  scanner TEXT NOT NULL,
  reason TEXT,
  attempted_at INT8 NOT NULL,
  job INT8 NOT NULL,
  reported_at INT8,
  content BYTEA,
  tx INT8 NOT NULL,
  PRIMARY KEY (repository_id, digest, scanner)
);
CREATE INDEX scanner_report_by_digest ON scanner_report (digest);

-- The verdict where not our own scan alone decides.
CREATE TABLE combined_scan (
  repository_id INT8 NOT NULL,
  digest TEXT NOT NULL,
  id INT8 NOT NULL,
  status TEXT NOT NULL CONSTRAINT combined_status CHECK (status IN ('succeeded', 'incomplete')),
  reason TEXT,
  judged_at INT8 NOT NULL,
  job INT8 NOT NULL,
  advisories INT8 NOT NULL,
  critical INT8 NOT NULL,
  high INT8 NOT NULL,
  medium INT8 NOT NULL,
  low INT8 NOT NULL,
  negligible INT8 NOT NULL,
  unknown INT8 NOT NULL,
  details TEXT NOT NULL,
  tx INT8 NOT NULL,
  PRIMARY KEY (repository_id, digest)
);
CREATE INDEX combined_scan_by_digest ON combined_scan (digest);
