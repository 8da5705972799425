//! What the replicas share: the account, the certificate, the answers to challenges – sealed, in the database.

use std::sync::Arc;
use std::time::Duration;

use metadata::leases::{self, Held};
use metadata::model::sealed::{self, SealedRow};
use metadata::{CommitError, Store, StoreError, Timestamp};
use registry::Sealer;
use registry::authn::seal::SealError;

/// Challenges are asked for within minutes; afterwards their answers are litter.
const CHALLENGE_LIFE: Duration = Duration::from_hours(1);

/// Why nothing was kept or found.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The database did not answer.
    #[error("database: {0}")]
    Store(#[from] StoreError),
    /// The database did not commit; another replica may have taken over.
    #[error("database: {0}")]
    Commit(#[from] CommitError),
    /// What is kept cannot be opened.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// The shared things of one authority's account and one certificate.
#[derive(Debug)]
pub(super) struct Vault {
    pub(super) store: Store,
    sealer: Arc<Sealer>,
}

impl Vault {
    pub(super) const fn new(store: Store, sealer: Arc<Sealer>) -> Self {
        Self { store, sealer }
    }

    /// What is kept under a name, and since when.
    pub(super) async fn get(&self, name: &str) -> Result<Option<(Vec<u8>, Timestamp)>, VaultError> {
        let Some(row) = self.store.sealed(name).await? else { return Ok(None) };
        Ok(Some((self.sealer.open(name, &row.content)?, row.created_at)))
    }

    /// Keeps something until then, if the lease is still ours.
    pub(super) async fn put(
        &self,
        held: &Held,
        name: &str,
        secret: &[u8],
        expires_at: Timestamp,
    ) -> Result<(), VaultError> {
        let content = self.sealer.seal(self.store.random().as_ref(), name, secret)?.into();
        let mut tx = self.store.begin().await?;
        leases::fence(&mut tx, held);
        sealed::delete_expired_sealed(&mut tx, self.store.now());
        sealed::put_sealed(&mut tx, name, &SealedRow { content, created_at: self.store.now() }, expires_at);
        Ok(self.store.commit(tx).await?)
    }

    /// Keeps the answer to a challenge until nobody asks any more.
    pub(super) async fn put_answer(
        &self,
        held: &Held,
        challenge: &str,
        answer: &str,
    ) -> Result<(), VaultError> {
        self.put(held, challenge, answer.as_bytes(), self.store.now().plus(CHALLENGE_LIFE)).await
    }

    /// The answer to a challenge. Strangers ask too: what cannot be told is only logged.
    pub(super) async fn answer(&self, challenge: &str) -> Option<String> {
        match self.get(challenge).await {
            Ok(found) => String::from_utf8(found?.0).ok(),
            Err(error) => {
                tracing::warn!(%error, "the answer to an ACME challenge could not be read");
                None
            }
        }
    }

    /// Forgets an account that the authority does not know any more.
    pub(super) async fn forget(&self, held: &Held, name: &str) -> Result<(), VaultError> {
        let mut tx = self.store.begin().await?;
        leases::fence(&mut tx, held);
        sealed::delete_sealed(&mut tx, name);
        Ok(self.store.commit(tx).await?)
    }
}
