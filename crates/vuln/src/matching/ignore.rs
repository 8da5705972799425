//! Ignore files: Trivy's plain form (`CVE-… exp:2026-01-01 # why`) and its YAML form with packages, paths and reasons.
//!
//! A rule hides nothing: the finding stays in the report with the rule's reason. A rule whose day has passed holds no
//! more.

use super::finding::{Finding, Suppression, SuppressionKind};
use crate::package::{Distro, Package};
use crate::purl::Purl;
use globset::Glob;
use serde::Deserialize;

/// Most rules of one file.
const MAX_RULES: usize = 100_000;

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoreRule {
    /// Vulnerability.
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
struct Yaml {
    #[serde(default)]
    vulnerabilities: Vec<YamlRule>,
}

#[derive(Deserialize)]
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
    let rule = |r: YamlRule| {
        let until = r.expired_at.map(|t| t.chars().take(10).collect::<String>());
        if until.as_deref().is_some_and(|day| !is_day(day)) {
            return Err(refused(format!("expired_at of {} is no day", r.id)));
        }
        Ok(IgnoreRule {
            id: r.id,
            purls: r.purls,
            paths: r.paths,
            until,
            reason: r.statement.unwrap_or_default(),
        })
    };
    parsed.vulnerabilities.into_iter().map(rule).collect()
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

/// Whether a package URL of a rule or statement means this package: what it does not state is not compared.
pub(super) fn purl_means(pattern: &str, package: &Purl) -> bool {
    let Ok(pattern) = Purl::parse(pattern) else { return false };
    pattern.ty() == package.ty()
        && pattern.namespace() == package.namespace()
        && pattern.name() == package.name()
        && pattern.version().is_none_or(|v| Some(v) == package.version())
        && pattern
            .qualifiers()
            .iter()
            .all(|(k, v)| k == "repository_url" || package.qualifier(k) == Some(v.as_str()))
}

pub(super) fn apply(
    finding: &mut Finding,
    package: &Package,
    distro: Option<&Distro>,
    file: &IgnoreFile,
    today: &str,
) {
    let names = |id: &str| finding.id == id || finding.aliases.iter().any(|a| a == id);
    let purl = Purl::of_package(package, distro);
    let path_fits = |pattern: &String| {
        let Ok(glob) = Glob::new(pattern) else { return false };
        let matcher = glob.compile_matcher();
        package.evidence.iter().any(|e| matcher.is_match(&e.path))
    };
    let holds = |r: &&IgnoreRule| {
        names(&r.id)
            && !has_ended(r, today)
            && (r.purls.is_empty()
                || purl.as_ref().is_some_and(|p| r.purls.iter().any(|pattern| purl_means(pattern, p))))
            && (r.paths.is_empty() || r.paths.iter().any(path_fits))
    };
    if let Some(rule) = file.rules.iter().find(holds) {
        finding.suppress(Suppression {
            kind: SuppressionKind::Ignore,
            reason: if rule.reason.is_empty() { "ignored by rule".into() } else { rule.reason.clone() },
            source: file.name.clone(),
            until: rule.until.clone(),
        });
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
    fn yaml_rules_are_restricted_to_packages() {
        let text = "vulnerabilities:\n  - id: CVE-2022-1\n    purls:\n      - pkg:npm/lodash\n    expired_at: 2027-01-01\n    statement: not reachable\n";
        let file = IgnoreFile::parse(".trivyignore.yaml", text).expect("file");
        assert_eq!(file.rules[0].until.as_deref(), Some("2027-01-01"));
        let purl = |t: &str| Purl::parse(t).expect("purl");
        assert!(purl_means("pkg:npm/lodash", &purl("pkg:npm/lodash@4.17.0")));
        assert!(!purl_means("pkg:npm/lodash@4.17.1", &purl("pkg:npm/lodash@4.17.0")));
    }
}
