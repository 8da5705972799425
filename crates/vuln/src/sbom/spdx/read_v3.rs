//! SPDX 3.0 JSON-LD (the serialisation with the published context) into an inventory.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::expression;
use crate::sbom::cyclonedx::hash_name;
use crate::sbom::document::{Document, Subject, SubjectKind};
use crate::sbom::{carry, identity};
use crate::{Distro, Inventory, Package, PackageKind};

/// Reads what an inventory holds; `notes` says what was passed over.
pub(crate) fn read_v3(spdx: &Value, max_packages: usize, notes: &mut Vec<String>) -> Document {
    let graph = Graph::of(spdx);
    let roots = graph.roots();
    let mut out = Document::default();
    let mut hinted = None;
    let mut by_id = HashMap::new();
    let mut dropped = 0_usize;
    for element in graph.of_type("software_Package") {
        let id = string(element, "spdxId").unwrap_or_default();
        let purpose = string(element, "software_primaryPurpose").unwrap_or_default();
        if roots.contains(&id) && matches!(purpose, "container" | "archive" | "file" | "application") {
            out.subject = subject(element, purpose);
            let problems = properties(element).filter_map(|(name, value)| carry::problem(&name, &value));
            out.inventory.problems.extend(problems);
        } else if purpose == "operatingSystem" {
            out.inventory.distro = out.inventory.distro.take().or_else(|| Some(system(element)));
        } else if out.inventory.packages.len() >= max_packages {
            dropped += 1;
        } else if let Some((package, hint)) = package(element, &|id| graph.name(id)) {
            hinted = hinted.or(hint);
            by_id.insert(id, out.inventory.packages.len());
            out.inventory.packages.push(package);
        }
    }
    if dropped > 0 {
        notes.push(format!("{dropped} packages above the limit of {max_packages} were not read"));
    }
    relationships(&graph, &by_id, &mut out.inventory);
    out.inventory.distro = out.inventory.distro.take().or(hinted);
    out.inventory.packages.sort();
    out.inventory.packages.dedup();
    creation(&graph, &mut out);
    if out.subject.name.is_empty() {
        let document = graph.of_type("SpdxDocument").next();
        let name = document.and_then(|document| string(document, "name")).unwrap_or_default();
        name.clone_into(&mut out.subject.name);
        out.subject.kind = SubjectKind::Application;
    }
    out
}

struct Graph<'a> {
    elements: Vec<&'a Value>,
    by_id: HashMap<&'a str, &'a Value>,
}

impl<'a> Graph<'a> {
    fn of(spdx: &'a Value) -> Self {
        let elements: Vec<&Value> = match spdx.get("@graph").and_then(Value::as_array) {
            Some(elements) => elements.iter().collect(),
            None => vec![spdx],
        };
        let by_id = elements
            .iter()
            .filter_map(|element| {
                Some((string(element, "spdxId").or_else(|| string(element, "@id"))?, *element))
            })
            .collect();
        Self { elements, by_id }
    }

    fn of_type(&self, kind: &'static str) -> impl Iterator<Item = &'a Value> {
        self.elements.iter().copied().filter(move |element| {
            let stated = string(element, "type").or_else(|| string(element, "@type"));
            stated == Some(kind)
        })
    }

    fn name(&self, id: &str) -> Option<String> {
        string(self.by_id.get(id)?, "name").map(str::to_owned)
    }

    fn roots(&self) -> Vec<&'a str> {
        ["software_Sbom", "SpdxDocument"]
            .into_iter()
            .flat_map(|kind| self.of_type(kind))
            .flat_map(|collection| strings(collection, "rootElement"))
            .collect()
    }
}

/// One package element, with the distribution that its package URL names; `name_of` resolves agents.
pub(super) fn package(
    element: &Value,
    name_of: &dyn Fn(&str) -> Option<String>,
) -> Option<(Package, Option<Distro>)> {
    let name = string(element, "name")?;
    let identifiers = || list(element, "externalIdentifier");
    let identifier = |kind: &str| {
        identifiers()
            .find(|entry| string(entry, "externalIdentifierType") == Some(kind))
            .and_then(|entry| string(entry, "identifier"))
    };
    let purl = string(element, "software_packageUrl").or_else(|| identifier("packageUrl"));
    let identified = purl.and_then(identity::parse);
    let stated = identified.is_some();
    let (mut package, distro) =
        identified.unwrap_or_else(|| (Package::new(PackageKind::Generic, name, ""), None));
    if package.version.is_empty() {
        string(element, "software_packageVersion").unwrap_or_default().clone_into(&mut package.version);
    }
    if stated && package.name.to_lowercase() == name.to_lowercase().replace(['_', '.'], "-") {
        name.clone_into(&mut package.name);
    }
    let agent = element.get("suppliedBy").or_else(|| list(element, "originatedBy").next());
    package.supplier = match agent {
        Some(Value::String(id)) => name_of(id),
        Some(inline @ Value::Object(_)) => string(inline, "name").map(str::to_owned),
        _ => None,
    };
    package.hashes = list(element, "verifiedUsing")
        .filter_map(|hash| {
            let algorithm = string(hash, "algorithm")?.replace('_', "-").replace("blake2b", "blake2b-");
            let (own, ..) = hash_name(&algorithm)?;
            Some(format!("{own}:{}", string(hash, "hashValue")?.to_lowercase()))
        })
        .collect();
    let mut keep = |key: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !matches!(*value, "" | "NOASSERTION" | "NONE")) {
            package.properties.insert(key.to_owned(), value.to_owned());
        }
    };
    keep(carry::CPE, identifier("cpe23").or_else(|| identifier("cpe22")));
    keep(carry::COPYRIGHT, string(element, "software_copyrightText"));
    keep(carry::DESCRIPTION, string(element, "description"));
    keep(carry::DOWNLOAD, string(element, "software_downloadLocation"));
    if let Some(tag) = identifier("swid").map(|text| text.trim_start_matches("swid:")) {
        let tag = serde_json::json!({ "tagId": tag, "name": name });
        package.properties.insert(carry::SWID.to_owned(), tag.to_string());
    }
    if let Some(kind @ ("application" | "framework" | "container" | "device" | "firmware")) =
        string(element, "software_primaryPurpose")
    {
        package.properties.insert(carry::TYPE.to_owned(), kind.to_owned());
    }
    carry::restore(&mut package, properties(element));
    Some((package, distro))
}

fn properties(element: &Value) -> impl Iterator<Item = (String, String)> {
    list(element, "extension").flat_map(|extension| list(extension, "extension_cdxProperty")).filter_map(
        |entry| {
            let name = string(entry, "extension_cdxPropName")?;
            Some((name.to_owned(), string(entry, "extension_cdxPropValue").unwrap_or_default().to_owned()))
        },
    )
}

fn subject(element: &Value, purpose: &str) -> Subject {
    let kind = match purpose {
        "container" => SubjectKind::Container,
        "application" => SubjectKind::Application,
        _ => SubjectKind::File,
    };
    let version = string(element, "software_packageVersion").map(str::to_owned);
    let hashed = list(element, "verifiedUsing").find_map(|hash| {
        format!("{}:{}", string(hash, "algorithm")?, string(hash, "hashValue")?.to_lowercase()).parse().ok()
    });
    Subject {
        kind,
        name: string(element, "name").unwrap_or_default().to_owned(),
        digest: hashed.or_else(|| version.as_deref().and_then(|text| text.parse().ok())),
        version,
    }
}

fn system(element: &Value) -> Distro {
    let mut distro = Distro {
        id: string(element, "name").unwrap_or_default().to_lowercase(),
        version_id: string(element, "software_packageVersion").unwrap_or_default().to_owned(),
        ..Distro::default()
    };
    carry::restore_distro(&mut distro, properties(element));
    distro
}

fn relationships(graph: &Graph<'_>, by_id: &HashMap<&str, usize>, inventory: &mut Inventory) {
    let texts: BTreeMap<String, String> = graph
        .of_type("simplelicensing_SimpleLicensingText")
        .filter_map(|text| {
            Some((string(text, "name")?.to_owned(), string(text, "simplelicensing_licenseText")?.to_owned()))
        })
        .collect();
    let mut depends: Vec<Vec<String>> = vec![Vec::new(); inventory.packages.len()];
    let mut declared: Vec<Vec<String>> = depends.clone();
    let mut concluded: Vec<Vec<String>> = depends.clone();
    let kinds = ["Relationship", "LifecycleScopedRelationship"];
    for edge in kinds.into_iter().flat_map(|kind| graph.of_type(kind)) {
        let Some(from) = string(edge, "from").and_then(|id| by_id.get(id)).copied() else { continue };
        let license = |id: &str| {
            let element = graph.by_id.get(id)?;
            let stated = string(element, "simplelicensing_licenseExpression");
            Some(expression::read(stated.or_else(|| string(element, "name")), &texts))
        };
        for to in strings(edge, "to") {
            match string(edge, "relationshipType") {
                Some("dependsOn") => {
                    depends[from]
                        .extend(by_id.get(to).map(|target| inventory.packages[*target].name.clone()));
                }
                Some("hasDeclaredLicense") => declared[from].extend(license(to).into_iter().flatten()),
                Some("hasConcludedLicense") => concluded[from].extend(license(to).into_iter().flatten()),
                _ => {}
            }
        }
    }
    for (position, package) in inventory.packages.iter_mut().enumerate() {
        if package.licenses.is_empty() {
            let own = std::mem::take(&mut declared[position]);
            package.licenses = if own.is_empty() { std::mem::take(&mut concluded[position]) } else { own };
        }
        if package.depends_on.is_empty() {
            package.depends_on = std::mem::take(&mut depends[position]);
            package.depends_on.sort();
            package.depends_on.dedup();
        }
    }
}

fn creation(graph: &Graph<'_>, out: &mut Document) {
    let Some(info) = graph.of_type("CreationInfo").next() else { return };
    out.created = string(info, "created").and_then(|text| text.parse().ok());
    out.tools = strings(info, "createdUsing").filter_map(|id| graph.name(id)).collect();
    let agents = strings(info, "createdBy").filter(|id| {
        let kind = graph.by_id.get(id).and_then(|agent| string(agent, "type"));
        kind != Some("SoftwareAgent")
    });
    out.authors = agents.filter_map(|id| graph.name(id)).collect();
}

fn string<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// A property with one or several values.
fn strings<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    let one = value.get(key).and_then(Value::as_str);
    one.into_iter().chain(list(value, key).filter_map(Value::as_str))
}
