//! No parser panics or runs away on damaged input: every fixture, truncated and mutated, under every path that an
//! extractor takes. The fuzz targets in `fuzz/` run the same bodies with coverage guidance.

mod common;

use common::{Layer, files, shared};
use vuln::extract::{Cataloguer, FileInfo};
use vuln::image::{ArchiveIndex, Choice, Files, find_image};
use vuln::{Limits, Mode, Pulse, catalogue_layer, merge};

/// Small limits keep a run of thousands of inputs short.
fn limits() -> Limits {
    Limits {
        uncompressed_bytes: 64 << 20,
        ratio_free_bytes: 8 << 20,
        database_bytes: 8 << 20,
        document_bytes: 4 << 20,
        ..Limits::default()
    }
}

/// A small generator; the seed makes a run repeatable.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).expect("fits")
    }
}

/// Cuts, flips, repeats and splices.
fn mutate(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(copy.len());
        match random.below(5) {
            0 => copy.truncate(at),
            1 => copy.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8)),
            2 => copy.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff),
            3 => copy.iter_mut().skip(at).take(8).for_each(|byte| *byte = 0),
            _ => {
                let part: Vec<u8> = copy.iter().skip(at).take(64).copied().collect();
                let to = random.below(copy.len());
                copy.splice(to..to, part);
            }
        }
    }
    copy
}

fn extract(path: &str, content: &[u8]) {
    let limits = limits();
    for mode in [Mode::Image, Mode::Directory] {
        let mut cataloguer = Cataloguer::new(mode, &limits);
        // A limit is a fine answer; a panic or a hang is not.
        if cataloguer.file(&FileInfo::new(path, content.len() as u64, 0o755), &mut &*content).is_ok() {
            merge(&[cataloguer.finish_directory()]);
        }
    }
}

#[test]
fn damaged_files_of_every_kind_do_no_harm() {
    let Some(root) = shared("scan-truth") else { return };
    let mut random = Random(0x2026_1121);
    for tree in ["syft/image-pkg-coverage", "apk/syft", "dpkg/syft", "os-release/syft", "rpmdb"] {
        let base = root.join(tree);
        for file in files(&base) {
            let content = std::fs::read(&file).expect("readable");
            let name = file.strip_prefix(&base).expect("inside").to_string_lossy().replace("pkgs/", "");
            let path = if tree == "rpmdb" { "var/lib/rpm/Packages".to_owned() } else { name };
            if content.len() > 1 << 20 && !path.ends_with("Packages") {
                continue;
            }
            let rounds = if content.len() > 1 << 20 { 3 } else { 12 };
            for _ in 0..rounds {
                extract(&path, &mutate(&content, &mut random));
            }
        }
    }
}

#[test]
fn damaged_rpm_databases_do_no_harm() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rpmdb");
    let mut random = Random(7);
    for file in ["rpmdb.sqlite.zst", "Packages.db.zst"] {
        let packed = std::fs::read(root.join(file)).expect("readable");
        let content = zstd::decode_all(packed.as_slice()).expect("zstd");
        for _ in 0..150 {
            extract("var/lib/rpm/rpmdb.sqlite", &mutate(&content, &mut random));
        }
    }
}

#[test]
fn damaged_layers_do_no_harm() {
    let layer = Layer::new()
        .file("var/lib/dpkg/status", "Package: a\nVersion: 1\n\n")
        .directory("d")
        .link(tar::EntryType::Symlink, "lib", "usr/lib")
        .link(tar::EntryType::Link, "b/package.json", "x")
        .file(&"long/".repeat(60), "x")
        .file("app/package.json", r#"{"name":"a","version":"1.0.0"}"#)
        .bytes();
    let mut packed = Vec::new();
    let mut encoder = flate2::write::GzEncoder::new(&mut packed, flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &layer).expect("gzip");
    encoder.finish().expect("gzip");
    let zstd = zstd::encode_all(layer.as_slice(), 1).expect("zstd");
    let (mut random, limits) = (Random(99), limits());
    for bytes in [layer, packed, zstd] {
        for _ in 0..300 {
            let damaged = mutate(&bytes, &mut random);
            if let Ok(result) = catalogue_layer(&damaged, Mode::Image, &limits, &|| Pulse::Go) {
                merge(&[result]);
            }
            let _ = ArchiveIndex::read(damaged.as_slice(), &limits, &|| Pulse::Go);
        }
    }
}

/// One document under every name.
struct Everywhere(Vec<u8>);

impl Files for Everywhere {
    fn open(&self, _: &str) -> std::io::Result<Option<Box<dyn std::io::Read + '_>>> {
        Ok(Some(Box::new(self.0.as_slice())))
    }
}

#[test]
fn damaged_image_documents_do_no_harm() {
    let index = br#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":2,"platform":{"os":"linux","architecture":"amd64"},"annotations":{"a":"b"}}]}"#;
    let mut random = Random(3);
    for _ in 0..2000 {
        let _ = find_image(&Everywhere(mutate(index, &mut random)), &Choice::default());
    }
}
