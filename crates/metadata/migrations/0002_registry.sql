-- The registry: who may do what, what is stored, and what was done.
-- Text is compared by bytes. Times are microseconds since 1970. `tx` names the transaction that wrote the row.

CREATE TABLE organisation (
  id INT8 PRIMARY KEY,
  name TEXT NOT NULL CONSTRAINT organisation_name UNIQUE,
  created_at INT8 NOT NULL,
  tx INT8 NOT NULL
);

CREATE TABLE project (
  id INT8 PRIMARY KEY,
  organisation_id INT8 NOT NULL CONSTRAINT project_organisation REFERENCES organisation (id),
  name TEXT NOT NULL CONSTRAINT project_name UNIQUE,
  visibility TEXT NOT NULL CONSTRAINT project_visibility CHECK (visibility IN ('private', 'internal', 'public')),
  created_at INT8 NOT NULL,
  created_by INT8 NOT NULL,
  repository_count INT8 NOT NULL DEFAULT 0,
  generation INT8 NOT NULL,
  tx INT8 NOT NULL
);
CREATE INDEX project_generation ON project (generation);

CREATE TABLE principal (
  id INT8 PRIMARY KEY,
  kind TEXT NOT NULL CONSTRAINT principal_kind CHECK (kind IN ('user', 'robot')),
  name TEXT NOT NULL CONSTRAINT principal_name UNIQUE,
  name_key TEXT NOT NULL CONSTRAINT principal_name_key UNIQUE,
  display_name TEXT NOT NULL,
  email TEXT,
  password TEXT,
  disabled INT8 NOT NULL DEFAULT 0,
  epoch INT8 NOT NULL DEFAULT 0,
  created_at INT8 NOT NULL,
  generation INT8 NOT NULL,
  tx INT8 NOT NULL
);
CREATE INDEX principal_generation ON principal (generation);

CREATE TABLE access_grant (
  id INT8 PRIMARY KEY,
  principal_id INT8 NOT NULL CONSTRAINT grant_principal REFERENCES principal (id) ON DELETE CASCADE,
  project_id INT8 CONSTRAINT grant_project REFERENCES project (id) ON DELETE CASCADE,
  role TEXT NOT NULL,
  effect TEXT NOT NULL CONSTRAINT grant_effect CHECK (effect IN ('allow', 'deny')),
  conditions TEXT NOT NULL DEFAULT '{}',
  created_at INT8 NOT NULL,
  generation INT8 NOT NULL,
  tx INT8 NOT NULL
);
CREATE INDEX grant_by_project ON access_grant (project_id, principal_id);
CREATE INDEX grant_by_principal ON access_grant (principal_id, project_id);
CREATE INDEX grant_generation ON access_grant (generation);

-- What left the three tables above, so that a process that reads only what changed learns of it.
CREATE TABLE access_removed (
  kind TEXT NOT NULL,
  id INT8 NOT NULL,
  generation INT8 NOT NULL,
  CONSTRAINT access_removed_key PRIMARY KEY (kind, id)
) CLUSTERED;
CREATE INDEX access_removed_generation ON access_removed (generation);

CREATE TABLE access_generation (
  id INT8 PRIMARY KEY CONSTRAINT access_generation_single CHECK (id = 1),
  generation INT8 NOT NULL
);
INSERT INTO access_generation (id, generation) VALUES (1, 1);

CREATE TABLE signing_key (
  id INT8 PRIMARY KEY,
  private_key BYTEA NOT NULL,
  public_key BYTEA NOT NULL,
  created_at INT8 NOT NULL,
  signs_until INT8 NOT NULL,
  verifies_until INT8 NOT NULL,
  tx INT8 NOT NULL
);

CREATE TABLE refresh_token (
  id BYTEA PRIMARY KEY,
  family INT8 NOT NULL,
  principal_id INT8 NOT NULL CONSTRAINT refresh_principal REFERENCES principal (id) ON DELETE CASCADE,
  epoch INT8 NOT NULL,
  expires_at INT8 NOT NULL,
  tx INT8 NOT NULL
);
CREATE INDEX refresh_token_expiry ON refresh_token (expires_at);

CREATE TABLE repository (
  id INT8 PRIMARY KEY,
  project_id INT8 NOT NULL CONSTRAINT repository_project REFERENCES project (id),
  name TEXT NOT NULL,
  full_name TEXT NOT NULL CONSTRAINT repository_full_name UNIQUE,
  kind TEXT NOT NULL DEFAULT 'oci',
  flags INT8 NOT NULL DEFAULT 0,
  manifest_count INT8 NOT NULL DEFAULT 0,
  tag_count INT8 NOT NULL DEFAULT 0,
  pull_count INT8 NOT NULL DEFAULT 0,
  created_at INT8 NOT NULL,
  pushed_at INT8 NOT NULL,
  pulled_at INT8,
  tx INT8 NOT NULL,
  CONSTRAINT repository_name UNIQUE (project_id, name)
);

-- A row here says: these bytes are durable and verified.
CREATE TABLE blob (
  digest TEXT PRIMARY KEY,
  size_bytes INT8 NOT NULL,
  object_key TEXT NOT NULL CONSTRAINT blob_object_key UNIQUE,
  corrupt INT8 NOT NULL DEFAULT 0,
  checked_at INT8 NOT NULL,
  created_at INT8 NOT NULL,
  gc_tx INT8,
  tx INT8 NOT NULL
);
CREATE INDEX blob_gc ON blob (gc_tx) WHERE gc_tx IS NOT NULL;
CREATE INDEX blob_checked ON blob (checked_at);

-- CRC32C of each 256 KiB frame of an object, packed little-endian, 1,024 frames a row.
CREATE TABLE object_frames (
  object_key TEXT NOT NULL,
  first_frame INT8 NOT NULL,
  sums BYTEA NOT NULL,
  CONSTRAINT object_frames_key PRIMARY KEY (object_key, first_frame)
) CLUSTERED;

-- A blob is readable in a repository only through its row here. Until `lease_until` it stays without a manifest.
CREATE TABLE repository_blob (
  repository_id INT8 NOT NULL CONSTRAINT repository_blob_repository REFERENCES repository (id),
  digest TEXT NOT NULL CONSTRAINT repository_blob_blob REFERENCES blob (digest),
  lease_until INT8 NOT NULL,
  gc_tx INT8,
  tx INT8 NOT NULL,
  CONSTRAINT repository_blob_key PRIMARY KEY (repository_id, digest)
) CLUSTERED;
CREATE INDEX repository_blob_by_digest ON repository_blob (digest);
CREATE INDEX repository_blob_lease ON repository_blob (lease_until);
CREATE INDEX repository_blob_gc ON repository_blob (gc_tx) WHERE gc_tx IS NOT NULL;

CREATE TABLE manifest (
  repository_id INT8 NOT NULL CONSTRAINT manifest_repository REFERENCES repository (id),
  digest TEXT NOT NULL,
  media_type TEXT NOT NULL,
  artifact_type TEXT,
  subject TEXT,
  size_bytes INT8 NOT NULL,
  content_bytes INT8 NOT NULL,
  height INT8 NOT NULL,
  annotations TEXT NOT NULL DEFAULT '{}',
  pushed_at INT8 NOT NULL,
  pushed_by INT8 NOT NULL,
  bytes BYTEA NOT NULL,
  tx INT8 NOT NULL,
  CONSTRAINT manifest_key PRIMARY KEY (repository_id, digest)
);
CREATE INDEX manifest_by_subject ON manifest (repository_id, subject, digest) WHERE subject IS NOT NULL;
CREATE INDEX manifest_by_digest ON manifest (digest);

CREATE TABLE manifest_blob (
  repository_id INT8 NOT NULL,
  manifest TEXT NOT NULL,
  blob TEXT NOT NULL,
  CONSTRAINT manifest_blob_key PRIMARY KEY (repository_id, manifest, blob),
  CONSTRAINT manifest_blob_manifest FOREIGN KEY (repository_id, manifest)
    REFERENCES manifest (repository_id, digest) ON DELETE CASCADE,
  CONSTRAINT manifest_blob_blob FOREIGN KEY (repository_id, blob) REFERENCES repository_blob (repository_id, digest)
) CLUSTERED;
CREATE INDEX manifest_blob_by_blob ON manifest_blob (repository_id, blob);

-- Blobs that a manifest refers to and that its repository does not hold: layers that need not be distributed, and
-- sparse images where they are allowed. When such a blob comes, the row becomes one of manifest_blob.
CREATE TABLE manifest_gap (
  repository_id INT8 NOT NULL,
  blob TEXT NOT NULL,
  manifest TEXT NOT NULL,
  CONSTRAINT manifest_gap_key PRIMARY KEY (repository_id, blob, manifest),
  CONSTRAINT manifest_gap_manifest FOREIGN KEY (repository_id, manifest)
    REFERENCES manifest (repository_id, digest) ON DELETE CASCADE
) CLUSTERED;
CREATE INDEX manifest_gap_by_manifest ON manifest_gap (repository_id, manifest);

-- Index entries. A child may be absent (a sparse index).
CREATE TABLE manifest_child (
  repository_id INT8 NOT NULL,
  parent TEXT NOT NULL,
  child TEXT NOT NULL,
  CONSTRAINT manifest_child_key PRIMARY KEY (repository_id, parent, child),
  CONSTRAINT manifest_child_parent FOREIGN KEY (repository_id, parent)
    REFERENCES manifest (repository_id, digest) ON DELETE CASCADE
) CLUSTERED;
CREATE INDEX manifest_child_by_child ON manifest_child (repository_id, child);

CREATE TABLE tag (
  repository_id INT8 NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  digest TEXT NOT NULL,
  evidence INT8 NOT NULL DEFAULT 0,
  moved_at INT8 NOT NULL,
  moved_by INT8 NOT NULL,
  tx INT8 NOT NULL,
  CONSTRAINT tag_key PRIMARY KEY (repository_id, name),
  CONSTRAINT tag_manifest FOREIGN KEY (repository_id, digest) REFERENCES manifest (repository_id, digest)
) CLUSTERED;
CREATE INDEX tag_order ON tag (repository_id, name_key, name);
CREATE INDEX tag_by_digest ON tag (repository_id, digest);

-- What was deleted and can still be restored; holds its blobs until then.
CREATE TABLE deleted_manifest (
  id INT8 PRIMARY KEY,
  repository_id INT8 NOT NULL CONSTRAINT deleted_manifest_repository REFERENCES repository (id),
  digest TEXT NOT NULL,
  media_type TEXT NOT NULL,
  bytes BYTEA NOT NULL,
  tags TEXT NOT NULL,
  deleted_at INT8 NOT NULL,
  deleted_by INT8 NOT NULL,
  tx INT8 NOT NULL
);
CREATE INDEX deleted_manifest_by_repository ON deleted_manifest (repository_id, digest);
CREATE INDEX deleted_manifest_age ON deleted_manifest (deleted_at);

CREATE TABLE deleted_manifest_blob (
  deleted_id INT8 NOT NULL CONSTRAINT deleted_blob_manifest REFERENCES deleted_manifest (id) ON DELETE CASCADE,
  blob TEXT NOT NULL CONSTRAINT deleted_blob_blob REFERENCES blob (digest),
  CONSTRAINT deleted_manifest_blob_key PRIMARY KEY (deleted_id, blob)
) CLUSTERED;
CREATE INDEX deleted_manifest_blob_by_blob ON deleted_manifest_blob (blob);

CREATE TABLE upload_session (
  id TEXT PRIMARY KEY,
  repository_id INT8 NOT NULL CONSTRAINT upload_repository REFERENCES repository (id),
  principal_id INT8 NOT NULL,
  object_key TEXT NOT NULL CONSTRAINT upload_object_key UNIQUE,
  state BYTEA NOT NULL,
  offset_bytes INT8 NOT NULL,
  version INT8 NOT NULL,
  created_at INT8 NOT NULL,
  expires_at INT8 NOT NULL,
  tx INT8 NOT NULL
);
CREATE INDEX upload_expiry ON upload_session (expires_at);
CREATE INDEX upload_by_principal ON upload_session (principal_id);

-- Objects that no blob row names any more. Deleted from storage after `not_before`.
CREATE TABLE object_trash (
  object_key TEXT PRIMARY KEY,
  digest TEXT,
  size_bytes INT8 NOT NULL,
  reason TEXT NOT NULL,
  state BYTEA,
  not_before INT8 NOT NULL,
  created_at INT8 NOT NULL,
  tx INT8 NOT NULL
);
CREATE INDEX object_trash_due ON object_trash (not_before);

-- Objects whose bytes were found wrong; kept for inspection, never served.
CREATE TABLE object_quarantine (
  object_key TEXT PRIMARY KEY,
  digest TEXT NOT NULL,
  frame INT8,
  reason TEXT NOT NULL,
  found_at INT8 NOT NULL,
  tx INT8 NOT NULL
);

CREATE TABLE audit (
  id INT8 PRIMARY KEY,
  at INT8 NOT NULL,
  principal_id INT8,
  principal TEXT NOT NULL,
  action TEXT NOT NULL,
  project_id INT8,
  target TEXT NOT NULL,
  outcome TEXT NOT NULL,
  details TEXT NOT NULL DEFAULT '{}',
  address TEXT,
  request_id TEXT,
  position INT8,
  tx INT8
);
CREATE INDEX audit_unsealed ON audit (id) WHERE position IS NULL;
CREATE INDEX audit_position ON audit (position);
CREATE INDEX audit_by_project ON audit (project_id, id);

CREATE TABLE checkpoint (
  id INT8 PRIMARY KEY CONSTRAINT checkpoint_single CHECK (id = 1),
  outbox_id INT8 NOT NULL,
  segment INT8 NOT NULL,
  written_at INT8 NOT NULL
);
INSERT INTO checkpoint (id, outbox_id, segment, written_at) VALUES (1, 0, 0, 0);

CREATE TABLE setting (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL,
  tx INT8 NOT NULL
) CLUSTERED;
