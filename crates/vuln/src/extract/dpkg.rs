//! dpkg and opkg databases: `status`, distroless images' `status.d/*`, opkg's `info/*.control`.
//!
//! deb-control(5). A package counts when it is unpacked or installed; removed ones that left configuration do not. The
//! source is the `Source` field with its version in parentheses, else name and version of the binary package.

use super::text::{dependency_names, stanzas, text};
use super::{Extractor, FileInfo, Found, Parse, ParseError, ParseResult, Scope};
use crate::package::{Package, PackageKind, SourcePackage};

pub(super) const STATUS: Extractor = Extractor {
    name: "dpkg",
    scope: Scope::Both,
    required: |info| {
        info.ends_with("lib/dpkg/status")
            || (info.parent() == "status.d" && in_status_d(info) && !is_side_file(info.name))
    },
    parse: Parse::Database(|_, bytes, found| parse(PackageKind::Deb, bytes, found)),
};

pub(super) const OPKG: Extractor = Extractor {
    name: "opkg",
    scope: Scope::Both,
    required: |info| {
        info.ends_with("lib/opkg/status")
            || (info.path.contains("lib/opkg/info/") && info.has_suffix(".control"))
    },
    parse: Parse::Database(|_, bytes, found| parse(PackageKind::Opkg, bytes, found)),
};

pub(super) fn in_status_d(info: &FileInfo<'_>) -> bool {
    info.path
        .rsplit_once('/')
        .is_some_and(|(dir, _)| dir == "lib/dpkg/status.d" || dir.ends_with("/lib/dpkg/status.d"))
}

/// Maintainer scripts and lists that distroless keeps beside its stanzas.
fn is_side_file(name: &str) -> bool {
    const SIDE: [&str; 13] = [
        ".md5sums",
        ".preinst",
        ".postinst",
        ".prerm",
        ".postrm",
        ".triggers",
        ".conffiles",
        ".shlibs",
        ".symbols",
        ".list",
        ".templates",
        ".config",
        ".sha256sums",
    ];
    SIDE.iter().any(|suffix| name.ends_with(suffix))
}

fn parse(kind: PackageKind, bytes: &[u8], found: &mut Found) -> ParseResult {
    let text = text(bytes);
    let mut named = 0;
    for stanza in stanzas(&text) {
        let get = |key: &str| stanza.get(key).map_or("", String::as_str);
        let (name, version) = (get("package"), get("version"));
        if stanza.contains_key("package") {
            named += 1;
        }
        if name.is_empty() || version.is_empty() || !is_installed(get("status")) {
            continue;
        }
        let mut package = Package::new(kind, name, version);
        package.arch = some(get("architecture"));
        package.supplier = some(get("maintainer"));
        if kind == PackageKind::Deb {
            package.source = Some(source(get("source"), name, version));
        }
        package.licenses = some(get("license")).into_iter().collect();
        package.depends_on = dependency_names(&format!("{},{}", get("pre-depends"), get("depends")));
        if let Some(origin) = some(get("origin")) {
            package.properties.insert("origin".to_owned(), origin);
        }
        found.package(package);
    }
    if named == 0 && !text.trim().is_empty() {
        return Err(ParseError::malformed("no package stanza"));
    }
    Ok(())
}

/// `want flag state`; distroless and control files have no status and are installed.
fn is_installed(status: &str) -> bool {
    let mut words = status.split_whitespace();
    let want = words.next().unwrap_or("install");
    let state = words.nth(1).unwrap_or("installed");
    !matches!(want, "deinstall" | "purge") && !matches!(state, "config-files" | "not-installed")
}

fn source(field: &str, name: &str, version: &str) -> SourcePackage {
    let (source, rest) = field.split_once(' ').unwrap_or((field, ""));
    let stated = rest.trim().trim_start_matches('(').trim_end_matches(')').trim();
    SourcePackage {
        name: if source.is_empty() { name } else { source }.to_owned(),
        version: if stated.is_empty() { version } else { stated }.to_owned(),
    }
}

fn some(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_packages_are_skipped_and_sources_are_taken_with_their_version() {
        let mut found = Found::default();
        let status = b"Package: a\nStatus: install ok installed\nSource: s (1:2-3)\nVersion: 1:2-3+b1\nDepends: libc6 (>= 2), x | y:any\n\n\
            Package: b\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: c\nStatus: hold ok installed\nVersion: 7\n";
        parse(PackageKind::Deb, status, &mut found).expect("a status file");
        let names: Vec<_> = found.packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["a", "c"]);
        let first = found.packages.first().expect("a");
        assert_eq!(first.source, Some(SourcePackage { name: "s".into(), version: "1:2-3".into() }));
        assert_eq!(first.depends_on, ["libc6", "x", "y"]);
    }
}
