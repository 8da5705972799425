//! Grype's JSON (`grype -o json`).

use serde_json::Value;

use super::collect::{Collector, rating, time};
use super::json::{Object, at, items, number, text, texts, value};
use super::{Budget, ForeignError, Form, Scanner, ScannerFinding, ScannerReport};
use crate::Severity;
use crate::advisory::{Status, known_word};

pub(super) fn read(root: &Object<'_>, budget: &mut Budget<'_>) -> Result<ScannerReport, ForeignError> {
    let own = root.value("descriptor");
    // Database version 6 moved its state into an object of its own.
    let database = match own.get("db").and_then(|db| db.get("status")) {
        Some(status) => status.clone(),
        None => own.get("db").cloned().unwrap_or_default(),
    };
    let schema = match database.get("schemaVersion") {
        Some(Value::String(version)) => version.clone(),
        Some(Value::Number(version)) => version.to_string(),
        _ => String::new(),
    };
    let scanner = Scanner {
        name: "Grype".into(),
        vendor: "Anchore".into(),
        version: text(&own, &["version"]).to_owned(),
        database: schema,
        database_at: time(text(&database, &["built"])),
    };
    let mut out = Collector::new(Form::Grype, scanner, budget);
    out.created(text(&own, &["timestamp"]));
    let source = root.value("source");
    match source.get("target") {
        Some(Value::String(name)) => out.target(name),
        Some(image) => {
            out.target(text(image, &["userInput"]));
            out.digest(text(image, &["manifestDigest"]));
            texts(image, &["repoDigests"]).for_each(|named| out.digest(named));
            out.image_id(text(image, &["imageID"]));
        }
        None => {}
    }
    for (key, ignored) in [("matches", false), ("ignoredMatches", true)] {
        for entry in root.list(key)? {
            out.entry()?;
            match value(entry) {
                Ok(entry) => out.push(finding(&entry, ignored)),
                Err(error) => out.problem(&format!("a match is not understood: {error}")),
            }
        }
    }
    Ok(out.finish())
}

fn finding(entry: &Value, ignored: bool) -> ScannerFinding {
    let vulnerability = entry.get("vulnerability").unwrap_or(&Value::Null);
    let related = items(entry, &["relatedVulnerabilities"]);
    let artifact = entry.get("artifact").unwrap_or(&Value::Null);
    let namespace = text(vulnerability, &["namespace"]);
    let mut ratings = Vec::new();
    for of in [vulnerability].into_iter().chain(related) {
        let source = text(of, &["namespace"]);
        for cvss in items(of, &["cvss"]) {
            let stated = text(cvss, &["source"]);
            let score = number(at(cvss, &["metrics", "baseScore"]));
            let source = if stated.is_empty() { source } else { stated };
            ratings.extend(rating(source, text(cvss, &["vector"]), score, ""));
        }
        ratings.extend(rating(source, "", None, text(of, &["severity"])));
    }
    let status = match text(vulnerability, &["fix", "state"]) {
        "wont-fix" => Status::WillNotFix,
        _ => Status::Affected,
    };
    let rules = items(entry, &["appliedIgnoreRules"]).iter().map(|rule| {
        let reason = text(rule, &["reason"]);
        if reason.is_empty() { text(rule, &["vulnerability"]) } else { reason }
    });
    let reason = rules.filter(|reason| !reason.is_empty()).collect::<Vec<_>>().join("; ");
    let links = [vulnerability]
        .into_iter()
        .chain(related)
        .flat_map(|of| [text(of, &["dataSource"])].into_iter().chain(texts(of, &["urls"])));
    let described = [vulnerability].into_iter().chain(related).map(|of| text(of, &["description"]));
    ScannerFinding {
        id: text(vulnerability, &["id"]).to_owned(),
        aliases: related.iter().map(|of| text(of, &["id"]).to_owned()).collect(),
        package: text(artifact, &["name"]).to_owned(),
        version: text(artifact, &["version"]).to_owned(),
        purl: Some(text(artifact, &["purl"]).to_owned()),
        fixed_versions: texts(vulnerability, &["fix", "versions"]).map(str::to_owned).collect(),
        severity: known_word(text(vulnerability, &["severity"])).unwrap_or(Severity::Unknown),
        severity_source: namespace.to_owned(),
        ratings,
        status,
        suppressed: ignored.then(|| if reason.is_empty() { "ignored".to_owned() } else { reason }),
        title: String::new(),
        description: described.into_iter().find(|words| !words.is_empty()).unwrap_or_default().to_owned(),
        weaknesses: items(vulnerability, &["cwes"])
            .iter()
            .map(|cwe| text(cwe, &["cwe"]).to_owned())
            .collect(),
        links: links.map(str::to_owned).collect(),
        paths: items(artifact, &["locations"])
            .iter()
            .map(|place| text(place, &["path"]).to_owned())
            .collect(),
    }
}
