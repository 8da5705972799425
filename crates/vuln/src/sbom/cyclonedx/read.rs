//! A CycloneDX document (as JSON) into an inventory.

use std::collections::HashMap;

use serde_json::Value;

use super::model::hash_name;
use crate::sbom::document::{Document, Subject, SubjectKind};
use crate::sbom::{carry, identity};
use crate::{Distro, Evidence, Inventory, Package, PackageKind};

/// Deepest nesting of components that is followed.
const MAX_DEPTH: usize = 32;

/// Reads what an inventory holds; `notes` says what was passed over.
pub(crate) fn read_value(bom: &Value, max_packages: usize, notes: &mut Vec<String>) -> Document {
    let mut found = Found { max_packages, ..Found::default() };
    for component in list(bom, "components") {
        found.component(component, 0);
    }
    let metadata = bom.get("metadata").unwrap_or(&Value::Null);
    let main = metadata.get("component").unwrap_or(&Value::Null);
    for component in list(main, "components") {
        found.component(component, 0);
    }
    if found.files > 0 {
        notes.push(format!("{} file and data components hold no package and were passed over", found.files));
    }
    if found.dropped > 0 {
        notes.push(format!("{} components above the limit of {max_packages} were not read", found.dropped));
    }
    found.dependencies(bom);
    let problems = properties(metadata).filter_map(|(name, value)| carry::problem(&name, &value)).collect();
    let mut inventory = Inventory {
        distro: found.distro.or(found.hinted),
        packages: found.packages,
        problems,
        ..Inventory::default()
    };
    inventory.packages.sort();
    inventory.packages.dedup();
    Document {
        subject: subject(main),
        created: string(metadata, "timestamp").and_then(|text| text.parse().ok()),
        tools: tools(metadata),
        authors: list(metadata, "authors")
            .filter_map(|author| string(author, "name"))
            .map(str::to_owned)
            .collect(),
        inventory,
    }
}

#[derive(Default)]
struct Found {
    packages: Vec<Package>,
    by_ref: HashMap<String, usize>,
    distro: Option<Distro>,
    hinted: Option<Distro>,
    files: usize,
    dropped: usize,
    max_packages: usize,
}

impl Found {
    fn component(&mut self, component: &Value, depth: usize) {
        let kind = string(component, "type").unwrap_or("library");
        if kind == "operating-system" {
            self.system(component);
        } else if self.packages.len() >= self.max_packages {
            self.dropped += 1;
        } else {
            match package(component) {
                Some((package, distro)) => {
                    self.hinted = self.hinted.take().or(distro);
                    if let Some(reference) = string(component, "bom-ref") {
                        self.by_ref.insert(reference.to_owned(), self.packages.len());
                    }
                    self.packages.push(package);
                }
                None => self.files += 1,
            }
        }
        if depth < MAX_DEPTH {
            for nested in list(component, "components") {
                self.component(nested, depth + 1);
            }
        }
    }

    fn system(&mut self, component: &Value) {
        let mut distro = Distro {
            id: string(component, "name").unwrap_or_default().to_lowercase(),
            version_id: string(component, "version").unwrap_or_default().to_owned(),
            ..Distro::default()
        };
        carry::restore_distro(&mut distro, properties(component));
        self.distro = self.distro.take().or(Some(distro));
    }

    fn dependencies(&mut self, bom: &Value) {
        for entry in list(bom, "dependencies") {
            let Some(from) = string(entry, "ref").and_then(|reference| self.by_ref.get(reference)).copied()
            else {
                continue;
            };
            let mut names: Vec<String> = list(entry, "dependsOn")
                .filter_map(Value::as_str)
                .filter_map(|reference| self.by_ref.get(reference))
                .map(|target| self.packages[*target].name.clone())
                .collect();
            // A property of our own has said more than the edges can.
            if self.packages[from].depends_on.is_empty() {
                names.sort();
                names.dedup();
                self.packages[from].depends_on = names;
            }
        }
    }
}

/// One component; files and data without a package URL are none.
pub(super) fn package(component: &Value) -> Option<(Package, Option<Distro>)> {
    let kind = string(component, "type").unwrap_or("library");
    let identified = string(component, "purl").and_then(identity::parse);
    if identified.is_none() && matches!(kind, "file" | "data" | "cryptographic-asset") {
        return None;
    }
    let name = string(component, "name")?;
    let stated = identified.is_some();
    let (mut package, distro) =
        identified.unwrap_or_else(|| (Package::new(PackageKind::Generic, name, ""), None));
    if !stated {
        package.namespace = string(component, "group").filter(|group| !group.is_empty()).map(str::to_owned);
    }
    if package.version.is_empty() {
        string(component, "version").unwrap_or_default().clone_into(&mut package.version);
    }
    package.supplier = component
        .pointer("/supplier/name")
        .or_else(|| component.pointer("/manufacturer/name"))
        .and_then(Value::as_str)
        .or_else(|| string(component, "publisher"))
        .or_else(|| string(component, "author"))
        .map(str::to_owned);
    package.licenses = list(component, "licenses").filter_map(license).collect();
    package.hashes = list(component, "hashes").filter_map(hash).collect();
    let occurrences =
        component.pointer("/evidence/occurrences").and_then(Value::as_array).into_iter().flatten();
    package.evidence = occurrences
        .filter_map(|occurrence| string(occurrence, "location"))
        .map(|path| Evidence { layer: None, path: path.trim_start_matches('/').to_owned() })
        .collect();
    for (key, field) in
        [(carry::CPE, "cpe"), (carry::DESCRIPTION, "description"), (carry::COPYRIGHT, "copyright")]
    {
        if let Some(text) = string(component, field) {
            package.properties.insert(key.to_owned(), text.to_owned());
        }
    }
    if kind != "library" {
        package.properties.insert(carry::TYPE.to_owned(), kind.to_owned());
    }
    if let Some(tag) = component.get("swid") {
        package.properties.insert(carry::SWID.to_owned(), tag.to_string());
    }
    let download = list(component, "externalReferences").find(|r| string(r, "type") == Some("distribution"));
    if let Some(url) = download.and_then(|reference| string(reference, "url")) {
        package.properties.insert(carry::DOWNLOAD.to_owned(), url.to_owned());
    }
    own_names(&mut package, component, stated);
    carry::restore(&mut package, properties(component));
    Some((package, distro))
}

/// A package URL normalises names; the component's own fields have the ecosystem's spelling.
fn own_names(package: &mut Package, component: &Value, stated: bool) {
    let same = |a: &str, b: &str| {
        let plain = |text: &str| text.to_lowercase().replace(['_', '.'], "-");
        plain(a) == plain(b)
    };
    if let Some(name) = string(component, "name").filter(|_| stated)
        && same(name, &package.name)
    {
        name.clone_into(&mut package.name);
    }
    if let (Some(group), Some(namespace)) = (string(component, "group"), &package.namespace) {
        let group = if package.kind == PackageKind::Npm { group.trim_start_matches('@') } else { group };
        if same(group, namespace) {
            package.namespace = Some(group.to_owned());
        }
    }
}

fn license(entry: &Value) -> Option<String> {
    let text = string(entry, "expression").or_else(|| {
        let license = entry.get("license")?;
        string(license, "id").or_else(|| string(license, "name"))
    })?;
    (!text.is_empty()).then(|| text.to_owned())
}

fn hash(entry: &Value) -> Option<String> {
    let (own, ..) = hash_name(string(entry, "alg")?)?;
    Some(format!("{own}:{}", string(entry, "content")?.to_lowercase()))
}

fn subject(main: &Value) -> Subject {
    let kind = match string(main, "type") {
        Some("container") => SubjectKind::Container,
        Some("file") => SubjectKind::File,
        _ => SubjectKind::Application,
    };
    let text = |key| string(main, key).filter(|text| !text.is_empty()).map(str::to_owned);
    let hashed = list(main, "hashes").filter_map(hash).find_map(|hash| hash.parse().ok());
    let digest = || text("version").and_then(|version| version.parse().ok());
    let in_purl = || {
        text("purl")
            .and_then(|purl| purl.split('@').nth(1)?.split('?').next()?.replace("%3A", ":").parse().ok())
    };
    Subject {
        kind,
        name: text("name").unwrap_or_default(),
        version: text("version"),
        digest: hashed.filter(|_| kind == SubjectKind::Container).or_else(digest).or_else(in_purl),
    }
}

fn tools(metadata: &Value) -> Vec<String> {
    let tools = metadata.get("tools").unwrap_or(&Value::Null);
    let entries: Vec<&Value> = match tools {
        Value::Array(entries) => entries.iter().collect(),
        other => list(other, "components").collect(),
    };
    entries
        .into_iter()
        .filter_map(|tool| {
            let name = string(tool, "name")?;
            Some(
                string(tool, "version")
                    .map_or_else(|| name.to_owned(), |version| format!("{name}-{version}")),
            )
        })
        .collect()
}

fn string<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn properties(value: &Value) -> impl Iterator<Item = (String, String)> {
    list(value, "properties").filter_map(|entry| {
        Some((string(entry, "name")?.to_owned(), string(entry, "value").unwrap_or_default().to_owned()))
    })
}
