//! VEX: what a vendor or we ourselves say of a vulnerability in a product. OpenVEX, CSAF 2.0 VEX, CycloneDX analyses.
//!
//! A statement names vulnerabilities, products and a status. `not_affected` and `fixed` excuse a finding – shown, with
//! the justification. Who may speak is the caller's decision: only documents that it trusts are handed in, the most
//! trusted last. That order decides between documents, since what a document says of its own author and age is no
//! evidence; within one document a later statement overrules an earlier one.

use super::finding::{Finding, Suppression, SuppressionKind};
use super::ignore::purl_means;
use crate::advisory::Status;
use crate::package::{Distro, Inventory, Package};
use crate::purl::Purl;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Longest document, in bytes.
const MAX_DOCUMENT_BYTES: usize = 256 << 20;

/// What a statement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VexStatus {
    /// Not affected.
    NotAffected,
    /// Affected.
    Affected,
    /// Repaired in this product.
    Fixed,
    /// Being looked at.
    UnderInvestigation,
}

/// A product and the parts of it that are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VexProduct {
    /// Package URL or other identifier.
    pub id: String,
    /// Package URLs of components; empty: the product as a whole.
    pub subcomponents: Vec<String>,
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VexStatement {
    /// The vulnerability's names.
    pub vulnerabilities: Vec<String>,
    /// Products.
    pub products: Vec<VexProduct>,
    /// What is said.
    pub status: VexStatus,
    /// Why, as a label of the form (`vulnerable_code_not_present`).
    pub justification: String,
    /// Why, in words.
    pub statement: String,
    /// When, RFC 3339, empty if not stated.
    pub timestamp: String,
}

/// A document of statements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VexDocument {
    /// Identifier or file name.
    pub id: String,
    /// Who wrote it.
    pub author: String,
    /// Its statements.
    pub statements: Vec<VexStatement>,
}

/// A document that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VexError {
    /// Longer than 256 MiB.
    #[error("VEX document of {len_bytes} bytes is too long")]
    TooLong {
        /// Its length.
        len_bytes: usize,
    },
    /// None of the known forms, or damaged.
    #[error("not a VEX document: {reason}")]
    Form {
        /// What is wrong.
        reason: String,
    },
}

impl VexDocument {
    /// Reads a document of any of the three forms.
    ///
    /// # Errors
    /// [`VexError`].
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, VexError> {
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(VexError::TooLong { len_bytes: bytes.len() });
        }
        let value: Value =
            serde_json::from_slice(bytes).map_err(|e| VexError::Form { reason: e.to_string() })?;
        let mut document = if value.get("statements").is_some() {
            openvex(value)?
        } else if value.get("document").is_some() {
            csaf(value)?
        } else if value.get("bomFormat").is_some() {
            cyclonedx(value)?
        } else {
            return Err(VexError::Form { reason: "neither OpenVEX nor CSAF nor CycloneDX".into() });
        };
        if document.id.is_empty() {
            name.clone_into(&mut document.id);
        }
        Ok(document)
    }
}

fn read<T: for<'a> Deserialize<'a>>(value: Value) -> Result<T, VexError> {
    serde_json::from_value(value).map_err(|e| VexError::Form { reason: e.to_string() })
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

fn texts(value: Option<&Value>) -> Vec<String> {
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// `@id` and the package URL in `identifiers`.
fn component_ids(value: &Value) -> Vec<String> {
    match value {
        Value::String(id) => vec![id.clone()],
        other => {
            let purl = other.get("identifiers").map(|i| text(i, "purl")).unwrap_or_default();
            [text(other, "@id"), purl].into_iter().filter(|i| !i.is_empty()).collect()
        }
    }
}

fn openvex(value: Value) -> Result<VexDocument, VexError> {
    let d: OpenVex = read(value)?;
    let mut statements = Vec::new();
    for s in d.statements {
        let mut vulnerabilities = match &s.vulnerability {
            Value::String(id) => vec![id.clone()],
            other => vec![text(other, "name"), text(other, "@id")],
        };
        vulnerabilities.extend(texts(s.vulnerability.get("aliases")));
        vulnerabilities.retain(|v| !v.is_empty());
        let status = match s.status.as_str() {
            "not_affected" => VexStatus::NotAffected,
            "affected" => VexStatus::Affected,
            "fixed" => VexStatus::Fixed,
            "under_investigation" => VexStatus::UnderInvestigation,
            other => return Err(VexError::Form { reason: format!("status {other:?}") }),
        };
        let products = s.products.iter().flat_map(|p| {
            let subcomponents: Vec<String> = p
                .get("subcomponents")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .flat_map(component_ids)
                .collect();
            component_ids(p)
                .into_iter()
                .map(move |id| VexProduct { id, subcomponents: subcomponents.clone() })
        });
        statements.push(VexStatement {
            vulnerabilities,
            products: products.collect(),
            status,
            justification: s.justification,
            statement: if s.impact_statement.is_empty() { s.action_statement } else { s.impact_statement },
            timestamp: if s.timestamp.is_empty() { d.timestamp.clone() } else { s.timestamp },
        });
    }
    Ok(VexDocument { id: d.id, author: d.author, statements })
}

/// CSAF product id → package URLs (component, or component as part of a platform).
fn csaf_products(tree: &Value) -> BTreeMap<String, VexProduct> {
    fn walk(branch: &Value, depth: u32, out: &mut BTreeMap<String, VexProduct>) {
        if depth > 32 {
            return;
        }
        let named = branch.get("full_product_names").and_then(Value::as_array).into_iter().flatten();
        for product in branch.get("product").into_iter().chain(named) {
            let purl =
                product.get("product_identification_helper").map(|h| text(h, "purl")).unwrap_or_default();
            let id = text(product, "product_id");
            let identity = if purl.is_empty() { id.clone() } else { purl };
            out.insert(id, VexProduct { id: identity, subcomponents: Vec::new() });
        }
        for inner in branch.get("branches").and_then(Value::as_array).into_iter().flatten() {
            walk(inner, depth + 1, out);
        }
    }
    let mut out = BTreeMap::new();
    walk(tree, 0, &mut out);
    for relation in tree.get("relationships").and_then(Value::as_array).into_iter().flatten() {
        let name = relation.get("full_product_name").map(|p| text(p, "product_id")).unwrap_or_default();
        let part = out.get(&text(relation, "product_reference")).map(|p| p.id.clone());
        let whole = out.get(&text(relation, "relates_to_product_reference")).map(|p| p.id.clone());
        if let (Some(part), Some(whole)) = (part, whole) {
            out.insert(name, VexProduct { id: whole, subcomponents: vec![part] });
        }
    }
    out
}

fn csaf(value: Value) -> Result<VexDocument, VexError> {
    let meta = value.get("document").cloned().unwrap_or_default();
    let products = csaf_products(value.get("product_tree").unwrap_or(&Value::Null));
    let tracking = meta.get("tracking").cloned().unwrap_or_default();
    let mut statements = Vec::new();
    for v in value.get("vulnerabilities").and_then(Value::as_array).into_iter().flatten() {
        let mut names = vec![text(v, "cve")];
        names.extend(v.get("ids").and_then(Value::as_array).into_iter().flatten().map(|i| text(i, "text")));
        names.retain(|n| !n.is_empty());
        let mut labels: BTreeMap<String, String> = BTreeMap::new();
        for flag in v.get("flags").and_then(Value::as_array).into_iter().flatten() {
            labels.extend(texts(flag.get("product_ids")).into_iter().map(|id| (id, text(flag, "label"))));
        }
        let mut impacts: BTreeMap<String, String> = BTreeMap::new();
        for threat in v.get("threats").and_then(Value::as_array).into_iter().flatten() {
            if text(threat, "category") == "impact" {
                impacts.extend(
                    texts(threat.get("product_ids")).into_iter().map(|id| (id, text(threat, "details"))),
                );
            }
        }
        let states = [
            ("known_not_affected", VexStatus::NotAffected),
            ("known_affected", VexStatus::Affected),
            ("fixed", VexStatus::Fixed),
            ("first_fixed", VexStatus::Fixed),
            ("under_investigation", VexStatus::UnderInvestigation),
        ];
        for (key, status) in states {
            for id in texts(v.get("product_status").and_then(|s| s.get(key))) {
                let Some(product) = products.get(&id) else { continue };
                statements.push(VexStatement {
                    vulnerabilities: names.clone(),
                    products: vec![product.clone()],
                    status,
                    justification: labels.get(&id).cloned().unwrap_or_default(),
                    statement: impacts.get(&id).cloned().unwrap_or_default(),
                    timestamp: text(&tracking, "current_release_date"),
                });
            }
        }
    }
    if statements.is_empty() && value.get("vulnerabilities").is_none() {
        return Err(VexError::Form { reason: "CSAF document without vulnerabilities".into() });
    }
    let author = meta.get("publisher").map(|p| text(p, "name")).unwrap_or_default();
    Ok(VexDocument { id: text(&tracking, "id"), author, statements })
}

#[expect(clippy::unnecessary_wraps, reason = "one form for all readers")]
fn cyclonedx(value: Value) -> Result<VexDocument, VexError> {
    fn components(value: &Value, depth: u32, out: &mut BTreeMap<String, String>) {
        if depth > 64 {
            return;
        }
        let (reference, purl) = (text(value, "bom-ref"), text(value, "purl"));
        if !reference.is_empty() && !purl.is_empty() {
            out.insert(reference, purl);
        }
        for c in value.get("components").and_then(Value::as_array).into_iter().flatten() {
            components(c, depth + 1, out);
        }
    }
    let mut known = BTreeMap::new();
    components(&value, 0, &mut known);
    let meta = value.get("metadata").cloned().unwrap_or_default();
    components(meta.get("component").unwrap_or(&Value::Null), 0, &mut known);
    let mut statements = Vec::new();
    for v in value.get("vulnerabilities").and_then(Value::as_array).into_iter().flatten() {
        let Some(analysis) = v.get("analysis") else { continue };
        let status = match text(analysis, "state").as_str() {
            "not_affected" | "false_positive" => VexStatus::NotAffected,
            "resolved" | "resolved_with_pedigree" => VexStatus::Fixed,
            "exploitable" => VexStatus::Affected,
            "in_triage" => VexStatus::UnderInvestigation,
            _ => continue,
        };
        let mut vulnerabilities = vec![text(v, "id")];
        vulnerabilities.extend(
            v.get("references").and_then(Value::as_array).into_iter().flatten().map(|r| text(r, "id")),
        );
        vulnerabilities.retain(|n| !n.is_empty());
        let affects =
            v.get("affects").and_then(Value::as_array).into_iter().flatten().map(|a| text(a, "ref"));
        let products = affects.map(|r| {
            // A BOM-Link (`urn:cdx:serial/version#ref`) names a component of another document by its reference.
            let local = r
                .rsplit_once('#')
                .filter(|_| r.starts_with("urn:cdx:"))
                .map_or(r.as_str(), |(_, l)| l)
                .to_owned();
            let id = known.get(&local).cloned().unwrap_or(local);
            VexProduct { id: id.replace("%40", "@").replace("%2B", "+"), subcomponents: Vec::new() }
        });
        statements.push(VexStatement {
            vulnerabilities,
            products: products.collect(),
            status,
            justification: text(analysis, "justification"),
            statement: text(analysis, "detail"),
            timestamp: text(v, "updated"),
        });
    }
    let author = meta.get("authors").and_then(|a| a.get(0)).map(|a| text(a, "name")).unwrap_or_default();
    Ok(VexDocument { id: text(&value, "serialNumber"), author, statements })
}

/// What a VEX product may name: the scanned thing itself and every package in it.
#[derive(Default)]
pub(crate) struct Products {
    named: BTreeSet<String>,
    purls: BTreeMap<String, Vec<Purl>>,
}

impl Products {
    pub(super) fn of(inventory: &Inventory, scanned: &[String]) -> Self {
        let own = inventory.packages.iter().filter_map(|p| Purl::of_package(p, inventory.distro.as_ref()));
        Self::with(own, scanned)
    }

    /// What is in the scanned thing by its package URLs.
    pub(crate) fn with(own: impl Iterator<Item = Purl>, scanned: &[String]) -> Self {
        let mut out = Self { named: scanned.iter().cloned().collect(), ..Self::default() };
        for purl in scanned.iter().filter_map(|text| Purl::parse(text).ok()).chain(own) {
            out.purls.entry(Self::key(&purl)).or_default().push(purl);
        }
        out
    }

    fn key(purl: &Purl) -> String {
        format!("{}/{}/{}", purl.ty(), purl.namespace().unwrap_or_default(), purl.name())
    }

    /// Whether a product is the scanned thing or in it: with a version that one, without any.
    fn has(&self, product: &str) -> bool {
        self.named.contains(product)
            || Purl::parse(product).ok().is_some_and(|pattern| {
                let here = self.purls.get(&Self::key(&pattern)).map_or(&[][..], Vec::as_slice);
                here.iter().any(|purl| purl_means(product, purl))
            })
    }
}

fn product_means(product: &VexProduct, package: &Purl, known: &Products) -> bool {
    if product.subcomponents.is_empty() {
        return purl_means(&product.id, package)
            || product.id.starts_with("pkg:oci/") && known.has(&product.id);
    }
    known.has(&product.id) && product.subcomponents.iter().any(|s| purl_means(s, package))
}

/// The statement that decides on a vulnerability with these names: the latest of the most trusted document that speaks
/// of it.
fn deciding<'d>(
    (id, aliases): (&String, &[String]),
    package: &Purl,
    documents: &'d [VexDocument],
    known: &Products,
) -> Option<(&'d VexDocument, &'d VexStatement)> {
    let names = |s: &&VexStatement| s.vulnerabilities.iter().any(|v| v == id || aliases.contains(v));
    let speaks = |s: &&VexStatement| s.products.iter().any(|p| product_means(p, package, known));
    let said = |document: &'d VexDocument| {
        let statements = document.statements.iter().filter(names).filter(speaks);
        Some((document, statements.max_by_key(|s| s.timestamp.parse::<jiff::Timestamp>().ok())?))
    };
    documents.iter().rev().find_map(said)
}

/// Applies the statement that decides on a finding.
pub(super) fn apply(
    finding: &mut Finding,
    package: &Package,
    distro: Option<&Distro>,
    documents: &[VexDocument],
    known: &Products,
) {
    let Some(purl) = Purl::of_package(package, distro).filter(|_| !documents.is_empty()) else { return };
    let latest = deciding((&finding.id, &finding.aliases), &purl, documents, known);
    let Some((document, s)) = latest else { return };
    match s.status {
        VexStatus::NotAffected | VexStatus::Fixed => finding.suppress(excuse(document, s)),
        VexStatus::UnderInvestigation => {
            if finding.status == Status::Affected {
                finding.status = Status::UnderInvestigation;
            }
        }
        VexStatus::Affected => {}
    }
}

/// Why documents let a vulnerability of a package not count, for findings of others; none: they do not.
pub(crate) fn excused(
    names: (&String, &[String]),
    package: &Purl,
    documents: &[VexDocument],
    known: &Products,
) -> Option<Suppression> {
    let (document, s) = deciding(names, package, documents, known)?;
    matches!(s.status, VexStatus::NotAffected | VexStatus::Fixed).then(|| excuse(document, s))
}

fn excuse(document: &VexDocument, s: &VexStatement) -> Suppression {
    let said = if s.status == VexStatus::Fixed { "fixed" } else { "not affected" };
    let why: Vec<&str> =
        [s.justification.as_str(), s.statement.as_str()].into_iter().filter(|w| !w.is_empty()).collect();
    let reason = if why.is_empty() { said.to_owned() } else { format!("{said}: {}", why.join("; ")) };
    let source = if document.author.is_empty() {
        document.id.clone()
    } else {
        format!("{} ({})", document.id, document.author)
    };
    Suppression { kind: SuppressionKind::Vex, reason, source, until: None }
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
            let d = VexDocument::parse("x.json", form).expect("document");
            let s = &d.statements[0];
            assert_eq!(
                (s.status, s.products[0].id.as_str()),
                (VexStatus::NotAffected, "pkg:npm/lodash@4.17.0")
            );
            assert_eq!(s.justification, "component_not_present");
        }
    }

    fn inventory(purls: &[&str]) -> Inventory {
        let package = |text: &&str| Purl::parse(text).expect("purl").to_package();
        Inventory { packages: purls.iter().map(package).collect(), ..Inventory::default() }
    }

    #[test]
    fn a_subcomponent_counts_only_inside_its_product_at_its_version() {
        let product = |id: &str| VexProduct {
            id: id.into(),
            subcomponents: vec!["pkg:golang/example.org/lib@v1.0.0".into()],
        };
        let lib = Purl::parse("pkg:golang/example.org/lib@v1.0.0").expect("purl");
        let means = |id: &str, present: &[&str], scanned: &[&str]| {
            let scanned: Vec<String> = scanned.iter().map(|s| (*s).to_owned()).collect();
            product_means(&product(id), &lib, &Products::of(&inventory(present), &scanned))
        };
        let app = "pkg:golang/example.org/app";
        assert!(means(app, &["pkg:golang/example.org/app@v2.0.0"], &[]), "without a version any");
        assert!(means("pkg:golang/example.org/app@v2.0.0", &["pkg:golang/example.org/app@v2.0.0"], &[]));
        assert!(!means("pkg:golang/example.org/app@v1.0.0", &["pkg:golang/example.org/app@v2.0.0"], &[]));
        assert!(!means(app, &["pkg:golang/example.org/apps@v2.0.0"], &[]));
        assert!(!means(app, &[], &[]));
        let image = "pkg:oci/app@sha256%3Aaa?repository_url=example.org/app&tag=1";
        assert!(means("pkg:oci/app", &[], &[image]));
        assert!(means("pkg:oci/app@sha256:aa", &[], &[image]));
        assert!(!means("pkg:oci/app@sha256:bb", &[], &[image]));
    }

    #[test]
    fn trust_decides_between_documents_and_time_within_one() {
        let package = Package::new(crate::PackageKind::Npm, "lib", "1.0.0");
        let purl = Purl::of_package(&package, None).expect("purl");
        let says = |status, timestamp: &str| VexStatement {
            vulnerabilities: vec!["CVE-2026-0001".into()],
            products: vec![VexProduct { id: "pkg:npm/lib".into(), subcomponents: Vec::new() }],
            status,
            justification: String::new(),
            statement: String::new(),
            timestamp: timestamp.into(),
        };
        let finding: Finding = serde_json::from_value(serde_json::json!({
            "kind": "npm", "package": "lib", "version": "1.0.0", "arch": null, "id": "CVE-2026-0001",
            "status": "fixed", "severity": "high", "severity_source": "none", "epss": null, "exploited": null,
            "source": null, "because": [],
        }))
        .expect("a finding");
        let document = |statements| VexDocument { statements, ..VexDocument::default() };
        let decided = |documents: &[VexDocument]| {
            deciding((&finding.id, &finding.aliases), &purl, documents, &Products::default())
                .map(|(_, s)| s.status)
        };
        let (yes, no) = (VexStatus::Affected, VexStatus::NotAffected);
        let newer = document(vec![says(no, "2026-06-01T00:00:00Z")]);
        let vendor = document(vec![says(yes, "2026-01-01T00:00:00Z")]);
        assert_eq!(decided(&[newer.clone(), vendor.clone()]), Some(yes), "the vendor is trusted more");
        assert_eq!(decided(&[vendor, newer]), Some(no));
        // As texts the first would be the later one.
        let zones = [says(no, "2026-01-01T01:00:00+09:00"), says(yes, "2025-12-31T20:00:00Z")];
        assert_eq!(decided(&[document(zones.to_vec())]), Some(yes));
        assert_eq!(decided(&[document(vec![says(no, "2026-01-01T00:00:00Z"), says(yes, "")])]), Some(no));
        assert_eq!(decided(&[]), None);
    }
}
