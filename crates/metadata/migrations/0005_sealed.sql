-- Sealed things that all replicas share and that are no part of the registry's state: the ACME account, its
-- certificates, the answers to its challenges.
CREATE TABLE sealed (
  name TEXT PRIMARY KEY,
  content BYTEA NOT NULL,
  created_at INT8 NOT NULL,
  expires_at INT8 NOT NULL,
  tx INT8 NOT NULL
) CLUSTERED;
CREATE INDEX sealed_expiry ON sealed (expires_at);
