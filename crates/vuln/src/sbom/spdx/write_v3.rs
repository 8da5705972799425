//! A document as SPDX 3.0.1 JSON-LD.
//!
//! One `SpdxDocument`, one `software_Sbom`, packages, licence expressions and relationships; facts without a field are
//! `extension_CdxPropertiesExtension` entries, the specification's own place for name-value pairs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{expression, read_v3};
use crate::sbom::cyclonedx::hash_name;
use crate::sbom::document::{Document, Graph, SubjectKind};
use crate::sbom::{carry, identity};
use crate::{Package, PackageKind};

const CREATION: &str = "_:creationinfo";
pub(super) const CONTEXT: &str = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld";

/// Writes pretty JSON with a final line feed.
pub(crate) fn write_v3_json(document: &Document) -> serde_json::Result<Vec<u8>> {
    let mut writer = Writer {
        base: format!("urn:uuid:{}", document.uuid()),
        document,
        texts: expression::References::default(),
        expressions: BTreeMap::new(),
        agents: BTreeMap::new(),
        elements: Vec::new(),
    };
    writer.run();
    let whole = Envelope { context: CONTEXT, graph: writer.graph() };
    let mut bytes = serde_json::to_vec_pretty(&whole)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[derive(serde::Serialize)]
struct Envelope {
    #[serde(rename = "@context")]
    context: &'static str,
    #[serde(rename = "@graph")]
    graph: Vec<Sorted>,
}

/// Members in alphabetical order, whatever order the JSON library keeps.
#[derive(serde::Serialize)]
struct Sorted(BTreeMap<String, Value>);

struct Writer<'a> {
    base: String,
    document: &'a Document,
    texts: expression::References,
    /// Licence expressions and their element ids.
    expressions: BTreeMap<String, String>,
    /// Supplier names and their element ids.
    agents: BTreeMap<String, String>,
    elements: Vec<Value>,
}

impl Writer<'_> {
    fn id(&self, local: &str) -> String {
        format!("{}#{local}", self.base)
    }

    fn element(&self, kind: &str, local: &str, name: Option<&str>) -> Map<String, Value> {
        let mut out = Map::new();
        out.insert("type".into(), json!(kind));
        out.insert("spdxId".into(), json!(self.id(local)));
        out.insert("creationInfo".into(), json!(CREATION));
        if let Some(name) = name {
            out.insert("name".into(), json!(name));
        }
        out
    }

    fn run(&mut self) {
        let inventory = &self.document.inventory;
        let graph = Graph::of(inventory);
        let subject = self.subject();
        self.elements.push(subject);
        let mut contained = Vec::new();
        if let Some(system) = self.system() {
            contained.push(self.id("operating-system"));
            self.elements.push(system);
        }
        let locals: Vec<String> =
            (0..graph.refs.len()).map(|position| format!("package-{}", position + 1)).collect();
        for (position, package) in inventory.packages.iter().enumerate() {
            let element = self.package(package, &graph, position, &locals[position]);
            self.elements.push(element);
            contained.push(self.id(&locals[position]));
        }
        if !contained.is_empty() {
            self.relate("contains", "subject", "contains", contained);
        }
        for (from, targets) in graph.edges.iter().enumerate() {
            if !targets.is_empty() {
                let to = targets.iter().map(|to| self.id(&locals[*to])).collect();
                self.relate(&format!("depends-{}", from + 1), &locals[from], "dependsOn", to);
            }
        }
        for (position, package) in inventory.packages.iter().enumerate() {
            let declared = self.texts.expression(&package.licenses);
            if declared != "NOASSERTION" {
                let next = self.expressions.len() + 1;
                let base = &self.base;
                let id = self
                    .expressions
                    .entry(declared)
                    .or_insert_with(|| format!("{base}#license-{next}"))
                    .clone();
                self.relate(
                    &format!("licensed-{}", position + 1),
                    &locals[position],
                    "hasDeclaredLicense",
                    vec![id],
                );
            }
        }
    }

    fn relate(&mut self, local: &str, from: &str, kind: &str, to: Vec<String>) {
        let mut edge = self.element("Relationship", local, None);
        edge.insert("from".into(), json!(self.id(from)));
        edge.insert("relationshipType".into(), json!(kind));
        edge.insert("to".into(), json!(to));
        self.elements.push(Value::Object(edge));
    }

    fn subject(&self) -> Value {
        let subject = &self.document.subject;
        let purpose = match subject.kind {
            SubjectKind::Container => "container",
            SubjectKind::File => "archive",
            SubjectKind::Application => "application",
        };
        let name = if subject.name.is_empty() { "unnamed" } else { &subject.name };
        let mut out = self.element("software_Package", "subject", Some(name));
        out.insert("software_primaryPurpose".into(), json!(purpose));
        if let Some(version) = &subject.version {
            out.insert("software_packageVersion".into(), json!(version));
        }
        if let Some(purl) = subject.purl() {
            out.insert("software_packageUrl".into(), json!(purl));
        }
        if let Some(digest) = &subject.digest {
            out.insert("verifiedUsing".into(), json!([hash(digest.algorithm().name(), &digest.hex())]));
        }
        let problems: Vec<_> = self.document.inventory.problems.iter().map(carry::problem_property).collect();
        extend(&mut out, problems);
        Value::Object(out)
    }

    fn system(&self) -> Option<Value> {
        let distro = self.document.inventory.distro.as_ref()?;
        let mut out = self.element("software_Package", "operating-system", Some(&distro.id));
        out.insert("software_primaryPurpose".into(), json!("operatingSystem"));
        if !distro.version_id.is_empty() {
            out.insert("software_packageVersion".into(), json!(distro.version_id));
        }
        extend(&mut out, carry::distro_properties(distro));
        Some(Value::Object(out))
    }

    fn package(&mut self, package: &Package, graph: &Graph, position: usize, local: &str) -> Value {
        let own = |key: &str| package.properties.get(key).filter(|text| !text.is_empty());
        let mut out = self.element("software_Package", local, Some(&package.name));
        out.insert("software_packageVersion".into(), json!(package.version));
        let purl = identity::purl(package, self.document.inventory.distro.as_ref());
        out.insert("software_packageUrl".into(), json!(purl));
        out.insert("software_primaryPurpose".into(), json!(purpose(package)));
        if let Some(supplier) = &package.supplier {
            let next = self.agents.len() + 1;
            let base = &self.base;
            let id = self.agents.entry(supplier.clone()).or_insert_with(|| format!("{base}#agent-{next}"));
            out.insert("suppliedBy".into(), json!(id));
        }
        let split = package.hashes.iter().filter_map(|hash| hash.split_once(':'));
        let hashes: Vec<Value> =
            split.filter(|(name, _)| hash_name(name).is_some()).map(|(name, hex)| hash(name, hex)).collect();
        if !hashes.is_empty() {
            out.insert("verifiedUsing".into(), json!(hashes));
        }
        let mut identifiers = Vec::new();
        if let Some(cpe) = own(carry::CPE).filter(|cpe| cpe.starts_with("cpe:2.3:")) {
            identifiers.push(identifier("cpe23", cpe));
        }
        let tag = own(carry::SWID).and_then(|text| serde_json::from_str::<Value>(text).ok());
        if let Some(tag) = tag.as_ref().and_then(|tag| tag.get("tagId")?.as_str()) {
            identifiers.push(identifier("swid", &format!("swid:{tag}")));
        }
        if !identifiers.is_empty() {
            out.insert("externalIdentifier".into(), json!(identifiers));
        }
        for (key, field) in
            [(carry::COPYRIGHT, "software_copyrightText"), (carry::DESCRIPTION, "description")]
        {
            if let Some(text) = own(key) {
                out.insert(field.into(), json!(text));
            }
        }
        let mut native = read_v3::package(&Value::Object(out.clone()), &|_| package.supplier.clone())
            .map_or_else(|| Package::new(PackageKind::Generic, "", ""), |parsed| parsed.0);
        let declared = self.texts.expression(&package.licenses);
        native.licenses = expression::read(Some(&declared), &self.texts.0);
        let names =
            graph.edges[position].iter().map(|edge| self.document.inventory.packages[*edge].name.clone());
        native.depends_on = names.collect();
        native.depends_on.sort();
        native.depends_on.dedup();
        extend(&mut out, carry::difference(package, &native));
        Value::Object(out)
    }

    /// The graph: creation information, tools and agents, the document, the SBOM, then all elements.
    fn graph(mut self) -> Vec<Sorted> {
        let agents: Vec<(String, String)> =
            self.agents.iter().map(|(name, id)| (name.clone(), id.clone())).collect();
        let mut info = Map::new();
        info.insert("type".into(), json!("CreationInfo"));
        info.insert("@id".into(), json!(CREATION));
        info.insert("specVersion".into(), json!("3.0.1"));
        info.insert("created".into(), json!(self.document.created_text()));
        let mut heads = Vec::new();
        let mut creators = vec![self.id("creator")];
        heads.push(self.element("SoftwareAgent", "creator", Some("bonded")));
        for (position, author) in self.document.authors.iter().enumerate() {
            let local = format!("author-{}", position + 1);
            creators.push(self.id(&local));
            heads.push(self.element("Organization", &local, Some(author)));
        }
        info.insert("createdBy".into(), json!(creators));
        let mut tools = Vec::new();
        for (position, tool) in self.document.tools.iter().enumerate() {
            let local = format!("tool-{}", position + 1);
            tools.push(self.id(&local));
            heads.push(self.element("Tool", &local, Some(tool)));
        }
        if !tools.is_empty() {
            info.insert("createdUsing".into(), json!(tools));
        }
        for (name, id) in agents {
            let mut agent = self.element("Organization", "", Some(&name));
            agent.insert("spdxId".into(), json!(id));
            heads.push(agent);
        }
        let mut tail = self.license_elements();
        tail.append(&mut self.elements);
        let all: Vec<Value> = tail.iter().filter_map(|element| element.get("spdxId").cloned()).collect();
        let name =
            if self.document.subject.name.is_empty() { "unnamed" } else { &self.document.subject.name };
        let mut root = self.element("SpdxDocument", "document", Some(name));
        root.insert("profileConformance".into(), json!(["core", "software", "simpleLicensing", "extension"]));
        root.insert("rootElement".into(), json!([self.id("sbom")]));
        let mut sbom = self.element("software_Sbom", "sbom", Some(name));
        sbom.insert("software_sbomType".into(), json!(["analyzed"]));
        sbom.insert("rootElement".into(), json!([self.id("subject")]));
        sbom.insert("element".into(), json!(all));
        let objects = std::iter::once(info).chain(heads).chain([root, sbom]).map(Value::Object);
        objects.chain(tail).filter_map(sorted).collect()
    }

    fn license_elements(&self) -> Vec<Value> {
        let mut out = Vec::new();
        let mut texts = BTreeMap::new();
        for (position, (reference, text)) in self.texts.0.iter().enumerate() {
            let local = format!("license-text-{}", position + 1);
            let mut element = self.element("simplelicensing_SimpleLicensingText", &local, Some(reference));
            element.insert("simplelicensing_licenseText".into(), json!(text));
            texts.insert(reference.clone(), self.id(&local));
            out.push(Value::Object(element));
        }
        for (declared, id) in &self.expressions {
            let mut element = self.element("simplelicensing_LicenseExpression", "", None);
            element.insert("spdxId".into(), json!(id));
            element.insert("simplelicensing_licenseExpression".into(), json!(declared));
            let custom: Vec<Value> = texts
                .iter()
                .filter(|(reference, _)| declared.contains(reference.as_str()))
                .map(|(reference, uri)| json!({ "type": "DictionaryEntry", "key": reference, "value": uri }))
                .collect();
            if !custom.is_empty() {
                element.insert("simplelicensing_customIdToUri".into(), json!(custom));
            }
            out.push(Value::Object(element));
        }
        out
    }
}

fn sorted(value: Value) -> Option<Sorted> {
    match value {
        Value::Object(members) => Some(Sorted(members.into_iter().collect())),
        _ => None,
    }
}

fn hash(algorithm: &str, hex: &str) -> Value {
    let name = match algorithm {
        "sha3-256" => "sha3_256",
        "sha3-384" => "sha3_384",
        "sha3-512" => "sha3_512",
        "blake2b-256" => "blake2b256",
        "blake2b-384" => "blake2b384",
        "blake2b-512" => "blake2b512",
        other => other,
    };
    json!({ "type": "Hash", "algorithm": name, "hashValue": hex })
}

fn identifier(kind: &str, text: &str) -> Value {
    json!({ "type": "ExternalIdentifier", "externalIdentifierType": kind, "identifier": text })
}

fn purpose(package: &Package) -> &'static str {
    match package.properties.get(carry::TYPE).map(String::as_str) {
        Some("application") => "application",
        Some("framework") => "framework",
        Some("container") => "container",
        Some("device") => "device",
        Some("firmware") => "firmware",
        _ => "library",
    }
}

fn extend(element: &mut Map<String, Value>, properties: Vec<(String, String)>) {
    if properties.is_empty() {
        return;
    }
    let entries: Vec<Value> = properties
        .into_iter()
        .map(|(name, value)| {
            json!({
                "type": "extension_CdxPropertyEntry",
                "extension_cdxPropName": name,
                "extension_cdxPropValue": value,
            })
        })
        .collect();
    let extension = json!([{ "type": "extension_CdxPropertiesExtension", "extension_cdxProperty": entries }]);
    element.insert("extension".into(), extension);
}
