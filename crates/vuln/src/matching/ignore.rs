//! Ignore files: Trivy's plain form (`CVE-… exp:2026-01-01 # why`) and its YAML form with packages, paths and reasons.
//!
//! A rule hides nothing: the finding stays in the report with the rule's reason. A rule whose day has passed holds no
//! more. A plain rule is about findings of every section, a YAML rule about those of the list that it is in; what is not
//! understood is refused, since a rule must not silently stop to hold.

use super::finding::{Finding, Suppression, SuppressionKind};
use crate::package::{Distro, Package};
use crate::purl::Purl;
use crate::report::Section;
use globset::Glob;
use serde::Deserialize;

/// Most rules of one file.
const MAX_RULES: usize = 100_000;

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoreRule {
    /// Findings it is about; none: all.
    pub section: Option<Section>,
    /// Vulnerability, rule, licence, or malware (name or digest).
    pub id: String,
    /// Package URLs it is restricted to (version and qualifiers optional); empty: every package.
    pub purls: Vec<String>,
    /// Path patterns it is restricted to; empty: every path.
    pub paths: Vec<String>,
    /// Last day it holds.
    pub until: Option<String>,
    /// Why.
    pub reason: String,
}

/// A file of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoreFile {
    /// Its name, for reports.
    pub name: String,
    /// Rules in the order of the file.
    pub rules: Vec<IgnoreRule>,
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IgnoreError {
    /// A line of the plain form is wrong.
    #[error("line {line} of {name}: {reason}")]
    Line {
        /// File.
        name: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// Not YAML of the known form.
    #[error("{name} is no ignore file: {reason}")]
    Form {
        /// File.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// More than 100,000 rules.
    #[error("{name} has too many rules")]
    TooMany {
        /// File.
        name: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Yaml {
    #[serde(default)]
    vulnerabilities: Vec<YamlRule>,
    #[serde(default)]
    misconfigurations: Vec<YamlRule>,
    #[serde(default)]
    secrets: Vec<YamlRule>,
    #[serde(default)]
    licenses: Vec<YamlRule>,
    #[serde(default)]
    malware: Vec<YamlRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct YamlRule {
    id: String,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    purls: Vec<String>,
    expired_at: Option<String>,
    statement: Option<String>,
}

fn is_day(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let widths: Vec<usize> = parts.iter().map(|p| p.len()).collect();
    widths == [4, 2, 2] && parts.iter().all(|p| p.bytes().all(|b| b.is_ascii_digit()))
}

impl IgnoreFile {
    /// Reads a file; names that end in `.yaml` or `.yml` are YAML.
    ///
    /// # Errors
    /// [`IgnoreError`]: a rule that is not understood must not silently stop to hold.
    pub fn parse(name: &str, text: &str) -> Result<Self, IgnoreError> {
        let rules = if name.ends_with(".yaml") || name.ends_with(".yml") {
            yaml(name, text)?
        } else {
            plain(name, text)?
        };
        if rules.len() > MAX_RULES {
            return Err(IgnoreError::TooMany { name: name.to_owned() });
        }
        Ok(Self { name: name.to_owned(), rules })
    }

    /// Rules that no longer hold on `today`.
    pub fn expired(&self, today: &str) -> Vec<&IgnoreRule> {
        self.rules.iter().filter(|r| has_ended(r, today)).collect()
    }
}

fn has_ended(rule: &IgnoreRule, today: &str) -> bool {
    !today.is_empty() && rule.until.as_deref().is_some_and(|until| until < today)
}

fn yaml(name: &str, text: &str) -> Result<Vec<IgnoreRule>, IgnoreError> {
    let refused = |reason: String| IgnoreError::Form { name: name.to_owned(), reason };
    let parsed: Yaml = serde_saphyr::from_str(text).map_err(|e| refused(e.to_string()))?;
    let rule = |section: Section, r: YamlRule| {
        if section != Section::Vulnerability && !r.purls.is_empty() {
            return Err(refused(format!("purls of {}: only vulnerabilities are of packages", r.id)));
        }
        let until = r.expired_at.map(|t| t.chars().take(10).collect::<String>());
        if until.as_deref().is_some_and(|day| !is_day(day)) {
            return Err(refused(format!("expired_at of {} is no day", r.id)));
        }
        Ok(IgnoreRule {
            section: Some(section),
            id: r.id,
            purls: r.purls,
            paths: r.paths,
            until,
            reason: r.statement.unwrap_or_default(),
        })
    };
    let lists = [
        (Section::Vulnerability, parsed.vulnerabilities),
        (Section::Misconfiguration, parsed.misconfigurations),
        (Section::Secret, parsed.secrets),
        (Section::License, parsed.licenses),
        (Section::Malware, parsed.malware),
    ];
    lists.into_iter().flat_map(|(section, list)| list.into_iter().map(move |r| rule(section, r))).collect()
}

fn plain(name: &str, text: &str) -> Result<Vec<IgnoreRule>, IgnoreError> {
    let mut out = Vec::new();
    let mut comment = String::new();
    for (index, raw) in text.lines().enumerate() {
        let (rule, note) = raw.split_once('#').map_or((raw, ""), |(r, n)| (r, n));
        let mut words = rule.split_whitespace();
        let Some(id) = words.next() else {
            note.trim().clone_into(&mut comment);
            continue;
        };
        let mut until = None;
        for word in words {
            let Some(day) = word.strip_prefix("exp:") else { continue };
            if !is_day(day) {
                return Err(IgnoreError::Line {
                    name: name.to_owned(),
                    line: index + 1,
                    reason: "exp: is followed by no day",
                });
            }
            until = Some(day.to_owned());
        }
        let reason =
            if note.trim().is_empty() { std::mem::take(&mut comment) } else { note.trim().to_owned() };
        out.push(IgnoreRule { id: id.to_owned(), until, reason, ..IgnoreRule::default() });
        if out.len() > MAX_RULES {
            return Err(IgnoreError::TooMany { name: name.to_owned() });
        }
    }
    Ok(out)
}

/// Whether a package URL of a rule means this package.
fn purl_means(pattern: &str, package: &Purl) -> bool {
    Purl::parse(pattern).is_ok_and(|pattern| means(&pattern, package))
}

/// Whether a package URL of a rule or statement means this package: what it does not state is not compared.
pub(super) fn means(pattern: &Purl, package: &Purl) -> bool {
    pattern.ty() == package.ty()
        && pattern.namespace() == package.namespace()
        && pattern.name() == package.name()
        && pattern.version().is_none_or(|v| Some(v) == package.version())
        && pattern
            .qualifiers()
            .iter()
            .all(|(k, v)| k == "repository_url" || package.qualifier(k) == Some(v.as_str()))
}

/// What a rule may be about.
pub(crate) struct Ignorable<'a> {
    pub(crate) section: Section,
    /// Its names.
    pub(crate) ids: Vec<&'a str>,
    /// Package, for findings that are of one.
    pub(crate) purl: Option<&'a Purl>,
    pub(crate) paths: Vec<&'a str>,
}

impl IgnoreFile {
    /// The excuse of the first rule that holds for a finding.
    pub(crate) fn excuse(&self, finding: &Ignorable<'_>, today: &str) -> Option<Suppression> {
        let path_fits = |pattern: &String| {
            let Ok(glob) = Glob::new(pattern) else { return false };
            let matcher = glob.compile_matcher();
            finding.paths.iter().any(|path| matcher.is_match(path))
        };
        let of_package = |patterns: &[String]| {
            finding.purl.is_some_and(|purl| patterns.iter().any(|pattern| purl_means(pattern, purl)))
        };
        let holds = |rule: &&IgnoreRule| {
            rule.section.is_none_or(|section| section == finding.section)
                && names(rule, finding)
                && !has_ended(rule, today)
                && (rule.purls.is_empty() || of_package(&rule.purls))
                && (rule.paths.is_empty() || rule.paths.iter().any(path_fits))
        };
        self.rules.iter().find(holds).map(|rule| Suppression {
            kind: SuppressionKind::Ignore,
            reason: if rule.reason.is_empty() { "ignored by rule".into() } else { rule.reason.clone() },
            source: self.name.clone(),
            until: rule.until.clone(),
        })
    }
}

fn names(rule: &IgnoreRule, finding: &Ignorable<'_>) -> bool {
    let other = match finding.section {
        Section::Misconfiguration => Some(check_number(&rule.id)),
        Section::License => crate::license::normalize(&rule.id),
        _ => None,
    };
    finding.ids.iter().any(|id| *id == rule.id || other.as_deref() == Some(*id))
}

/// Trivy's number of a check in its present spelling: `DS-0002` for `AVD-DS-0002` and `DS002`.
fn check_number(id: &str) -> String {
    let bare = id.strip_prefix("AVD-").unwrap_or(id);
    let digits = bare.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let family = bare.strip_suffix(digits).unwrap_or_default();
    if family.is_empty() || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return bare.to_owned();
    }
    format!("{family}-{digits:0>4}")
}

pub(super) fn apply(
    finding: &mut Finding,
    package: &Package,
    distro: Option<&Distro>,
    file: &IgnoreFile,
    today: &str,
) {
    let purl = Purl::of_package(package, distro);
    let ids = std::iter::once(&finding.id).chain(&finding.aliases).map(String::as_str).collect();
    let paths = package.evidence.iter().map(|e| e.path.as_str()).collect();
    let ignorable = Ignorable { section: Section::Vulnerability, ids, purl: purl.as_ref(), paths };
    if let Some(excuse) = file.excuse(&ignorable, today) {
        finding.suppress(excuse);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_rules_carry_day_and_reason() {
        let text = "# accepted by the team\nCVE-2020-1\n\nCVE-2020-2 exp:2026-01-01 # until the rewrite\n";
        let file = IgnoreFile::parse(".trivyignore", text).expect("file");
        assert_eq!(file.rules[0].reason, "accepted by the team");
        assert_eq!(file.rules[1].until.as_deref(), Some("2026-01-01"));
        assert_eq!(file.expired("2026-01-02").len(), 1);
        assert!(file.expired("2026-01-01").is_empty());
    }

    #[test]
    fn a_day_that_is_none_is_refused() {
        assert!(IgnoreFile::parse("x", "CVE-1 exp:soon").is_err());
    }

    #[test]
    fn a_rule_is_about_the_findings_of_its_list_and_nothing_is_passed_over() {
        let lists = "misconfigurations:\n  - id: AVD-DS-0002\n    paths: [docker/*]\nsecrets:\n  - id: aws-key\nlicenses:\n  - id: AGPL-3.0\n";
        let file = IgnoreFile::parse("x.yaml", lists).expect("file");
        let of = |section, id: &str, path: &str| {
            file.excuse(&Ignorable { section, ids: vec![id], purl: None, paths: vec![path] }, "").is_some()
        };
        assert!(of(Section::Misconfiguration, "DS-0002", "docker/Dockerfile"));
        assert!(!of(Section::Misconfiguration, "DS-0002", "other/Dockerfile"));
        assert!(!of(Section::Vulnerability, "AVD-DS-0002", "docker/Dockerfile"));
        assert!(of(Section::Secret, "aws-key", "a") && !of(Section::License, "aws-key", "a"));
        assert!(of(Section::License, "AGPL-3.0", "a"));
        assert!(IgnoreFile::parse("x.yaml", "vulnerabilites:\n  - id: CVE-1\n").is_err(), "a misspelt list");
        assert!(IgnoreFile::parse("x.yaml", "secrets:\n  - id: a\n    path: b\n").is_err(), "another key");
        assert!(IgnoreFile::parse("x.yaml", "secrets:\n  - id: a\n    purls: [pkg:npm/a]\n").is_err());
        assert_eq!(
            ["DS002", "AVD-KSV-0014", "CIS-4.1", "BD-IMG-001"].map(check_number),
            ["DS-0002", "KSV-0014", "CIS-4.1", "BD-IMG-001"]
        );
    }

    #[test]
    fn yaml_rules_are_restricted_to_packages() {
        let text = "vulnerabilities:\n  - id: CVE-2022-1\n    purls:\n      - pkg:npm/lodash\n    expired_at: 2027-01-01\n    statement: not reachable\n";
        let file = IgnoreFile::parse(".trivyignore.yaml", text).expect("file");
        assert_eq!(file.rules[0].until.as_deref(), Some("2027-01-01"));
        let purl = |t: &str| Purl::parse(t).expect("purl");
        assert!(purl_means("pkg:npm/lodash", &purl("pkg:npm/lodash@4.17.0")));
        assert!(!purl_means("pkg:npm/lodash@4.17.1", &purl("pkg:npm/lodash@4.17.0")));
    }
}
