//! Secrets in files, in an image's configuration and in its history.
//!
//! Rules are data. Keywords found in one pass (Aho–Corasick) decide which expressions run at all; a match must then
//! pass its entropy, its own checksum or form, and the lists of placeholders and foreign paths. What is reported is
//! masked; nothing is ever tried against a service. A file deleted by a later layer still leaks: the caller scans every
//! layer and says so by `layer` and `deleted`.

mod rules;
mod verify;

use oci::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use rules::{RulesError, SecretRules};

use crate::Severity;
use crate::matching::Suppression;

/// Most bytes of one file that are looked at.
pub const MAX_BYTES: usize = 10 << 20;
/// Most findings of one file.
const MAX_FINDINGS: usize = 100;
/// Smallest file that can hold a secret.
const MIN_BYTES: u64 = 10;
/// How much of a file's beginning decides whether it is text.
const SNIFF: usize = 8 << 10;

/// A secret that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecretFinding {
    /// Identifier of the rule.
    pub id: String,
    /// What it is.
    pub title: String,
    /// Severity.
    pub severity: Severity,
    /// File, or `image config`.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// The beginning of the secret, the rest as asterisks.
    pub masked: String,
    /// Whether the token's own checksum or form was verified.
    pub verified: bool,
    /// Layer (diffID) that holds the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<Digest>,
    /// Whether a later layer deletes or replaces the file: it can be read from the image nevertheless.
    #[serde(default)]
    pub deleted: bool,
    /// Why it does not count; empty: it counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<Suppression>,
}

impl SecretRules {
    /// Whether a file is worth reading: not empty, not of a foreign path.
    pub fn wants(&self, path: &str, size_bytes: u64) -> bool {
        size_bytes >= MIN_BYTES && !self.is_foreign(path)
    }

    /// Scans one file. Binary files have no findings; of longer ones the first [`MAX_BYTES`] are read.
    pub fn scan(&self, path: &str, content: &[u8]) -> Vec<SecretFinding> {
        let content = &content[..content.len().min(MAX_BYTES)];
        let mut out = Vec::new();
        if content[..content.len().min(SNIFF)].contains(&0) || self.is_foreign(path) {
            return out;
        }
        for rule in self.candidates(path, content) {
            for found in rule.regex.captures_iter(content) {
                let Some(secret) = found.name("secret").or_else(|| found.name("secret2")) else { continue };
                if out.len() >= MAX_FINDINGS {
                    return out;
                }
                let text = String::from_utf8_lossy(secret.as_bytes());
                if rule.entropy.is_some_and(|least| entropy(secret.as_bytes()) < least)
                    || self.is_placeholder(&text)
                {
                    continue;
                }
                let verified = match rule.verify {
                    Some(verify) if !verify(&text) => continue,
                    other => other.is_some(),
                };
                out.push(SecretFinding {
                    id: rule.id.clone(),
                    title: rule.title.clone(),
                    severity: rule.severity,
                    path: path.to_owned(),
                    line: 1 + memchr::memchr_iter(b'\n', &content[..secret.start()]).count(),
                    masked: mask(&text),
                    verified,
                    layer: None,
                    deleted: false,
                    suppressed: Vec::new(),
                });
            }
        }
        out.sort();
        out.dedup_by(|a, b| (a.line, &a.masked) == (b.line, &b.masked));
        out
    }

    /// Scans the environment, labels, commands and history of an image configuration.
    pub fn scan_config(&self, config: &Value) -> Vec<SecretFinding> {
        let mut text = String::new();
        let lists = ["/config/Env", "/config/Cmd", "/config/Entrypoint"];
        let listed = lists.iter().filter_map(|pointer| config.pointer(pointer)?.as_array()).flatten();
        let labels = config.pointer("/config/Labels").and_then(Value::as_object).into_iter().flatten();
        let history = config.get("history").and_then(Value::as_array).into_iter().flatten();
        let history = history.filter_map(|entry| entry.get("created_by")).chain(listed);
        for value in history.chain(labels.map(|(_, value)| value)).filter_map(Value::as_str) {
            text.push_str(&value.replace('\n', " "));
            text.push('\n');
        }
        let mut out = self.scan(crate::misconfig::image::PLACE, text.as_bytes());
        // Lines of the joined text mean nothing to a reader.
        for finding in &mut out {
            finding.line = 1;
        }
        out.sort();
        out.dedup_by(|a, b| (&a.id, &a.masked) == (&b.id, &b.masked));
        out
    }
}

/// The first four characters of a long secret, else none, then asterisks.
fn mask(secret: &str) -> String {
    if secret.starts_with("-----BEGIN") {
        return secret.lines().next().unwrap_or_default().to_owned();
    }
    let shown = if secret.chars().count() >= 16 { 4 } else { 0 };
    let head: String = secret.chars().take(shown).collect();
    format!("{head}{}", "*".repeat(12))
}

/// Shannon entropy in bits per byte.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let total = bytes.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / total)
        .map(|share| -share * share.log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(path: &str, text: &str) -> Vec<(String, bool)> {
        let rules = SecretRules::embedded().expect("embedded rules");
        rules.scan(path, text.as_bytes()).into_iter().map(|finding| (finding.id, finding.verified)).collect()
    }

    fn one(text: &str) -> Option<String> {
        found("app/config", text).first().map(|(id, _)| id.clone())
    }

    /// A GitHub-style token with a right checksum, made here so that no scanner finds one in this file.
    fn token(prefix: &str) -> String {
        let body: String = "a8Zk3LmQ0xYtR5vB2nW9pC7dE1fG4h".chars().collect();
        format!("{prefix}{body}{}", verify::base62_checksum(&body))
    }

    #[test]
    fn tokens_with_a_right_checksum_are_found_and_wrong_ones_are_not() {
        for prefix in ["ghp_", "npm_"] {
            let right = token(prefix);
            assert_eq!(found("app/.env", &format!("X={right}\n")).len(), 1, "{right}");
            let wrong = format!("{}0", &right[..right.len() - 1]);
            assert!(right.ends_with('0') || found("app/x.txt", &wrong).is_empty(), "{wrong}");
        }
    }

    #[test]
    fn well_known_forms_are_found() {
        let key = format!("AKIA{}", "QYLPMN5HHHFPZAM2");
        let pem = format!(
            "-----BEGIN RSA {}-----\n{}\n-----END RSA {0}-----",
            "PRIVATE KEY",
            "MIIEpAIBAAKCAQEA7bq98F2k\n".repeat(4)
        );
        let slack = format!("xox{}", "b-283746529102-9283746501928-a8Zk3LmQ0xYtR5vB2nW9pC7d");
        let stripe = format!("sk_{}", "live_a8Zk3LmQ0xYtR5vB2nW9pC7d");
        for (text, id) in [
            (key, "aws-access-key-id"),
            (pem, "private-key"),
            (slack, "slack-token"),
            (stripe, "stripe-key"),
            (format!("glpat{}", "-a8Zk3LmQ0xYtR5vB2nW9"), "gitlab-personal-token"),
            ("DATABASE=postgres://app:s3cr3tP4ss@db.internal:5432/x".to_owned(), "url-credential"),
        ] {
            assert_eq!(one(&text).as_deref(), Some(id), "{text}");
        }
    }

    #[test]
    fn placeholders_foreign_paths_and_binaries_are_passed_over() {
        let key = format!("AKIA{}", "QYLPMN5HHHFPZAM2");
        assert_eq!(found("usr/share/doc/x", &key), []);
        assert_eq!(found("app/README.md", &key), []);
        assert_eq!(found("app/bin", &format!("\0{key}")), []);
        assert_eq!(found("app/x", &format!("AKIA{}", "IOSFODNN7EXAMPLE")), []);
        assert_eq!(found("app/x", "url=https://user:${PASSWORD}@host.example/"), []);
    }

    #[test]
    fn masked_text_does_not_hold_the_secret() {
        let rules = SecretRules::embedded().expect("embedded rules");
        let right = token("ghp_");
        let shown = &rules.scan("app/x", right.as_bytes())[0];
        assert!(!shown.masked.contains(&right[8..]));
        assert_eq!(shown.masked, "ghp_************");
    }

    #[test]
    fn configuration_and_history_are_scanned() {
        let rules = SecretRules::embedded().expect("embedded rules");
        let config = serde_json::json!({
            "config": { "Env": [format!("GH={}", token("ghp_"))] },
            "history": [{ "created_by": format!("RUN curl -H 'Authorization: {}' https://x", token("gho_")) }],
        });
        assert_eq!(rules.scan_config(&config).len(), 2);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let rules = SecretRules::embedded().expect("embedded rules");
            let _ = rules.scan("app/x", &bytes);
        }
    }
}
