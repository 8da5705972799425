//! What CycloneDX 1.0 and 1.1 forbid and 1.2 allows.
//!
//! The two have only an XML form; converted, they are checked by 1.2's schema, of which they are a part, and by this.

use super::xml_tree::Node;
use crate::sbom::CycloneDxVersion;

const TYPES: [&str; 6] = ["application", "framework", "library", "operating-system", "device", "file"];
/// Members of a component in 1.0; later versions only add.
const MEMBERS_1_0: [&str; 12] = [
    "publisher",
    "group",
    "name",
    "version",
    "description",
    "scope",
    "hashes",
    "licenses",
    "copyright",
    "cpe",
    "purl",
    "modified",
];

/// Adds the rules that a document of 1.0 or 1.1 breaks.
pub(super) fn check(root: &Node, version: CycloneDxVersion, broken: &mut Vec<String>) {
    let section = |node: &Node| matches!(node.name.as_str(), "components" | "externalReferences");
    if !root.children.iter().any(|child| child.name == "components") {
        broken.push("bom: has no components".to_owned());
    }
    for child in root.children.iter().filter(|child| !section(child)) {
        broken.push(format!("bom: `{}` came with a later version", child.name));
    }
    component(root, version, broken);
}

fn component(node: &Node, version: CycloneDxVersion, broken: &mut Vec<String>) {
    if node.name == "component" {
        let kind = node.attribute("type").unwrap_or_default();
        let first = version == CycloneDxVersion::V1_0;
        if !TYPES.contains(&kind) || first && kind == "file" {
            broken.push(format!("component: type `{kind}` came with a later version"));
        }
        if first {
            let known = |name: &str| MEMBERS_1_0.contains(&name) || name == "components";
            for child in node.children.iter().filter(|child| !known(&child.name)) {
                broken.push(format!("component: `{}` came with a later version", child.name));
            }
            if !node.children.iter().any(|child| child.name == "modified") {
                broken.push("component: does not say whether it is modified".to_owned());
            }
            if node.children.iter().any(|child| child.name == "scope" && child.text.trim() == "excluded") {
                broken.push("component: scope `excluded` came with a later version".to_owned());
            }
        }
    }
    for child in &node.children {
        component(child, version, broken);
    }
}
