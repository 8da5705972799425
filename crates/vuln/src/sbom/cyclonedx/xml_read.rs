//! CycloneDX XML into the JSON form.
//!
//! Converted: the document's attributes, metadata, components (with licences, hashes, SWID tags, pedigree, references,
//! evidence, properties), services and dependencies. Other sections hold nothing that an inventory is made of and are
//! left out, so they are not checked either. Elements and attributes of other namespaces are extensions: ignored.

use serde_json::{Map, Value, json};

use super::xml_tree::{Node, parse};
use crate::sbom::CycloneDxVersion;

const NAMESPACE: &str = "http://cyclonedx.org/schema/bom/";

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
