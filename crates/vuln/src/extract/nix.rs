//! Nix store paths: `nix/store/HASH-NAME-VERSION[-OUTPUT]/…`. The path is the evidence; no file is read.

use crate::package::{Package, PackageKind};

const HASH_CHARS: usize = 32;
const OUTPUTS: [&str; 12] =
    ["bin", "dev", "out", "lib", "man", "doc", "info", "static", "debug", "data", "devdoc", "py"];

/// The store path that a file lies in, and its package if the name has a version.
pub(super) fn store_path(path: &str) -> Option<(&str, Package)> {
    let start = if path.starts_with("nix/store/") { 0 } else { path.find("/nix/store/")? + 1 };
    let inside = path.get(start + "nix/store/".len()..)?;
    let (entry, _) = inside.split_once('/')?;
    let hash = entry.get(..HASH_CHARS)?;
    let name = entry.get(HASH_CHARS..)?.strip_prefix('-')?;
    hash.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()).then_some(())?;
    let dash = name
        .match_indices('-')
        .find(|(at, _)| name.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit))?
        .0;
    let (base, version) = (name.get(..dash)?, name.get(dash + 1..)?);
    let (version, output) = match version.rsplit_once('-') {
        Some((version, output)) if OUTPUTS.contains(&output) => (version, output),
        _ => (version, ""),
    };
    // Sources and patches are stored too, but are not installed.
    if [".drv", ".patch", ".tar.gz", ".tar.xz", ".tar.bz2", ".zip"]
        .iter()
        .any(|suffix| version.ends_with(suffix))
        || base.is_empty()
    {
        return None;
    }
    let mut package = Package::new(PackageKind::Nix, base, version);
    package.properties.insert("store-hash".to_owned(), hash.to_owned());
    if !output.is_empty() {
        package.properties.insert("output".to_owned(), output.to_owned());
    }
    Some((path.get(..start + "nix/store/".len() + entry.len())?, package))
}
