//! Swift's `Package.resolved` (versions 1 to 3) and CocoaPods' `Podfile.lock`.

use serde_json::Value;

use super::text::{json, str_of, yaml};
use super::{Extractor, Found, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const RESOLVED: Extractor = Extractor {
    name: "swift-resolved",
    scope: Scope::Directory,
    required: |info| matches!(info.name, "Package.resolved" | ".package.resolved"),
    parse: Parse::Document(|_, bytes, found| {
        let document = json(bytes)?;
        let pins = document.get("pins").or_else(|| document.pointer("/object/pins"));
        for pin in pins.and_then(Value::as_array).into_iter().flatten() {
            add_pin(pin, found);
        }
        Ok(())
    }),
};

pub(super) const PODFILE: Extractor = Extractor {
    name: "podfile-lock",
    scope: Scope::Directory,
    required: |info| info.name == "Podfile.lock",
    parse: Parse::Document(|_, bytes, found| {
        let document = yaml(bytes)?;
        for pod in document.get("PODS").and_then(Value::as_array).into_iter().flatten() {
            let (text, needs) = match pod {
                Value::String(text) => (text.as_str(), Vec::new()),
                Value::Object(map) => {
                    let Some((text, needs)) = map.iter().next() else { continue };
                    let needs = needs
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(|need| need.as_str()?.split(" (").next().map(str::to_owned));
                    (text.as_str(), needs.collect())
                }
                _ => continue,
            };
            if let Some((name, version)) = text.strip_suffix(')').and_then(|text| text.split_once(" (")) {
                let mut package = Package::new(PackageKind::Cocoapods, name, version);
                package.depends_on = needs;
                let root = name.split('/').next().unwrap_or(name);
                let sum = document.pointer(&format!("/SPEC CHECKSUMS/{root}")).and_then(Value::as_str);
                package.hashes = sum.map(|sum| format!("sha1:{sum}")).into_iter().collect();
                found.package(package);
            }
        }
        Ok(())
    }),
};

fn add_pin(pin: &Value, found: &mut Found) {
    let location = ["location", "repositoryURL"]
        .iter()
        .map(|key| str_of(pin, key))
        .find(|location| !location.is_empty())
        .unwrap_or("");
    let name = ["identity", "package"]
        .iter()
        .map(|key| str_of(pin, key))
        .find(|name| !name.is_empty())
        .unwrap_or("");
    let state = pin.get("state").cloned().unwrap_or_default();
    let version = ["version", "branch", "revision"]
        .iter()
        .map(|key| str_of(&state, key))
        .find(|version| !version.is_empty())
        .unwrap_or("");
    let mut package = Package::new(PackageKind::Swift, name, version);
    let path = location
        .split_once("://")
        .map_or(location, |(_, path)| path)
        .trim_end_matches('/')
        .trim_end_matches(".git");
    let path = path.strip_prefix("git@").map_or_else(|| path.to_owned(), |path| path.replace(':', "/"));
    package.namespace = path.rsplit_once('/').map(|(parent, _)| parent.to_owned());
    if !location.is_empty() {
        package.properties.insert("location".to_owned(), location.to_owned());
    }
    found.package(package);
}
