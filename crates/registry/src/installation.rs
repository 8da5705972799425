//! Database and blob storage that belong together: both hold the id of their installation.
//!
//! Storage that is not mounted, or another one, looks as if every blob were lost, and a scrub would take all of them out
//! of service. So a registry opens only over storage that holds its database's id. Whichever lacks the id gets it from
//! the other one – a new installation, one from before there were ids, a rebuilt database, storage that was copied
//! without it –, provided that storage holds something of what the database names.

use blobs::{BlobError, BlobKey, BlobStore, Budget, Series};
use bytes::Bytes;
use metadata::Store;
use metadata::model::installation;
use oci::Digest;

use crate::Registry;
use crate::error::Error;
use crate::upload::blob_error;

/// Where storage holds the id.
const KEY: BlobKey = BlobKey::of_series(Series::Installation, 0, 0);

/// Blobs of which storage must hold one, when nothing else tells whose it is.
const SAMPLE: u32 = 1000;

/// Rounds in which replicas that start at once agree.
const ROUNDS: usize = 10;

/// No id is longer.
const MOST_BYTES: u64 = 1024;

/// An error of the medium has its cause with it: this is what an operator sees when the server does not start.
fn failed(error: BlobError) -> Error {
    match error {
        BlobError::Io { operation, source } => {
            Error::WrongStorage(format!("blob storage failed: {operation}: {source}"))
        }
        other => blob_error(other),
    }
}

/// Makes sure that the two belong together, or refuses.
pub(crate) async fn bind(store: &Store, blobs: &dyn BlobStore, budget: &Budget) -> Result<(), Error> {
    for _ in 0..ROUNDS {
        let known = store.installation().await?;
        let held = read(blobs).await.map_err(failed)?;
        match (known, held) {
            (Some(known), Some(held)) if known == held => return Ok(()),
            (Some(known), Some(held)) => {
                return Err(Error::WrongStorage(format!(
                    "blob storage is that of installation {held}, the database that of {known}: look at the storage settings and mounts"
                )));
            }
            _ if !holds_something(store, blobs).await? => {
                return Err(Error::WrongStorage(
                    "blob storage holds nothing of what the database names: it is not mounted, or not this registry's; look at the storage settings and mounts"
                        .to_owned(),
                ));
            }
            (None, Some(held)) => {
                let mut tx = store.begin().await?;
                installation::keep(&mut tx, &held);
                store.commit(tx).await?;
            }
            (known, None) => {
                let id = known.unwrap_or_else(|| format!("{:032x}", store.random().id128()));
                write(blobs, budget, &id).await.map_err(failed)?;
            }
        }
    }
    Err(Error::Unavailable)
}

/// Whether an object of the database's blobs is there; so it is if there are no blobs.
async fn holds_something(store: &Store, blobs: &dyn BlobStore) -> Result<bool, Error> {
    let sample = store.blobs_after("", SAMPLE).await?;
    for row in &sample {
        let Ok(key) = BlobKey::parse(&row.object_key) else { continue };
        if blobs.stat(key).await.map_err(failed)?.is_some() {
            return Ok(true);
        }
    }
    Ok(sample.is_empty())
}

/// The id with its digest: an id that was torn or damaged is none, and not another one.
fn document(id: &str) -> String {
    format!("{id} {}\n", Digest::sha256(id.as_bytes()))
}

async fn read(blobs: &dyn BlobStore) -> Result<Option<String>, BlobError> {
    let Some(object) = blobs.open(KEY).await? else { return Ok(None) };
    let size = object.stat().size;
    if size > MOST_BYTES {
        return Ok(None);
    }
    let bytes = match object.read_at(0..size).await {
        Err(error) if error.is_corruption() => return Ok(None),
        read => read?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let id = text.split(' ').next().unwrap_or_default();
    Ok((!id.is_empty() && document(id) == text).then(|| id.to_owned()))
}

/// Writes the id unless somebody else does.
async fn write(blobs: &dyn BlobStore, budget: &Budget, id: &str) -> Result<(), BlobError> {
    let _memory = match blobs.writer_memory_bytes() {
        0 => None,
        needed => Some(budget.take(needed).await?),
    };
    let mut writer = match blobs.begin(KEY).await {
        Ok(writer) => writer,
        Err(BlobError::Busy { .. }) => return Ok(()),
        // Another replica's, or what a crash left of one: the next round writes it anew.
        Err(BlobError::Exists { .. }) if read(blobs).await?.is_some() => return Ok(()),
        Err(BlobError::Exists { .. }) => return blobs.abort(KEY, None).await,
        Err(error) => return Err(error),
    };
    writer.write(Bytes::from(document(id))).await?;
    match writer.finish().await {
        Err(BlobError::Exists { .. }) => Ok(()),
        finished => finished.map(drop),
    }
}

impl Registry {
    /// Whether blob storage still is this registry's: to be asked before objects that are not there count as lost.
    pub async fn check_storage(&self) -> Result<(), Error> {
        bind(&self.store, &*self.blobs, &self.budget).await
    }
}
