//! Manifests: what a pushed document refers to (OCI image specification "Image Manifest" and "Image Index"; Docker
//! image manifest version 2, schema 2).
//!
//! The bytes are the truth; this parsed view is derived from them and never written back. The reader is strict where
//! readers could disagree (CVE-2021-41190): a document is an image or an index, never both, and its own `mediaType`
//! is the `Content-Type` it came with.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::descriptor::{Descriptor, RawDescriptor};
use crate::media_type::{
    DOCKER_LIST, DOCKER_MANIFEST, DOCKER_V1, DOCKER_V1_SIGNED, MediaType, OCI_ARTIFACT, OCI_EMPTY, OCI_INDEX,
    OCI_MANIFEST,
};
use crate::object::Object;
use crate::strict_json;

/// Most descriptors in one manifest.
pub const MAX_DESCRIPTORS: usize = 10_000;

/// What a manifest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestKind {
    /// Configuration and layers: OCI image manifest or Docker schema 2.
    Image,
    /// A list of manifests: OCI index or Docker manifest list.
    Index,
    /// OCI artifact manifest of the 1.1 release candidates.
    Artifact,
}

/// Why a document is no manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Docker schema 1.
    #[error(
        "docker schema 1 manifests are not supported: they cannot be verified; push with a client from 2017 or newer"
    )]
    Schema1,
    /// A media type that is no manifest's.
    #[error("`{0}` is not the media type of a manifest")]
    MediaType(MediaType),
    /// Not JSON, or JSON that two readers could understand differently.
    #[error("manifest is not valid JSON: {0}")]
    Json(String),
    /// JSON that is not the manifest that its media type names.
    #[error("{0}")]
    Content(&'static str),
}

/// The parsed view of a manifest's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Media type under which it was pushed.
    pub media_type: MediaType,
    /// What it is.
    pub kind: ManifestKind,
    /// Configuration of an image manifest.
    pub config: Option<Descriptor>,
    /// Layers of an image, blobs of an artifact manifest.
    pub layers: Vec<Descriptor>,
    /// Manifests of an index.
    pub children: Vec<Descriptor>,
    /// The manifest that this one is about.
    pub subject: Option<Descriptor>,
    /// Its own `artifactType`.
    pub artifact_type: Option<String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: serde_json::Number,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    config: Option<Object<RawDescriptor>>,
    #[serde(default)]
    layers: Option<Vec<Object<RawDescriptor>>>,
    #[serde(default)]
    blobs: Option<Vec<Object<RawDescriptor>>>,
    #[serde(default)]
    manifests: Option<Vec<Object<RawDescriptor>>>,
    #[serde(default)]
    subject: Option<Object<RawDescriptor>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default, rename = "fsLayers")]
    fs_layers: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawArtifact {
    media_type: Option<String>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    blobs: Option<Vec<Object<RawDescriptor>>>,
    #[serde(default)]
    subject: Option<Object<RawDescriptor>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Manifest {
    /// Reads `bytes` that were pushed as `content_type`.
    pub fn parse(content_type: &MediaType, bytes: &[u8]) -> Result<Self, ManifestError> {
        let kind = match content_type.as_str() {
            OCI_MANIFEST | DOCKER_MANIFEST => ManifestKind::Image,
            OCI_INDEX | DOCKER_LIST => ManifestKind::Index,
            OCI_ARTIFACT => ManifestKind::Artifact,
            DOCKER_V1 | DOCKER_V1_SIGNED | "application/json" => return Err(ManifestError::Schema1),
            _ => return Err(ManifestError::MediaType(content_type.clone())),
        };
        strict_json::check(bytes).map_err(ManifestError::Json)?;
        let manifest = if kind == ManifestKind::Artifact {
            Self::from_artifact(content_type, read(bytes)?)?
        } else {
            Self::from_raw(content_type, kind, read(bytes)?)?
        };
        manifest.check_totals()?;
        Ok(manifest)
    }

    fn from_raw(content_type: &MediaType, kind: ManifestKind, raw: Raw) -> Result<Self, ManifestError> {
        if raw.schema_version.as_u64() != Some(2) {
            return Err(ManifestError::Content("schemaVersion must be 2"));
        }
        check_media_type(content_type, raw.media_type.as_deref())?;
        if raw.fs_layers.is_some() {
            return Err(ManifestError::Schema1);
        }
        let wrong = match kind {
            ManifestKind::Index => raw.config.is_some() || raw.layers.is_some() || raw.blobs.is_some(),
            _ => raw.manifests.is_some() || raw.blobs.is_some(),
        };
        if wrong {
            return Err(ManifestError::Content(
                "a manifest is an image or an index: it cannot have members of both",
            ));
        }
        let (config, layers, children) = match kind {
            ManifestKind::Index => {
                let entries = raw.manifests.ok_or(ManifestError::Content("an index needs `manifests`"))?;
                (None, Vec::new(), descriptors(entries)?)
            }
            _ => {
                let config = raw.config.ok_or(ManifestError::Content("an image manifest needs `config`"))?;
                let layers = raw.layers.ok_or(ManifestError::Content("an image manifest needs `layers`"))?;
                (Some(config.0.parse().map_err(ManifestError::Content)?), descriptors(layers)?, Vec::new())
            }
        };
        let artifact_type = raw.artifact_type.filter(|text| !text.is_empty());
        Ok(Self {
            media_type: content_type.clone(),
            kind,
            config,
            layers,
            children,
            subject: raw.subject.map(|raw| raw.0.parse()).transpose().map_err(ManifestError::Content)?,
            artifact_type,
            annotations: raw.annotations.unwrap_or_default(),
        })
    }

    fn from_artifact(content_type: &MediaType, raw: RawArtifact) -> Result<Self, ManifestError> {
        check_media_type(content_type, raw.media_type.as_deref())?;
        Ok(Self {
            media_type: content_type.clone(),
            kind: ManifestKind::Artifact,
            config: None,
            layers: descriptors(raw.blobs.unwrap_or_default())?,
            children: Vec::new(),
            subject: raw.subject.map(|raw| raw.0.parse()).transpose().map_err(ManifestError::Content)?,
            artifact_type: raw.artifact_type.filter(|text| !text.is_empty()),
            annotations: raw.annotations.unwrap_or_default(),
        })
    }

    fn check_totals(&self) -> Result<(), ManifestError> {
        let all = self.blobs().chain(&self.children);
        let mut total: i64 = 0;
        let mut count = 0_usize;
        for descriptor in all {
            let size = i64::try_from(descriptor.size_bytes).unwrap_or(i64::MAX);
            total = total.checked_add(size).ok_or(ManifestError::Content("the sizes add up to too much"))?;
            count += 1;
        }
        if count > MAX_DESCRIPTORS {
            return Err(ManifestError::Content("a manifest has at most 10,000 descriptors"));
        }
        Ok(())
    }

    /// Configuration and layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.config.iter().chain(&self.layers)
    }

    /// The artifact type as the referrers list states it: its own, else its configuration's media type (for an
    /// image), else nothing.
    pub fn effective_artifact_type(&self) -> Option<&str> {
        self.artifact_type
            .as_deref()
            .or_else(|| self.config.as_ref().map(|config| config.media_type.as_str()))
    }

    /// Whether the configuration is the empty JSON object, as artifacts have it.
    pub fn has_empty_config(&self) -> bool {
        self.config.as_ref().is_some_and(|config| config.media_type.as_str() == OCI_EMPTY)
    }
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, ManifestError> {
    serde_json::from_slice(bytes)
        .map(|Object(said)| said)
        .map_err(|error| ManifestError::Json(error.to_string()))
}

fn descriptors(raw: Vec<Object<RawDescriptor>>) -> Result<Vec<Descriptor>, ManifestError> {
    raw.into_iter().map(|raw| raw.0.parse()).collect::<Result<_, _>>().map_err(ManifestError::Content)
}

fn check_media_type(content_type: &MediaType, stated: Option<&str>) -> Result<(), ManifestError> {
    match stated {
        Some(stated) if stated != content_type.as_str() => Err(ManifestError::Content(
            "the manifest's `mediaType` is not the Content-Type it was pushed with",
        )),
        None if matches!(content_type.as_str(), DOCKER_MANIFEST | DOCKER_LIST | OCI_ARTIFACT) => {
            Err(ManifestError::Content("a docker manifest needs `mediaType`"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(content_type: &str, body: &str) -> Result<Manifest, ManifestError> {
        Manifest::parse(&content_type.parse().unwrap(), body.as_bytes())
    }

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn descriptor(size: &str) -> String {
        format!(r#"{{"mediaType":"application/x","digest":"{D}","size":{size}}}"#)
    }

    fn image(size: &str) -> String {
        format!(r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#, descriptor("0"), descriptor(size))
    }

    #[test]
    fn oci_image_without_media_type_is_accepted() {
        let manifest = parse(OCI_MANIFEST, &image("5")).unwrap();
        assert_eq!(manifest.kind, ManifestKind::Image);
        assert_eq!(manifest.blobs().count(), 2);
        assert_eq!(manifest.effective_artifact_type(), Some("application/x"));
    }

    #[test]
    fn sizes_that_are_not_byte_counts_are_refused() {
        for size in ["-5", "1.5", "\"5\"", "1e3", "99999999999999999999", "null"] {
            assert!(parse(OCI_MANIFEST, &image(size)).is_err(), "{size}");
        }
        let two = format!(
            r#"{{"schemaVersion":2,"config":{0},"layers":[{0},{0}]}}"#,
            descriptor("9223372036854775807")
        );
        assert!(parse(OCI_MANIFEST, &two).is_err(), "the sum overflows");
    }

    /// Found by a fuzzer: serde takes structures by position as well.
    #[test]
    fn an_array_is_no_manifest_no_descriptor_and_no_platform() {
        assert!(parse(OCI_ARTIFACT, &format!(r#"["{OCI_ARTIFACT}"]"#)).is_err());
        let positional = format!(r#"["application/x","{D}",5]"#);
        let config = descriptor("0");
        assert!(
            parse(OCI_MANIFEST, &format!(r#"{{"schemaVersion":2,"config":{positional},"layers":[]}}"#))
                .is_err()
        );
        let layers = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{positional}]}}"#);
        assert!(parse(OCI_MANIFEST, &layers).is_err());
        let child = |platform: &str| {
            format!(r#"{{"mediaType":"application/x","digest":"{D}","size":1,"platform":{platform}}}"#)
        };
        let index = |platform| format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, child(platform));
        assert!(parse(OCI_INDEX, &index(r#"["amd64","linux"]"#)).is_err());
        assert!(parse(OCI_INDEX, &index(r#"{"architecture":"amd64","os":"linux"}"#)).is_ok());
    }

    #[test]
    fn a_document_that_is_image_and_index_is_refused() {
        let both = format!(
            r#"{{"schemaVersion":2,"config":{0},"layers":[{0}],"manifests":[{0}]}}"#,
            descriptor("1")
        );
        assert!(parse(OCI_MANIFEST, &both).is_err());
        assert!(parse(OCI_INDEX, &both).is_err());
        let index_with_config =
            format!(r#"{{"schemaVersion":2,"config":{0},"manifests":[{0}]}}"#, descriptor("1"));
        assert!(parse(OCI_INDEX, &index_with_config).is_err());
    }

    #[test]
    fn media_type_must_be_the_content_type() {
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}"#);
        assert!(parse(OCI_INDEX, &index).is_ok());
        assert!(parse(DOCKER_LIST, &index).is_err());
        assert!(parse(DOCKER_LIST, r#"{"schemaVersion":2,"manifests":[]}"#).is_err());
    }

    #[test]
    fn schema_1_is_named_in_the_refusal() {
        for media_type in [DOCKER_V1, DOCKER_V1_SIGNED] {
            assert_eq!(parse(media_type, "{}"), Err(ManifestError::Schema1));
        }
        let disguised =
            format!(r#"{{"schemaVersion":2,"fsLayers":[],"config":{0},"layers":[]}}"#, descriptor("1"));
        assert_eq!(parse(OCI_MANIFEST, &disguised), Err(ManifestError::Schema1));
    }
}
