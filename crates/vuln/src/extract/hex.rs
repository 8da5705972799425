//! Elixir's `mix.lock` and Erlang's `rebar.lock`.

use super::text::text;
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const MIX: Extractor = Extractor {
    name: "mix-lock",
    scope: Scope::Directory,
    required: |info| info.name == "mix.lock",
    // "name": {:hex, :package, "version", "inner checksum", [managers], [dependencies], "repository", "checksum"}
    parse: Parse::Document(|_, bytes, found| {
        for line in text(bytes).lines() {
            let Some((_, entry)) = line.split_once("{:hex, :") else { continue };
            let mut parts = entry.split(", ");
            let name = parts.next().unwrap_or("").trim_matches('"');
            let version = parts.next().unwrap_or("").trim_matches('"');
            let mut package = Package::new(PackageKind::Hex, name, version);
            package.depends_on = entry
                .split("{:")
                .skip(1)
                .filter_map(|need| need.split(',').next())
                .map(str::to_owned)
                .collect();
            let checksum = entry.trim_end().trim_end_matches([',', '}']).rsplit('"').nth(1).unwrap_or("");
            if checksum.len() == 64 {
                package.hashes.push(format!("sha256:{}", checksum.to_ascii_lowercase()));
            }
            found.package(package);
        }
        Ok(())
    }),
};

pub(super) const REBAR: Extractor = Extractor {
    name: "rebar-lock",
    scope: Scope::Directory,
    required: |info| info.name == "rebar.lock",
    // {<<"name">>,{pkg,<<"package">>,<<"version">>},0}
    parse: Parse::Document(|_, bytes, found| {
        for entry in text(bytes).split("{pkg,").skip(1) {
            let mut strings = entry.split("<<\"").skip(1).filter_map(|part| part.split("\">>").next());
            if let (Some(name), Some(version)) = (strings.next(), strings.next()) {
                found.add(PackageKind::Hex, name, version);
            }
        }
        Ok(())
    }),
};
