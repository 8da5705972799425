//! The request-path use cases of the registry: authentication, access, uploads, push, pull, lists, administration.
//!
//! A use case takes a `Grant`, not a name; it reads, plans (purely, where there is something to decide) and commits
//! one transaction. It knows nothing of HTTP. Bytes are durable before rows name them, rows commit before an answer.

pub mod access;
pub mod adapter;
pub mod admin;
pub mod audit;
pub mod authn;
pub mod blob;
pub mod caller;
mod conditioned;
pub mod error;
pub mod exports;
mod freed;
mod installation;
mod integrity;
mod last_known;
pub mod list;
pub mod manifest;
pub mod notes;
mod record;
pub mod scan;
pub mod schedule;
pub mod settings;
mod system;
pub mod upload;

pub use access::{Access, Delete, Grant, Pull, Push};
pub use authn::{Authenticator, Sealer};
pub use caller::{Caller, Principal};
pub use error::{Error, MissingReference, Refusal};
pub use freed::Freed;
pub use integrity::{CorruptObject, Damage};
pub use notes::{Note, Notes};
pub use settings::Settings;

use std::sync::Arc;
use std::time::Duration;

use blobs::{BlobKey, BlobReader, BlobStore, Budget, FrameChecks};
use metadata::{Store, Timestamp};
use tokio::sync::mpsc;

use last_known::LastKnown;
use manifest::Turns;
use upload::ActiveUploads;

/// What a registry is made of.
#[derive(Debug)]
pub struct Parts {
    /// The metadata store.
    pub store: Store,
    /// The blob store.
    pub blobs: Arc<dyn BlobStore>,
    /// Memory of all uploads together.
    pub budget: Budget,
    /// Seals secrets.
    pub sealer: Arc<Sealer>,
    /// What the operator decided.
    pub settings: Settings,
}

/// The registry's use cases. Shared by all requests.
pub struct Registry {
    store: Store,
    blobs: Arc<dyn BlobStore>,
    reader: BlobReader,
    budget: Budget,
    access: Arc<Access>,
    authenticator: Authenticator,
    sealer: Arc<Sealer>,
    settings: Settings,
    notes: Arc<Notes>,
    uploads: ActiveUploads,
    contended: Turns,
    last_known: LastKnown,
    damage: Damage,
    freed: Freed,
    started_at: Timestamp,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// Corrupt objects that wait for their quarantine; more are found again at their next read.
const CORRUPT_QUEUE: usize = 1024;

/// Memory for which frames were checked: some 10,000 layers of 100 MiB.
const FRAME_MEMORY_BYTES: usize = 2 << 20;

impl Registry {
    /// Opens the registry over a migrated store and the blob storage that belongs to it. The receiver gets each object found corrupt while it was served:
    /// hand them to `quarantine`.
    pub async fn open(parts: Parts) -> Result<(Arc<Self>, mpsc::Receiver<CorruptObject>), Error> {
        let Parts { store, blobs, budget, sealer, settings } = parts;
        installation::bind(&store, &*blobs, &budget).await?;
        let access = Arc::new(Access::load(store.clone(), settings.access_stale_max).await?);
        let notes = Arc::new(Notes::new(store.clone(), settings.audit_strict));
        let authenticator = Authenticator::open(
            store.clone(),
            access.clone(),
            sealer.clone(),
            notes.clone(),
            settings.clone(),
        )
        .await?;
        let (found, queue) = mpsc::channel(CORRUPT_QUEUE);
        let clock = store.clock().clone();
        let checks = FrameChecks::new(
            FRAME_MEMORY_BYTES,
            Arc::new(move || Duration::from_micros(u64::try_from(clock.now().micros()).unwrap_or(0))),
        );
        let reader = BlobReader::new(
            blobs.clone(),
            Arc::new(checks),
            Arc::new(integrity::StoredFrames(store.clone())),
            Arc::new(move |key, frame| {
                // A full queue loses nothing: the object is found again when it is read again.
                let _ = found.try_send(CorruptObject { key, frame });
            }),
        );
        let started_at = store.now();
        let last_known = LastKnown::new(store.engine().dialect(), settings.access_stale_max);
        let registry = Self {
            store,
            blobs,
            reader,
            budget,
            access,
            authenticator,
            sealer,
            settings,
            notes,
            uploads: ActiveUploads::default(),
            contended: Turns::default(),
            last_known,
            damage: Damage::default(),
            freed: Freed::default(),
            started_at,
        };
        registry.bootstrap().await?;
        Ok((Arc::new(registry), queue))
    }

    /// The disk that this process gave back.
    pub fn freed(&self) -> &Freed {
        &self.freed
    }

    /// The metadata store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The blob store.
    pub fn blobs(&self) -> &Arc<dyn BlobStore> {
        &self.blobs
    }

    /// Memory of all uploads together.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Seals secrets.
    pub fn sealer(&self) -> &Arc<Sealer> {
        &self.sealer
    }

    /// Records of pulls, logins and denials on their way.
    pub fn notes(&self) -> &Arc<Notes> {
        &self.notes
    }

    /// The access facts.
    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// Turns credentials into principals and tokens.
    pub fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// What the operator decided.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A key that no object ever had.
    fn new_object_key(&self) -> BlobKey {
        let millis = u64::try_from(self.store.now().micros() / 1000).unwrap_or(0);
        BlobKey::begun_at(millis, self.store.random().id128())
    }
}
