//! rpm's database in its three forms and the manifest of images without one.
//!
//! All three hold the same header blobs; the form is told by magic bytes. Source packages, epoch, vendor and modularity
//! label come from the header; requirements are resolved to package names by the provides of the same database.

mod bdb;
mod header;
mod manifest;
mod ndb;
mod sqlite;

use std::collections::BTreeMap;

use super::{Extractor, Found, Parse, ParseError, ParseResult, Scope};
use crate::package::{Package, PackageKind, SourcePackage};
use header::Header;

pub(super) const DATABASE: Extractor = Extractor {
    name: "rpm",
    scope: Scope::Both,
    required: |info| {
        matches!(info.name, "Packages" | "Packages.db" | "rpmdb.sqlite") && info.parent() == "rpm"
    },
    parse: Parse::Database(|_, bytes, found| parse(bytes, found)),
};

pub(super) const MANIFEST: Extractor = Extractor {
    name: "rpm-manifest",
    scope: Scope::Both,
    required: |info| info.ends_with("var/lib/rpmmanifest/container-manifest-2"),
    parse: Parse::Document(|_, bytes, found| {
        manifest::parse(&super::text::text(bytes), found);
        Ok(())
    }),
};

/// Reads a database of any form.
pub(crate) fn parse(bytes: &[u8], found: &mut Found) -> ParseResult {
    let mut provided_by: BTreeMap<String, String> = BTreeMap::new();
    let mut broken = 0_usize;
    let mut each = |blob: &[u8]| match Header::parse(blob) {
        Some(header) => take(&header, &mut provided_by, found),
        None => broken += 1,
    };
    if bytes.is_empty() {
        return Ok(());
    } else if sqlite::is_database(bytes) {
        sqlite::packages(bytes, &mut each)?;
    } else if ndb::is_database(bytes) {
        ndb::packages(bytes, &mut each)?;
    } else if bdb::is_database(bytes) {
        bdb::packages(bytes, &mut each)?;
    } else {
        return Err(ParseError::malformed("neither BerkeleyDB hash, ndb nor sqlite"));
    }
    if broken > 0 {
        found.problems.push(format!("{broken} package headers are damaged"));
    }
    for package in &mut found.packages {
        let mut names: Vec<String> = package
            .depends_on
            .iter()
            .filter_map(|need| provided_by.get(need))
            .filter(|name| **name != package.name)
            .cloned()
            .collect();
        names.sort_unstable();
        names.dedup();
        package.depends_on = names;
    }
    Ok(())
}

fn take(header: &Header<'_>, provided_by: &mut BTreeMap<String, String>, found: &mut Found) {
    let Some(name) = header.string(header::NAME) else { return };
    // Imported signing keys are rows of the database but no software.
    if name == "gpg-pubkey" {
        return;
    }
    let release = header.string(header::RELEASE).unwrap_or_default();
    let bare = match header.string(header::VERSION) {
        Some(version) if release.is_empty() => version,
        Some(version) => format!("{version}-{release}"),
        None => return,
    };
    let epoch = header.number(header::EPOCH).filter(|epoch| *epoch != 0);
    let mut package = Package::new(PackageKind::Rpm, name.as_str(), with_epoch(epoch, &bare));
    package.arch = header.string(header::ARCH).filter(|arch| arch != "(none)");
    package.supplier = header.string(header::VENDOR).filter(|vendor| vendor != "(none)");
    package.licenses = header.string(header::LICENSE).into_iter().collect();
    package.module = header.string(header::MODULARITY_LABEL).filter(|label| label != "(none)");
    package.source = header.string(header::SOURCE_RPM).and_then(|file| source(&file, epoch));
    package.depends_on = header
        .strings(header::REQUIRE_NAME)
        .into_iter()
        .filter(|need| !need.starts_with("rpmlib("))
        .collect();
    for capability in header.strings(header::PROVIDE_NAME) {
        provided_by.entry(capability).or_insert_with(|| name.clone());
    }
    let directories = header.strings(header::DIR_NAMES);
    let files: Vec<String> = header
        .strings(header::BASE_NAMES)
        .iter()
        .zip(header.numbers(header::DIR_INDEXES))
        .filter_map(|(base, dir)| Some(format!("{}{base}", directories.get(usize::try_from(dir).ok()?)?)))
        .collect();
    for file in &files {
        provided_by.entry(file.clone()).or_insert_with(|| name.clone());
    }
    found.own(&name, files.iter().map(String::as_str));
    found.package(package);
}

fn with_epoch(epoch: Option<u32>, version: &str) -> String {
    epoch.map_or_else(|| version.to_owned(), |epoch| format!("{epoch}:{version}"))
}

/// `NAME-VERSION-RELEASE.src.rpm`; it states no epoch, so the binary's is taken.
fn source(file: &str, epoch: Option<u32>) -> Option<SourcePackage> {
    let stem = file.strip_suffix(".rpm")?;
    let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
    let mut parts = stem.rsplitn(3, '-');
    let (release, version, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some(SourcePackage { name: name.to_owned(), version: with_epoch(epoch, &format!("{version}-{release}")) })
}
