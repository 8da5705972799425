//! What the operator decides about the registry. Every value is typed; the edge reads them from its configuration.

use std::time::Duration;

/// Settings of the use cases.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one switch of the operator")]
pub struct Settings {
    /// Largest manifest, in bytes. OCI asks for at least 4 MiB.
    pub max_manifest_bytes: u64,
    /// Largest blob, in bytes.
    pub max_blob_bytes: u64,
    /// How long an upload session lives after its last chunk.
    pub upload_ttl: Duration,
    /// How long a blob without a manifest stays in a repository.
    pub blob_lease: Duration,
    /// How long a deleted image can be restored.
    pub restore_window: Duration,
    /// How long a loose object waits before its bytes are deleted.
    pub collect_grace: Duration,
    /// How long a damaged object is kept from when it was found, once its blob has another one.
    pub quarantine: Duration,
    /// Most open upload sessions of one principal.
    pub max_uploads_per_principal: u64,
    /// Whether who may create projects does so by pushing.
    pub create_projects_on_push: bool,
    /// Whether an image must have all its blobs in the repository.
    pub require_blobs: bool,
    /// Whether an index must have all its children in the repository.
    pub require_children: bool,
    /// Whether a pull, login or denial waits until its record is durable.
    pub audit_strict: bool,
    /// Whether pulls are recorded.
    pub audit_pulls: bool,
    /// Life of an access token.
    pub token_ttl: Duration,
    /// Life of a refresh token.
    pub refresh_ttl: Duration,
    /// Age at which the key that signs tokens is followed by a new one.
    pub key_rotation: Duration,
    /// Shortest password, in characters.
    pub password_min_chars: usize,
    /// Passwords hashed at the same time.
    pub password_checks: usize,
    /// How long a verified password is remembered.
    pub password_cache: Duration,
    /// How long already known access facts serve pulls while the database cannot be reached.
    pub access_stale_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        const HOUR: Duration = Duration::from_hours(1);
        Self {
            max_manifest_bytes: 4 * MIB,
            max_blob_bytes: 1024 * 1024 * MIB,
            upload_ttl: 24 * HOUR,
            blob_lease: 24 * HOUR,
            restore_window: 72 * HOUR,
            collect_grace: HOUR,
            quarantine: 30 * 24 * HOUR,
            max_uploads_per_principal: 1000,
            create_projects_on_push: true,
            require_blobs: true,
            require_children: false,
            audit_strict: false,
            audit_pulls: true,
            token_ttl: Duration::from_mins(5),
            refresh_ttl: 30 * 24 * HOUR,
            key_rotation: 30 * 24 * HOUR,
            password_min_chars: 8,
            password_checks: 2,
            password_cache: Duration::from_secs(5),
            access_stale_max: HOUR,
        }
    }
}
