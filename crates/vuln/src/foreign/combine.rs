//! Several scanners' findings of one artifact as one list.
//!
//! A finding is a vulnerability of a package. Vulnerabilities are joined over their names: a CVE is itself, another name
//! is the CVE with which alone some report says it; a finding that names several CVEs is one of each. Packages are joined
//! by package URL (type, namespace, name, version), else by name and version. Nothing that anybody said is dropped: what
//! the rule does not count stands `beside`, and every finding keeps who said what.
//!
//! A scanner that failed, is missing or says that its report is not whole makes the combination incomplete, whatever
//! the others say.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::excuse::{Excused, Excuses};
use super::{Scanner, ScannerFinding, ScannerReport};
use crate::advisory::Status;
use crate::advisory::import::is_cve;
use crate::advisory::scope::language_name;
use crate::matching::Rating;
use crate::{Purl, Severity};

/// Which findings count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Those of one scanner.
    Primary(String),
    /// Those of any scanner.
    Union,
    /// Those of every scanner that reported.
    Intersection,
}

/// A scanner's report, or why there is none.
#[derive(Clone, Copy, Debug)]
pub struct Voice<'a> {
    /// Name of the scanner's registration, unique in a combination.
    pub by: &'a str,
    /// Its report, or why it failed.
    pub said: Result<&'a ScannerReport, &'a str>,
}

/// A scanner that reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    /// Name of its registration.
    pub by: String,
    /// The scanner as it names itself.
    pub scanner: Scanner,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
}

/// A scanner whose word is missing or not whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unheard {
    /// Name of its registration.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What one scanner said of a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opinion {
    /// Name of its registration.
    pub by: String,
    /// The name that it uses for the vulnerability.
    pub id: String,
    /// How bad.
    pub severity: Severity,
    /// Whose word that is, empty if not stated.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub severity_source: String,
    /// Ratings that it passes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ratings: Vec<Rating>,
    /// State of the repair.
    pub status: Status,
    /// Repairing versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixed_versions: Vec<String>,
    /// Why it does not count it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<String>,
}

impl Opinion {
    /// Whether this scanner counts it.
    pub fn counts(&self) -> bool {
        self.suppressed.is_none() && self.status != Status::NotAffected
    }
}

/// One vulnerability of one package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CombinedFinding {
    /// Its CVE if it has one.
    pub id: String,
    /// Its other names, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Package, empty: the artifact as a whole.
    pub package: String,
    /// Installed version.
    pub version: String,
    /// Canonical package URL, if any scanner states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    /// The primary scanner's severity, else the highest.
    pub severity: Severity,
    /// The primary scanner's state, else `fixed` if any knows a repair.
    pub status: Status,
    /// Repairing versions, the primary scanner's or all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixed_versions: Vec<String>,
    /// One line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Longer text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// `CWE-…`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weaknesses: Vec<String>,
    /// Further reading.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Who said it and how, in the order of the scanners.
    pub said: Vec<Opinion>,
}

/// The combination.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Combined {
    /// The rule that it was made by.
    pub rule: Rule,
    /// Scanners that reported.
    pub heard: Vec<Heard>,
    /// Scanners that did not, or not wholly; empty and somebody reported: the combination is complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unheard: Vec<Unheard>,
    /// Findings that count, worst first.
    pub findings: Vec<CombinedFinding>,
    /// What else was said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<CombinedFinding>,
}

impl Combined {
    /// Whether every scanner reported wholly; only then an empty list means "none".
    pub fn is_complete(&self) -> bool {
        self.unheard.is_empty() && !self.heard.is_empty()
    }

    /// The worst severity that counts.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}

/// Combines reports of one artifact; what is excused does not count, whoever says it.
pub fn combine(voices: &[Voice<'_>], rule: &Rule, excuses: &Excuses<'_>) -> Combined {
    let mut out = Combined {
        rule: rule.clone(),
        heard: Vec::new(),
        unheard: Vec::new(),
        findings: Vec::new(),
        beside: Vec::new(),
    };
    let mut reports: Vec<(&str, &ScannerReport)> = Vec::new();
    for voice in voices {
        match voice.said {
            Ok(report) => {
                reports.push((voice.by, report));
                let (scanner, created) = (report.scanner.clone(), report.created);
                out.heard.push(Heard { by: voice.by.to_owned(), scanner, created });
                if let Some(problem) = report.problems.first() {
                    let more = report.problems.len() - 1;
                    let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
                    out.unheard.push(Unheard { by: voice.by.to_owned(), reason: format!("{problem}{more}") });
                }
            }
            Err(reason) => out.unheard.push(Unheard { by: voice.by.to_owned(), reason: reason.to_owned() }),
        }
    }
    if let Rule::Primary(name) = rule
        && !voices.iter().any(|voice| voice.by == name)
    {
        out.unheard.push(Unheard { by: name.clone(), reason: "it has not reported".into() });
    }
    let groups = Groups::of(&reports);
    let excused = Excused::of(excuses);
    for mut finding in groups.all {
        excused.apply(&mut finding);
        finding.said.sort_by_key(|said| voices.iter().position(|voice| voice.by == said.by));
        let counting = |by: &str| finding.said.iter().any(|said| said.by == by && said.counts());
        let counts = match rule {
            Rule::Primary(name) => counting(name),
            Rule::Union => finding.said.iter().any(Opinion::counts),
            Rule::Intersection => reports.iter().all(|(by, _)| counting(by)),
        };
        let primary = match rule {
            Rule::Primary(name) if counts => Some(name.as_str()),
            _ => None,
        };
        settle(&mut finding, primary);
        if counts { out.findings.push(finding) } else { out.beside.push(finding) }
    }
    for list in [&mut out.findings, &mut out.beside] {
        list.sort_by(|a, b| {
            (Reverse(a.severity), &a.id, &a.package, &a.version, &a.purl).cmp(&(
                Reverse(b.severity),
                &b.id,
                &b.package,
                &b.version,
                &b.purl,
            ))
        });
    }
    out
}

/// Severity, state and repairs of a finding out of what was said.
fn settle(finding: &mut CombinedFinding, primary: Option<&str>) {
    let counting = finding.said.iter().any(Opinion::counts);
    let weighty: Vec<&Opinion> = finding
        .said
        .iter()
        .filter(|said| primary.map_or(said.counts() || !counting, |by| said.by == by && said.counts()))
        .collect();
    let severity = weighty.iter().map(|said| said.severity).max().unwrap_or_default();
    // A primary scanner that does not rate leaves that to the others.
    let any = finding.said.iter().map(|said| said.severity).max().unwrap_or_default();
    finding.severity = if severity == Severity::Unknown { any } else { severity };
    finding.status = weighty.iter().map(|said| said.status).min().unwrap_or_default();
    let mut fixed: Vec<String> = Vec::new();
    for version in weighty.iter().flat_map(|said| &said.fixed_versions) {
        if !fixed.contains(version) {
            fixed.push(version.clone());
        }
    }
    finding.fixed_versions = fixed;
}

/// Most opinions that one scanner has of one finding, under several names.
const MAX_OPINIONS: usize = 16;
/// Most other names of a finding.
const MAX_ALIASES: usize = 64;

/// What names mean: the CVE with which a name is said, names of one vulnerability without a CVE.
struct Names {
    cve: HashMap<String, Option<String>>,
    /// A name to a smaller one that stands for it.
    same: BTreeMap<String, String>,
}

fn names(finding: &ScannerFinding) -> impl Iterator<Item = &String> {
    std::iter::once(&finding.id).chain(&finding.aliases)
}

impl Names {
    fn of(reports: &[(&str, &ScannerReport)]) -> Self {
        let all = || reports.iter().flat_map(|(_, report)| &report.findings);
        let mut cve: HashMap<String, Option<String>> = HashMap::new();
        for finding in all() {
            let cves: BTreeSet<&String> = names(finding).filter(|name| is_cve(name)).collect();
            let only = cves.first().filter(|_| cves.len() == 1);
            for name in names(finding).filter(|name| !is_cve(name)).filter(|_| !cves.is_empty()) {
                let known = cve.entry(name.clone()).or_insert_with(|| only.map(|only| (*only).clone()));
                // An erratum is said of several: it means none of them.
                if known.as_ref() != only.copied() {
                    *known = None;
                }
            }
        }
        let mut out = Self { cve, same: BTreeMap::new() };
        for finding in
            all().filter(|finding| !names(finding).any(|name| is_cve(name) || out.cve.contains_key(name)))
        {
            let roots: BTreeSet<String> = names(finding).map(|name| root(&mut out.same, name)).collect();
            let Some(first) = roots.first() else { continue };
            for other in roots.iter().chain(names(finding)).filter(|other| *other != first) {
                out.same.insert(other.clone(), first.clone());
            }
        }
        // Every name to the last of its chain; smaller ones come first and are done.
        let all: Vec<String> = out.same.keys().cloned().collect();
        for name in all {
            root(&mut out.same, &name);
        }
        out
    }

    /// The vulnerabilities that a finding is about.
    fn vulnerabilities(&self, finding: &ScannerFinding) -> BTreeSet<String> {
        let cves: BTreeSet<String> = names(finding).filter(|name| is_cve(name)).cloned().collect();
        if !cves.is_empty() {
            return cves;
        }
        let known: BTreeSet<String> = names(finding).filter_map(|name| self.cve.get(name)?.clone()).collect();
        if !known.is_empty() {
            return known;
        }
        BTreeSet::from([self.same.get(&finding.id).unwrap_or(&finding.id).clone()])
    }
}

/// Follows a name to the one that stands for all, and lets it and those on the way point there directly.
fn root(same: &mut BTreeMap<String, String>, name: &str) -> String {
    let (mut at, mut way) = (name.to_owned(), Vec::new());
    while let Some(next) = same.get(&at).filter(|next| **next < at).cloned() {
        way.push(std::mem::replace(&mut at, next));
    }
    for passed in way {
        same.insert(passed, at.clone());
    }
    at
}

/// Findings in the making, found again by vulnerability and package.
#[derive(Default)]
struct Groups {
    all: Vec<CombinedFinding>,
    exact: HashMap<(String, String), usize>,
    plain: HashMap<(String, String), usize>,
    of: HashMap<String, Vec<usize>>,
}

impl Groups {
    fn of(reports: &[(&str, &ScannerReport)]) -> Self {
        let names = Names::of(reports);
        let mut out = Self::default();
        let each = || reports.iter().flat_map(|(by, report)| report.findings.iter().map(move |f| (*by, f)));
        // Those that say more come first: others are found by what they say.
        for (by, finding) in each().filter(|(_, finding)| finding.purl.is_some()) {
            let Some(purl) = finding.purl.as_deref().and_then(|purl| Purl::parse(purl).ok()) else {
                continue;
            };
            let package = purl.to_package();
            let exact = format!(
                "{}\0{}\0{}",
                purl.ty(),
                language_name(&package).to_lowercase(),
                bare_version(&package.version)
            );
            let known = [&language_name(&package), &package.name, &finding.package]
                .map(|name| plain(name, &package.version));
            for vulnerability in names.vulnerabilities(finding) {
                let key = (vulnerability.clone(), exact.clone());
                let index = match get(&out.exact, &key) {
                    Some(index) => index,
                    None => out.make(&vulnerability, finding),
                };
                out.exact.insert(key, index);
                for name in known.iter().flatten() {
                    out.plain.entry((vulnerability.clone(), name.clone())).or_insert(index);
                }
                out.say(index, by, finding);
            }
        }
        for (by, finding) in
            each().filter(|(_, finding)| finding.purl.is_none() && !finding.package.is_empty())
        {
            for vulnerability in names.vulnerabilities(finding) {
                let keys =
                    plain(&finding.package, &finding.version).map(|name| (vulnerability.clone(), name));
                let index = match keys.iter().find_map(|key| get(&out.plain, key)) {
                    Some(index) => index,
                    None => out.make(&vulnerability, finding),
                };
                for key in keys {
                    out.plain.entry(key).or_insert(index);
                }
                out.say(index, by, finding);
            }
        }
        // What is said of the artifact as a whole is said of each of its packages that has this vulnerability.
        let mut once: HashSet<(&str, String)> = HashSet::new();
        for (by, finding) in
            each().filter(|(_, finding)| finding.purl.is_none() && finding.package.is_empty())
        {
            for vulnerability in names.vulnerabilities(finding) {
                let there = out.of.get(&vulnerability).cloned().unwrap_or_default();
                let there = if there.is_empty() { vec![out.make(&vulnerability, finding)] } else { there };
                if once.insert((by, vulnerability)) {
                    there.into_iter().for_each(|index| out.say(index, by, finding));
                }
            }
        }
        out
    }

    fn make(&mut self, vulnerability: &str, finding: &ScannerFinding) -> usize {
        let index = self.all.len();
        self.of.entry(vulnerability.to_owned()).or_default().push(index);
        self.all.push(CombinedFinding {
            id: vulnerability.to_owned(),
            aliases: Vec::new(),
            package: finding.package.clone(),
            version: finding.version.clone(),
            purl: finding.purl.clone(),
            severity: Severity::Unknown,
            status: Status::Affected,
            fixed_versions: Vec::new(),
            title: String::new(),
            description: String::new(),
            weaknesses: Vec::new(),
            links: Vec::new(),
            said: Vec::new(),
        });
        index
    }

    fn say(&mut self, index: usize, by: &str, finding: &ScannerFinding) {
        let Some(there) = self.all.get_mut(index) else { return };
        for name in names(finding).filter(|name| !is_cve(name) && **name != there.id) {
            if let Err(at) = there.aliases.binary_search(name)
                && there.aliases.len() < MAX_ALIASES
            {
                there.aliases.insert(at, name.clone());
            }
        }
        for (own, said) in
            [(&mut there.title, &finding.title), (&mut there.description, &finding.description)]
        {
            if own.is_empty() {
                own.clone_from(said);
            }
        }
        for (own, said) in [(&mut there.links, &finding.links), (&mut there.weaknesses, &finding.weaknesses)]
        {
            for entry in said.iter().take(32usize.saturating_sub(own.len())) {
                if !own.contains(entry) {
                    own.push(entry.clone());
                }
            }
        }
        let opinion = Opinion {
            by: by.to_owned(),
            id: finding.id.clone(),
            severity: finding.severity,
            severity_source: finding.severity_source.clone(),
            ratings: finding.ratings.clone(),
            status: finding.status,
            fixed_versions: finding.fixed_versions.clone(),
            suppressed: finding.suppressed.clone(),
        };
        let own: Vec<usize> =
            (0..there.said.len()).filter(|i| there.said.get(*i).is_some_and(|said| said.by == by)).collect();
        if own.len() < MAX_OPINIONS {
            if !there.said.contains(&opinion) {
                there.said.push(opinion);
            }
        } else if opinion.counts() && !own.iter().any(|i| there.said[*i].counts()) {
            // What counts is never among what is left out.
            there.said[own[0]] = opinion;
        }
    }
}

fn get(map: &HashMap<(String, String), usize>, key: &(String, String)) -> Option<usize> {
    map.get(key).copied()
}

/// A version without epoch and without the `v` of Go: scanners differ in both.
fn bare_version(version: &str) -> &str {
    let version = match version.split_once(':') {
        Some((epoch, rest)) if epoch.bytes().all(|b| b.is_ascii_digit()) => rest,
        _ => version,
    };
    version.strip_prefix('v').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())).unwrap_or(version)
}

/// A package without its type: by its whole name and by the last part of it.
pub(super) fn plain(name: &str, version: &str) -> [String; 2] {
    let name = name.to_lowercase();
    let last = name.rsplit(['/', ':']).next().unwrap_or(&name).to_owned();
    [name, last].map(|name| format!("{name}\0{}", bare_version(version)))
}
