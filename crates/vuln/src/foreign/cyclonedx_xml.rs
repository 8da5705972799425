//! CycloneDX XML with `vulnerabilities`, turned into the JSON form and read as that.

use serde_json::{Map, Value, json};

use super::json::Object;
use super::{Budget, ForeignError, ScannerReport, cyclonedx};
use crate::sbom::{XmlNode, cyclonedx_xml, cyclonedx_xml_tree};

/// Part of the limit that XML may have: its tree needs more memory for its size than JSON does.
const SHARE: usize = 4;

pub(super) fn read(bytes: &[u8], budget: &mut Budget<'_>) -> Result<ScannerReport, ForeignError> {
    let limit = budget.limits.max_bytes / SHARE;
    if bytes.len() > limit {
        return Err(ForeignError::TooLarge { size: bytes.len(), limit });
    }
    let syntax = |reason: String| ForeignError::Syntax { form: "CycloneDX XML", reason };
    let (mut document, _, _) = cyclonedx_xml(bytes).map_err(syntax)?;
    let (tree, _) = cyclonedx_xml_tree(bytes).map_err(syntax)?;
    if let Some(section) = child(&tree, "vulnerabilities") {
        document["vulnerabilities"] = section.children.iter().map(vulnerability).collect();
    }
    let text = document.to_string();
    cyclonedx::read(&Object::parse(&text)?, budget)
}

fn child<'n>(node: &'n XmlNode, name: &str) -> Option<&'n XmlNode> {
    node.children.iter().find(|child| child.name == name)
}

fn vulnerability(node: &XmlNode) -> Value {
    let mut out = plain(node);
    for (list, convert) in [
        ("references", plain as fn(&XmlNode) -> Value),
        ("ratings", plain),
        ("advisories", plain),
        ("affects", target),
        ("cwes", |cwe| cwe.text.trim().parse::<u64>().map_or(Value::Null, |number| json!(number))),
    ] {
        if let Some(section) = child(node, list) {
            out[list] = section.children.iter().map(convert).collect();
        }
    }
    let responses = child(node, "analysis").and_then(|analysis| child(analysis, "responses"));
    if let Some(list) = responses.filter(|_| out["analysis"].is_object()) {
        out["analysis"]["response"] = list.children.iter().map(|word| json!(word.text.trim())).collect();
    }
    out
}

fn target(node: &XmlNode) -> Value {
    let versions = child(node, "versions").map(|list| list.children.iter().map(plain).collect::<Value>());
    json!({ "ref": child(node, "ref").map(|reference| reference.text.trim()), "versions": versions })
}

/// An element's texts and the texts of its elements, two deep.
fn plain(node: &XmlNode) -> Value {
    let inner = |node: &XmlNode| -> Value {
        if node.children.is_empty() {
            return json!(node.text.trim());
        }
        node.children
            .iter()
            .map(|child| (child.name.clone(), json!(child.text.trim())))
            .collect::<Map<_, _>>()
            .into()
    };
    node.children.iter().map(|child| (child.name.clone(), inner(child))).collect::<Map<_, _>>().into()
}
