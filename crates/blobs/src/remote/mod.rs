//! Blob storage in an S3 bucket; through the same library also in Azure.
//!
//! `PREFIX/blobs/ss/id` are the objects, `PREFIX/tails/ss/id/n` the tails of paused uploads. An upload becomes parts of
//! 5 MiB that grow with the offset; what is shorter when it pauses is a tail, named in the saved state; an object of at
//! most one part is one PUT. Nothing is visible under a key until it is complete, and a completion whose outcome is
//! unknown is settled by looking at the object. A small object is created conditionally (If-None-Match), a large one
//! after a look: keys are generation-unique, so nobody else creates it.
//!
//! Durable means that the service said so. Every wait is bounded: requests are retried with jitter a bounded number of
//! times, transfers must keep a minimal rate.

mod config;
mod object;
mod uploads;
mod writer;

use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use url::Url;

use crate::state::Place;
use crate::store::{BoxFuture, Capabilities};
use crate::{
    BlobError, BlobKey, BlobObject, BlobStore, BlobWriter, Budget, FreeSpace, Listed, Presign, Stamp, Stat,
    StateError, Unfinished, WriteState,
};
use config::Service;
pub use config::{AzureConfig, S3Config, S3Credentials};
use object::RemoteObject;
use writer::RemoteWriter;

/// What a completion may take: services that lie on files copy the parts together.
const COMPLETION_TIME: Duration = Duration::from_mins(5);
/// Tries of the first step of a probe.
const PROBE_TRIES: u32 = 4;
/// The least rate of a transfer, in bytes per second.
const LEAST_RATE: u64 = 64 * 1024;

/// Blob storage behind an object storage API. Cheap to clone.
#[derive(Clone)]
pub struct RemoteBlobs {
    remote: Arc<Remote>,
}

/// What a remote store is made of.
struct Parts {
    kind: &'static str,
    objects: Arc<dyn ObjectStore>,
    multipart: Arc<dyn MultipartStore>,
    signer: Option<Arc<dyn Signer>>,
    /// For listing multipart uploads, where the service can.
    http: Option<reqwest::Client>,
    prefix: String,
    budget: Budget,
    /// What a request may take besides its transfer.
    stall: Duration,
}

/// Shared by all handles.
struct Remote {
    parts: Parts,
}

impl std::fmt::Debug for RemoteBlobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RemoteBlobs").field(&self.remote.parts.kind).field(&self.remote.parts.prefix).finish()
    }
}

/// The typed form of the library's errors.
fn failed(operation: &'static str, error: Error) -> BlobError {
    let text = error.to_string();
    let full = ["QuotaExceeded", "StorageFull", "InsufficientStorage", "507 "]
        .iter()
        .any(|mark| text.contains(mark));
    if full { BlobError::NoSpace } else { BlobError::Unavailable { operation, source: Box::new(error) } }
}

/// The service does not know the multipart upload: it was completed or aborted.
fn upload_is_gone(error: &Error) -> bool {
    let named = |text: &str| text.contains("NoSuchUpload") || text.contains("UploadNotFound");
    matches!(error, Error::NotFound { .. }) || named(&error.to_string()) || named(&format!("{error:?}"))
}

/// Identity from the service's entity tag.
fn stamp_of(tag: Option<&str>, size: u64) -> Stamp {
    let half = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        (seed, tag, size).hash(&mut hasher);
        hasher.finish()
    };
    Stamp([half(1), half(2)])
}

fn stat_of(meta: &ObjectMeta) -> Stat {
    Stat { size: meta.size, stamp: stamp_of(meta.e_tag.as_deref(), meta.size) }
}

/// Bounds a request by a time.
async fn within<T>(
    limit: Duration,
    operation: &'static str,
    request: impl Future<Output = Result<T, Error>>,
) -> Result<Result<T, Error>, BlobError> {
    tokio::time::timeout(limit, request)
        .await
        .map_err(|elapsed| BlobError::Unavailable { operation, source: Box::new(elapsed) })
}

/// A pause before try number `tries`: exponential, with jitter.
async fn back_off(tries: u32) {
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    let most = 100_u64 << tries.min(5);
    tokio::time::sleep(Duration::from_millis(most / 2 + random % most)).await;
}

impl Remote {
    fn path(&self, kind: &str, rest: &str) -> Path {
        let prefix = &self.parts.prefix;
        let slash = if prefix.is_empty() { "" } else { "/" };
        Path::from(format!("{prefix}{slash}{kind}/{rest}"))
    }

    fn blob(&self, key: BlobKey) -> Path {
        self.path("blobs", &key.to_string())
    }

    fn tail(&self, key: BlobKey, number: u32) -> Path {
        self.path("tails", &format!("{key}/{number}"))
    }

    /// Bounds a request that moves `bytes` by the least rate, its retries included.
    async fn patient<T>(
        &self,
        operation: &'static str,
        bytes: u64,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<Result<T, Error>, BlobError> {
        within(self.parts.stall + Duration::from_secs(bytes / LEAST_RATE), operation, request).await
    }

    /// Looks at an object.
    async fn head(&self, path: &Path) -> Result<Option<ObjectMeta>, BlobError> {
        match self.patient("head", 0, self.parts.objects.head(path)).await? {
            Ok(meta) => Ok(Some(meta)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("head", error)),
        }
    }

    async fn delete(&self, path: &Path) -> Result<(), BlobError> {
        match self.patient("delete", 0, self.parts.objects.delete(path)).await? {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("delete", error)),
        }
    }

    async fn abort_upload(&self, key: BlobKey, upload: &str) -> Result<(), BlobError> {
        let (path, upload) = (self.blob(key), upload.to_owned());
        match self.patient("abort upload", 0, self.parts.multipart.abort_multipart(&path, &upload)).await? {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) if upload_is_gone(&error) => Ok(()),
            Err(error) => Err(failed("abort upload", error)),
        }
    }

    async fn abort(&self, key: BlobKey, state: Option<&WriteState>) -> Result<(), BlobError> {
        match state.map(|state| &state.place) {
            Some(Place::Remote(place)) => {
                if let Some(upload) = &place.upload {
                    self.abort_upload(key, upload).await?;
                }
            }
            Some(_) => return Err(StateError::Store.into()),
            None => {
                for upload in self.uploads(&self.blob(key), 1000).await? {
                    self.abort_upload(key, &upload.id).await?;
                }
            }
        }
        self.delete_tails(key, |_| true).await?;
        self.delete(&self.blob(key)).await
    }

    /// Deletes those tails of an upload whose number is one of `which`.
    async fn delete_tails(&self, key: BlobKey, which: impl Fn(u32) -> bool) -> Result<(), BlobError> {
        let tails = self.path("tails", &key.to_string());
        let listed: Vec<ObjectMeta> =
            self.parts.objects.list(Some(&tails)).try_collect().await.map_err(|e| failed("list", e))?;
        let numbered = |tail: &ObjectMeta| tail.location.filename().and_then(|name| name.parse().ok());
        for tail in listed.iter().filter(|tail| numbered(tail).is_none_or(&which)) {
            self.delete(&tail.location).await?;
        }
        Ok(())
    }

    async fn list(&self, after: Option<BlobKey>, limit: usize) -> Result<Vec<Listed>, BlobError> {
        let (root, mut page) = (self.path("blobs", ""), Vec::new());
        let mut rows = match after {
            Some(after) => self.parts.objects.list_with_offset(Some(&root), &self.blob(after)),
            None => self.parts.objects.list(Some(&root)),
        };
        while page.len() < limit
            && let Some(meta) = rows.next().await.transpose().map_err(|e| failed("list", e))?
        {
            if let Some(key) =
                key_after(&root, &meta.location).filter(|key| after.is_none_or(|after| *key > after))
            {
                page.push(Listed { key, size: meta.size, modified_unix_s: meta.last_modified.timestamp() });
            }
        }
        page.sort_unstable_by_key(|row| row.key);
        Ok(page)
    }

    /// Tails and multipart uploads, oldest first.
    async fn unfinished(&self, limit: usize) -> Result<Vec<Unfinished>, BlobError> {
        let (root, mut found) = (self.path("tails", ""), Vec::new());
        let mut rows = self.parts.objects.list(Some(&root));
        while found.len() < limit
            && let Some(meta) = rows.next().await.transpose().map_err(|e| failed("list", e))?
        {
            let text = meta.location.as_ref().strip_prefix(root.as_ref()).unwrap_or_default();
            let key =
                text.trim_start_matches('/').rsplit_once('/').and_then(|(key, _)| BlobKey::parse(key).ok());
            found.extend(key.map(|key| Unfinished { key, begun_unix_s: meta.last_modified.timestamp() }));
        }
        let root = self.path("blobs", "");
        for upload in self.uploads(&root, limit).await? {
            let key = key_after(&root, &Path::from(upload.path));
            found.extend(key.map(|key| Unfinished { key, begun_unix_s: upload.begun_unix_s }));
        }
        found.sort_unstable_by_key(|write| (write.key, write.begun_unix_s));
        found.dedup_by_key(|write| write.key);
        found.sort_unstable_by_key(|write| write.begun_unix_s);
        found.truncate(limit);
        Ok(found)
    }

    async fn presign(&self, key: BlobKey, presign: &Presign) -> Result<Option<Url>, BlobError> {
        let Some(signer) = &self.parts.signer else {
            return Ok(None);
        };
        let mut options = SignedUrlOptions::new();
        if let Some(content_type) = &presign.content_type {
            options = options.with_query([("response-content-type", content_type.as_str())]);
        }
        let url = signer.signed_url_opts(Method::GET, &self.blob(key), presign.expires_in, &options).await;
        let url = match url {
            // Azure's signature says nothing about the answer. Its objects have no type of their own, which is what
            // is asked for.
            Err(Error::NotSupported { .. } | Error::NotImplemented { .. }) => {
                signer.signed_url(Method::GET, &self.blob(key), presign.expires_in).await
            }
            url => url,
        };
        match url {
            Ok(url) => Ok(Some(url)),
            Err(Error::NotSupported { .. } | Error::NotImplemented { .. }) => Ok(None),
            Err(error) => Err(failed("presign", error)),
        }
    }

    /// Every step that an upload and a pull take, once.
    async fn probe(&self) -> Result<Capabilities, BlobError> {
        let kind = self.parts.kind;
        let unfit = |step: &str, error: &dyn std::fmt::Display| {
            let text = error.to_string().replace('\n', " ");
            BlobError::Unfit(format!(
                "{kind} blob storage: {step} failed: {text}; check endpoint, bucket, region, credentials and policy, and path_style of S3"
            ))
        };
        let mut found = Capabilities { presigns: self.parts.signer.is_some(), ..Capabilities::default() };
        let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
        let key = BlobKey::from_id(u128::from(random));
        let path = self.blob(key);
        let payload = || PutPayload::from_static(b"bonded probes its bucket");
        let mut tries = 0;
        // Services answer 409 when replicas that start at once get into each other's way.
        while let Err(error) = self.patient("put", 0, self.parts.objects.put(&path, payload())).await? {
            tries += 1;
            if tries >= PROBE_TRIES {
                return Err(unfit("PUT", &error));
            }
            back_off(tries).await;
        }
        let again = self.parts.objects.put_opts(&path, payload(), PutMode::Create.into());
        match self.patient("put", 0, again).await? {
            Err(Error::AlreadyExists { .. }) => {}
            _ => found.warnings.push(format!("{kind} blob storage does not honour If-None-Match on PUT")),
        }
        let read = self.patient("get", 0, self.parts.objects.get_range(&path, 1..3)).await?;
        if !read.map_err(|e| unfit("GET of a range", &e))?.eq(&b"on"[..]) {
            return Err(unfit("GET of a range", &"it gave other bytes"));
        }
        let upload = self.patient("create upload", 0, self.parts.multipart.create_multipart(&path)).await?;
        let upload = upload.map_err(|e| unfit("creating a multipart upload", &e))?;
        if self.parts.http.is_some() {
            match self.uploads(&path, 10).await {
                Ok(uploads) if uploads.iter().any(|listed| listed.id == upload) => {}
                Ok(_) => found.warnings.push(format!("{kind} blob storage does not list multipart uploads by prefix")),
                Err(error) => found.warnings.push(format!(
                    "{kind} blob storage does not list multipart uploads ({error}); set a life-cycle rule that aborts them"
                )),
            }
        }
        self.abort_upload(key, &upload).await.map_err(|e| unfit("aborting a multipart upload", &e))?;
        self.delete(&path).await.map_err(|e| unfit("DELETE", &e))?;
        Ok(found)
    }
}

/// The key in a location below `root`.
fn key_after(root: &Path, location: &Path) -> Option<BlobKey> {
    let text = location.as_ref().strip_prefix(root.as_ref())?.strip_prefix('/')?;
    BlobKey::parse(text).ok()
}

impl RemoteBlobs {
    fn from_parts(parts: Parts) -> Self {
        Self { remote: Arc::new(Remote { parts }) }
    }

    /// A store in the library's own memory, for tests of this adapter without a server.
    pub fn in_memory(budget: Budget) -> Self {
        let store = Arc::new(object_store::memory::InMemory::new());
        Self::of("memory", &store, Service::default(), "test", budget)
    }
}

impl BlobStore for RemoteBlobs {
    fn begin(&self, key: BlobKey) -> BoxFuture<'_, Result<Box<dyn BlobWriter>, BlobError>> {
        let writer = RemoteWriter::create(Arc::clone(&self.remote), key);
        Box::pin(async move { Ok(Box::new(writer) as Box<dyn BlobWriter>) })
    }

    fn writer_memory_bytes(&self) -> usize {
        writer::MEMORY_BYTES
    }

    fn resume<'a>(
        &'a self,
        key: BlobKey,
        state: &'a WriteState,
    ) -> BoxFuture<'a, Result<Box<dyn BlobWriter>, BlobError>> {
        Box::pin(async move {
            let writer = RemoteWriter::reopen(Arc::clone(&self.remote), key, state).await?;
            Ok(Box::new(writer) as Box<dyn BlobWriter>)
        })
    }

    fn open(&self, key: BlobKey) -> BoxFuture<'_, Result<Option<Arc<dyn BlobObject>>, BlobError>> {
        Box::pin(async move {
            let meta = self.remote.head(&self.remote.blob(key)).await?;
            Ok(meta.map(|meta| {
                let remote = Arc::clone(&self.remote);
                Arc::new(RemoteObject { remote, key, stat: stat_of(&meta), tag: meta.e_tag })
                    as Arc<dyn BlobObject>
            }))
        })
    }

    fn stat(&self, key: BlobKey) -> BoxFuture<'_, Result<Option<Stat>, BlobError>> {
        Box::pin(async move { Ok(self.remote.head(&self.remote.blob(key)).await?.as_ref().map(stat_of)) })
    }

    fn delete(&self, key: BlobKey) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async move { self.remote.delete(&self.remote.blob(key)).await })
    }

    fn abort<'a>(
        &'a self,
        key: BlobKey,
        state: Option<&'a WriteState>,
    ) -> BoxFuture<'a, Result<(), BlobError>> {
        Box::pin(self.remote.abort(key, state))
    }

    fn list(&self, after: Option<BlobKey>, limit: usize) -> BoxFuture<'_, Result<Vec<Listed>, BlobError>> {
        Box::pin(self.remote.list(after, limit))
    }

    fn unfinished(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Unfinished>, BlobError>> {
        Box::pin(self.remote.unfinished(limit))
    }

    fn free_space(&self) -> BoxFuture<'_, Result<Option<FreeSpace>, BlobError>> {
        Box::pin(async { Ok(None) })
    }

    fn presign<'a>(
        &'a self,
        key: BlobKey,
        presign: &'a Presign,
    ) -> BoxFuture<'a, Result<Option<Url>, BlobError>> {
        Box::pin(self.remote.presign(key, presign))
    }

    fn probe(&self) -> BoxFuture<'_, Result<Capabilities, BlobError>> {
        Box::pin(self.remote.probe())
    }
}
