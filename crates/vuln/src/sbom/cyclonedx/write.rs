//! A document as CycloneDX JSON.

use serde_json::Value;

use super::model::{
    Bom, Component, Composition, Contact, Dependency, ExternalReference, Hash, License, Metadata,
    NamedLicense, Occurrence, Occurrences, Property, Tool, Tools, hash_name,
};
use crate::sbom::carry;
use crate::sbom::document::{Document, Graph, SubjectKind};
use crate::sbom::{CycloneDxVersion, identity};
use crate::{Package, PackageKind};

/// Reference of the subject inside the document.
const SUBJECT: &str = "bonded:subject";
/// Reference of the operating system inside the document.
const SYSTEM: &str = "bonded:operating-system";

/// Writes pretty JSON with a final line feed.
pub(crate) fn write_json(document: &Document, version: CycloneDxVersion) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(&bom(document, version))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The document in CycloneDX's terms; both serialisations and the VDR are made from it.
pub(crate) fn bom(document: &Document, version: CycloneDxVersion) -> Bom {
    let inventory = &document.inventory;
    let graph = Graph::of(inventory);
    let mut components = Vec::with_capacity(inventory.packages.len() + 1);
    components.extend(system(document));
    for (position, package) in inventory.packages.iter().enumerate() {
        components.push(component(document, package, &graph, position, version));
    }
    let text = |nodes: &[usize]| nodes.iter().map(|node| graph.refs[*node].clone()).collect::<Vec<_>>();
    let mut top = text(&graph.roots());
    if inventory.distro.is_some() {
        top.insert(0, SYSTEM.to_owned());
    }
    let mut dependencies = vec![Dependency { reference: SUBJECT.to_owned(), depends_on: top }];
    for (reference, edges) in graph.refs.iter().zip(&graph.edges) {
        dependencies.push(Dependency { reference: reference.clone(), depends_on: text(edges) });
    }
    let aggregate = if inventory.problems.is_empty() { "unknown" } else { "incomplete" };
    Bom {
        schema: format!("http://cyclonedx.org/schema/bom-{}.schema.json", version.name()),
        format: "CycloneDX",
        spec_version: version.name(),
        serial_number: format!("urn:uuid:{}", document.uuid()),
        version: 1,
        metadata: metadata(document, version),
        components,
        dependencies,
        compositions: vec![Composition { aggregate, assemblies: vec![SUBJECT.to_owned()] }],
        vulnerabilities: Vec::new(),
    }
}

fn metadata(document: &Document, version: CycloneDxVersion) -> Metadata {
    let split = |tool: &String| match tool.rsplit_once('-') {
        Some((name, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => {
            (name.to_owned(), Some(version.to_owned()))
        }
        _ => (tool.clone(), None),
    };
    let tools = document.tools.iter().map(split);
    let tools = if version < CycloneDxVersion::V1_5 {
        Tools::Legacy(tools.map(|(name, version)| Tool { name, version }).collect())
    } else {
        let tool =
            |(name, version)| Component { kind: "application".into(), name, version, ..Component::default() };
        Tools::Components { components: tools.map(tool).collect() }
    };
    let properties = document.inventory.problems.iter().map(carry::problem_property).map(property).collect();
    Metadata {
        timestamp: Some(document.created_text()),
        tools,
        authors: document.authors.iter().map(|name| Contact { name: name.clone() }).collect(),
        component: subject(document),
        properties,
    }
}

fn property((name, value): (String, String)) -> Property {
    Property { name, value }
}

fn subject(document: &Document) -> Component {
    let subject = &document.subject;
    let kind = match subject.kind {
        SubjectKind::Container => "container",
        SubjectKind::File => "file",
        SubjectKind::Application => "application",
    };
    let hash = |digest: &oci::Digest| {
        hash_name(digest.algorithm().name()).map(|names| Hash { alg: names.1, content: digest.hex() })
    };
    Component {
        kind: kind.into(),
        bom_ref: Some(SUBJECT.into()),
        name: if subject.name.is_empty() { "unnamed".into() } else { subject.name.clone() },
        version: subject.version.clone(),
        hashes: subject.digest.as_ref().and_then(hash).into_iter().collect(),
        purl: subject.purl(),
        ..Component::default()
    }
}

fn system(document: &Document) -> Option<Component> {
    let distro = document.inventory.distro.as_ref()?;
    Some(Component {
        kind: "operating-system".into(),
        bom_ref: Some(SYSTEM.into()),
        name: distro.id.clone(),
        version: Some(distro.version_id.clone()).filter(|version| !version.is_empty()),
        description: distro.pretty_name.clone(),
        properties: carry::distro_properties(distro).into_iter().map(property).collect(),
        ..Component::default()
    })
}

fn component(
    document: &Document,
    package: &Package,
    graph: &Graph,
    position: usize,
    version: CycloneDxVersion,
) -> Component {
    let purl = identity::purl(package, document.inventory.distro.as_ref());
    let own = |key: &str| package.properties.get(key).cloned();
    let hashes = hashes(package);
    let licenses = licenses(package);
    let swid = own(carry::SWID).and_then(|text| serde_json::from_str::<Value>(&text).ok()).filter(is_swid);
    let download = own(carry::DOWNLOAD).filter(|url| !url.is_empty());
    let mut places: Vec<String> = package.evidence.iter().map(|evidence| evidence.path.clone()).collect();
    places.sort();
    places.dedup();
    places.retain(|place| !place.is_empty());
    let evidence = (version >= CycloneDxVersion::V1_5 && !places.is_empty()).then(|| Occurrences {
        occurrences: places.iter().map(|place| Occurrence { location: place.clone() }).collect(),
    });
    let mut out = Component {
        kind: own(carry::TYPE).filter(|kind| is_type(kind)).unwrap_or_else(|| "library".into()),
        bom_ref: Some(graph.refs[position].clone()),
        supplier: package.supplier.clone().map(|name| Contact { name }),
        group: package.namespace.clone(),
        name: package.name.clone(),
        version: Some(package.version.clone()),
        description: own(carry::DESCRIPTION),
        hashes,
        licenses,
        copyright: own(carry::COPYRIGHT),
        cpe: own(carry::CPE).filter(|cpe| is_cpe(cpe)),
        purl: Some(purl),
        swid,
        external_references: download
            .map(|url| ExternalReference { kind: "distribution", url })
            .into_iter()
            .collect(),
        evidence,
        properties: Vec::new(),
    };
    let seen = serde_json::to_value(&out).unwrap_or_default();
    let mut native = super::read::package(&seen)
        .map_or_else(|| Package::new(PackageKind::Generic, "", ""), |parsed| parsed.0);
    native.depends_on = depends_on(graph, document, position);
    out.properties = carry::difference(package, &native).into_iter().map(property).collect();
    out
}

/// Component types that every version from 1.4 on knows.
fn is_type(kind: &str) -> bool {
    matches!(kind, "application" | "framework" | "library" | "container" | "device" | "firmware")
}

/// A SWID tag that has what the specification asks.
fn is_swid(tag: &Value) -> bool {
    ["tagId", "name"].into_iter().all(|key| tag.get(key).is_some_and(Value::is_string))
}

/// The two bindings of CPE names, by their start.
pub(crate) fn is_cpe(text: &str) -> bool {
    let parts = text.matches(':').count();
    (text.starts_with("cpe:2.3:") && parts == 12) || (text.starts_with("cpe:/") && parts >= 3)
}

/// Names of packages that the document's edges will give back.
fn depends_on(graph: &Graph, document: &Document, position: usize) -> Vec<String> {
    let mut names: Vec<String> =
        graph.edges[position].iter().map(|edge| document.inventory.packages[*edge].name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

fn hashes(package: &Package) -> Vec<Hash> {
    let split = package.hashes.iter().filter_map(|hash| hash.split_once(':'));
    split
        .filter_map(|(name, hex)| {
            let (_, alg, _, length) = hash_name(name)?;
            let valid = hex.len() == length && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
            valid.then(|| Hash { alg, content: hex.to_owned() })
        })
        .collect()
}

/// One expression, or a list of ids and names; the specification forbids to mix them before 1.7.
fn licenses(package: &Package) -> Vec<License> {
    if let [only] = package.licenses.as_slice()
        && !super::is_license_id(only)
        && only.trim() == only
        && spdx::Expression::parse(only).is_ok()
    {
        return vec![License::Expression { expression: only.clone() }];
    }
    let named = |text: &String| {
        License::License(if super::is_license_id(text) {
            NamedLicense::Id(text.clone())
        } else {
            NamedLicense::Name(text.clone())
        })
    };
    package.licenses.iter().filter(|text| !text.is_empty()).map(named).collect()
}
