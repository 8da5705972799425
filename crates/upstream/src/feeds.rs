//! Where feeds of advisories come from: files, archives and directories, HTTPS addresses, artifacts of registries.
//!
//! What is fetched goes to a temporary file first and is read from there; a source that still has the state that
//! the database knows is not fetched again. An address may name the digest that it must have (`#sha256:…`).

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci::Digest;
use tempfile::NamedTempFile;
use tokio::time::timeout;
use url::Url;

use crate::mmap::Mapped;
use crate::{Client, Fetched, ImageReference, Keychain, Registry, UpstreamError, Validator, place};

/// Largest document or archive that is fetched.
const MAX_BYTES: u64 = 4 << 30;
/// Longest time for one feed.
const ALLOWED: Duration = Duration::from_mins(30);

/// Why a feed is none, or cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// No address.
    #[error("{0} is no address")]
    Address(String),
    /// No digest behind an address.
    #[error("what follows # in {0} is no digest")]
    Pin(String),
    /// A fetched feed without a name.
    #[error("a fetched feed needs a name: NAME={0}")]
    Nameless(String),
    /// Other content than its digest says.
    #[error("{place} has the digest {found}, not {pinned}")]
    Pinned {
        /// The address.
        place: String,
        /// Its digest.
        found: Box<Digest>,
        /// The digest that it must have.
        pinned: Box<Digest>,
    },
    /// An artifact without content.
    #[error("{0} has no layers")]
    Empty(String),
    /// A layer above the bound.
    #[error("layer {layer} of {reference} has {size_bytes} bytes, more than {MAX_BYTES}")]
    TooLarge {
        /// The artifact.
        reference: String,
        /// Position, from 1.
        layer: usize,
        /// Its size.
        size_bytes: u64,
    },
    /// It could not be fetched.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// A file could not be read or written.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A feed's name and place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Name, by which it replaces a former state of itself.
    pub name: String,
    /// Place.
    pub source: Source,
}

/// A place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file or directory.
    Path(PathBuf),
    /// A document or archive of a web server.
    Url {
        /// Its address.
        url: Url,
        /// The digest that it must have.
        digest: Option<Digest>,
    },
    /// An artifact of a registry: its layers.
    Artifact(ImageReference),
}

impl Source {
    fn parse(text: &str) -> Result<Self, FeedError> {
        if let Some(reference) = text.strip_prefix("oci://") {
            return Ok(Self::Artifact(reference.parse()?));
        }
        if !text.starts_with("https://") && !text.starts_with("http://") {
            return Ok(Self::Path(PathBuf::from(text)));
        }
        let mut url = Url::parse(text).map_err(|_| FeedError::Address(text.to_owned()))?;
        let digest = url.fragment().map(str::parse::<Digest>).transpose();
        let digest = digest.map_err(|_| FeedError::Pin(place(&url)))?;
        url.set_fragment(None);
        Ok(Self::Url { url, digest })
    }

    /// The place as it is recorded: nothing secret.
    pub fn describe(&self) -> String {
        match self {
            Self::Path(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Url { url, .. } => place(url),
            Self::Artifact(reference) => format!("oci://{reference}"),
        }
    }
}

/// The feeds that arguments name, in order: `NAME=PLACE`, or a path; a directory without a name is a feed for each entry
/// of it.
///
/// # Errors
/// A place that is none, a fetched feed without a name, a directory that cannot be read.
pub fn parse(arguments: &[String]) -> Result<Vec<Feed>, FeedError> {
    let mut out = Vec::new();
    for argument in arguments {
        // An equals sign within an address or path is part of it.
        let named =
            argument.split_once('=').filter(|(name, _)| !name.is_empty() && !name.contains(['/', ':']));
        if let Some((name, place)) = named {
            out.push(Feed { name: name.to_owned(), source: Source::parse(place)? });
            continue;
        }
        let Source::Path(path) = Source::parse(argument)? else {
            return Err(FeedError::Nameless(argument.clone()));
        };
        let paths = if path.is_dir() { entries(&path)? } else { vec![path] };
        for path in paths {
            if let Some(name) = name_of(&path) {
                out.push(Feed { name, source: Source::Path(path) });
            }
        }
    }
    Ok(out)
}

fn name_of(path: &Path) -> Option<String> {
    const KNOWN: [&str; 14] = [
        ".zip", ".tar.gz", ".tgz", ".tar.zst", ".tar", ".json", ".jsonl", ".yaml", ".yml", ".csv", ".xml",
        ".db", ".gz", ".purls",
    ];
    let file = path.file_name()?.to_string_lossy().into_owned();
    let name = KNOWN.iter().find_map(|suffix| file.strip_suffix(suffix)).map(str::to_owned);
    name.or_else(|| path.is_dir().then_some(file))
}

/// The entries of a directory in order of their names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, FeedError> {
    let failed = |source| FeedError::File { path: folder.to_owned(), source };
    let listed = std::fs::read_dir(folder).map_err(failed)?;
    let mut out = listed.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(failed)?;
    out.sort();
    Ok(out)
}

/// A document of a feed.
#[derive(Debug)]
pub struct Document {
    /// Its name, which tells the importer of its form.
    pub name: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    Fetched(NamedTempFile),
}

impl Document {
    /// Its bytes; none if it is empty.
    ///
    /// # Errors
    /// [`FeedError::File`].
    pub fn open(&self) -> Result<Option<Mapped>, FeedError> {
        let path = match &self.place {
            Place::File(path) => path.as_path(),
            Place::Fetched(file) => file.path(),
        };
        let failed = |source| FeedError::File { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(failed)?.len() == 0 {
            return Ok(None);
        }
        Mapped::open(path).map(Some).map_err(failed)
    }
}

/// Everything of a feed's source.
#[derive(Debug)]
pub struct Download {
    /// Its documents.
    pub documents: Vec<Document>,
    /// What the source calls this state; empty if it does not say.
    pub state: String,
}

/// Fetches feeds.
#[derive(Debug)]
pub struct Fetcher {
    client: Client,
    keychain: Keychain,
}

impl Fetcher {
    /// Fetches by this client with these credentials.
    pub fn new(client: Client, keychain: Keychain) -> Self {
        Self { client, keychain }
    }

    /// Everything of a source; `None` if it still has the state `known`. A file has none: it is always read.
    ///
    /// # Errors
    /// [`FeedError`].
    pub async fn fetch(&self, source: &Source, known: &str) -> Result<Option<Download>, FeedError> {
        let work = async {
            match source {
                Source::Path(path) => local(path).map(Some),
                Source::Url { url, digest } => self.document(url, digest.as_ref(), known).await,
                Source::Artifact(reference) => self.artifact(reference, known).await,
            }
        };
        timeout(ALLOWED, work).await.unwrap_or(Err(UpstreamError::Time.into()))
    }

    async fn document(
        &self,
        url: &Url,
        pinned: Option<&Digest>,
        known: &str,
    ) -> Result<Option<Download>, FeedError> {
        let mut file = temporary()?;
        let known = validator(known);
        let fetched = self.client.fetch(url, known.as_ref(), MAX_BYTES, &mut file).await?;
        let Fetched::Changed { validator, digest } = fetched else { return Ok(None) };
        if let Some(pinned) = pinned.filter(|pinned| **pinned != digest) {
            return Err(FeedError::Pinned {
                place: place(url),
                found: Box::new(digest),
                pinned: Box::new(*pinned),
            });
        }
        file.flush().map_err(UpstreamError::Write)?;
        let name = url.path().rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("feed");
        let documents = vec![Document { name: name.to_owned(), place: Place::Fetched(file) }];
        Ok(Some(Download { documents, state: state(validator.as_ref()) }))
    }

    async fn artifact(&self, reference: &ImageReference, known: &str) -> Result<Option<Download>, FeedError> {
        let credentials = self.keychain.of(reference).cloned();
        let registry = Registry::new(self.client.clone(), reference.clone(), credentials);
        let named = registry.named_manifest().await?;
        let state = named.digest.to_string();
        if state == known {
            return Ok(None);
        }
        if named.manifest.layers.is_empty() {
            return Err(FeedError::Empty(reference.to_string()));
        }
        let mut documents = Vec::new();
        for (index, layer) in named.manifest.layers.iter().enumerate() {
            if layer.size_bytes > MAX_BYTES {
                let (reference, size_bytes) = (reference.to_string(), layer.size_bytes);
                return Err(FeedError::TooLarge { reference, layer: index + 1, size_bytes });
            }
            let mut file = temporary()?;
            registry.blob(&layer.digest, layer.size_bytes, &mut file).await?;
            file.flush().map_err(UpstreamError::Write)?;
            let title = layer.annotations.get("org.opencontainers.image.title");
            let name = title.cloned().unwrap_or_else(|| format!("layer-{}", index + 1));
            documents.push(Document { name, place: Place::Fetched(file) });
        }
        Ok(Some(Download { documents, state }))
    }
}

fn temporary() -> Result<NamedTempFile, UpstreamError> {
    NamedTempFile::new().map_err(UpstreamError::Write)
}

/// A file, or all files below a directory, in order of their names.
fn local(path: &Path) -> Result<Download, FeedError> {
    let (mut documents, mut open) = (Vec::new(), vec![path.to_owned()]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(entries(&path)?.into_iter().rev());
        } else {
            documents.push(Document { name: path.to_string_lossy().into_owned(), place: Place::File(path) });
        }
    }
    Ok(Download { documents, state: String::new() })
}

/// A validator as the database keeps it.
fn state(validator: Option<&Validator>) -> String {
    match validator {
        Some(Validator::ETag(tag)) => format!("etag {tag}"),
        Some(Validator::LastModified(time)) => format!("modified {time}"),
        None => String::new(),
    }
}

fn validator(state: &str) -> Option<Validator> {
    match state.split_once(' ')? {
        ("etag", tag) => Some(Validator::ETag(tag.to_owned())),
        ("modified", time) => Some(Validator::LastModified(time.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart() {
        let one = |text: &str| parse(&[text.to_owned()]).map(|mut feeds| feeds.pop().expect("one"));
        let feed = one(
            "go=https://u:p@x.example/a=b.zip?k=v#sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        );
        let feed = feed.expect("feed");
        assert_eq!(feed.name, "go");
        assert_eq!(feed.source.describe(), "https://x.example/a=b.zip");
        assert!(matches!(feed.source, Source::Url { digest: Some(_), .. }));
        let feed = one("trivy=oci://ghcr.io/a/trivy-db:2").expect("feed");
        assert_eq!(feed.source.describe(), "oci://ghcr.io/a/trivy-db:2");
        assert_eq!(one("/x/y=z.json").expect("path").name, "y=z");
        assert!(one("https://x.example/a.zip").is_err(), "a name is needed");
        assert!(one("a=https://x.example/a.zip#md5").is_err());
    }
}
