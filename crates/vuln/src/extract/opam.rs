//! OCaml: `opam` files; installed ones lie in `NAME.VERSION/opam`.

use super::text::{between, text};
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "opam",
    scope: Scope::Both,
    required: |info| info.name == "opam" || info.has_suffix(".opam"),
    parse: Parse::Document(|info, bytes, found| {
        let text = text(bytes);
        if !text.contains("opam-version") {
            return Ok(());
        }
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix(':').map(str::trim))
        };
        let quoted =
            |value: Option<&str>| value.and_then(|value| between(value, "\"", "\"")).map(str::to_owned);
        let directory = if info.name == "opam" { info.parent() } else { info.name.trim_end_matches(".opam") };
        let (name, version) = directory.split_once('.').unwrap_or((directory, ""));
        let name = quoted(field("name")).unwrap_or_else(|| name.to_owned());
        let version = quoted(field("version")).unwrap_or_else(|| version.to_owned());
        let mut package = Package::new(PackageKind::Opam, name, version);
        package.licenses = quoted(field("license")).into_iter().collect();
        found.package(package);
        Ok(())
    }),
};
