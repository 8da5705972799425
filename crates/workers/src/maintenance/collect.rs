//! Online garbage collection: uploads that were given up, restore windows that are over, blobs that nothing refers to,
//! and at last their objects.
//!
//! Each step is a short transaction that checks again what it collects while it holds the rows; pushes go on beside
//! it. An object is deleted only after the transaction that took its last row is committed, and its key is never used
//! again, so a grace of zero is safe: it can only break a download in progress.

use std::collections::BTreeMap;

use blobs::{BlobKey, IngestState};
use metadata::model::collect::{self, DuePlace, TrashRow};
use metadata::model::{RepositoryId, deleted};
use metadata::{Store, Timestamp};
use oci::Digest;
use registry::{Error, Registry};

/// Rows read at once; a transaction stays short beside pushes.
const BATCH: u32 = 200;

/// Unfinished writes younger than this are left alone.
const UNFINISHED_AGE_SECS: i64 = 24 * 3600;

/// What a collection did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct CollectReport {
    /// Upload sessions that expired.
    pub uploads: u64,
    /// Parts of uploads in storage that no session knows any more.
    pub unfinished: u64,
    /// Deleted images whose restore window is over.
    pub restores: u64,
    /// Blobs taken out of repositories that do not need them.
    pub links: u64,
    /// Blobs that no repository needs.
    pub blobs: u64,
    /// Damaged objects that were replaced and kept for inspection long enough.
    pub quarantined: u64,
    /// Objects deleted.
    pub objects: u64,
    /// Bytes of the objects deleted.
    pub freed_bytes: u64,
}

/// Collects what can be collected now; what becomes free meanwhile is left for the next time, so that a collection ends
/// however fast others push and delete. With `dry_run` it counts what it finds at once and changes nothing: what
/// only becomes free by the first steps is not in the count.
pub async fn collect(registry: &Registry, dry_run: bool) -> Result<CollectReport, Error> {
    registry.check_storage().await?;
    let now = registry.store().now();
    let mut report = CollectReport::default();
    if dry_run {
        return preview(registry, now).await;
    }
    report.uploads = uploads(registry, now).await?;
    report.unfinished = unfinished(registry, now).await?;
    report.restores = restores(registry, now).await?;
    report.links = links(registry.store(), now).await?;
    report.blobs = loose_blobs(registry, now).await?;
    report.quarantined = quarantined(registry, now).await?;
    sweep(registry, &mut report).await?;
    Ok(report)
}

async fn preview(registry: &Registry, now: Timestamp) -> Result<CollectReport, Error> {
    const LIMIT: u32 = 1_000_000;
    let store = registry.store();
    let due = store.trash_due(now, &DuePlace::default(), LIMIT).await?;
    Ok(CollectReport {
        uploads: store.expired_uploads(now, LIMIT).await?.len() as u64,
        restores: store.deleted_expired(now.minus(registry.settings().restore_window), LIMIT).await?.len()
            as u64,
        unfinished: orphans(registry, now).await?.len() as u64,
        links: store.loose_links(now, LIMIT).await?.len() as u64,
        blobs: store.loose_blobs("", LIMIT).await?.len() as u64,
        quarantined: store.quarantine_due(now.minus(registry.settings().quarantine), LIMIT).await?.len()
            as u64,
        objects: due.len() as u64,
        freed_bytes: due.iter().map(|(row, _)| row.size_bytes).sum(),
    })
}

async fn uploads(registry: &Registry, now: Timestamp) -> Result<u64, Error> {
    let mut count = 0;
    loop {
        let expired = registry.store().expired_uploads(now, BATCH).await?;
        let mut progress = false;
        for row in &expired {
            match registry.drop_session(row).await {
                Ok(()) => {
                    count += 1;
                    progress = true;
                }
                Err(Error::UploadUnknown) => progress = true,
                Err(error) => return Err(error),
            }
        }
        if !progress {
            return Ok(count);
        }
    }
}

/// Unfinished writes that no row owns. A session's row is there before its first byte, so what is older than the
/// listing and has no row has lost its session; the age only spares segments of series, which have no rows.
async fn orphans(registry: &Registry, now: Timestamp) -> Result<Vec<BlobKey>, Error> {
    let unavailable = |error: blobs::BlobError| {
        tracing::warn!(%error, "unfinished writes cannot be listed");
        Error::Unavailable
    };
    let mut found = registry.blobs().unfinished(BATCH as usize).await.map_err(unavailable)?;
    found.retain(|write| write.begun_unix_s < now.secs() - UNFINISHED_AGE_SECS);
    let keys: Vec<String> = found.iter().map(|write| write.key.to_string()).collect();
    let known = registry.store().known_objects(&keys).await?;
    let orphan = |key: &BlobKey| !known.contains(&key.to_string());
    Ok(found.into_iter().map(|write| write.key).filter(orphan).collect())
}

/// Aborts what a process left in storage that died between a session's end and its own clean-up.
async fn unfinished(registry: &Registry, now: Timestamp) -> Result<u64, Error> {
    let mut count = 0;
    for key in orphans(registry, now).await? {
        match registry.blobs().abort(key, None).await {
            Ok(()) => {
                tracing::info!(blob.object = %key, "unfinished upload aborted");
                count += 1;
            }
            Err(error) => tracing::warn!(blob.object = %key, %error, "an unfinished upload stays"),
        }
    }
    Ok(count)
}

async fn restores(registry: &Registry, now: Timestamp) -> Result<u64, Error> {
    let store = registry.store();
    let deleted_until = now.minus(registry.settings().restore_window);
    let mut count = 0;
    loop {
        let expired = store.deleted_expired(deleted_until, BATCH).await?;
        if expired.is_empty() {
            return Ok(count);
        }
        let mut tx = store.begin().await?;
        for id in &expired {
            deleted::expire(&mut tx, *id, now, registry.settings().blob_lease);
        }
        match store.commit(tx).await {
            Ok(()) => count += expired.len() as u64,
            // Somebody restored one of them: the next round reads what is left.
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn links(store: &Store, now: Timestamp) -> Result<u64, Error> {
    let mut count = 0;
    let mut before = None;
    loop {
        let loose = store.loose_links(now, BATCH).await?;
        // What is still there after a try is held by somebody: the next collection sees it again.
        if loose.is_empty() || before.as_ref() == Some(&loose) {
            return Ok(count);
        }
        let mut by_repository: BTreeMap<RepositoryId, Vec<Digest>> = BTreeMap::new();
        for (repository, digest) in &loose {
            by_repository.entry(*repository).or_default().push(*digest);
        }
        for (repository, digests) in by_repository {
            let mut tx = store.begin().await?;
            collect::collect_links(&mut tx, repository, &digests, now);
            match store.commit(tx).await {
                Ok(()) => count += digests.len() as u64,
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        before = Some(loose);
    }
}

async fn loose_blobs(registry: &Registry, now: Timestamp) -> Result<u64, Error> {
    let store = registry.store();
    let not_before = now.plus(registry.settings().collect_grace);
    let mut count = 0;
    let mut last = String::new();
    loop {
        let loose = store.loose_blobs(&last, BATCH).await?;
        let Some(end) = loose.last() else { return Ok(count) };
        last = end.to_string();
        let mut tx = store.begin().await?;
        collect::collect_blobs(&mut tx, &loose, not_before, now);
        match store.commit(tx).await {
            Ok(()) => count += loose.len() as u64,
            Err(error) if error.is_conflict() => {
                tracing::debug!(%error, "blobs came back into use while they were collected");
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Gives damaged objects that were replaced to the sweeper.
async fn quarantined(registry: &Registry, now: Timestamp) -> Result<u64, Error> {
    let store = registry.store();
    let found_until = now.minus(registry.settings().quarantine);
    let mut count = 0;
    loop {
        let due = store.quarantine_due(found_until, BATCH).await?;
        if due.is_empty() {
            return Ok(count);
        }
        for (object_key, digest) in due {
            let stat = match BlobKey::parse(&object_key) {
                Ok(key) => registry.blobs().stat(key).await.map_err(|error| {
                    tracing::warn!(blob.object = object_key, %error, "an object in quarantine cannot be looked at");
                    Error::Unavailable
                })?,
                Err(_) => None,
            };
            let mut tx = store.begin().await?;
            collect::leave_quarantine(&mut tx, &object_key);
            if let Some(stat) = stat {
                let row = TrashRow {
                    object_key,
                    digest: Some(digest),
                    size_bytes: stat.size,
                    reason: "quarantine".to_owned(),
                    state: None,
                };
                collect::trash(&mut tx, &row, now, now);
            }
            match store.commit(tx).await {
                Ok(()) => count += 1,
                // Another process was faster.
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Deletes the objects whose time had come when it began. One that cannot be deleted stops neither those behind it nor
/// the next collection, which tries it again.
async fn sweep(registry: &Registry, report: &mut CollectReport) -> Result<(), Error> {
    let store = registry.store();
    let begun = store.now();
    let mut after = DuePlace::default();
    loop {
        let due = store.trash_due(begun, &after, BATCH).await?;
        let Some((_, last)) = due.last() else { return Ok(()) };
        after = last.clone();
        for (row, _) in due {
            if let Err(error) = delete_object(registry, &row).await {
                tracing::warn!(blob.object = row.object_key, %error, "an object could not be deleted");
                registry.freed().failed();
                continue;
            }
            let mut tx = store.begin().await?;
            collect::forget_trash(&mut tx, &row.object_key);
            tx.relaxed();
            store.commit(tx).await?;
            tracing::info!(
                blob.object = row.object_key,
                blob.digest = row.digest.map(|digest| digest.to_string()),
                size_bytes = row.size_bytes,
                reason = row.reason,
                "object deleted"
            );
            registry.freed().deleted(row.size_bytes);
            report.objects += 1;
            report.freed_bytes += row.size_bytes;
        }
    }
}

async fn delete_object(registry: &Registry, row: &TrashRow) -> Result<(), blobs::BlobError> {
    let Ok(key) = BlobKey::parse(&row.object_key) else { return Ok(()) };
    let Some(state) = &row.state else { return registry.blobs().delete(key).await };
    match IngestState::from_bytes(state) {
        Ok(state) => registry.blobs().abort(key, Some(state.write_state())).await,
        Err(_) => registry.blobs().abort(key, None).await,
    }
}
