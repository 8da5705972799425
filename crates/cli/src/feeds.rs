//! Where feeds come from: files, archives and directories, HTTPS addresses, artifacts of registries.
//!
//! What is fetched goes to a temporary file first and is imported from there; a source that still has the state that
//! the database knows is not fetched again. An address may name the digest that it must have (`#sha256:…`).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use oci::Digest;
use tempfile::NamedTempFile;
use tokio::time::timeout;
use upstream::{Client, Fetched, ImageReference, Keychain, Registry, UpstreamError, Validator, place};
use url::Url;

use crate::network::{self, NetworkArgs};

/// Largest document or archive that is fetched.
const MAX_BYTES: u64 = 4 << 30;
/// Longest time for one feed.
const ALLOWED: Duration = Duration::from_mins(30);

/// A feed's name and place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Feed {
    pub name: String,
    pub source: Source,
}

/// A place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file or directory.
    Path(PathBuf),
    /// A document or archive of a web server.
    Url { url: Url, digest: Option<Digest> },
    /// An artifact of a registry: its layers.
    Artifact(ImageReference),
}

impl Source {
    fn parse(text: &str) -> anyhow::Result<Self> {
        if let Some(reference) = text.strip_prefix("oci://") {
            return Ok(Self::Artifact(reference.parse()?));
        }
        if !text.starts_with("https://") && !text.starts_with("http://") {
            return Ok(Self::Path(PathBuf::from(text)));
        }
        let mut url = Url::parse(text).with_context(|| format!("{text} is no address"))?;
        let digest = url.fragment().map(str::parse::<Digest>).transpose();
        let digest = digest.with_context(|| format!("what follows # in {} is no digest", place(&url)))?;
        url.set_fragment(None);
        Ok(Self::Url { url, digest })
    }

    /// The place as it is recorded: nothing secret.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Path(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Url { url, .. } => place(url),
            Self::Artifact(reference) => format!("oci://{reference}"),
        }
    }
}

/// The feeds that arguments name, in order: `NAME=PLACE`, or a path; a directory without a name is a feed for each entry
/// of it.
pub(crate) fn parse(arguments: &[String]) -> anyhow::Result<Vec<Feed>> {
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
            bail!("a fetched feed needs a name: NAME={argument}");
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
pub(crate) fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        out.push(entry?.path());
    }
    out.sort();
    Ok(out)
}

/// What was fetched.
#[derive(Debug)]
pub(crate) struct Download {
    /// Names for the importer, and the files.
    pub files: Vec<(String, NamedTempFile)>,
    /// What the source calls this state; empty if it does not say.
    pub state: String,
}

/// Fetches feeds; made when the first one is not a path.
pub(crate) struct Fetcher {
    runtime: tokio::runtime::Runtime,
    client: Client,
    keychain: Keychain,
}

impl Fetcher {
    pub(crate) fn new(network: &NetworkArgs) -> anyhow::Result<Self> {
        Ok(Self { runtime: network::runtime()?, client: network.client()?, keychain: network.keychain()? })
    }

    /// Fetches a source; `None` if it still has the state `known`.
    pub(crate) fn fetch(&self, source: &Source, known: &str) -> anyhow::Result<Option<Download>> {
        let work = async {
            match source {
                Source::Path(_) => Ok(None),
                Source::Url { url, digest } => self.document(url, digest.as_ref(), known).await,
                Source::Artifact(reference) => self.artifact(reference, known).await,
            }
        };
        self.runtime
            .block_on(async { timeout(ALLOWED, work).await.unwrap_or(Err(UpstreamError::Time.into())) })
    }

    async fn document(
        &self,
        url: &Url,
        pinned: Option<&Digest>,
        known: &str,
    ) -> anyhow::Result<Option<Download>> {
        let mut file = NamedTempFile::new()?;
        let known = validator(known);
        let fetched = self.client.fetch(url, known.as_ref(), MAX_BYTES, &mut file).await?;
        let Fetched::Changed { validator, digest } = fetched else { return Ok(None) };
        if let Some(pinned) = pinned.filter(|pinned| **pinned != digest) {
            bail!("{} has the digest {digest}, not {pinned}", place(url));
        }
        file.flush()?;
        let name = url.path().rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("feed");
        Ok(Some(Download { files: vec![(name.to_owned(), file)], state: state(validator.as_ref()) }))
    }

    async fn artifact(&self, reference: &ImageReference, known: &str) -> anyhow::Result<Option<Download>> {
        let credentials = self.keychain.of(reference).cloned();
        let registry = Registry::new(self.client.clone(), reference.clone(), credentials);
        let named = registry.named_manifest().await?;
        let state = named.digest.to_string();
        if state == known {
            return Ok(None);
        }
        if named.manifest.layers.is_empty() {
            bail!("{reference} has no layers");
        }
        let mut files = Vec::new();
        for (index, layer) in named.manifest.layers.iter().enumerate() {
            if layer.size_bytes > MAX_BYTES {
                bail!(
                    "layer {} of {reference} has {} bytes, more than {MAX_BYTES}",
                    index + 1,
                    layer.size_bytes
                );
            }
            let mut file = NamedTempFile::new()?;
            registry.blob(&layer.digest, layer.size_bytes, &mut file).await?;
            file.flush()?;
            let title = layer.annotations.get("org.opencontainers.image.title");
            files.push((title.cloned().unwrap_or_else(|| format!("layer-{}", index + 1)), file));
        }
        Ok(Some(Download { files, state }))
    }
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
