//! `Cargo.lock`.

use toml::Value;

use super::text::toml;
use super::{Extractor, Parse, Scope};
use crate::package::{LOCAL, Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "cargo-lock",
    scope: Scope::Directory,
    required: |info| info.name == "Cargo.lock",
    parse: Parse::Document(|_, bytes, found| {
        let document = toml(bytes)?;
        for table in document.get("package").and_then(Value::as_array).into_iter().flatten() {
            let get = |key: &str| table.get(key).and_then(Value::as_str).unwrap_or("");
            let mut package = Package::new(PackageKind::Cargo, get("name"), get("version"));
            if get("checksum").len() == 64 {
                package.hashes.push(format!("sha256:{}", get("checksum")));
            }
            let source = match get("source") {
                // A member of the workspace, or a path: whatever the registry has under that name is another package.
                "" => LOCAL,
                source => source,
            };
            if !source.starts_with("registry+") {
                package.properties.insert("source".to_owned(), source.to_owned());
            }
            let needs = table.get("dependencies").and_then(Value::as_array).into_iter().flatten();
            package.depends_on =
                needs.filter_map(|need| need.as_str()?.split(' ').next().map(str::to_owned)).collect();
            found.package(package);
        }
        Ok(())
    }),
};
