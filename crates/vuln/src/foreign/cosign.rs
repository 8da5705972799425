//! Vulnerability attestations: in-toto statements of cosign's predicate (whose result is a scanner's own document) and of
//! in-toto's `vulns` predicate, bare, in a DSSE envelope or in a Sigstore bundle.
//!
//! What the statement says of itself – subjects, scanner, database, times – comes before what the result in it says.

use data_encoding::{BASE64, BASE64URL};
use serde_json::Value;

use super::collect::{Collector, rating, time};
use super::json::{Object, items, number, text, value};
use super::{Budget, ForeignError, Form, Scanner, ScannerFinding, ScannerReport, document, object};

/// Predicate types of cosign, which writes them with and without a scheme.
const COSIGN: &str = "cosign.sigstore.dev/attestation/vuln/";
/// Predicate types of in-toto.
const IN_TOTO: &str = "in-toto.io/attestation/vulns";

/// Whether the document is an envelope, a statement or a bare predicate of these.
pub(super) fn is(root: &Object<'_>) -> bool {
    let bare = root.has("scanner") && root.has("invocation") && root.has("metadata");
    root.has("dsseEnvelope")
        || root.has("payload") && root.has("payloadType")
        || root.has("predicateType")
        || bare
}

pub(super) fn read(root: &Object<'_>, budget: &mut Budget<'_>) -> Result<Vec<ScannerReport>, ForeignError> {
    budget.deeper()?;
    if let Some(envelope) = root.object("dsseEnvelope") {
        return read(&envelope, budget);
    }
    if root.has("payload") {
        let payload = root.text("payload");
        let decoded = BASE64.decode(payload.as_bytes()).or_else(|_| BASE64URL.decode(payload.as_bytes()));
        let bytes = decoded
            .map_err(|error| ForeignError::Syntax { form: "DSSE envelope", reason: error.to_string() })?;
        return document(&bytes, budget);
    }
    if !root.has("predicateType") {
        return predicate(root, &[], budget);
    }
    let kind = root.text("predicateType");
    let kind = kind.trim_start_matches("https://");
    let inner = root.object("predicate");
    let subjects = root.value("subject");
    let subjects = subjects.as_array().map(Vec::as_slice).unwrap_or_default();
    match inner {
        // Cosign's generic predicate wraps the document in `Data`.
        Some(inner) if kind.starts_with(COSIGN) => match inner.object("Data") {
            Some(data) => predicate(&data, subjects, budget),
            None => predicate(&inner, subjects, budget),
        },
        Some(inner) if kind.starts_with(IN_TOTO) => {
            in_toto(&inner, subjects, budget).map(|report| vec![report])
        }
        Some(inner) if kind.contains("cyclonedx.org/bom") => {
            let mut reports = object(inner, budget)?;
            reports.iter_mut().for_each(|report| about(report, subjects));
            Ok(reports)
        }
        Some(_) => Err(ForeignError::Version {
            form: "attestation",
            version: kind.chars().take(200).collect(),
            help: "its predicate is no vulnerability report",
        }),
        None => Err(ForeignError::Silent { form: "attestation", why: "it has no predicate" }),
    }
}

/// The digests of the subjects replace those of the result: a signature stands for them.
fn about(report: &mut ScannerReport, subjects: &[Value]) {
    let digests = digests(subjects);
    if !digests.is_empty() {
        report.digests = digests;
    }
}

fn digests(subjects: &[Value]) -> Vec<oci::Digest> {
    let stated = subjects.iter().filter_map(|subject| subject.get("digest")?.as_object()).flatten();
    let mut out: Vec<oci::Digest> =
        stated.filter_map(|(name, hex)| format!("{name}:{}", hex.as_str()?).parse().ok()).collect();
    out.sort_unstable();
    out.dedup();
    out
}

/// `pkg:github/aquasecurity/trivy@v0.60` → Trivy's name, owner and version.
fn scanner(stated: &Value) -> Scanner {
    let (uri, version) = (text(stated, &["uri"]), text(stated, &["version"]));
    let mut out = Scanner {
        name: uri.to_owned(),
        version: version.to_owned(),
        database: text(stated, &["db", "version"]).to_owned(),
        database_at: time(text(stated, &["db", "lastUpdate"])),
        ..Scanner::default()
    };
    if out.database.is_empty() {
        text(stated, &["db", "uri"]).clone_into(&mut out.database);
    }
    if let Ok(purl) = crate::Purl::parse(uri) {
        purl.name().clone_into(&mut out.name);
        purl.namespace().unwrap_or_default().clone_into(&mut out.vendor);
        if version.is_empty() {
            purl.version().unwrap_or_default().clone_into(&mut out.version);
        }
    }
    out
}

/// A time of the metadata: the end of the scan before its beginning.
fn finished(meta: &Value) -> &str {
    let end = text(meta, &["scanFinishedOn"]);
    if end.is_empty() { text(meta, &["scanStartedOn"]) } else { end }
}

/// Cosign's predicate: the specification has `scanners`, cosign and Trivy write `scanner`.
fn predicate(
    root: &Object<'_>,
    subjects: &[Value],
    budget: &mut Budget<'_>,
) -> Result<Vec<ScannerReport>, ForeignError> {
    let meta = root.value("metadata");
    let mut all: Vec<&str> = root.raw("scanner").into_iter().collect();
    all.extend(root.list("scanners")?);
    let mut out = Vec::new();
    for raw in all {
        budget.spend(1)?;
        let entry = Object::parse(raw)?;
        let db = entry.value("db");
        let stated =
            serde_json::json!({ "uri": entry.text("uri"), "version": entry.text("version"), "db": db });
        let result = entry
            .object("result")
            .ok_or(ForeignError::Silent { form: "attestation", why: "its scanner has no `result`" })?;
        let mut reports = object(result, budget)?;
        for report in &mut reports {
            complete(&mut report.scanner, scanner(&stated));
            report.created = time(finished(&meta)).or(report.created);
            about(report, subjects);
        }
        out.append(&mut reports);
    }
    if out.is_empty() {
        return Err(ForeignError::Silent { form: "attestation", why: "it names no scanner" });
    }
    Ok(out)
}

/// What the result did not say of its scanner.
fn complete(known: &mut Scanner, stated: Scanner) {
    for (known, stated) in [
        (&mut known.name, stated.name),
        (&mut known.vendor, stated.vendor),
        (&mut known.version, stated.version),
        (&mut known.database, stated.database),
    ] {
        if known.is_empty() {
            *known = super::collect::clean(&stated, 512);
        }
    }
    known.database_at = known.database_at.or(stated.database_at);
}

/// in-toto's predicate: identifiers and severities, without packages.
fn in_toto(
    root: &Object<'_>,
    subjects: &[Value],
    budget: &mut Budget<'_>,
) -> Result<ScannerReport, ForeignError> {
    let entry = root
        .object("scanner")
        .filter(|entry| entry.states("result"))
        .ok_or(ForeignError::Silent { form: "attestation", why: "its scanner has no `result`" })?;
    let stated = serde_json::json!({ "uri": entry.text("uri"), "version": entry.text("version"), "db": entry.value("db") });
    let mut out = Collector::new(Form::InTotoVulns, scanner(&stated), budget);
    out.created(finished(&root.value("metadata")));
    for raw in entry.list("result")? {
        out.entry()?;
        let result = match value(raw) {
            Ok(result) => result,
            Err(error) => {
                out.problem(&format!("a result is not understood: {error}"));
                continue;
            }
        };
        let rated = items(&result, &["severity"]).iter().filter_map(|stated| {
            let score = stated.get("score")?;
            let words = score.as_str().unwrap_or_default();
            rating(text(stated, &["method"]), words, number(score), words)
        });
        out.push(ScannerFinding {
            id: text(&result, &["id"]).to_owned(),
            ratings: rated.collect(),
            ..ScannerFinding::default()
        });
    }
    let mut report = out.finish();
    about(&mut report, subjects);
    Ok(report)
}
