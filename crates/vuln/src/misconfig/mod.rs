//! Configuration that is wrong before anything runs: image configurations, files of an image, Dockerfiles, Kubernetes
//! manifests, Helm charts, Terraform.
//!
//! Rules are data (`data/misconfig/*.toml`, one file per family): identity, words, severity, and for the structured
//! families the conditions themselves. A rule is a statement about one document; nothing is fetched or executed, so a
//! value that only a later stage knows is never called wrong.

pub mod charts;
pub mod dockerfile;
pub mod files;
pub mod image;
pub mod kubernetes;
mod rules;
pub mod shell;
pub mod terraform;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

pub use rules::{Condition, Operator, Rule};

use crate::Severity;
use crate::matching::Suppression;

/// A violated rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Identifier of the rule, `BD-…`.
    pub id: String,
    /// The same rule elsewhere: Trivy's numbers, CIS Docker Benchmark.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Severity.
    pub severity: Severity,
    /// What is wrong, in general.
    pub title: String,
    /// What is wrong here.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// File, or `image config`.
    pub path: String,
    /// First and last line, from 1, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<(usize, usize)>,
    /// Why it does not count; empty: it counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<Suppression>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rule: Vec<Rule>,
}

/// The rules of a family; a test proves that every embedded file parses.
pub fn rules_of(family: &str) -> &'static [Rule] {
    static ALL: LazyLock<BTreeMap<&'static str, Vec<Rule>>> = LazyLock::new(|| {
        let read = |text: &str| toml::from_str::<File>(text).map(|file| file.rule).unwrap_or_default();
        BTreeMap::from([
            ("dockerfile", read(include_str!("../../data/misconfig/dockerfile.toml"))),
            ("files", read(include_str!("../../data/misconfig/files.toml"))),
            ("image", read(include_str!("../../data/misconfig/image.toml"))),
            ("kubernetes", read(include_str!("../../data/misconfig/kubernetes.toml"))),
            ("terraform", read(include_str!("../../data/misconfig/terraform.toml"))),
        ])
    });
    ALL.get(family).map(Vec::as_slice).unwrap_or_default()
}

/// Checks a file by what it is: Dockerfiles and Terraform by name, Kubernetes manifests by content. `None` when the file is none of them.
pub fn check_file(path: &str, content: &[u8]) -> Option<Vec<Finding>> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let text = std::str::from_utf8(content).ok()?;
    let lower = name.to_ascii_lowercase();
    let extension = lower.rsplit_once('.').map(|(_, extension)| extension).unwrap_or_default();
    if lower == "dockerfile"
        || lower == "containerfile"
        || lower.starts_with("dockerfile.")
        || extension == "dockerfile"
    {
        return Some(dockerfile::check(path, text));
    }
    match extension {
        "tf" => Some(terraform::check(path, text)),
        "json" if lower.ends_with(".tf.json") => Some(terraform::check_json(path, text)),
        "yaml" | "yml" | "json" => kubernetes::check(path, text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_file_parses_and_every_id_is_used_once() {
        let mut seen = std::collections::BTreeSet::new();
        for family in ["dockerfile", "files", "image", "kubernetes", "terraform"] {
            let rules = rules_of(family);
            assert!(!rules.is_empty(), "{family}");
            for rule in rules {
                assert!(seen.insert(rule.id.clone()), "{} is used twice", rule.id);
                assert!(rule.check.is_some() || !rule.when.is_empty(), "{} has no condition", rule.id);
            }
        }
    }
}
