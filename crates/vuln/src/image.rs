//! Images as files: OCI image layouts and `docker save` archives.
//!
//! The caller gives named files ([`Files`]); this module finds the manifest, chooses the platform and lists the layers.
//! Attestation manifests (platform `unknown/unknown`) are not images and never chosen. Digests of all documents are
//! verified; layers are verified by their diffID when they are catalogued.

use std::collections::BTreeMap;
use std::io::{self, Read};

use oci::Digest;
use serde::Deserialize;

use crate::layer::LayerSource;
use crate::layer::decompress::Metered;
use crate::layer::path::{normalise, resolve_link};
use crate::layer::tar::{EntryKind, Tar};
use crate::limits::{Limit, Limits, ScanError, Watch};

/// Manifests, indexes and configurations above this are refused.
const DOCUMENT_BYTES: u64 = 8 << 20;
/// Indexes inside indexes.
const INDEX_DEPTH: usize = 4;

/// Named files of a layout or archive.
pub trait Files {
    /// The file's bytes from their beginning, or none if there is no such file.
    fn open(&self, path: &str) -> io::Result<Option<Box<dyn Read + '_>>>;
}

/// What opens named files by itself.
impl<F: Fn(&str) -> io::Result<Option<Box<dyn Read>>>> Files for F {
    fn open(&self, path: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        self(path)
    }
}

/// Which image of several is meant.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// `os/arch[/variant]`; where several platforms exist and none is given, `default_platform`.
    pub platform: Option<String>,
    /// The platform of the machine, used when `platform` is absent; the first image where it does not exist either.
    pub default_platform: Option<String>,
    /// Tag or digest inside the source.
    pub reference: Option<String>,
}

/// One image of one platform.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Digest of the manifest, absent in docker archives.
    pub manifest_digest: Option<Digest>,
    /// Media type of the manifest or its artifact type.
    pub artifact_type: Option<String>,
    /// The image configuration as it is stored.
    pub config: Vec<u8>,
    /// Names that the source gives it.
    pub names: Vec<String>,
    /// `os/arch[/variant]`.
    pub platform: Option<String>,
    /// Layers, lowest first.
    pub layers: Vec<ImageLayer>,
}

/// One layer of an image.
#[derive(Clone, Debug)]
pub struct ImageLayer {
    /// Name of the file to open.
    pub path: String,
    /// Digest of the blob as stored, absent in docker archives.
    pub digest: Option<Digest>,
    /// diffID that the configuration states; the catalogued layer must have it.
    pub diff_id: Option<Digest>,
    /// Media type, empty in docker archives.
    pub media_type: String,
}

impl ImageLayer {
    /// Whether the layer is a file system archive (and not, say, a signature or a model).
    pub fn is_archive(&self) -> bool {
        self.media_type.is_empty() || self.media_type.contains("tar")
    }
}

/// A layer of a layout or archive as the stream that the cataloguer reads.
pub struct LayerFile<'f> {
    /// The layout or archive.
    pub files: &'f dyn Files,
    /// Name of the layer's file.
    pub path: &'f str,
}

impl LayerSource for LayerFile<'_> {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        let missing =
            || io::Error::new(io::ErrorKind::NotFound, format!("{} is not in the source", self.path));
        self.files.open(self.path)?.ok_or_else(missing)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
}

/// Index and manifest in one: which of them it is is told by its members.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    artifact_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Config {
    #[serde(default)]
    rootfs: RootFs,
    #[serde(flatten)]
    platform: Platform,
}

#[derive(Debug, Default, Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<Digest>,
}

impl Platform {
    fn text(&self) -> String {
        let base = format!("{}/{}", self.os, self.architecture);
        if self.variant.is_empty() { base } else { format!("{base}/{}", self.variant) }
    }

    fn is(&self, wanted: &str) -> bool {
        let text = self.text();
        text == wanted || text.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/')) || {
            // arm64 means arm64/v8 and the other way round.
            wanted.strip_suffix("/v8").is_some_and(|base| base == text)
        }
    }
}

impl Descriptor {
    fn is_attestation(&self) -> bool {
        self.annotations.contains_key("vnd.docker.reference.type")
            || self
                .platform
                .as_ref()
                .is_some_and(|platform| platform.os == "unknown" && platform.architecture == "unknown")
    }

    fn name(&self) -> Option<&String> {
        ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
            .iter()
            .find_map(|key| self.annotations.get(*key))
    }

    fn is_called(&self, reference: &str) -> bool {
        self.digest.to_string() == reference
            || self.annotations.iter().any(|(key, value)| {
                (key.ends_with("ref.name") || key.ends_with("image.name"))
                    && (value == reference || value.ends_with(&format!(":{reference}")))
            })
    }
}

/// Finds the chosen image of an OCI layout or docker archive; none if the files are neither.
///
/// # Errors
/// Documents that are malformed, too large, or not what their digest says; a choice that names nothing, or several.
pub fn find_image(files: &dyn Files, choice: &Choice) -> Result<Option<Image>, ScanError> {
    if let Some(index) = document(files, "index.json")? {
        return oci_layout(files, &parse("index.json", &index)?, choice).map(Some);
    }
    match document(files, "manifest.json")? {
        Some(manifest) => docker_archive(files, parse("manifest.json", &manifest)?, choice).map(Some),
        None => Ok(None),
    }
}

fn oci_layout(files: &dyn Files, index: &Document, choice: &Choice) -> Result<Image, ScanError> {
    let mut roots: Vec<&Descriptor> =
        index.manifests.iter().flatten().filter(|descriptor| !descriptor.is_attestation()).collect();
    let all: Vec<String> =
        roots.iter().map(|root| root.name().cloned().unwrap_or_else(|| root.digest.to_string())).collect();
    if let Some(reference) = &choice.reference {
        roots.retain(|root| root.is_called(reference));
        if roots.is_empty() {
            return Err(ScanError::Missing(reference.clone()));
        }
    }
    // Several names of one image, or several platforms, are no choice to make; several images are.
    let distinct: std::collections::BTreeSet<_> = roots.iter().map(|root| &root.digest).collect();
    let platforms = roots.iter().all(|root| root.platform.is_some());
    if distinct.len() > 1 && !platforms {
        return Err(ScanError::Ambiguous(all));
    }
    let root = pick(&roots, choice).ok_or_else(|| ScanError::Missing("image manifest".to_owned()))?;
    let names = roots
        .iter()
        .filter(|other| other.digest == root.digest)
        .filter_map(|root| root.name().cloned())
        .collect();
    let mut image = resolve(files, root, choice, INDEX_DEPTH)?;
    image.names = names;
    Ok(image)
}

fn pick<'d>(candidates: &[&'d Descriptor], choice: &Choice) -> Option<&'d Descriptor> {
    let of = |wanted: &str| {
        candidates
            .iter()
            .copied()
            .find(|descriptor| descriptor.platform.as_ref().is_some_and(|platform| platform.is(wanted)))
    };
    match &choice.platform {
        Some(wanted) => {
            of(wanted).or_else(|| candidates.iter().copied().find(|descriptor| descriptor.platform.is_none()))
        }
        None => choice.default_platform.as_deref().and_then(of).or_else(|| candidates.first().copied()),
    }
}

fn resolve(
    files: &dyn Files,
    descriptor: &Descriptor,
    choice: &Choice,
    depth: usize,
) -> Result<Image, ScanError> {
    let bytes = blob(files, &descriptor.digest)?;
    let document: Document = parse("manifest", &bytes)?;
    if let Some(children) = &document.manifests {
        if depth == 0 {
            return Err(ScanError::limit(Limit::NestingDepth, &descriptor.digest.to_string()));
        }
        let children: Vec<&Descriptor> = children.iter().filter(|child| !child.is_attestation()).collect();
        let child = pick(&children, choice).ok_or_else(|| {
            ScanError::Missing(choice.platform.clone().unwrap_or_else(|| "image manifest".to_owned()))
        })?;
        return resolve(files, child, choice, depth - 1);
    }
    let config_descriptor =
        document.config.as_ref().ok_or_else(|| ScanError::Missing("config".to_owned()))?;
    let config_bytes = blob(files, &config_descriptor.digest)?;
    // An artifact's configuration is anything, `{}` often; only an image's states diffIDs.
    let config: Config = serde_json::from_slice(&config_bytes).unwrap_or_default();
    let layer = |(index, layer): (usize, Descriptor)| ImageLayer {
        path: blob_path(&layer.digest),
        diff_id: config.rootfs.diff_ids.get(index).copied(),
        digest: Some(layer.digest),
        media_type: layer.media_type,
    };
    let is_image = config_descriptor.media_type.contains("image");
    let artifact_type =
        document.artifact_type.or_else(|| (!is_image).then(|| config_descriptor.media_type.clone()));
    Ok(Image {
        manifest_digest: Some(descriptor.digest),
        artifact_type: artifact_type
            .or_else(|| Some(document.media_type).filter(|media_type| !media_type.is_empty())),
        names: Vec::new(),
        platform: (!config.platform.os.is_empty()).then(|| config.platform.text()),
        layers: document.layers.into_iter().enumerate().map(layer).collect(),
        config: config_bytes,
    })
}

fn docker_archive(files: &dyn Files, mut saved: Vec<Saved>, choice: &Choice) -> Result<Image, ScanError> {
    let all: Vec<String> = saved
        .iter()
        .map(|image| image.repo_tags.iter().flatten().next().cloned().unwrap_or_else(|| image.config.clone()))
        .collect();
    if let Some(reference) = &choice.reference {
        saved.retain(|image| {
            image
                .repo_tags
                .iter()
                .flatten()
                .any(|tag| tag == reference || tag.ends_with(&format!(":{reference}")))
        });
        if saved.is_empty() {
            return Err(ScanError::Missing(reference.clone()));
        }
    }
    if saved.len() > 1 {
        return Err(ScanError::Ambiguous(all));
    }
    let image = saved.pop().ok_or_else(|| ScanError::Missing("image in manifest.json".to_owned()))?;
    let bytes = document(files, &normalise(&image.config))?
        .ok_or_else(|| ScanError::Missing(image.config.clone()))?;
    let config: Config = parse("config", &bytes)?;
    let layer = |(index, path): (usize, &String)| ImageLayer {
        path: normalise(path),
        digest: None,
        diff_id: config.rootfs.diff_ids.get(index).copied(),
        media_type: String::new(),
    };
    Ok(Image {
        layers: image.layers.iter().enumerate().map(layer).collect(),
        names: image.repo_tags.unwrap_or_default(),
        platform: Some(config.platform.text()),
        config: bytes,
        ..Image::default()
    })
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

fn document(files: &dyn Files, path: &str) -> Result<Option<Vec<u8>>, ScanError> {
    let Some(file) = files.open(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(DOCUMENT_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > DOCUMENT_BYTES {
        return Err(ScanError::limit(Limit::FileSize, path));
    }
    Ok(Some(bytes))
}

fn blob(files: &dyn Files, digest: &Digest) -> Result<Vec<u8>, ScanError> {
    let bytes = document(files, &blob_path(digest))?.ok_or_else(|| ScanError::Missing(digest.to_string()))?;
    if Digest::of(digest.algorithm(), &bytes) != *digest {
        return Err(ScanError::Malformed { what: "blob", why: format!("content is not {digest}") });
    }
    Ok(bytes)
}

fn parse<'b, T: Deserialize<'b>>(what: &'static str, bytes: &'b [u8]) -> Result<T, ScanError> {
    serde_json::from_slice(bytes).map_err(|error| ScanError::Malformed { what, why: error.to_string() })
}

/// Where the members of an archive lie in its uncompressed bytes.
#[derive(Clone, Debug, Default)]
pub struct ArchiveIndex {
    members: BTreeMap<String, Member>,
}

#[derive(Clone, Debug)]
enum Member {
    File { offset: u64, size: u64 },
    Link(String),
}

impl ArchiveIndex {
    /// Reads an archive of an image through once; compression is detected.
    ///
    /// # Errors
    /// As [`crate::layer::catalogue_layer`].
    pub fn read(source: impl Read, limits: &Limits, watch: &dyn Watch) -> Result<Self, ScanError> {
        let mut stream = Metered::open(source, limits, watch, false)?;
        let mut index = Self::default();
        let mut tar = Tar::new(&mut stream, limits);
        while let Some(entry) = tar.next()? {
            if index.members.len() as u64 >= limits.entries {
                return Err(ScanError::limit(Limit::Entries, &entry.path));
            }
            let path = normalise(&entry.path);
            let member = match entry.kind {
                EntryKind::File => Member::File { offset: tar.position(), size: entry.size },
                EntryKind::Symlink => Member::Link(resolve_link(&path, &entry.link)),
                EntryKind::Hardlink => Member::Link(normalise(&entry.link)),
                _ => continue,
            };
            index.members.insert(path, member);
        }
        Ok(index)
    }

    /// Offset and size in bytes of a member, links followed.
    pub fn find(&self, path: &str) -> Option<(u64, u64)> {
        let mut path = path;
        for _ in 0..8 {
            match self.members.get(path)? {
                Member::File { offset, size } => return Some((*offset, *size)),
                Member::Link(target) => path = target,
            }
        }
        None
    }
}
