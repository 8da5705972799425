//! The three forms of VEX documents, read into one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::{MAX_STATED, VexDocument, VexError, VexName, VexProduct, VexStatement, VexStatus};

/// What a document may still state.
struct Room(usize);

impl Room {
    fn take(&mut self, names: usize, products: usize) -> Result<(), VexError> {
        let left = self.0.checked_sub(names.max(1).saturating_mul(products.max(1)));
        self.0 = left.ok_or(VexError::TooMuch { limit: MAX_STATED })?;
        Ok(())
    }
}

#[derive(Deserialize)]
struct OpenVex {
    #[serde(rename = "@id", default)]
    id: String,
    #[serde(default)]
    author: String,
    #[serde(default)]
    timestamp: String,
    statements: Vec<OpenStatement>,
}

#[derive(Deserialize)]
struct OpenStatement {
    vulnerability: Value,
    #[serde(default)]
    products: Vec<Value>,
    status: String,
    #[serde(default)]
    justification: String,
    #[serde(default)]
    impact_statement: String,
    #[serde(default)]
    action_statement: String,
    #[serde(default)]
    timestamp: String,
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn texts<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v str> {
    list(value, key).filter_map(Value::as_str)
}

/// `@id` and the package URL in `identifiers`.
fn component_names(value: &Value) -> Vec<Arc<VexName>> {
    let ids = match value {
        Value::String(id) => vec![id.clone()],
        other => {
            let purl = other.get("identifiers").map(|i| text(i, "purl")).unwrap_or_default();
            vec![text(other, "@id"), purl]
        }
    };
    ids.into_iter().filter(|id| !id.is_empty()).map(VexName::new).collect()
}

pub(super) fn openvex(value: Value) -> Result<VexDocument, VexError> {
    let document: OpenVex =
        serde_json::from_value(value).map_err(|e| VexError::Form { reason: e.to_string() })?;
    let written = document.timestamp.parse().ok();
    let mut room = Room(MAX_STATED);
    let mut statements = Vec::new();
    for s in document.statements {
        let mut vulnerabilities = match &s.vulnerability {
            Value::String(id) => vec![id.clone()],
            other => vec![text(other, "name"), text(other, "@id")],
        };
        vulnerabilities.extend(texts(&s.vulnerability, "aliases").map(str::to_owned));
        vulnerabilities.retain(|v| !v.is_empty());
        let status = match s.status.as_str() {
            "not_affected" => VexStatus::NotAffected,
            "affected" => VexStatus::Affected,
            "fixed" => VexStatus::Fixed,
            "under_investigation" => VexStatus::UnderInvestigation,
            other => return Err(VexError::Form { reason: format!("status {other:?}") }),
        };
        let products = s.products.iter().flat_map(|product| {
            let subcomponents: Vec<_> = list(product, "subcomponents").flat_map(component_names).collect();
            component_names(product)
                .into_iter()
                .map(move |name| Arc::new(VexProduct { name, subcomponents: subcomponents.clone() }))
        });
        let products: Vec<_> = products.collect();
        room.take(vulnerabilities.len(), products.len())?;
        let words = if s.impact_statement.is_empty() { s.action_statement } else { s.impact_statement };
        statements.push(VexStatement {
            vulnerabilities: vulnerabilities.into(),
            products,
            status,
            justification: s.justification.into(),
            statement: words.into(),
            timestamp: if s.timestamp.is_empty() { written } else { s.timestamp.parse().ok() },
        });
    }
    Ok(VexDocument { id: document.id, author: document.author, statements })
}

/// CSAF product id → product (component, or component as part of a platform).
fn csaf_products(tree: &Value) -> BTreeMap<&str, Arc<VexProduct>> {
    fn id(value: &Value) -> &str {
        value.get("product_id").and_then(Value::as_str).unwrap_or_default()
    }
    fn walk<'v>(branch: &'v Value, depth: u32, out: &mut BTreeMap<&'v str, Arc<VexProduct>>) {
        if depth > 32 {
            return;
        }
        for product in branch.get("product").into_iter().chain(list(branch, "full_product_names")) {
            let purl =
                product.get("product_identification_helper").map(|h| text(h, "purl")).unwrap_or_default();
            let name = VexName::new(if purl.is_empty() { id(product).to_owned() } else { purl });
            out.insert(id(product), Arc::new(VexProduct { name, subcomponents: Vec::new() }));
        }
        for inner in list(branch, "branches") {
            walk(inner, depth + 1, out);
        }
    }
    let mut out = BTreeMap::new();
    walk(tree, 0, &mut out);
    for relation in list(tree, "relationships") {
        let named = |key: &str| out.get(relation.get(key)?.as_str()?).map(|product| product.name.clone());
        let parts = (named("product_reference"), named("relates_to_product_reference"));
        if let (Some(part), Some(whole)) = parts {
            let product = VexProduct { name: whole, subcomponents: vec![part] };
            out.insert(relation.get("full_product_name").map(id).unwrap_or_default(), Arc::new(product));
        }
    }
    out
}

pub(super) fn csaf(value: &Value) -> Result<VexDocument, VexError> {
    let null = Value::Null;
    let meta = value.get("document").unwrap_or(&null);
    let products = csaf_products(value.get("product_tree").unwrap_or(&null));
    let tracking = meta.get("tracking").unwrap_or(&null);
    let timestamp = text(tracking, "current_release_date").parse().ok();
    let mut room = Room(MAX_STATED);
    let mut statements = Vec::new();
    for v in list(value, "vulnerabilities") {
        let mut names = BTreeSet::from([text(v, "cve")]);
        names.extend(list(v, "ids").map(|id| text(id, "text")));
        names.remove("");
        let names: Arc<[String]> = names.into_iter().collect();
        let of_products = |entries: &mut dyn Iterator<Item = &Value>, key: &str| {
            let mut said: BTreeMap<String, Arc<str>> = BTreeMap::new();
            for entry in entries {
                let what: Arc<str> = text(entry, key).into();
                said.extend(texts(entry, "product_ids").map(|id| (id.to_owned(), Arc::clone(&what))));
            }
            said
        };
        let labels = of_products(&mut list(v, "flags"), "label");
        let mut threats = list(v, "threats").filter(|threat| text(threat, "category") == "impact");
        let impacts = of_products(&mut threats, "details");
        let states = [
            ("known_not_affected", VexStatus::NotAffected),
            ("known_affected", VexStatus::Affected),
            ("fixed", VexStatus::Fixed),
            ("first_fixed", VexStatus::Fixed),
            ("under_investigation", VexStatus::UnderInvestigation),
        ];
        for (key, status) in states {
            let Some(stated) = v.get("product_status") else { continue };
            for id in texts(stated, key).collect::<BTreeSet<_>>() {
                let Some(product) = products.get(id) else { continue };
                room.take(names.len(), 1)?;
                statements.push(VexStatement {
                    vulnerabilities: Arc::clone(&names),
                    products: vec![Arc::clone(product)],
                    status,
                    justification: labels.get(id).cloned().unwrap_or_default(),
                    statement: impacts.get(id).cloned().unwrap_or_default(),
                    timestamp,
                });
            }
        }
    }
    if statements.is_empty() && value.get("vulnerabilities").is_none() {
        return Err(VexError::Form { reason: "CSAF document without vulnerabilities".into() });
    }
    let author = meta.get("publisher").map(|p| text(p, "name")).unwrap_or_default();
    Ok(VexDocument { id: text(tracking, "id"), author, statements })
}

pub(super) fn cyclonedx(value: &Value) -> Result<VexDocument, VexError> {
    fn product(text: &str) -> Arc<VexProduct> {
        let name = VexName::new(text.replace("%40", "@").replace("%2B", "+"));
        Arc::new(VexProduct { name, subcomponents: Vec::new() })
    }
    fn components(value: &Value, depth: u32, out: &mut BTreeMap<String, Arc<VexProduct>>) {
        if depth > 64 {
            return;
        }
        let (reference, purl) = (text(value, "bom-ref"), text(value, "purl"));
        if !reference.is_empty() && !purl.is_empty() {
            out.insert(reference, product(&purl));
        }
        for inner in list(value, "components") {
            components(inner, depth + 1, out);
        }
    }
    let mut known = BTreeMap::new();
    components(value, 0, &mut known);
    let null = Value::Null;
    let meta = value.get("metadata").unwrap_or(&null);
    components(meta.get("component").unwrap_or(&null), 0, &mut known);
    let mut room = Room(MAX_STATED);
    let mut statements = Vec::new();
    for v in list(value, "vulnerabilities") {
        let Some(analysis) = v.get("analysis") else { continue };
        let status = match text(analysis, "state").as_str() {
            "not_affected" | "false_positive" => VexStatus::NotAffected,
            "resolved" | "resolved_with_pedigree" => VexStatus::Fixed,
            "exploitable" => VexStatus::Affected,
            "in_triage" => VexStatus::UnderInvestigation,
            _ => continue,
        };
        let mut vulnerabilities = vec![text(v, "id")];
        vulnerabilities.extend(list(v, "references").map(|reference| text(reference, "id")));
        vulnerabilities.retain(|name| !name.is_empty());
        let products = list(v, "affects").map(|affected| {
            let reference = text(affected, "ref");
            // A BOM-Link (`urn:cdx:serial/version#ref`) names a component of another document by its reference.
            let local = reference
                .rsplit_once('#')
                .filter(|_| reference.starts_with("urn:cdx:"))
                .map_or(reference.as_str(), |(_, local)| local);
            known.get(local).cloned().unwrap_or_else(|| product(local))
        });
        let products: Vec<_> = products.collect();
        room.take(vulnerabilities.len(), products.len())?;
        statements.push(VexStatement {
            vulnerabilities: vulnerabilities.into(),
            products,
            status,
            justification: text(analysis, "justification").into(),
            statement: text(analysis, "detail").into(),
            timestamp: text(v, "updated").parse().ok(),
        });
    }
    let author = meta.get("authors").and_then(|a| a.get(0)).map(|a| text(a, "name")).unwrap_or_default();
    Ok(VexDocument { id: text(value, "serialNumber"), author, statements })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_forms_say_the_same() {
        let openvex = br#"{"@context":"https://openvex.dev/ns/v0.2.0","@id":"a","author":"x","timestamp":"2026-01-01T00:00:00Z","statements":[
          {"vulnerability":{"name":"CVE-2023-1"},"products":[{"@id":"pkg:npm/lodash@4.17.0"}],"status":"not_affected","justification":"component_not_present"}]}"#;
        let csaf = br#"{"document":{"category":"csaf_vex","csaf_version":"2.0","publisher":{"name":"x"},"tracking":{"id":"a"}},
          "product_tree":{"full_product_names":[{"product_id":"P","product_identification_helper":{"purl":"pkg:npm/lodash@4.17.0"}}]},
          "vulnerabilities":[{"cve":"CVE-2023-1","product_status":{"known_not_affected":["P"]},"flags":[{"label":"component_not_present","product_ids":["P"]}]}]}"#;
        let cdx = br#"{"bomFormat":"CycloneDX","specVersion":"1.4","serialNumber":"a","components":[{"bom-ref":"r","purl":"pkg:npm/lodash@4.17.0"}],
          "vulnerabilities":[{"id":"CVE-2023-1","analysis":{"state":"not_affected","justification":"component_not_present"},"affects":[{"ref":"r"}]}]}"#;
        for form in [&openvex[..], &csaf[..], &cdx[..]] {
            let document = VexDocument::parse("x.json", form).expect("document");
            let said = &document.statements[0];
            assert_eq!(
                (said.status, said.products[0].name.text.as_str()),
                (VexStatus::NotAffected, "pkg:npm/lodash@4.17.0")
            );
            assert_eq!(&*said.justification, "component_not_present");
        }
    }

    /// Before, each of 20,000 names was copied for each of 20,000 mentions of one product: 10 GB of a document of 340 KB.
    #[test]
    fn a_small_document_cannot_state_without_bound() {
        let document = |names: usize, products: usize| {
            let names: Vec<_> = (0..names).map(|n| serde_json::json!({ "text": format!("A-{n}") })).collect();
            let ids: Vec<String> = (0..products).map(|n| format!("P{n}")).collect();
            let tree: Vec<_> = ids.iter().map(|id| serde_json::json!({ "product_id": id })).collect();
            let twice = [&ids[..], &ids[..]].concat();
            let text = serde_json::json!({
                "document": { "csaf_version": "2.0" },
                "product_tree": { "full_product_names": tree },
                "vulnerabilities": [{ "ids": names, "product_status": { "known_not_affected": twice } }],
            });
            VexDocument::parse("x", text.to_string().as_bytes()).map(|document| document.statements.len())
        };
        assert_eq!(document(1000, 2000), Ok(2000), "a product that is named twice is meant once");
        assert_eq!(document(1001, 2000), Err(VexError::TooMuch { limit: MAX_STATED }));
    }
}
