-- Audit records are sealed: numbered without gaps, each with the hash of all before it and itself, and the hash signed.

ALTER TABLE audit ADD COLUMN chain BYTEA;

-- A signature over the chain up to a position.
CREATE TABLE audit_seal (
  position INT8 PRIMARY KEY,
  chain BYTEA NOT NULL,
  signature BYTEA NOT NULL,
  key_id INT8 NOT NULL,
  sealed_at INT8 NOT NULL,
  tx INT8 NOT NULL
);

-- Keys that sign the audit. The private ones are sealed under the master key; none is ever deleted.
CREATE TABLE audit_key (
  id INT8 PRIMARY KEY,
  private_key BYTEA NOT NULL,
  public_key BYTEA NOT NULL,
  created_at INT8 NOT NULL,
  tx INT8 NOT NULL
);

-- Processes that keep records in memory for a moment: one that is gone without a word leaves a gap that is recorded.
CREATE TABLE audit_writer (
  id TEXT PRIMARY KEY,
  seen_at INT8 NOT NULL
);
