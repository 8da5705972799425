//! Syft's own JSON: its artifacts by their package URLs, with source packages, places and licences.

use serde_json::Value;

use super::document::{Document, Subject, SubjectKind};
use super::{carry, identity};
use crate::{Distro, Evidence, Inventory, Package, PackageKind, SourcePackage};

/// Reads what an inventory holds; `notes` says what was passed over.
pub(crate) fn read(syft: &Value, max_packages: usize, notes: &mut Vec<String>) -> Document {
    let artifacts = syft.get("artifacts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut packages: Vec<Package> = artifacts.iter().take(max_packages).filter_map(package).collect();
    if artifacts.len() > packages.len() {
        notes.push(format!(
            "{} artifacts without a name or above the limit were not read",
            artifacts.len() - packages.len()
        ));
    }
    packages.sort();
    packages.dedup();
    let distro = syft.get("distro").filter(|distro| string(distro, "id").is_some_and(|id| !id.is_empty()));
    let distro = distro.map(|distro| Distro {
        id: string(distro, "id").unwrap_or_default().to_lowercase(),
        id_like: list(distro, "idLike").filter_map(Value::as_str).map(str::to_owned).collect(),
        version_id: string(distro, "versionID").unwrap_or_default().to_owned(),
        codename: string(distro, "versionCodename").map(str::to_owned),
        pretty_name: string(distro, "prettyName").map(str::to_owned),
        cpe: string(distro, "cpeName").map(str::to_owned),
        ..Distro::default()
    });
    let source = syft.get("source").unwrap_or(&Value::Null);
    let image = string(source, "type") == Some("image");
    let subject = Subject {
        kind: if image { SubjectKind::Container } else { SubjectKind::File },
        name: string(source, "name").unwrap_or_default().to_owned(),
        version: string(source, "version").map(str::to_owned),
        digest: string(source, "version").and_then(|text| text.parse().ok()),
    };
    let tool = syft.get("descriptor").unwrap_or(&Value::Null);
    let name = string(tool, "name").unwrap_or("syft");
    let tools =
        vec![string(tool, "version").map_or_else(|| name.to_owned(), |version| format!("{name}-{version}"))];
    let inventory = Inventory { distro, packages, ..Inventory::default() };
    Document { subject, created: None, tools, authors: Vec::new(), inventory }
}

fn package(artifact: &Value) -> Option<Package> {
    let name = string(artifact, "name").filter(|name| !name.is_empty())?;
    let identified = string(artifact, "purl").and_then(identity::parse).map(|parsed| parsed.0);
    let mut package = identified.unwrap_or_else(|| Package::new(PackageKind::Generic, name, ""));
    if package.version.is_empty() {
        string(artifact, "version").unwrap_or_default().clone_into(&mut package.version);
    }
    package.licenses = list(artifact, "licenses")
        .filter_map(|entry| {
            let expression = string(entry, "spdxExpression").filter(|text| !text.is_empty());
            expression.or_else(|| string(entry, "value")).or_else(|| entry.as_str()).map(str::to_owned)
        })
        .collect();
    package.evidence = list(artifact, "locations")
        .filter_map(|place| {
            let path = string(place, "path")?.trim_start_matches('/').to_owned();
            Some(Evidence { layer: string(place, "layerID").and_then(|text| text.parse().ok()), path })
        })
        .collect();
    let metadata = artifact.get("metadata").unwrap_or(&Value::Null);
    if let (None, Some(source)) =
        (&package.source, string(metadata, "source").filter(|text| !text.is_empty()))
    {
        let version = string(metadata, "sourceVersion").filter(|text| !text.is_empty());
        let version = version.unwrap_or(&package.version).to_owned();
        package.source = Some(SourcePackage { name: source.to_owned(), version });
    }
    package.supplier =
        string(metadata, "vendor").or_else(|| string(metadata, "maintainer")).map(str::to_owned);
    package.module = string(metadata, "modularityLabel").filter(|text| !text.is_empty()).map(str::to_owned);
    let cpe = list(artifact, "cpes").find_map(|cpe| cpe.as_str().or_else(|| string(cpe, "cpe")));
    if let Some(cpe) = cpe {
        package.properties.insert(carry::CPE.to_owned(), cpe.to_owned());
    }
    Some(package)
}

fn string<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}
