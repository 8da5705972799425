//! The keys that sign tokens: Ed25519, in the database, shared by all replicas, rotated.
//!
//! A key is followed by a new one when it is old enough; its tokens are accepted until the last one has expired. A
//! verifier takes keys only from here, by `kid`, and never an algorithm or a key from a token's header
//! (CVE-2025-24976).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use jsonwebtoken::{DecodingKey, EncodingKey};
use metadata::model::keys::{self, SigningKeyRow};
use metadata::{Store, Timestamp};

use super::seal::Sealer;
use crate::error::Error;

/// How long a key may still sign after its successor was due: while no process rotates, tokens are issued on.
const GRACE: Duration = Duration::from_hours(24);
/// An unknown `kid` makes the ring read the database again, at most this often.
const REREAD_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Key {
    id: i64,
    pub(super) encoding: EncodingKey,
    pub(super) decoding: DecodingKey,
    created_at: Timestamp,
    signs_until: Timestamp,
    verifies_until: Timestamp,
}

impl Key {
    pub(super) fn kid(&self) -> String {
        self.id.to_string()
    }
}

struct Ring {
    keys: Vec<Arc<Key>>,
    read_at: Timestamp,
}

/// The signing keys as this process knows them.
pub struct KeyRing {
    store: Store,
    sealer: Arc<Sealer>,
    rotation: Duration,
    token_ttl: Duration,
    ring: ArcSwap<Ring>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").field("keys", &self.ring.load().keys.len()).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Reads the keys; makes one when none signs any more.
    pub async fn open(
        store: Store,
        sealer: Arc<Sealer>,
        rotation: Duration,
        token_ttl: Duration,
    ) -> Result<Self, Error> {
        let empty = Ring { keys: Vec::new(), read_at: Timestamp::from_micros(0) };
        let ring = Self { store, sealer, rotation, token_ttl, ring: ArcSwap::from_pointee(empty) };
        ring.rotate().await?;
        Ok(ring)
    }

    /// Makes a new key when the newest is old enough, and forgets those that nothing needs. Replicas may do so
    /// at once: one key is made.
    pub async fn rotate(&self) -> Result<(), Error> {
        self.reread().await?;
        let now = self.store.now();
        let old = now.minus(self.rotation);
        if self.ring.load().keys.iter().any(|key| key.created_at > old && key.signs_until > now) {
            return Ok(());
        }
        let id = self.store.next_id().await?;
        let pair = Ed25519KeyPair::generate().map_err(|_| Error::Internal("no key pair".to_owned()))?;
        let document = pair.to_pkcs8v1().map_err(|_| Error::Internal("no key document".to_owned()))?;
        let sealed = self.sealer.seal(self.store.random().as_ref(), &context(id), document.as_ref());
        let row = SigningKeyRow {
            id,
            private_key: sealed.map_err(|error| Error::Internal(error.to_string()))?.into(),
            public_key: pair.public_key().as_ref().to_vec().into(),
            created_at: now,
            signs_until: now.plus(self.rotation).plus(GRACE),
            verifies_until: now
                .plus(self.rotation)
                .plus(GRACE)
                .plus(self.token_ttl)
                .plus(Duration::from_mins(5)),
        };
        let mut tx = self.store.begin().await?;
        keys::insert_key(&mut tx, &row, old);
        keys::delete_expired_keys(&mut tx, now);
        keys::delete_expired_refresh(&mut tx, now);
        self.store.commit(tx).await?;
        self.reread().await
    }

    async fn reread(&self) -> Result<(), Error> {
        let mut keys = Vec::new();
        for row in self.store.signing_keys().await? {
            let private = self.sealer.open(&context(row.id), &row.private_key);
            let private = private.map_err(|error| Error::Internal(error.to_string()))?;
            keys.push(Arc::new(Key {
                id: row.id,
                encoding: EncodingKey::from_ed_der(&private),
                decoding: DecodingKey::from_ed_der(&row.public_key),
                created_at: row.created_at,
                signs_until: row.signs_until,
                verifies_until: row.verifies_until,
            }));
        }
        self.ring.store(Arc::new(Ring { keys, read_at: self.store.now() }));
        Ok(())
    }

    pub(super) fn signer(&self) -> Result<Arc<Key>, Error> {
        let now = self.store.now();
        let ring = self.ring.load();
        ring.keys.iter().find(|key| key.signs_until > now).cloned().ok_or(Error::Unavailable)
    }

    pub(super) async fn verifier(&self, kid: &str) -> Result<Option<Arc<Key>>, Error> {
        if let Some(key) = self.find(kid) {
            return Ok(Some(key));
        }
        if self.store.now().since(self.ring.load().read_at) > REREAD_EVERY {
            self.reread().await?;
        }
        Ok(self.find(kid))
    }

    fn find(&self, kid: &str) -> Option<Arc<Key>> {
        let now = self.store.now();
        let ring = self.ring.load();
        ring.keys.iter().find(|key| key.verifies_until > now && key.kid() == kid).cloned()
    }
}

/// What a sealed private key was sealed as.
pub fn context(id: i64) -> String {
    format!("signing key {id}")
}
