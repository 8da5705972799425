//! SARIF 2.1.0 (OASIS), as scanners of packages write it: Trivy, Grype, Snyk, Bonded and those that do alike.
//!
//! SARIF has no place for a package. Its name and versions are taken from the result's and the rule's property bags, else
//! from lines `Package: …` of the message or the rule's help, else from a logical location `name@version`.

use std::collections::HashMap;

use serde_json::Value;

use super::collect::{Collector, rating};
use super::json::{Object, at, items, number, text, texts, value};
use super::{Budget, ForeignError, Form, Scanner, ScannerFinding, ScannerReport};
use crate::advisory::{Status, known_word};
use crate::{Purl, Severity};

/// Beginnings of identifiers that only vulnerabilities have.
const PREFIXES: [&str; 22] = [
    "CVE-",
    "GHSA-",
    "SNYK-",
    "DSA-",
    "DLA-",
    "USN-",
    "RHSA-",
    "RHBA-",
    "ELSA-",
    "ALSA-",
    "RLSA-",
    "ALAS",
    "SUSE-",
    "openSUSE-",
    "GO-",
    "PYSEC-",
    "RUSTSEC-",
    "OSV-",
    "MAL-",
    "TEMP-",
    "CGA-",
    "BIT-",
];
/// Tools that look for vulnerabilities of packages: an empty run of theirs means "none".
const SCANNERS: [&str; 18] = [
    "trivy",
    "grype",
    "snyk",
    "bonded",
    "osv-scanner",
    "clair",
    "docker scout",
    "scout",
    "dependency-check",
    "anchore",
    "prisma",
    "twistlock",
    "aqua",
    "xray",
    "wiz",
    "black duck",
    "blackduck",
    "neuvector",
];
/// Tags of results that are none.
const OTHERS: [(&str, &str); 8] = [
    ("secret", "secrets"),
    ("secrets", "secrets"),
    ("misconfiguration", "misconfigurations"),
    ("misconfig", "misconfigurations"),
    ("license", "licences"),
    ("licenses", "licences"),
    ("malware", "malware results"),
    ("outdated", "outdated packages"),
];

pub(super) fn read(root: &Object<'_>, budget: &mut Budget<'_>) -> Result<Vec<ScannerReport>, ForeignError> {
    let version = root.text("version");
    if version != "2.1.0" {
        return Err(ForeignError::Version { form: "SARIF", version, help: "write SARIF 2.1.0" });
    }
    let mut reports = Vec::new();
    for run in root.list("runs")? {
        budget.spend(1)?;
        reports.push(self::run(&Object::parse(run)?, budget)?);
    }
    if reports.is_empty() {
        return Err(ForeignError::Silent { form: "SARIF", why: "it has no runs" });
    }
    Ok(reports)
}

/// Rules of a run: by identifier, and those of the driver by position.
#[derive(Default)]
struct Rules<'a> {
    by_id: HashMap<String, &'a str>,
    by_index: Vec<&'a str>,
}

impl<'a> Rules<'a> {
    fn of(tool: &Object<'a>, budget: &mut Budget<'_>) -> Result<Self, ForeignError> {
        let mut out = Self::default();
        let driver = tool.object("driver");
        if let Some(driver) = &driver {
            out.by_index = driver.list("rules")?;
        }
        let mut all = out.by_index.clone();
        for extension in tool.list("extensions")? {
            all.extend(Object::parse(extension)?.list("rules")?);
        }
        for rule in all {
            budget.spend(1)?;
            let id = Object::parse(rule)?.text("id");
            out.by_id.entry(id).or_insert(rule);
        }
        Ok(out)
    }

    /// The rule of a result; null if there is none.
    fn rule(&self, result: &Value, id: &str) -> Value {
        let index =
            result.get("ruleIndex").or_else(|| result.get("rule")?.get("index")).and_then(Value::as_u64);
        let by_index = || self.by_index.get(usize::try_from(index?).ok()?).copied();
        let found = self.by_id.get(id).copied().or_else(by_index);
        found.and_then(|raw| value(raw).ok()).unwrap_or_default()
    }
}

fn run(run: &Object<'_>, budget: &mut Budget<'_>) -> Result<ScannerReport, ForeignError> {
    let tool = run.object("tool").ok_or(ForeignError::Silent { form: "SARIF", why: "a run has no tool" })?;
    let rules = Rules::of(&tool, budget)?;
    let driver = tool.object("driver");
    let of_driver = |key: &str| driver.as_ref().map(|driver| driver.text(key)).unwrap_or_default();
    let version = [of_driver("version"), of_driver("semanticVersion")];
    let scanner = Scanner {
        name: of_driver("name"),
        vendor: of_driver("organization"),
        version: version.into_iter().find(|version| !version.is_empty()).unwrap_or_default(),
        ..Scanner::default()
    };
    let mut out = Collector::new(Form::Sarif, scanner, budget);
    about(run, &mut out);
    if !run.has("results") {
        // By the specification absent or null means that the tool was not run to its end.
        out.problem("the run states no results");
    }
    for raw in run.list("results")? {
        out.entry()?;
        match value(raw) {
            Ok(result) => judge(&result, &rules, &mut out),
            Err(error) => out.problem(&format!("a result is not understood: {error}")),
        }
    }
    let name = of_driver("name").to_lowercase();
    let looks = SCANNERS.iter().any(|own| name.starts_with(own)) && !name.starts_with("snykcode");
    if out.is_empty() && !looks {
        out.problem("no result names a vulnerability, and this tool is not known to look for them");
    }
    Ok(out.finish())
}

/// What the run says of itself and of its target.
fn about(run: &Object<'_>, out: &mut Collector<'_, '_>) {
    let invocations = run.value("invocations");
    for invocation in invocations.as_array().into_iter().flatten() {
        out.created(text(invocation, &["endTimeUtc"]));
        out.created(text(invocation, &["startTimeUtc"]));
        if invocation.get("executionSuccessful").and_then(Value::as_bool) == Some(false) {
            out.problem("the scanner says that it did not succeed");
        }
    }
    let bag = run.value("properties");
    for key in ["target", "imageName"] {
        out.target(text(&bag, &[key]));
    }
    out.digest(text(&bag, &["digest"]));
    texts(&bag, &["repoDigests"]).for_each(|named| out.digest(named));
    out.image_id(text(&bag, &["imageID"]));
}

fn judge(result: &Value, rules: &Rules<'_>, out: &mut Collector<'_, '_>) {
    if !matches!(text(result, &["kind"]), "" | "fail" | "open" | "review") {
        return;
    }
    let stated = [text(result, &["ruleId"]), text(result, &["rule", "id"])];
    let stated = stated.into_iter().find(|id| !id.is_empty()).unwrap_or_default();
    let rule = rules.rule(result, stated);
    let id = if stated.is_empty() { text(&rule, &["id"]) } else { stated };
    let tags: Vec<String> = texts(&rule, &["properties", "tags"])
        .chain(texts(result, &["properties", "tags"]))
        .map(str::to_ascii_lowercase)
        .collect();
    if let Some((_, kind)) = OTHERS.iter().find(|(tag, _)| tags.iter().any(|own| own == tag)) {
        out.pass_over(kind, 1);
        return;
    }
    let names = names_in(id);
    let known = !names.is_empty() || PREFIXES.iter().any(|prefix| id.starts_with(prefix));
    if known || tags.iter().any(|tag| tag == "vulnerability") {
        let id = names.first().map_or(id, String::as_str);
        out.push(finding(result, &rule, id, &tags));
    } else {
        out.pass_over("results that name no vulnerability", 1);
    }
}

fn finding(result: &Value, rule: &Value, id: &str, tags: &[String]) -> ScannerFinding {
    let said = [
        text(result, &["message", "text"]),
        text(rule, &["help", "text"]),
        text(rule, &["help", "markdown"]),
    ];
    let label = |keys: &[&str]| said.iter().find_map(|lines| labelled(lines, keys)).unwrap_or_default();
    let bag = |keys: &[&str]| {
        let bags = [at(result, &["properties"]), at(rule, &["properties"])];
        let found = bags.iter().flat_map(|bag| keys.iter().map(|key| text(bag, &[key])));
        found.into_iter().find(|word| !word.is_empty()).unwrap_or_default().to_owned()
    };
    let either = |own: &[&str], written: &[&str]| {
        Some(bag(own)).filter(|w| !w.is_empty()).unwrap_or_else(|| label(written))
    };
    let mut package = either(&["package", "packageName"], &["package", "package name", "vulnerable module"]);
    let mut version = either(
        &["version", "packageVersion", "installedVersion"],
        &["installed version", "package version", "version"],
    );
    if let Some((name, at)) = located(result) {
        let (source, binary) = name.split_once('/').unwrap_or(("", &name));
        // Snyk writes a distribution's packages as `source/binary`, and names only the source elsewhere.
        if !package.is_empty() && source == package {
            (package, version) = (binary.to_owned(), at);
        } else if package.is_empty() || name.ends_with(&package) {
            (package, version) = (name, at);
        }
    }
    let stated = items(at(result, &["properties"]), &["fixedVersions"]).iter().filter_map(Value::as_str);
    let mut fixed_versions: Vec<String> = stated.map(str::to_owned).collect();
    if fixed_versions.is_empty() {
        let label = label(&["fixed version", "fixed versions", "fix version", "fix versions", "fixed in"]);
        fixed_versions = label.split(',').map(|version| version.trim().to_owned()).collect();
    }
    let (severity, ratings) = severity(result, rule, &label(&["severity"]), tags);
    let described = [text(rule, &["shortDescription", "text"]), text(rule, &["fullDescription", "text"])];
    let mut aliases = names_in(described[0]);
    aliases.extend(texts(result, &["properties", "aliases"]).map(str::to_owned));
    if text(rule, &["id"]) != id && PREFIXES.iter().any(|p| text(rule, &["id"]).starts_with(p)) {
        // Grype's rules are `CVE-…-package`: no other name of the vulnerability.
        aliases.extend(Some(text(rule, &["id"]).to_owned()).filter(|other| !other.contains(id)));
    }
    let places = items(result, &["locations"]).iter();
    ScannerFinding {
        id: id.to_owned(),
        aliases,
        purl: purl(result, rule, &package, &version),
        package,
        version,
        fixed_versions,
        severity,
        severity_source: String::new(),
        ratings,
        status: status(text(result, &["properties", "status"])),
        suppressed: suppressed(result),
        title: described[0].to_owned(),
        description: described[1].to_owned(),
        weaknesses: Vec::new(),
        links: [text(rule, &["helpUri"])].into_iter().map(str::to_owned).collect(),
        paths: places.map(|p| text(p, &["physicalLocation", "artifactLocation", "uri"]).to_owned()).collect(),
    }
}

fn status(word: &str) -> Status {
    Status::ALL.into_iter().find(|status| status.name() == word).unwrap_or(Status::Affected)
}

/// The rest of the first line that begins with one of the labels, in the labels' order.
fn labelled(lines: &str, labels: &[&str]) -> Option<String> {
    labels.iter().find_map(|label| {
        lines.lines().take(200).find_map(|line| {
            let line = line.trim_start_matches([' ', '*', '-', '\t']);
            let (key, rest) = line.split_once(':')?;
            let same = key.trim_end_matches('*').trim().eq_ignore_ascii_case(label);
            let rest = rest.trim_matches([' ', '*', '`', '\t']);
            (same && !rest.is_empty()).then(|| rest.to_owned())
        })
    })
}

/// `name@version` of a logical location.
fn located(result: &Value) -> Option<(String, String)> {
    let places = items(result, &["locations"]).iter().flat_map(|place| items(place, &["logicalLocations"]));
    places.map(|place| text(place, &["fullyQualifiedName"])).find_map(|name| {
        let (name, version) = name.rsplit_once('@')?;
        let plain = !name.is_empty()
            && !version.is_empty()
            && !version.contains(['/', ' '])
            && !version.contains("sha256:");
        plain.then(|| (name.to_owned(), version.to_owned()))
    })
}

/// The package URL that is stated; of several the one that names this package.
fn purl(result: &Value, rule: &Value, package: &str, version: &str) -> Option<String> {
    let bags = [at(result, &["properties"]), at(rule, &["properties"])];
    let stated = bags.iter().flat_map(|bag| {
        [text(bag, &["purl"])].into_iter().filter(|purl| !purl.is_empty()).chain(texts(bag, &["purls"]))
    });
    let parsed: Vec<Purl> = stated.take(64).filter_map(|purl| Purl::parse(purl).ok()).collect();
    let fits = |purl: &&Purl| {
        package.ends_with(purl.name())
            && purl.version().is_none_or(|own| version.is_empty() || version.ends_with(own))
    };
    let only = || parsed.first().filter(|_| parsed.len() == 1);
    parsed.iter().find(fits).or_else(only).map(ToString::to_string)
}

fn severity(
    result: &Value,
    rule: &Value,
    word: &str,
    tags: &[String],
) -> (Severity, Vec<crate::matching::Rating>) {
    let bag = at(rule, &["properties"]);
    let score = number(at(bag, &["security-severity"]));
    let mut ratings = Vec::new();
    for (vector, scored) in [("cvssv3_vector", "cvssv3_baseScore"), ("cvssv2_vector", "cvssv2_score")] {
        ratings.extend(rating("cvss", text(bag, &[vector]), number(at(bag, &[scored])), ""));
    }
    if ratings.is_empty() {
        ratings.extend(rating("security-severity", "", score, ""));
    }
    let own = [text(result, &["level"]), text(rule, &["defaultConfiguration", "level"])];
    let level = match own.into_iter().find(|level| !level.is_empty()).unwrap_or("warning") {
        "error" => Severity::High,
        "note" | "none" => Severity::Low,
        _ => Severity::Medium,
    };
    let rated = |severity: &Severity| *severity != Severity::Unknown;
    // `security` and the like are no words of severity.
    let tagged = || tags.iter().find_map(|tag| known_word(tag));
    let severity = known_word(text(result, &["properties", "severity"]))
        .or_else(|| known_word(word))
        .or_else(tagged)
        .or_else(|| score.map(Severity::from_score).filter(rated))
        .unwrap_or(level);
    (severity, ratings)
}

fn suppressed(result: &Value) -> Option<String> {
    let accepted = |entry: &&Value| matches!(text(entry, &["status"]), "" | "accepted");
    let entry = items(result, &["suppressions"]).iter().find(accepted)?;
    let why = text(entry, &["justification"]);
    Some(if why.is_empty() { "suppressed".to_owned() } else { why.to_owned() })
}

/// The CVE and GHSA identifiers in a text.
fn names_in(words: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for (at, _) in words.match_indices("CVE-").take(16) {
        let mut parts = words[at + 4..].splitn(2, '-');
        let digits = |part: &str| part.bytes().take_while(u8::is_ascii_digit).count();
        let (year, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let number = digits(rest);
        if year.len() == 4 && digits(year) == 4 && (4..=10).contains(&number) {
            out.push(words[at..at + 9 + number].to_owned());
        }
    }
    for (at, _) in words.match_indices("GHSA-").take(16) {
        let name: String = words[at..].chars().take(19).collect();
        let sound = name.len() == 19
            && name[5..]
                .bytes()
                .enumerate()
                .all(|(i, b)| if i % 5 == 4 { b == b'-' } else { b.is_ascii_alphanumeric() });
        if sound {
            out.push(name);
        }
    }
    out.dedup();
    out
}
