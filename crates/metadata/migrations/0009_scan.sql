-- What is in artifacts and what is wrong with them. All of it is derived from blobs and advisories: a rebuild leaves it
-- out, and scanning brings it back.

-- What one layer states: read once, whatever images it is in. `version` names the extractors that read it.
CREATE TABLE layer_catalogue (
  digest TEXT PRIMARY KEY,
  version INT8 NOT NULL,
  content BYTEA NOT NULL,
  catalogued_at INT8 NOT NULL,
  tx INT8 NOT NULL
);

-- The newest attempt to scan an artifact, and the last verdict, which stands until another one is there. An artifact is
-- what its digest says, so that a row counts in every repository.
CREATE TABLE scan (
  digest TEXT PRIMARY KEY,
  id INT8 NOT NULL,
  status TEXT NOT NULL CONSTRAINT scan_status CHECK (status IN ('succeeded', 'incomplete', 'failed', 'unsupported')),
  reason TEXT,
  attempted_at INT8 NOT NULL,
  job INT8,
  judged_at INT8,
  advisories INT8,
  worst INT8,
  critical INT8 NOT NULL DEFAULT 0,
  high INT8 NOT NULL DEFAULT 0,
  medium INT8 NOT NULL DEFAULT 0,
  low INT8 NOT NULL DEFAULT 0,
  negligible INT8 NOT NULL DEFAULT 0,
  unknown INT8 NOT NULL DEFAULT 0,
  details TEXT NOT NULL DEFAULT '{}',
  tx INT8 NOT NULL
);
CREATE INDEX scan_by_worst ON scan (worst DESC, critical DESC, high DESC, digest) WHERE judged_at IS NOT NULL;
CREATE UNIQUE INDEX scan_by_id ON scan (id);
