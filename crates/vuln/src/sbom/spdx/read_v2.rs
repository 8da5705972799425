//! SPDX 2.2 and 2.3 (JSON form) into an inventory.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::expression;
use crate::sbom::cyclonedx::hash_name;
use crate::sbom::document::{Document, Subject, SubjectKind};
use crate::sbom::{carry, identity};
use crate::{Distro, Inventory, Package, PackageKind};

/// Reads what an inventory holds; `notes` says what was passed over.
pub(crate) fn read_v2(spdx: &Value, max_packages: usize, notes: &mut Vec<String>) -> Document {
    let texts = extracted(spdx);
    let described = described(spdx);
    let mut packages: Vec<Package> = Vec::new();
    let mut by_id = HashMap::new();
    let mut distro = None;
    let mut hinted = None;
    let mut subject = None;
    let mut dropped = 0_usize;
    for entry in list(spdx, "packages") {
        let id = string(entry, "SPDXID").unwrap_or_default();
        let purpose = string(entry, "primaryPackagePurpose").unwrap_or_default();
        if described.contains(&id)
            && (is_subject(entry, purpose) || subject.is_none() && described.len() == 1)
        {
            subject = Some(read_subject(entry, purpose));
            if is_subject(entry, purpose) {
                continue;
            }
        }
        if purpose == "OPERATING-SYSTEM" || purpose == "OPERATING_SYSTEM" {
            distro = distro.or_else(|| Some(system(entry)));
            continue;
        }
        if packages.len() >= max_packages {
            dropped += 1;
            continue;
        }
        if let Some((package, hint)) = package(entry, &texts) {
            hinted = hinted.or(hint);
            by_id.insert(id.to_owned(), packages.len());
            packages.push(package);
        }
    }
    if dropped > 0 {
        notes.push(format!("{dropped} packages above the limit of {max_packages} were not read"));
    }
    let files = list(spdx, "files").count();
    if files > 0 {
        notes.push(format!("{files} files hold no package and were passed over"));
    }
    dependencies(spdx, &by_id, &mut packages);
    packages.sort();
    packages.dedup();
    let problems = comments(spdx).filter_map(|(name, value)| carry::problem(&name, &value)).collect();
    let (tools, authors) = creators(spdx);
    let name = string(spdx, "name").unwrap_or_default().to_owned();
    Document {
        subject: subject.unwrap_or(Subject { kind: SubjectKind::Application, name, ..Subject::default() }),
        created: spdx
            .pointer("/creationInfo/created")
            .and_then(Value::as_str)
            .and_then(|text| text.parse().ok()),
        tools,
        authors,
        inventory: Inventory { distro: distro.or(hinted), packages, problems, ..Inventory::default() },
    }
}

/// One package entry, with the distribution that its package URL names.
pub(super) fn package(entry: &Value, texts: &BTreeMap<String, String>) -> Option<(Package, Option<Distro>)> {
    let name = string(entry, "name")?;
    let locator = |wanted: &str| {
        list(entry, "externalRefs")
            .find(|reference| string(reference, "referenceType").is_some_and(|kind| kind.ends_with(wanted)))
            .and_then(|reference| string(reference, "referenceLocator"))
    };
    let identified = locator("purl").and_then(identity::parse);
    let stated = identified.is_some();
    let (mut package, distro) =
        identified.unwrap_or_else(|| (Package::new(PackageKind::Generic, name, ""), None));
    if package.version.is_empty() {
        string(entry, "versionInfo").unwrap_or_default().clone_into(&mut package.version);
    }
    if stated && package.name.to_lowercase() == name.to_lowercase().replace(['_', '.'], "-") {
        name.clone_into(&mut package.name);
    }
    package.supplier = ["supplier", "originator"].into_iter().find_map(|key| actor(string(entry, key)?));
    let declared = expression::read(string(entry, "licenseDeclared"), texts);
    package.licenses = if declared.is_empty() {
        expression::read(string(entry, "licenseConcluded"), texts)
    } else {
        declared
    };
    package.hashes = list(entry, "checksums")
        .filter_map(|checksum| {
            let (own, ..) = hash_name(string(checksum, "algorithm")?)?;
            Some(format!("{own}:{}", string(checksum, "checksumValue")?.to_lowercase()))
        })
        .collect();
    let mut keep = |key: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !matches!(*value, "" | "NOASSERTION" | "NONE")) {
            package.properties.insert(key.to_owned(), value.to_owned());
        }
    };
    keep(carry::CPE, locator("cpe23Type").or_else(|| locator("cpe22Type")));
    keep(carry::COPYRIGHT, string(entry, "copyrightText"));
    keep(carry::DESCRIPTION, string(entry, "description"));
    keep(carry::DOWNLOAD, string(entry, "downloadLocation"));
    if let Some(tag) = locator("swid").and_then(|text| text.strip_prefix("swid:")) {
        let tag = serde_json::json!({ "tagId": tag, "name": name });
        package.properties.insert(carry::SWID.to_owned(), tag.to_string());
    }
    if let Some(kind @ ("APPLICATION" | "FRAMEWORK" | "CONTAINER" | "DEVICE" | "FIRMWARE")) =
        string(entry, "primaryPackagePurpose")
    {
        package.properties.insert(carry::TYPE.to_owned(), kind.to_lowercase());
    }
    carry::restore(&mut package, comments(entry));
    Some((package, distro))
}

/// `name=value` comments of annotations.
fn comments(entry: &Value) -> impl Iterator<Item = (String, String)> {
    list(entry, "annotations").filter_map(|annotation| {
        let (name, value) = string(annotation, "comment")?.split_once('=')?;
        let is_name = name.contains(':') && !name.contains(char::is_whitespace);
        is_name.then(|| (name.to_owned(), value.to_owned()))
    })
}

fn extracted(spdx: &Value) -> BTreeMap<String, String> {
    list(spdx, "hasExtractedLicensingInfos")
        .filter_map(|info| {
            let name = string(info, "name").filter(|name| *name != "NOASSERTION");
            let text = name.or_else(|| string(info, "extractedText"))?;
            Some((string(info, "licenseId")?.to_owned(), text.to_owned()))
        })
        .collect()
}

fn described(spdx: &Value) -> Vec<&str> {
    let direct = list(spdx, "documentDescribes").filter_map(Value::as_str);
    let related = list(spdx, "relationships").filter_map(|edge| {
        let (from, to) = (string(edge, "spdxElementId")?, string(edge, "relatedSpdxElement")?);
        match string(edge, "relationshipType")? {
            "DESCRIBES" if from == "SPDXRef-DOCUMENT" => Some(to),
            "DESCRIBED_BY" if to == "SPDXRef-DOCUMENT" => Some(from),
            _ => None,
        }
    });
    direct.chain(related).collect()
}

/// Images, directories and files are what a document is about; a described library is a package of it too.
fn is_subject(entry: &Value, purpose: &str) -> bool {
    let oci = list(entry, "externalRefs")
        .filter_map(|reference| string(reference, "referenceLocator"))
        .any(|locator| locator.starts_with("pkg:oci/") || locator.starts_with("pkg:docker/"));
    let id = string(entry, "SPDXID").unwrap_or_default();
    oci || matches!(purpose, "CONTAINER" | "FILE")
        || id == "SPDXRef-Subject"
        || id.starts_with("SPDXRef-DocumentRoot-")
        || id.starts_with("SPDXRef-ContainerImage")
}

fn read_subject(entry: &Value, purpose: &str) -> Subject {
    let kind = match purpose {
        "CONTAINER" => SubjectKind::Container,
        "FILE" => SubjectKind::File,
        _ => SubjectKind::Application,
    };
    let version = string(entry, "versionInfo").map(str::to_owned);
    let checksum = list(entry, "checksums").find_map(|checksum| {
        let (own, ..) = hash_name(string(checksum, "algorithm")?)?;
        format!("{own}:{}", string(checksum, "checksumValue")?.to_lowercase()).parse().ok()
    });
    Subject {
        kind,
        name: string(entry, "name").unwrap_or_default().to_owned(),
        digest: checksum.or_else(|| version.as_deref().and_then(|text| text.parse().ok())),
        version,
    }
}

fn system(entry: &Value) -> Distro {
    let mut distro = Distro {
        id: string(entry, "name").unwrap_or_default().to_lowercase(),
        version_id: string(entry, "versionInfo").unwrap_or_default().to_owned(),
        ..Distro::default()
    };
    carry::restore_distro(&mut distro, comments(entry));
    distro
}

fn dependencies(spdx: &Value, by_id: &HashMap<String, usize>, packages: &mut [Package]) {
    let mut found: Vec<Vec<String>> = vec![Vec::new(); packages.len()];
    for edge in list(spdx, "relationships") {
        let (Some(from), Some(to)) = (string(edge, "spdxElementId"), string(edge, "relatedSpdxElement"))
        else {
            continue;
        };
        let (from, to) = match string(edge, "relationshipType") {
            Some("DEPENDS_ON") => (from, to),
            Some("DEPENDENCY_OF" | "RUNTIME_DEPENDENCY_OF") => (to, from),
            _ => continue,
        };
        if let (Some(from), Some(to)) = (by_id.get(from), by_id.get(to)) {
            found[*from].push(packages[*to].name.clone());
        }
    }
    for (package, mut names) in packages.iter_mut().zip(found) {
        if package.depends_on.is_empty() {
            names.sort();
            names.dedup();
            package.depends_on = names;
        }
    }
}

fn creators(spdx: &Value) -> (Vec<String>, Vec<String>) {
    let mut tools = Vec::new();
    let mut authors = Vec::new();
    let entries = spdx.pointer("/creationInfo/creators").and_then(Value::as_array).into_iter().flatten();
    for creator in entries.filter_map(Value::as_str) {
        match creator.split_once(':') {
            Some(("Tool", tool)) => tools.push(tool.trim().to_owned()),
            _ => authors.extend(actor(creator)),
        }
    }
    (tools, authors)
}

/// `Organization: Name (mail)`.
fn actor(text: &str) -> Option<String> {
    let (_, name) = text.split_once(':').filter(|(kind, _)| matches!(*kind, "Organization" | "Person"))?;
    let name = name.trim().trim_end_matches("()").trim();
    (!name.is_empty()).then(|| name.to_owned())
}

fn string<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}
