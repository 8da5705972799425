//! CycloneDX XML into the JSON form.
//!
//! Converted: the document's attributes, metadata, components (with licences, hashes, SWID tags, pedigree, references,
//! evidence, properties), services and dependencies. Other sections hold nothing that an inventory is made of and are
//! left out, so they are not checked either. Elements and attributes of other namespaces are extensions: ignored.
//! Document types and entities of their own are refused: they are how XML explodes.

use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;
use serde_json::{Map, Value, json};

use crate::sbom::CycloneDxVersion;

const MAX_DEPTH: usize = 64;
const MAX_ELEMENTS: usize = 4_000_000;
const NAMESPACE: &str = "http://cyclonedx.org/schema/bom/";

/// An element.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) name: String,
    attributes: Vec<(String, String)>,
    pub(super) children: Vec<Node>,
    pub(super) text: String,
}

impl Node {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The JSON form of an XML document with the rules that only its XML form can break; or why there is none.
pub(crate) fn to_json(bytes: &[u8]) -> Result<(Value, CycloneDxVersion, Vec<String>), String> {
    let (root, namespace) = parse(bytes)?;
    if root.name != "bom" {
        return Err(format!("root element is `{}`, not `bom`", root.name));
    }
    let version = namespace.strip_prefix(NAMESPACE).and_then(CycloneDxVersion::parse).ok_or_else(|| {
        format!("namespace `{namespace}` is no CycloneDX version that is read here (1.0 to 1.7)")
    })?;
    let mut bom = Map::new();
    bom.insert("bomFormat".into(), json!("CycloneDX"));
    bom.insert("specVersion".into(), json!(version.name()));
    for (key, text) in &root.attributes {
        match key.as_str() {
            "serialNumber" => bom.insert(key.clone(), json!(text.trim())),
            "version" => bom.insert(key.clone(), number(text)),
            _ => None,
        };
    }
    for child in &root.children {
        match child.name.as_str() {
            "metadata" | "components" | "services" | "externalReferences" => {
                bom.insert(child.name.clone(), convert(child, "bom"));
            }
            "dependencies" => {
                bom.insert(child.name.clone(), Value::Array(child.children.iter().map(dependency).collect()));
            }
            "properties" if version >= CycloneDxVersion::V1_5 => {
                bom.insert(child.name.clone(), convert(child, "bom"));
            }
            _ => {}
        }
    }
    let mut broken = Vec::new();
    structure(&root, version, &mut broken);
    if version < CycloneDxVersion::V1_2 {
        super::early::check(&root, version, &mut broken);
    }
    Ok((Value::Object(bom), version, broken))
}

/// Rules whose violation the conversion would hide: repeated single elements, mixed licence choices, data flows.
fn structure(node: &Node, version: CycloneDxVersion, broken: &mut Vec<String>) {
    let count = |name: &str| node.children.iter().filter(|child| child.name == name).count();
    match node.name.as_str() {
        "license" if count("id") + count("name") > 1 => {
            broken.push("license: has more than one id or name".to_owned());
        }
        "licenses"
            if version < CycloneDxVersion::V1_7 && count("expression") > 0 && node.children.len() > 1 =>
        {
            broken.push("licenses: an expression stands alone".to_owned());
        }
        "citation" => {
            let by = (count("attributedTo"), count("process"));
            if count("pointers") + count("expressions") != 1 || by.0 > 1 || by.1 > 1 || by == (0, 0) {
                broken.push(
                    "citation: needs one set of pointers or expressions, and one source of each kind"
                        .to_owned(),
                );
            }
        }
        "classification"
            if node.attribute("flow").is_some_and(|flow| {
                !matches!(flow, "inbound" | "outbound" | "bi-directional" | "unknown")
            }) =>
        {
            broken
                .push("classification: flow is not inbound, outbound, bi-directional or unknown".to_owned());
        }
        _ => {}
    }
    for child in &node.children {
        structure(child, version, broken);
    }
}

fn parse(bytes: &[u8]) -> Result<(Node, String), String> {
    let mut reader = NsReader::from_reader(bytes);
    reader.config_mut().trim_text(false);
    let mut stack: Vec<Node> = Vec::new();
    let mut foreign = 0_usize;
    let mut elements = 0_usize;
    let mut namespace = None;
    loop {
        let at = reader.buffer_position();
        let fail = |reason: String| format!("byte {at}: {reason}");
        let (resolved, event) = reader.read_resolved_event().map_err(|error| fail(error.to_string()))?;
        match event {
            Event::Start(start) | Event::Empty(start)
                if elements >= MAX_ELEMENTS || stack.len() >= MAX_DEPTH =>
            {
                drop(start);
                return Err(fail(format!("more than {MAX_ELEMENTS} elements or {MAX_DEPTH} levels")));
            }
            Event::Start(start) => {
                elements += 1;
                let own = bound(&resolved);
                let root = namespace.get_or_insert_with(|| own.clone());
                if foreign > 0 || *root != own {
                    foreign += 1;
                } else {
                    stack.push(node(&start).map_err(fail)?);
                }
            }
            Event::Empty(start) => {
                elements += 1;
                let own = bound(&resolved);
                let root = namespace.get_or_insert_with(|| own.clone());
                if foreign == 0 && *root == own {
                    let done = node(&start).map_err(fail)?;
                    match stack.last_mut() {
                        Some(parent) => parent.children.push(done),
                        None => return Ok((done, own)),
                    }
                }
            }
            Event::End(_) if foreign > 0 => foreign -= 1,
            Event::End(_) => {
                let done = stack.pop().ok_or_else(|| fail("element ends that did not start".into()))?;
                match stack.last_mut() {
                    Some(parent) => parent.children.push(done),
                    None => return Ok((done, namespace.unwrap_or_default())),
                }
            }
            Event::Text(text) if foreign == 0 => {
                let text = text.decode().map_err(|error| fail(error.to_string()))?;
                if let Some(top) = stack.last_mut() {
                    top.text.push_str(&text);
                }
            }
            Event::CData(text) if foreign == 0 => {
                let text = text.decode().map_err(|error| fail(error.to_string()))?;
                if let Some(top) = stack.last_mut() {
                    top.text.push_str(&text);
                }
            }
            Event::GeneralRef(reference) if foreign == 0 => {
                let resolved = entity(&reference).map_err(fail)?;
                if let Some(top) = stack.last_mut() {
                    top.text.push_str(&resolved);
                }
            }
            Event::DocType(_) => return Err(fail("document type declarations are refused".into())),
            Event::Eof => return Err(fail("document ends early".into())),
            _ => {}
        }
    }
}

fn entity(reference: &quick_xml::events::BytesRef<'_>) -> Result<String, String> {
    if let Some(character) = reference.resolve_char_ref().map_err(|error| error.to_string())? {
        return Ok(character.to_string());
    }
    let name = reference.decode().map_err(|error| error.to_string())?;
    quick_xml::escape::resolve_predefined_entity(&name)
        .map(str::to_owned)
        .ok_or_else(|| format!("entity `{name}` is not defined"))
}

fn bound(resolved: &ResolveResult<'_>) -> String {
    match resolved {
        ResolveResult::Bound(namespace) => String::from_utf8_lossy(namespace.as_ref()).into_owned(),
        _ => String::new(),
    }
}

fn node(start: &BytesStart<'_>) -> Result<Node, String> {
    let mut out =
        Node { name: String::from_utf8_lossy(start.local_name().as_ref()).into_owned(), ..Node::default() };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
        if key.contains(':') || key == "xmlns" {
            continue;
        }
        let raw = String::from_utf8_lossy(&attribute.value);
        let value = quick_xml::escape::unescape(&raw).map_err(|error| error.to_string())?;
        out.attributes.push((key, value.into_owned()));
    }
    Ok(out)
}

/// Elements whose children are a JSON array.
const LISTS: [&str; 28] = [
    "components",
    "services",
    "hashes",
    "externalReferences",
    "properties",
    "authors",
    "lifecycles",
    "ancestors",
    "descendants",
    "variants",
    "commits",
    "patches",
    "resolves",
    "references",
    "occurrences",
    "endpoints",
    "licenses",
    "tags",
    "altIds",
    "licenseTypes",
    "frames",
    "methods",
    "tools",
    "identities",
    "omniborIds",
    "swhids",
    "parameters",
    "customer",
];
/// Sections inside converted ones that are left out.
const LEFT_OUT: [&str; 12] = [
    "releaseNotes",
    "modelCard",
    "cryptoProperties",
    "signature",
    "identity",
    "callstack",
    "data",
    "licensing",
    "formulation",
    "tags",
    "patentAssertions",
    "distributionConstraints",
];
/// Attributes that belong to the specification.
const ATTRIBUTES: [&str; 17] = [
    "bom-ref",
    "type",
    "mime-type",
    "alg",
    "ref",
    "name",
    "content-type",
    "encoding",
    "tagId",
    "version",
    "tagVersion",
    "patch",
    "flow",
    "acknowledgement",
    "isExternal",
    "additionalContext",
    "cryptoRef",
];
/// Elements that describe an organisation or contact: they repeat `url` and `contact`.
const ORGANISATIONS: [&str; 6] =
    ["supplier", "manufacturer", "manufacture", "organization", "provider", "publisher"];

fn convert(node: &Node, parent: &str) -> Value {
    let name = node.name.as_str();
    if name == "tools" && node.children.iter().any(|child| child.name != "tool") {
        return object(node);
    }
    if name == "authors" && parent == "component" || name == "references" {
        return Value::Array(node.children.iter().map(|child| convert(child, name)).collect());
    }
    if name == "licenses" {
        return Value::Array(node.children.iter().map(license).collect());
    }
    if name == "copyright" && !node.children.is_empty() {
        let text = |child: &Node| json!({ "text": child.text });
        return Value::Array(node.children.iter().map(text).collect());
    }
    if name == "swid" || name == "text" || !LISTS.contains(&name) {
        return object_or_text(node, parent);
    }
    Value::Array(node.children.iter().map(|child| convert(child, name)).collect())
}

fn object_or_text(node: &Node, parent: &str) -> Value {
    let known = node.attributes.iter().any(|(key, _)| ATTRIBUTES.contains(&key.as_str()));
    let nested = parent == "components" || parent == "services" || parent == "patches" || parent == "commits";
    if node.children.is_empty() && !known && !nested {
        let text = node.text.trim();
        return match node.name.as_str() {
            "modified" | "patch" | "authenticated" | "x-trust-boundary" => boolean(text),
            "line" | "offset" => number(text),
            "text" => json!({ "content": node.text }),
            _ if node.text.trim().is_empty() && is_object(&node.name) => json!({}),
            _ => json!(collapse(&node.name, &node.text)),
        };
    }
    object(node)
}

/// Names whose empty element is an empty object, not an empty text.
fn is_object(name: &str) -> bool {
    matches!(
        name,
        "pedigree"
            | "evidence"
            | "component"
            | "service"
            | "metadata"
            | "issue"
            | "source"
            | "author"
            | "license"
            | "tool"
    ) || ORGANISATIONS.contains(&name)
}

/// `xs:normalizedString` and `xs:token` content is trimmed; free text is kept.
fn collapse(name: &str, text: &str) -> String {
    match name {
        "name" | "version" | "group" | "description" | "copyright" | "value" | "publisher" | "author"
        | "location" => text.to_owned(),
        _ => text.trim().to_owned(),
    }
}

fn object(node: &Node) -> Value {
    let mut out = Map::new();
    for (key, value) in &node.attributes {
        if !ATTRIBUTES.contains(&key.as_str()) {
            continue;
        }
        let converted = match key.as_str() {
            "tagVersion" => number(value),
            "patch" | "isExternal" => boolean(value),
            _ => json!(value),
        };
        let key = if key == "content-type" { "contentType" } else { key };
        out.insert(key.to_owned(), converted);
    }
    for child in &node.children {
        if LEFT_OUT.contains(&child.name.as_str()) {
            continue;
        }
        let value = convert(child, &node.name);
        let repeats = match child.name.as_str() {
            "url" | "contact" => ORGANISATIONS.contains(&node.name.as_str()),
            "omniborId" | "swhid" => true,
            _ => false,
        };
        if repeats {
            if let Value::Array(list) = out.entry(child.name.clone()).or_insert_with(|| json!([])) {
                list.push(value);
            }
        } else {
            out.insert(child.name.clone(), value);
        }
    }
    if node.children.is_empty()
        && (!node.text.trim().is_empty() || matches!(node.name.as_str(), "hash" | "text"))
    {
        let key = if node.name == "property" { "value" } else { "content" };
        let text = if node.name == "hash" { node.text.trim() } else { node.text.as_str() };
        out.insert(key.to_owned(), json!(text));
    } else if node.name == "property" {
        out.entry("value").or_insert_with(|| json!(""));
    }
    Value::Object(out)
}

fn license(node: &Node) -> Value {
    if node.name == "expression" {
        let mut entry = Map::new();
        entry.insert("expression".into(), json!(node.text.trim()));
        for (key, value) in &node.attributes {
            if matches!(key.as_str(), "bom-ref" | "acknowledgement") {
                entry.insert(key.clone(), json!(value));
            }
        }
        return Value::Object(entry);
    }
    if node.name == "expression-detailed" {
        return detailed(node);
    }
    json!({ node.name.as_str(): object(node) })
}

/// `expression-detailed` of 1.7: attributes, and details of single licences in it.
fn detailed(node: &Node) -> Value {
    let mut entry = Map::new();
    for (key, value) in &node.attributes {
        if matches!(key.as_str(), "expression" | "bom-ref" | "acknowledgement") {
            entry.insert(key.clone(), json!(value));
        }
    }
    let details = node.children.iter().filter(|child| child.name == "details").map(|child| {
        let mut detail = match object(child) {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        if let Some(id) = child.attribute("license-identifier") {
            detail.insert("licenseIdentifier".into(), json!(id));
        }
        Value::Object(detail)
    });
    let details: Vec<Value> = details.collect();
    if !details.is_empty() {
        entry.insert("expressionDetails".into(), Value::Array(details));
    }
    Value::Object(entry)
}

fn dependency(node: &Node) -> Value {
    let reference = |node: &Node| node.attribute("ref").map(str::to_owned);
    let targets: Vec<String> =
        node.children.iter().filter(|child| child.name == "dependency").filter_map(reference).collect();
    let mut entry = Map::new();
    if let Some(reference) = reference(node) {
        entry.insert("ref".into(), json!(reference));
    }
    entry.insert("dependsOn".into(), json!(targets));
    Value::Object(entry)
}

fn number(text: &str) -> Value {
    text.trim().parse::<i64>().map_or_else(|_| json!(text), |number| json!(number))
}

fn boolean(text: &str) -> Value {
    match text.trim() {
        "true" | "1" => json!(true),
        "false" | "0" => json!(false),
        other => json!(other),
    }
}
