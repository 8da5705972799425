//! Findings gathered into a report: texts bounded and cleaned, entries counted, equal ones joined, order fixed.

use std::collections::BTreeMap;

use oci::Digest;
use serde_json::Value;

use super::json::{number, text};
use super::{Budget, ForeignError, Form, Scanner, ScannerFinding, ScannerReport};
use crate::advisory::{Status, known_word};
use crate::matching::Rating;
use crate::{CvssScore, Purl, Severity};

/// Longest identifier, name or version.
const MAX_NAME_BYTES: usize = 512;
/// Longest title or reason.
const MAX_LINE_BYTES: usize = 512;
/// Longest description.
const MAX_DESCRIPTION_BYTES: usize = 4096;
/// Longest link.
const MAX_LINK_BYTES: usize = 2048;
/// Most links, ratings, names, versions or paths of a finding, each.
const MAX_EACH: usize = 32;
/// Most problems and notes that are kept in words.
const MAX_PROBLEMS: usize = 50;

/// A report in the making.
pub(super) struct Collector<'b, 'l> {
    budget: &'b mut Budget<'l>,
    report: ScannerReport,
    findings: BTreeMap<(String, String, String, Option<String>), ScannerFinding>,
    passed_over: BTreeMap<String, usize>,
    more_problems: usize,
}

impl<'b, 'l> Collector<'b, 'l> {
    pub(super) fn new(form: Form, scanner: Scanner, budget: &'b mut Budget<'l>) -> Self {
        let report = ScannerReport {
            form,
            scanner: Scanner {
                name: clean(&scanner.name, MAX_NAME_BYTES),
                vendor: clean(&scanner.vendor, MAX_NAME_BYTES),
                version: clean(&scanner.version, MAX_NAME_BYTES),
                database: clean(&scanner.database, MAX_NAME_BYTES),
                database_at: scanner.database_at,
            },
            created: None,
            target: String::new(),
            digests: Vec::new(),
            image_id: None,
            findings: Vec::new(),
            notes: Vec::new(),
            problems: Vec::new(),
        };
        let (findings, passed_over) = (BTreeMap::new(), BTreeMap::new());
        Self { budget, report, findings, passed_over, more_problems: 0 }
    }

    /// Counts an entry of the document.
    pub(super) fn entry(&mut self) -> Result<(), ForeignError> {
        self.budget.spend(1)
    }

    pub(super) fn created(&mut self, text: &str) {
        self.report.created = self.report.created.or(time(text));
    }

    pub(super) fn target(&mut self, name: &str) {
        if self.report.target.is_empty() {
            self.report.target = clean(name, MAX_LINE_BYTES);
        }
    }

    /// Whether nothing was found so far.
    pub(super) fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// A digest, or a name that ends with one.
    pub(super) fn digest(&mut self, named: &str) {
        let last = named.rsplit('@').next().unwrap_or(named).trim();
        if let Ok(digest) = last.replace("%3A", ":").parse() {
            self.report.digests.push(digest);
        }
    }

    pub(super) fn image_id(&mut self, digest: &str) {
        self.report.image_id = self.report.image_id.or(digest.parse::<Digest>().ok());
    }

    /// Something that makes the report incomplete.
    pub(super) fn problem(&mut self, problem: &str) {
        if self.report.problems.len() < MAX_PROBLEMS {
            let problem = clean(problem, MAX_LINE_BYTES);
            if !self.report.problems.contains(&problem) {
                self.report.problems.push(problem);
            }
        } else {
            self.more_problems += 1;
        }
    }

    /// A result that is no vulnerability.
    pub(super) fn pass_over(&mut self, kind: &str, count: usize) {
        if count > 0 && (self.passed_over.len() < MAX_PROBLEMS || self.passed_over.contains_key(kind)) {
            *self.passed_over.entry(clean(kind, 64)).or_default() += count;
        }
    }

    /// Takes a finding: its texts are cleaned, a repetition is joined with what is there.
    pub(super) fn push(&mut self, found: ScannerFinding) {
        let id = clean(found.id.trim(), MAX_NAME_BYTES);
        if id.is_empty() {
            self.problem(&format!("an entry for `{}` names no vulnerability", found.package));
            return;
        }
        let purl = found.purl.as_deref().and_then(|purl| Purl::parse(purl).ok()).map(|p| p.to_string());
        let package = clean(found.package.trim(), MAX_NAME_BYTES);
        let version = clean(found.version.trim(), MAX_NAME_BYTES);
        let key = (id, package, version, purl);
        let fresh = tidy(found, &key);
        match self.findings.entry(key) {
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(fresh);
            }
            std::collections::btree_map::Entry::Occupied(mut place) => join(place.get_mut(), fresh),
        }
    }

    pub(super) fn finish(mut self) -> ScannerReport {
        self.report.findings = self.findings.into_values().collect();
        self.report.findings.sort_by(|a, b| {
            (&a.package, &a.version, &a.id, &a.purl).cmp(&(&b.package, &b.version, &b.id, &b.purl))
        });
        self.report.digests.sort_unstable();
        self.report.digests.dedup();
        self.report.notes =
            self.passed_over.iter().map(|(kind, count)| format!("{count} {kind} passed over")).collect();
        if self.more_problems > 0 {
            self.report.problems.push(format!("{} more problems", self.more_problems));
        }
        self.report
    }
}

/// The same vulnerability of the same package, seen a second time: in another file, say.
fn join(there: &mut ScannerFinding, mut fresh: ScannerFinding) {
    there.paths.append(&mut fresh.paths);
    there.aliases.append(&mut fresh.aliases);
    for list in [&mut there.paths, &mut there.aliases] {
        list.sort();
        list.dedup();
        list.truncate(MAX_EACH);
    }
    // What counts once counts.
    if fresh.counts() && !there.counts() {
        there.suppressed = None;
        there.status = fresh.status;
    }
    there.severity = there.severity.max(fresh.severity);
    if there.fixed_versions.is_empty() {
        there.fixed_versions = fresh.fixed_versions;
    }
}

fn tidy(found: ScannerFinding, key: &(String, String, String, Option<String>)) -> ScannerFinding {
    let names = |list: Vec<String>| -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for name in list {
            let name = clean(name.trim(), MAX_NAME_BYTES);
            if !name.is_empty() && !out.contains(&name) && out.len() < MAX_EACH {
                out.push(name);
            }
        }
        out
    };
    let sorted = |list: Vec<String>| {
        let mut list = names(list);
        list.sort();
        list
    };
    let mut aliases = sorted(found.aliases);
    aliases.retain(|alias| *alias != key.0);
    let fixed_versions = names(found.fixed_versions);
    let status = match found.status {
        Status::Affected if !fixed_versions.is_empty() => Status::Fixed,
        Status::Fixed if fixed_versions.is_empty() => Status::Affected,
        other => other,
    };
    let ratings: Vec<Rating> = found.ratings.into_iter().take(MAX_EACH).collect();
    let (severity, severity_source) = match found.severity {
        Severity::Unknown => ratings
            .iter()
            .find(|rating| rating.severity != Severity::Unknown)
            .map_or((Severity::Unknown, String::new()), |rating| (rating.severity, rating.source.clone())),
        stated => (stated, clean(&found.severity_source, MAX_NAME_BYTES)),
    };
    let mut links: Vec<String> = Vec::new();
    for link in found.links {
        let web = link.starts_with("https://") || link.starts_with("http://");
        let sound = web && link.len() <= MAX_LINK_BYTES && link.chars().all(|c| c.is_ascii_graphic());
        if sound && links.len() < MAX_EACH && !links.contains(&link) {
            links.push(link);
        }
    }
    ScannerFinding {
        id: key.0.clone(),
        aliases,
        package: key.1.clone(),
        version: key.2.clone(),
        purl: key.3.clone(),
        fixed_versions,
        severity,
        severity_source,
        ratings,
        status,
        suppressed: found.suppressed.map(|reason| clean(&reason, MAX_LINE_BYTES)),
        title: clean(&found.title, MAX_LINE_BYTES),
        description: clean(&found.description, MAX_DESCRIPTION_BYTES),
        weaknesses: names(found.weaknesses),
        links,
        paths: sorted(found.paths),
    }
}

/// A text without control characters (but line feeds and tabs), cut at a character.
pub(super) fn clean(text: &str, max_bytes: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max_bytes));
    for c in text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')) {
        if out.len() + c.len_utf8() > max_bytes {
            break;
        }
        out.push(c);
    }
    out
}

/// A time of RFC 3339, or without its zone (then UTC), as Go and Python write it; Go's zero time is none.
pub(super) fn time(text: &str) -> Option<jiff::Timestamp> {
    let text = text.trim();
    let stated = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        text.parse::<jiff::civil::DateTime>()
            .ok()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
            .map(|z| z.timestamp())
    });
    stated.filter(|time| time.as_second() > 0)
}

/// A rating by vector, score and word, as far as they are stated.
pub(super) fn rating(source: &str, vector: &str, score: Option<f64>, word: &str) -> Option<Rating> {
    let source = clean(source, 64);
    if let Ok(cvss) = CvssScore::parse(vector) {
        let score = score.filter(|score| (0.0..=10.0).contains(score)).unwrap_or(cvss.score);
        let severity = known_word(word).unwrap_or_else(|| Severity::from_score(score));
        return Some(Rating { source, word: None, vector: Some(cvss.vector), score: Some(score), severity });
    }
    if let Some(score) = score.filter(|score| (0.0..=10.0).contains(score)) {
        let severity = known_word(word).unwrap_or_else(|| Severity::from_score(score));
        return Some(Rating { source, word: None, vector: None, score: Some(score), severity });
    }
    let severity = known_word(word)?;
    Some(Rating { source, word: Some(clean(word, 64)), vector: None, score: None, severity })
}

/// Trivy's table of vectors by source, which Harbor's reports pass on: `{"nvd": {"V3Vector": …, "V3Score": …}}`.
pub(super) fn cvss_table(table: &Value) -> Vec<Rating> {
    let mut out = Vec::new();
    for (source, entry) in table.as_object().into_iter().flatten() {
        for version in ["V40", "V3", "V2"] {
            let vector = text(entry, &[&format!("{version}Vector")]);
            let score = entry.get(format!("{version}Score")).and_then(number);
            out.extend(rating(source, vector, score, ""));
        }
    }
    out
}
