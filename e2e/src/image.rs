//! Artifacts made here: deterministic bytes, manifests as text, OCI layouts on disk.
//!
//! Everything is a function of its arguments, so a test that fails names the same digests every time it runs.

use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::registry::{OCI_INDEX, OCI_MANIFEST, Target, sha256};

/// The empty JSON object that artifacts without configuration refer to.
pub const EMPTY: &[u8] = b"{}";

/// `length` bytes that no compressor shrinks and that differ for every `seed` (SplitMix64).
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bytes.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A descriptor of these bytes.
pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": sha256(bytes), "size": bytes.len() })
}

/// An OCI image manifest over a configuration and layers, as bytes.
pub fn manifest(config: &[u8], layers: &[&[u8]]) -> Vec<u8> {
    let layers: Vec<Value> =
        layers.iter().map(|l| descriptor("application/vnd.oci.image.layer.v1.tar", l)).collect();
    bytes_of(&json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": layers,
    }))
}

/// An OCI index over manifests that are already there, one platform each.
pub fn index(manifests: &[&[u8]]) -> Vec<u8> {
    let architectures = ["amd64", "arm64", "riscv64", "s390x", "ppc64le"];
    let children: Vec<Value> = manifests
        .iter()
        .zip(architectures.iter().cycle())
        .map(|(m, architecture)| {
            let mut child = descriptor(OCI_MANIFEST, m);
            child["platform"] = json!({ "architecture": architecture, "os": "linux" });
            child
        })
        .collect();
    bytes_of(&json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children }))
}

/// An artifact that refers to `subject`.
pub fn referrer(subject: &Value, artifact_type: &str, note: &str) -> Vec<u8> {
    bytes_of(&json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": descriptor("application/vnd.oci.empty.v1+json", EMPTY),
        "layers": [descriptor("application/vnd.oci.empty.v1+json", EMPTY)],
        "subject": subject,
        "annotations": { "org.example.note": note },
    }))
}

/// The JSON's bytes.
pub fn bytes_of(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A small image that differs for every `seed`.
#[derive(Debug, Clone)]
pub struct Image {
    /// The configuration's bytes.
    pub config: Vec<u8>,
    /// The only layer's bytes.
    pub layer: Vec<u8>,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
}

impl Image {
    /// An image with a layer of `layer_bytes` of noise.
    pub fn new(seed: u64, layer_bytes: usize) -> Self {
        let layer = noise(seed, layer_bytes);
        let config = bytes_of(&json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [sha256(&layer)] },
            "author": format!("seed {seed}"),
        }));
        let manifest = manifest(&config, &[&layer]);
        Self { config, layer, manifest }
    }

    /// The manifest's digest.
    pub fn digest(&self) -> String {
        sha256(&self.manifest)
    }

    /// Pushes both blobs.
    pub fn push_blobs(&self, target: &Target, repo: &str) -> anyhow::Result<()> {
        target.push_blob(repo, &self.config)?;
        target.push_blob(repo, &self.layer)?;
        Ok(())
    }

    /// Pushes everything under a tag; the digest.
    pub fn push(&self, target: &Target, repo: &str, tag: &str) -> anyhow::Result<String> {
        self.push_blobs(target, repo)?;
        target.push_manifest(repo, tag, OCI_MANIFEST, &self.manifest)
    }
}

/// A layer being put together: a gzipped tar.
pub struct LayerBuilder {
    tar: tar::Builder<GzEncoder<Vec<u8>>>,
}

impl Default for LayerBuilder {
    fn default() -> Self {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        tar.mode(tar::HeaderMode::Deterministic);
        tar.follow_symlinks(false);
        Self { tar }
    }
}

impl LayerBuilder {
    /// Adds one file.
    pub fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> anyhow::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        header.set_cksum();
        self.tar.append_data(&mut header, path, bytes)?;
        Ok(())
    }

    /// Adds a directory of this machine below `at`.
    pub fn directory(&mut self, at: &str, from: &Path) -> anyhow::Result<()> {
        self.tar.append_dir_all(at, from)?;
        Ok(())
    }

    /// The layer's bytes.
    pub fn finish(self) -> anyhow::Result<Vec<u8>> {
        Ok(self.tar.into_inner()?.finish()?)
    }
}

/// An image on disk as an OCI layout with one tag, for clients that push from a directory.
pub fn write_layout(dir: &Path, tag: &str, layers: &[Vec<u8>], config: &Value) -> anyhow::Result<String> {
    use std::io::Read as _;
    let mut diff_ids = Vec::new();
    for layer in layers {
        let mut raw = Vec::new();
        flate2::read::GzDecoder::new(layer.as_slice()).read_to_end(&mut raw)?;
        diff_ids.push(sha256(&raw));
    }
    let mut config = config.clone();
    config["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
    let config = bytes_of(&config);
    let descriptors: Vec<Value> =
        layers.iter().map(|l| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", l)).collect();
    let manifest = bytes_of(&json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": descriptors,
    }));
    let mut entry = descriptor(OCI_MANIFEST, &manifest);
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
    let index = bytes_of(&json!({ "schemaVersion": 2, "manifests": [entry] }));
    let blobs = dir.join("blobs/sha256");
    std::fs::create_dir_all(&blobs)?;
    for bytes in layers.iter().chain([&config, &manifest]) {
        std::fs::write(blobs.join(sha256(bytes).trim_start_matches("sha256:")), bytes)?;
    }
    std::fs::write(dir.join("index.json"), index)?;
    std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(sha256(&manifest))
}
