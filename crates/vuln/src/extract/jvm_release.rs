//! Java runtimes: the file `release` at their root states version and implementor.

use super::text::text;
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "jvm-release",
    scope: Scope::Both,
    required: |info| info.name == "release" && info.size_bytes < 64 << 10,
    parse: Parse::Document(|info, bytes, found| {
        let text = text(bytes);
        let get = |key: &str| {
            text.lines()
                .find_map(|line| {
                    line.strip_prefix(key)?
                        .strip_prefix('=')
                        .map(|value| value.trim().trim_matches('"').to_owned())
                })
                .unwrap_or_default()
        };
        let version = [get("JAVA_RUNTIME_VERSION"), get("JAVA_VERSION")]
            .into_iter()
            .find(|version| !version.is_empty());
        let Some(version) = version else { return Ok(()) };
        let is_graal = !get("GRAALVM_VERSION").is_empty();
        let has_compiler =
            info.path.contains("jdk") || get("MODULES").split(' ').any(|module| module == "jdk.compiler");
        let name = match (is_graal, has_compiler) {
            (true, _) => "graalvm",
            (false, true) => "openjdk",
            (false, false) => "openjre",
        };
        let mut package = Package::new(PackageKind::Generic, name, version.trim_start_matches("jdk-"));
        package.supplier = Some(get("IMPLEMENTOR")).filter(|implementor| !implementor.is_empty());
        package.properties.insert(
            "cpe".to_owned(),
            format!("cpe:2.3:a:oracle:openjdk:{}:*:*:*:*:*:*:*", get("JAVA_VERSION")),
        );
        found.package(package);
        Ok(())
    }),
};
