//! Rust programs built with cargo-auditable: section `.dep-v0`, zlib-compressed JSON.

use std::io::Read;

use flate2::read::ZlibDecoder;
use memchr::memchr_iter;
use object::{Object, ObjectSection};
use serde::Deserialize;

use crate::extract::Found;
use crate::package::{Package, PackageKind};

const JSON_BYTES: u64 = 8 << 20;
const START: &[u8] = b"{\"packages\":[";

#[derive(Deserialize)]
struct Audit {
    packages: Vec<Crate>,
}

#[derive(Deserialize)]
struct Crate {
    name: String,
    version: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    dependencies: Vec<usize>,
}

/// Reads the section of a whole file.
pub(super) fn parse(bytes: &[u8], found: &mut Found) {
    let Ok(object) = object::File::parse(bytes) else { return };
    let data = [".dep-v0", "__TEXT,.dep-v0", "rust-deps-v0"]
        .iter()
        .find_map(|name| object.section_by_name(name)?.data().ok());
    if let Some(data) = data.filter(|data| !data.is_empty()) {
        match inflate(data) {
            Some(audit) => report(&audit, found),
            None => found.problems.push("cargo-auditable section is damaged".to_owned()),
        }
    }
}

/// Looks for the section's content where the section table is out of reach.
pub(super) fn search(bytes: &[u8], found: &mut Found) {
    for at in memchr_iter(0x78, bytes) {
        let Some(data) = bytes.get(at..) else { break };
        if !matches!(data.get(1), Some(0x01 | 0x5e | 0x9c | 0xda)) {
            continue;
        }
        let mut start = [0_u8; START.len()];
        if ZlibDecoder::new(data).read_exact(&mut start).is_ok()
            && start == START
            && let Some(audit) = inflate(data)
        {
            return report(&audit, found);
        }
    }
}

fn inflate(data: &[u8]) -> Option<Audit> {
    let mut json = Vec::new();
    ZlibDecoder::new(data).take(JSON_BYTES).read_to_end(&mut json).ok()?;
    serde_json::from_slice(&json).ok()
}

fn report(audit: &Audit, found: &mut Found) {
    // Build dependencies are not in the program.
    for item in audit.packages.iter().filter(|item| item.kind.as_deref() != Some("build")) {
        let mut package = Package::new(PackageKind::Cargo, item.name.as_str(), item.version.as_str());
        if !item.source.is_empty() {
            package.properties.insert("source".to_owned(), item.source.clone());
        }
        package.depends_on = item
            .dependencies
            .iter()
            .filter_map(|index| audit.packages.get(*index).map(|item| item.name.clone()))
            .collect();
        found.package(package);
    }
}
