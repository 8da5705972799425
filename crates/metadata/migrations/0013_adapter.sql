-- Scans that others asked for by the scanner-adapter API: of images that lie in their registries. All of it is kept for
-- a while only; a rebuild leaves it out.

-- One request. `request` is what was asked, sealed, since it holds an authorization; it is gone once the scan has ended.
-- `content` is what was found in the image: reports are made of it.
CREATE TABLE adapter_scan (
  id TEXT PRIMARY KEY,
  principal INT8 NOT NULL,
  state TEXT NOT NULL CONSTRAINT adapter_scan_state CHECK (state IN ('waiting', 'ready', 'failed')),
  reason TEXT,
  artifact TEXT NOT NULL,
  request BYTEA,
  content BYTEA,
  job INT8 NOT NULL,
  expires_at INT8 NOT NULL,
  tx INT8 NOT NULL
);
CREATE INDEX adapter_scan_expiry ON adapter_scan (expires_at);
CREATE INDEX adapter_scan_waiting ON adapter_scan (principal) WHERE state = 'waiting';

-- Layers whose bytes a principal's registry gave us: for that principal they need not be fetched again. What a layer that
-- somebody only names contains is nobody's business.
CREATE TABLE adapter_layer (
  principal INT8 NOT NULL,
  digest TEXT NOT NULL,
  used_at INT8 NOT NULL,
  PRIMARY KEY (principal, digest)
) CLUSTERED;
CREATE INDEX adapter_layer_by_digest ON adapter_layer (digest);
CREATE INDEX adapter_layer_by_use ON adapter_layer (used_at);
