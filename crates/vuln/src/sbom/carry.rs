//! Facts that a written form has no place for, carried as `bonded:…` properties.
//!
//! A writer first computes what a reader of its native fields would see; only what differs is written as a property,
//! so nothing is lost between our own documents and nothing is said twice. Foreign properties are kept as they are;
//! those of Syft and Trivy that identify a package or its place are understood.

use std::collections::BTreeMap;

use crate::{Distro, Evidence, Package, PackageKind, Problem, SourcePackage};

const PREFIX: &str = "bonded:";
/// Component type of CycloneDX when it is not `library`.
pub(crate) const TYPE: &str = "cdx:type";
/// A SWID tag as CycloneDX JSON.
pub(crate) const SWID: &str = "swid";
/// A CPE name.
pub(crate) const CPE: &str = "cpe";
/// Free text about the package.
pub(crate) const DESCRIPTION: &str = "description";
/// Copyright text.
pub(crate) const COPYRIGHT: &str = "copyright";
/// Where the package can be downloaded.
pub(crate) const DOWNLOAD: &str = "download";
/// The properties of `package` that make up for what `native` lacks.
pub(crate) fn difference(package: &Package, native: &Package) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut add = |key: &str, value: String| out.push((format!("{PREFIX}{key}"), value));
    if package.kind != native.kind {
        add("kind", json(&package.kind));
    }
    for (key, mine, theirs) in [
        ("name", Some(&package.name), Some(&native.name)),
        ("version", Some(&package.version), Some(&native.version)),
        ("namespace", package.namespace.as_ref(), native.namespace.as_ref()),
        ("arch", package.arch.as_ref(), native.arch.as_ref()),
        ("module", package.module.as_ref(), native.module.as_ref()),
        ("supplier", package.supplier.as_ref(), native.supplier.as_ref()),
    ] {
        if mine != theirs {
            add(key, json(&mine));
        }
    }
    if package.source != native.source {
        add("source", json(&package.source));
    }
    for (key, mine, theirs) in [
        ("licenses", &package.licenses, &native.licenses),
        ("hashes", &package.hashes, &native.hashes),
        ("depends-on", &package.depends_on, &native.depends_on),
    ] {
        if mine != theirs {
            add(key, json(mine));
        }
    }
    if package.evidence != native.evidence {
        for evidence in &package.evidence {
            add("evidence", json(evidence));
        }
    }
    for (key, value) in &package.properties {
        if native.properties.get(key) != Some(value) {
            if !is_plain(key) {
                out.push((format!("{PREFIX}property"), json(&[key, value])));
            } else if key.contains(':') && !key.starts_with(PREFIX) {
                out.push((key.clone(), value.clone()));
            } else {
                out.push((format!("{PREFIX}property:{key}"), value.clone()));
            }
        }
    }
    out
}

/// Keys that every form can carry as a name.
fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'.' | b'_' | b'/' | b'-'))
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Applies properties found beside a package to it.
pub(crate) fn restore(package: &mut Package, properties: impl IntoIterator<Item = (String, String)>) {
    let mut evidence = Vec::new();
    let mut foreign = Foreign::default();
    for (name, value) in properties {
        if let Some(key) = name.strip_prefix(PREFIX) {
            if key == "property" {
                package.properties.extend(serde_json::from_str::<(String, String)>(&value));
            } else if key == "evidence" {
                evidence.extend(serde_json::from_str::<Evidence>(&value).ok());
            } else if let Some(key) = key.strip_prefix("property:") {
                package.properties.insert(key.to_owned(), value);
            } else {
                set(package, key, &value);
            }
        } else {
            foreign.see(&name, &value);
            let text = package.properties.entry(name).or_default();
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(&value);
        }
    }
    if evidence.is_empty() {
        foreign.apply(package);
    } else {
        package.evidence = evidence;
    }
}

fn set(package: &mut Package, key: &str, value: &str) {
    fn read<T: serde::de::DeserializeOwned>(target: &mut T, value: &str) {
        if let Ok(parsed) = serde_json::from_str(value) {
            *target = parsed;
        }
    }
    match key {
        "kind" => read::<PackageKind>(&mut package.kind, value),
        "name" => read(&mut package.name, value),
        "version" => read(&mut package.version, value),
        "namespace" => read(&mut package.namespace, value),
        "arch" => read(&mut package.arch, value),
        "module" => read(&mut package.module, value),
        "supplier" => read(&mut package.supplier, value),
        "source" => read(&mut package.source, value),
        "licenses" => read(&mut package.licenses, value),
        "hashes" => read(&mut package.hashes, value),
        "depends-on" => read(&mut package.depends_on, value),
        _ => {}
    }
}

/// What Syft and Trivy say in properties.
#[derive(Default)]
struct Foreign {
    paths: BTreeMap<String, (Option<String>, Option<String>)>,
    source: Option<String>,
    source_version: Option<String>,
    source_release: Option<String>,
    source_epoch: Option<String>,
    module: Option<String>,
}

impl Foreign {
    fn see(&mut self, name: &str, value: &str) {
        let value = value.to_owned();
        if let Some(rest) = name.strip_prefix("syft:location:") {
            if let Some((number, field)) = rest.split_once(':') {
                let entry = self.paths.entry(number.to_owned()).or_default();
                match field {
                    "path" => entry.0 = Some(value),
                    "layerID" => entry.1 = Some(value),
                    _ => {}
                }
            }
            return;
        }
        if let Some(key) = name.strip_prefix("aquasecurity:trivy:") {
            match key {
                "FilePath" => self.paths.entry("trivy".into()).or_default().0 = Some(value),
                "LayerDiffID" => self.paths.entry("trivy".into()).or_default().1 = Some(value),
                "SrcName" => self.source = Some(value),
                "SrcVersion" => self.source_version = Some(value),
                "SrcRelease" => self.source_release = Some(value),
                "SrcEpoch" => self.source_epoch = Some(value),
                "Modularitylabel" => self.module = Some(value),
                _ => {}
            }
            return;
        }
        match name {
            "syft:metadata:sourceVersion" => self.source_version = Some(value),
            "syft:metadata:source" | "syft:metadata:originPackage" => self.source = Some(value),
            _ => {}
        }
    }

    fn apply(self, package: &mut Package) {
        for (path, layer) in self.paths.into_values() {
            if let Some(path) = path {
                let path = path.trim_start_matches('/').to_owned();
                let evidence = Evidence { layer: layer.and_then(|text| text.parse().ok()), path };
                if !package.evidence.contains(&evidence) {
                    package.evidence.push(evidence);
                }
            }
        }
        package.module = package.module.take().or(self.module);
        if let (None, Some(name)) = (&package.source, self.source.filter(|name| !name.is_empty())) {
            let version = match self.source_version {
                Some(version) => {
                    let epoch = self.source_epoch.map(|epoch| format!("{epoch}:")).unwrap_or_default();
                    let release =
                        self.source_release.map(|release| format!("-{release}")).unwrap_or_default();
                    format!("{epoch}{version}{release}")
                }
                None => package.version.clone(),
            };
            package.source = Some(SourcePackage { name, version });
        }
    }
}

/// Properties of the distribution that no form has a field for.
pub(crate) fn distro_properties(distro: &Distro) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> =
        distro.id_like.iter().map(|id| (format!("{PREFIX}distro:id-like"), id.clone())).collect();
    for (key, value) in [
        ("codename", &distro.codename),
        ("pretty-name", &distro.pretty_name),
        ("cpe", &distro.cpe),
        ("channel", &distro.channel),
    ] {
        if let Some(value) = value {
            out.push((format!("{PREFIX}distro:{key}"), value.clone()));
        }
    }
    out
}

/// Applies properties found beside an operating system to it.
pub(crate) fn restore_distro(distro: &mut Distro, properties: impl IntoIterator<Item = (String, String)>) {
    for (name, value) in properties {
        match name.as_str() {
            "bonded:distro:id-like" => distro.id_like.push(value),
            "bonded:distro:codename" | "syft:distro:versionCodename" => distro.codename = Some(value),
            "bonded:distro:pretty-name" | "syft:distro:prettyName" => distro.pretty_name = Some(value),
            "bonded:distro:cpe" | "syft:distro:cpeName" => distro.cpe = Some(value),
            "bonded:distro:channel" => distro.channel = Some(value),
            "syft:distro:id" => distro.id = value,
            "syft:distro:versionID" => distro.version_id = value,
            name if name.starts_with("syft:distro:idLike") => distro.id_like.push(value),
            _ => {}
        }
    }
}

/// A problem as a property: a reader must see that the inventory is partial.
pub(crate) fn problem_property(problem: &Problem) -> (String, String) {
    (format!("{PREFIX}problem"), json(problem))
}

/// The problem that a property carries.
pub(crate) fn problem(name: &str, value: &str) -> Option<Problem> {
    if name != "bonded:problem" {
        return None;
    }
    serde_json::from_str(value).ok()
}
