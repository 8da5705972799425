//! CycloneDX documents with `vulnerabilities`: disclosure reports (VDR) and exchange documents (VEX).
//!
//! A document without that section is an inventory and says nothing of vulnerabilities.

use std::collections::HashMap;

use serde_json::Value;

use super::collect::{Collector, rating};
use super::json::{Object, at, items, number, text, value};
use super::{Budget, ForeignError, Form, Scanner, ScannerFinding, ScannerReport};
use crate::advisory::{Status, known_word};
use crate::matching::Rating;
use crate::{Purl, Severity};

/// Components inside components.
const MAX_DEPTH: u32 = 32;

#[derive(Clone)]
struct Component {
    name: String,
    version: String,
    purl: String,
}

pub(super) fn read(root: &Object<'_>, budget: &mut Budget<'_>) -> Result<ScannerReport, ForeignError> {
    if root.text("bomFormat") != "CycloneDX" {
        return Err(ForeignError::Unknown);
    }
    if !root.has("vulnerabilities") {
        return Err(ForeignError::Silent {
            form: "CycloneDX",
            why: "it is an SBOM without `vulnerabilities`",
        });
    }
    let meta = root.object("metadata");
    let mut known = HashMap::new();
    let subject = meta.as_ref().and_then(|meta| meta.object("component"));
    if let Some(subject) = &subject {
        component(subject, 0, &mut known, budget)?;
    }
    for part in root.list("components")? {
        component(&Object::parse(part)?, 0, &mut known, budget)?;
    }
    let tools = meta.as_ref().map(|meta| meta.value("tools")).unwrap_or_default();
    let mut out = Collector::new(Form::CycloneDx, tool(&tools), budget);
    out.created(&meta.as_ref().map(|meta| meta.text("timestamp")).unwrap_or_default());
    if let Some(subject) = &subject {
        out.target(&subject.text("name"));
        out.digest(&subject.text("version"));
        if let Ok(purl) = Purl::parse(&subject.text("purl"))
            && purl.ty() == "oci"
        {
            out.digest(purl.version().unwrap_or_default());
        }
    }
    for entry in root.list("vulnerabilities")? {
        out.entry()?;
        match value(entry) {
            Ok(entry) => vulnerability(&entry, &known, &mut out)?,
            Err(error) => out.problem(&format!("a vulnerability is not understood: {error}")),
        }
    }
    Ok(out.finish())
}

fn component(
    part: &Object<'_>,
    depth: u32,
    known: &mut HashMap<String, Component>,
    budget: &mut Budget<'_>,
) -> Result<(), ForeignError> {
    budget.spend(1)?;
    if depth > MAX_DEPTH {
        return Err(ForeignError::Nesting { limit: MAX_DEPTH });
    }
    let (group, name) = (part.text("group"), part.text("name"));
    let separator = if part.text("purl").starts_with("pkg:maven/") { ":" } else { "/" };
    let name = if group.is_empty() { name } else { format!("{group}{separator}{name}") };
    let found = Component { name, version: part.text("version"), purl: part.text("purl") };
    let reference = part.text("bom-ref");
    if !reference.is_empty() {
        known.entry(reference).or_insert(found);
    }
    for inner in part.list("components")? {
        component(&Object::parse(inner)?, depth + 1, known, budget)?;
    }
    Ok(())
}

/// The tool that made the document: a list in old versions, components in newer ones.
fn tool(tools: &Value) -> Scanner {
    let first = tools.as_array().and_then(|list| list.first());
    let first = first.or_else(|| items(tools, &["components"]).first()).unwrap_or(&Value::Null);
    let vendor = [
        text(first, &["vendor"]),
        text(first, &["manufacturer", "name"]),
        text(first, &["supplier", "name"]),
        text(first, &["group"]),
        text(first, &["author"]),
    ];
    Scanner {
        name: text(first, &["name"]).to_owned(),
        vendor: vendor.into_iter().find(|vendor| !vendor.is_empty()).unwrap_or_default().to_owned(),
        version: text(first, &["version"]).to_owned(),
        ..Scanner::default()
    }
}

fn vulnerability(
    entry: &Value,
    known: &HashMap<String, Component>,
    out: &mut Collector<'_, '_>,
) -> Result<(), ForeignError> {
    let said = said(entry);
    let affects = items(entry, &["affects"]);
    if affects.is_empty() {
        // It affects what the document is about.
        out.push(said);
        return Ok(());
    }
    for affected in affects {
        out.entry()?;
        let reference = text(affected, &["ref"]);
        // A BOM-Link names a component of another document by its reference.
        let local = reference
            .rsplit_once('#')
            .filter(|_| reference.starts_with("urn:cdx:"))
            .map_or(reference, |(_, l)| l);
        let mut found = said.clone();
        let part = known.get(reference).or_else(|| known.get(local)).cloned().or_else(|| of_purl(local));
        let Some(part) = part else {
            out.problem(&format!("{} affects `{local}`, which the document does not hold", said.id));
            out.push(found);
            continue;
        };
        found.package = part.name;
        found.version = part.version;
        found.purl = Some(part.purl);
        versions(affected, &mut found);
        out.push(found);
    }
    Ok(())
}

/// A reference that is a package URL says itself what it names.
fn of_purl(reference: &str) -> Option<Component> {
    let purl = Purl::parse(reference).ok()?;
    let package = purl.to_package();
    let name = package.namespace.as_ref().map_or(package.name.clone(), |ns| {
        let separator = if purl.ty() == "maven" { ":" } else { "/" };
        format!("{ns}{separator}{}", package.name)
    });
    Some(Component { name, version: package.version, purl: purl.to_string() })
}

/// Versions that are not affected are those that repair it.
fn versions(affected: &Value, found: &mut ScannerFinding) {
    for stated in items(affected, &["versions"]) {
        let (version, range) = (text(stated, &["version"]), text(stated, &["range"]));
        match text(stated, &["status"]) {
            "unaffected" if !version.is_empty() => found.fixed_versions.push(version.to_owned()),
            "unaffected" => {
                // Grype: `vers:generic/>=1.2.1`.
                let from = range.rsplit_once(">=").map_or("", |(_, version)| version);
                if !from.is_empty() && !from.contains(['|', '<']) {
                    found.fixed_versions.push(from.to_owned());
                }
            }
            _ if found.version.is_empty() => version.clone_into(&mut found.version),
            _ => {}
        }
    }
}

fn said(entry: &Value) -> ScannerFinding {
    let ratings: Vec<Rating> = items(entry, &["ratings"])
        .iter()
        .filter(|stated| text(stated, &["method"]) != "other" || !text(stated, &["severity"]).is_empty())
        .filter_map(|stated| {
            let source = text(stated, &["source", "name"]);
            rating(
                source,
                text(stated, &["vector"]),
                number(at(stated, &["score"])),
                text(stated, &["severity"]),
            )
        })
        .collect();
    let worded = items(entry, &["ratings"]).iter().find_map(|stated| {
        let severity = known_word(text(stated, &["severity"]))?;
        Some((severity, text(stated, &["source", "name"])))
    });
    let (severity, source) = worded.unwrap_or((Severity::Unknown, ""));
    let analysis = at(entry, &["analysis"]);
    let reason =
        [text(analysis, &["state"]), text(analysis, &["justification"]), text(analysis, &["detail"])];
    let reason = reason.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(": ");
    let (status, excused) = match text(analysis, &["state"]) {
        "not_affected" | "false_positive" | "resolved" | "resolved_with_pedigree" => (Status::Affected, true),
        "in_triage" => (Status::UnderInvestigation, false),
        _ => (Status::Affected, false),
    };
    let wont = items(analysis, &["response"]).iter().any(|word| word.as_str() == Some("will_not_fix"));
    let aliases = items(entry, &["references"]).iter().map(|reference| text(reference, &["id"]).to_owned());
    let links = [text(entry, &["source", "url"])].into_iter();
    let links = links
        .chain(items(entry, &["references"]).iter().map(|reference| text(reference, &["source", "url"])))
        .chain(items(entry, &["advisories"]).iter().map(|advisory| text(advisory, &["url"])));
    let weaknesses = items(entry, &["cwes"]).iter().filter_map(Value::as_u64);
    ScannerFinding {
        id: text(entry, &["id"]).to_owned(),
        aliases: aliases.collect(),
        fixed_versions: recommended(text(entry, &["recommendation"])),
        severity,
        severity_source: source.to_owned(),
        ratings,
        status: if wont { Status::WillNotFix } else { status },
        suppressed: excused.then_some(reason),
        title: text(entry, &["description"]).lines().next().unwrap_or_default().to_owned(),
        description: [text(entry, &["description"]), text(entry, &["detail"])].join("\n").trim().to_owned(),
        weaknesses: weaknesses.map(|cwe| format!("CWE-{cwe}")).collect(),
        links: links.map(str::to_owned).collect(),
        ..ScannerFinding::default()
    }
}

/// `Upgrade libssl1.1 to version 1.1.1d-r0` (Trivy), `update a to 1.2; update b to 3` (Bonded).
fn recommended(words: &str) -> Vec<String> {
    let advice = words.split("; ").filter(|advice| {
        let first = advice.split(' ').next().unwrap_or_default();
        first.eq_ignore_ascii_case("upgrade") || first.eq_ignore_ascii_case("update")
    });
    let version = advice
        .filter_map(|advice| advice.split_once(" to "))
        .map(|(_, version)| version.trim_start_matches("version "));
    version
        .flat_map(|list| list.split(", "))
        .filter(|v| !v.is_empty() && !v.contains(' '))
        .map(str::to_owned)
        .collect()
}
