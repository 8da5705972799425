//! Harbor's scanner-adapter API: what Bonded sends and answers is valid by the official description, which its own words
//! (media types, severities, kinds of capability) are compared with.

use super::{Report, feeds, file_name, files, inventory, json};
use anyhow::{Context, anyhow};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::Path;
use upstream::adapter::serve::{Accepted, metadata};
use upstream::adapter::wire::{self, EnabledCapability, Metadata, ScanRequest, ScanResponse};
use vuln::db::Db;
use vuln::matching::{Options, match_inventory};
use vuln::report::harbor::{self, Artifact, severity_word};
use vuln::report::{ScanReport, Target};
use vuln::sbom::{Document, Subject, SubjectKind};
use vuln::{Distro, Inventory, Mode, Purl, Severity};

/// The description and the set's name.
struct Api(Value);

impl Api {
    fn read(dir: &Path) -> anyhow::Result<Self> {
        let path = files(dir)?.into_iter().find(|path| path.extension().is_some_and(|e| e == "yaml"));
        let path = path.context("no description in the folder")?;
        let text = std::fs::read_to_string(&path)?;
        Ok(Self(serde_saphyr::from_str(&text).with_context(|| format!("parsing {}", path.display()))?))
    }

    /// Holds a document against a schema of the description.
    fn check(&self, report: &mut Report, schema: &str, document: &impl Serialize) -> anyhow::Result<()> {
        let root =
            json!({ "$ref": format!("#/components/schemas/{schema}"), "components": self.0["components"] });
        let options = jsonschema::options().should_validate_formats(true);
        let validator = options.build(&root).map_err(|error| anyhow!("{schema}: {error}"))?;
        let document = serde_json::to_value(document)?;
        let outcome = match validator.iter_errors(&document).next() {
            None => Ok(()),
            Some(error) => Err(format!("{}: {error}", error.instance_path())),
        };
        report.check("harbor", schema, outcome);
        Ok(())
    }

    /// Compares our words with those of the description, as sets.
    fn words(&self, report: &mut Report, what: &str, pointer: &str, own: &[&str]) {
        let mut stated: Vec<&str> = match self.0.pointer(pointer) {
            Some(Value::Object(keys)) => keys.keys().map(String::as_str).collect(),
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let mut own = own.to_vec();
        stated.sort_unstable();
        own.sort_unstable();
        let outcome = if stated == own { Ok(()) } else { Err(format!("{own:?}, stated are {stated:?}")) };
        report.check("harbor", what, outcome);
    }
}

pub(super) fn run(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    let api = Api::read(dir)?;
    let truth = dir.parent().unwrap_or(dir);
    api.words(report, "severities", "/components/schemas/Severity/enum", &Severity::ALL.map(severity_word));
    let content = |path: &str, inner: &str| format!("/paths/{}/{inner}/content", path.replace('/', "~1"));
    let reports = content("/scan/{scan_request_id}/report", "get/responses/200");
    // The raw report is the scanner's own affair.
    let raw = "application/vnd.scanner.adapter.vuln.report.raw";
    let own = [wire::VULNERABILITY_REPORT, wire::VULNERABILITY_REPORT_1_0, wire::SBOM_REPORT, raw];
    api.words(report, "media types", &reports, &own);
    let own = [harbor::VULNERABILITY_REPORT, harbor::VULNERABILITY_REPORT_1_0, harbor::SBOM_REPORT, raw];
    api.words(report, "media types", &reports, &own);
    let own = [wire::METADATA, wire::METADATA_1_0];
    api.words(report, "media types", &content("/metadata", "get/responses/200"), &own);
    let own = [wire::SCAN_REQUEST, wire::SCAN_REQUEST_1_0];
    api.words(report, "media types", &content("/scan", "post/requestBody"), &own);
    api.words(report, "media types", &content("/scan", "post/responses/202"), &[wire::SCAN_RESPONSE]);
    api.words(report, "media types", &content("/scan", "post/responses/422"), &[wire::ERROR]);
    messages(&api, report)?;
    vulnerabilities(&api, truth, report)?;
    sboms(&api, truth, report)
}

/// Metadata, requests, answers and errors; the description's own examples are read.
fn messages(api: &Api, report: &mut Report) -> anyhow::Result<()> {
    api.check(report, "ScannerAdapterMetadata", &metadata("0.1.0", Some("2026-11-19T06:00:00Z")))?;
    api.check(report, "ScannerAdapterMetadata", &metadata("0.1.0", None))?;
    let example = api.0.pointer("/components/schemas/ScannerAdapterMetadata/properties/capabilities/example");
    let example: Value = serde_json::from_str(example.and_then(Value::as_str).unwrap_or_default())?;
    let described = json!({ "scanner": { "name": "Trivy", "vendor": "Aqua Security", "version": "0.4.0" },
        "capabilities": example });
    let read = serde_json::from_value::<Metadata>(described);
    report.check("harbor", "examples", read.map(|_| ()).map_err(|error| error.to_string()));
    let example =
        |pointer: &str| api.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let artifact = |field: &str| example(&format!("/components/schemas/Artifact/properties/{field}/example"));
    let mut request = ScanRequest {
        registry: wire::RegistryAccess {
            url: example("/components/schemas/Registry/properties/url/example"),
            authorization: "Bearer token".into(),
        },
        artifact: wire::Artifact {
            repository: artifact("repository"),
            digest: artifact("digest"),
            tag: artifact("tag"),
            mime_type: artifact("mime_type"),
        },
        enabled_capabilities: Vec::new(),
    };
    for kind in [None, Some(wire::CapabilityKind::Vulnerability), Some(wire::CapabilityKind::Sbom)] {
        if let Some(kind) = kind {
            let parameters =
                Some(wire::SbomMediaTypes { sbom_media_types: vec!["application/spdx+json".into()] })
                    .filter(|_| kind == wire::CapabilityKind::Sbom);
            request.enabled_capabilities.push(EnabledCapability {
                kind,
                parameters,
                ..EnabledCapability::default()
            });
        }
        api.check(report, "ScanRequest", &request)?;
        let read = Accepted::parse(&serde_json::to_vec(&request)?).map(|_| ());
        report.check("harbor", "examples", read.map_err(|refusal| refusal.message));
    }
    api.check(report, "ScanResponse", &ScanResponse { id: "01J".into() })?;
    let refusal = Accepted::parse(b"{").err().context("no request")?;
    api.check(report, "ErrorResponse", &refusal.body())
}

fn artifact() -> Artifact {
    Artifact {
        repository: "library/mongo".into(),
        digest: oci_digest(),
        tag: "1".into(),
        mime_type: "application/vnd.oci.image.manifest.v1+json".into(),
    }
}

fn oci_digest() -> String {
    format!("sha256:{}", "0".repeat(64))
}

/// Reports of the packages of Trivy's goldens, judged by its fixture feeds; what is written is read back.
fn vulnerabilities(api: &Api, truth: &Path, report: &mut Report) -> anyhow::Result<()> {
    let trivy = truth.join("trivy");
    if !trivy.is_dir() {
        report.skip("harbor", "HarborVulnerabilityReport", 1, "no findings: the set `trivy` is absent");
        return Ok(());
    }
    let bytes = feeds::database(&[("trivy".to_owned(), files(&trivy.join("fixtures/db"))?)])?;
    let db = Db::open(&bytes)?;
    for path in files(&trivy.join("goldens"))? {
        let golden = json(&path)?;
        let Some(results) = golden.get("Results").and_then(Value::as_array) else { continue };
        let os = &golden["Metadata"]["OS"];
        let word = |key: &str| os.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let distro = os.is_object().then(|| Distro {
            id: word("Family"),
            version_id: word("Name"),
            ..Distro::default()
        });
        let entries = results.iter().flat_map(|r| r["Vulnerabilities"].as_array().into_iter().flatten());
        let purls = entries.filter_map(|v| Purl::parse(v["PkgIdentifier"]["PURL"].as_str()?).ok());
        let packages = purls.map(|purl| purl.to_package()).collect();
        let inventory = Inventory { distro: distro.clone(), packages, ..Inventory::default() };
        let found = match_inventory(&db, &inventory, &Options::default())?;
        let count = found.counting().count();
        let scan = ScanReport {
            target: Target { name: file_name(&path), distro, ..Target::default() },
            created: "2026-11-30T00:00:00Z".into(),
            vulnerabilities: Some(found),
            ..ScanReport::default()
        };
        let written = harbor::report(&scan, artifact(), "2026-11-30T00:00:00Z".parse()?)?;
        api.check(report, "HarborVulnerabilityReport", &written)?;
        let read = vuln::foreign::read(&serde_json::to_vec(&written)?, &vuln::foreign::Limits::default())?;
        let back = read.iter().map(|report| report.findings.len()).sum::<usize>();
        let outcome = if back == count {
            Ok(())
        } else {
            Err(format!("{}: {count} written, {back} read", file_name(&path)))
        };
        report.check("harbor", "read back", outcome);
    }
    Ok(())
}

/// SBOM reports in both forms.
fn sboms(api: &Api, truth: &Path, report: &mut Report) -> anyhow::Result<()> {
    let tree = truth.join("syft/image-pkg-coverage");
    if !tree.is_dir() {
        report.skip("harbor", "HarborSbomReport", 1, "no packages: the set `syft` is absent");
        return Ok(());
    }
    let subject = Subject {
        kind: SubjectKind::Container,
        name: "library/mongo".into(),
        version: Some("1".into()),
        digest: oci_digest().parse().ok(),
    };
    let document = Document::new(subject, None, inventory::of_folder(&tree, Mode::Image)?);
    for media_type in ["application/spdx+json", "application/vnd.cyclonedx+json"] {
        let now = "2026-11-30T00:00:00Z".parse()?;
        let written = harbor::sbom_report(&document, media_type, artifact(), now)?.context("a known form")?;
        api.check(report, "HarborSbomReport", &written)?;
    }
    Ok(())
}
