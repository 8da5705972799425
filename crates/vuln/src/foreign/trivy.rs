//! Trivy's JSON, schema 2 (`trivy image --format json`).

use serde_json::Value;

use super::collect::{Collector, cvss_table, rating};
use super::json::{Object, text, texts, value};
use super::{Budget, ForeignError, Form, Scanner, ScannerFinding, ScannerReport};
use crate::Severity;
use crate::advisory::{Status, known_word};

pub(super) fn read(root: &Object<'_>, budget: &mut Budget<'_>) -> Result<ScannerReport, ForeignError> {
    let schema = root.value("SchemaVersion");
    if schema.as_u64() != Some(2) {
        let version = schema.to_string().chars().take(32).collect();
        return Err(ForeignError::Version { form: "Trivy", version, help: "use Trivy 0.20 or newer" });
    }
    let version = text(&root.value("Trivy"), &["Version"]).to_owned();
    let scanner =
        Scanner { name: "Trivy".into(), vendor: "Aqua Security".into(), version, ..Scanner::default() };
    let mut out = Collector::new(Form::Trivy, scanner, budget);
    out.created(&root.text("CreatedAt"));
    let name = root.text("ArtifactName");
    out.target(&name);
    let meta = root.value("Metadata");
    out.digest(&name);
    texts(&meta, &["RepoDigests"]).for_each(|named| out.digest(named));
    out.image_id(text(&meta, &["ImageID"]));
    // A clean image has no `Results` at all.
    let (mut looked, mut any) = (false, false);
    for result in root.list("Results")? {
        out.entry()?;
        let result = Object::parse(result)?;
        let of_packages = matches!(result.text("Class").as_str(), "" | "os-pkgs" | "lang-pkgs");
        (looked, any) = (looked || of_packages || result.has("Vulnerabilities"), true);
        let place = result.text("Target");
        let of_os = result.text("Class") == "os-pkgs";
        for entry in result.list("Vulnerabilities")? {
            out.entry()?;
            match value(entry) {
                Ok(entry) => out.push(finding(&entry, (!of_os).then_some(&place))),
                Err(error) => out.problem(&format!("a vulnerability of {place} is not understood: {error}")),
            }
        }
        for entry in result.list("ExperimentalModifiedFindings")? {
            out.entry()?;
            let Ok(entry) = value(entry) else { continue };
            if text(&entry, &["Type"]) == "vulnerability" {
                let mut found = finding(entry.get("Finding").unwrap_or(&Value::Null), None);
                let said = [text(&entry, &["Status"]), text(&entry, &["Statement"])];
                let said: Vec<&str> = said.into_iter().filter(|word| !word.is_empty()).collect();
                found.suppressed = Some(said.join(": "));
                out.push(found);
            }
        }
        for (key, kind) in
            [("Misconfigurations", "misconfigurations"), ("Secrets", "secrets"), ("Licenses", "licences")]
        {
            out.pass_over(kind, result.list(key)?.len());
        }
    }
    if any && !looked {
        out.problem("Trivy has results, but none of packages: it was not asked for vulnerabilities");
    }
    Ok(out.finish())
}

fn finding(entry: &Value, place: Option<&String>) -> ScannerFinding {
    let source = text(entry, &["SeveritySource"]);
    let mut ratings = cvss_table(entry.get("CVSS").unwrap_or(&Value::Null));
    for (vendor, level) in entry.get("VendorSeverity").and_then(Value::as_object).into_iter().flatten() {
        let word = match level.as_u64() {
            Some(1) => "low",
            Some(2) => "medium",
            Some(3) => "high",
            Some(4) => "critical",
            _ => continue,
        };
        ratings.extend(rating(vendor, "", None, word));
    }
    let paths = [text(entry, &["PkgPath"])].into_iter().filter(|path| !path.is_empty()).map(str::to_owned);
    let mut paths: Vec<String> = paths.collect();
    if paths.is_empty() {
        paths.extend(place.cloned());
    }
    let fixed = text(entry, &["FixedVersion"]).split(',').map(|version| version.trim().to_owned());
    let primary = [text(entry, &["PrimaryURL"])].into_iter();
    ScannerFinding {
        id: text(entry, &["VulnerabilityID"]).to_owned(),
        aliases: texts(entry, &["VendorIDs"]).map(str::to_owned).collect(),
        package: text(entry, &["PkgName"]).to_owned(),
        version: text(entry, &["InstalledVersion"]).to_owned(),
        purl: Some(text(entry, &["PkgIdentifier", "PURL"]).to_owned()),
        fixed_versions: fixed.filter(|version| !version.is_empty()).collect(),
        severity: known_word(text(entry, &["Severity"])).unwrap_or(Severity::Unknown),
        severity_source: source.to_owned(),
        ratings,
        status: status(text(entry, &["Status"])),
        suppressed: None,
        title: text(entry, &["Title"]).to_owned(),
        description: text(entry, &["Description"]).to_owned(),
        weaknesses: texts(entry, &["CweIDs"]).map(str::to_owned).collect(),
        links: primary.chain(texts(entry, &["References"])).map(str::to_owned).collect(),
        paths,
    }
}

/// Trivy's words, which Harbor's newer reports use as well.
pub(super) fn status(word: &str) -> Status {
    match word {
        "will_not_fix" => Status::WillNotFix,
        "fix_deferred" => Status::FixDeferred,
        "end_of_life" => Status::EndOfLife,
        "under_investigation" => Status::UnderInvestigation,
        "not_affected" => Status::NotAffected,
        _ => Status::Affected,
    }
}
