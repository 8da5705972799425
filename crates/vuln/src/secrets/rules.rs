//! The rules of `data/secrets/rules.toml`, compiled once, and those that a user adds in the same form.

use std::sync::{Arc, OnceLock};

use aho_corasick::AhoCorasick;
use regex::RegexSet;
use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;

use super::verify::{self, Verify};
use crate::Severity;

const EMBEDDED: &str = include_str!("../../data/secrets/rules.toml");
/// Largest compiled expression in bytes.
const MAX_REGEX_BYTES: usize = 8 << 20;

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// Not TOML of the form of the embedded file.
    #[error("secret rules are not of the form of the documentation")]
    Form(#[from] toml::de::Error),
    /// An expression that does not compile, or has no group `secret`.
    #[error("secret rule `{id}` is not usable: {reason}")]
    Rule {
        /// The rule.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<Text>,
    #[serde(default)]
    allow: Allow,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allow {
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    id: String,
    title: String,
    severity: Severity,
    keywords: Vec<String>,
    regex: String,
    entropy: Option<f64>,
    verify: Option<String>,
    #[serde(default)]
    paths: Vec<String>,
}

/// One compiled rule.
#[derive(Debug)]
pub(super) struct CompiledRule {
    pub id: String,
    pub title: String,
    pub severity: Severity,
    pub regex: Regex,
    pub entropy: Option<f64>,
    pub verify: Option<Verify>,
    paths: Option<RegexSet>,
}

/// A compiled set of rules; cheap to share.
#[derive(Debug)]
pub struct SecretRules {
    rules: Vec<CompiledRule>,
    keywords: AhoCorasick,
    /// For each keyword its rule.
    owner: Vec<usize>,
    foreign: RegexSet,
    placeholders: RegexSet,
}

impl SecretRules {
    /// The embedded rules, compiled at first use.
    ///
    /// # Errors
    /// Never for the embedded file, as a test proves.
    pub fn embedded() -> Result<Arc<Self>, RulesError> {
        static COMPILED: OnceLock<Arc<SecretRules>> = OnceLock::new();
        if let Some(rules) = COMPILED.get() {
            return Ok(rules.clone());
        }
        let rules = Arc::new(Self::compile(toml::from_str(EMBEDDED)?)?);
        Ok(COMPILED.get_or_init(|| rules).clone())
    }

    /// The embedded rules and those of a file of the same form; one with the identifier of an embedded rule takes its
    /// place.
    ///
    /// # Errors
    /// The file is malformed or a rule cannot be used.
    pub fn with(text: &str) -> Result<Self, RulesError> {
        let (mut file, own): (File, File) = (toml::from_str(EMBEDDED)?, toml::from_str(text)?);
        file.rule.retain(|rule| own.rule.iter().all(|other| other.id != rule.id));
        file.rule.extend(own.rule);
        file.allow.paths.extend(own.allow.paths);
        file.allow.values.extend(own.allow.values);
        Self::compile(file)
    }

    fn compile(file: File) -> Result<Self, RulesError> {
        let mut rules = Vec::new();
        let mut keywords = Vec::new();
        let mut owner = Vec::new();
        for rule in file.rule {
            keywords.extend(rule.keywords.iter().cloned());
            owner.extend(std::iter::repeat_n(rules.len(), rule.keywords.len()));
            rules.push(compile(rule)?);
        }
        let set = |patterns: &[String]| {
            RegexSet::new(patterns)
                .map_err(|error| RulesError::Rule { id: "allow".into(), reason: error.to_string() })
        };
        let build = AhoCorasick::builder().ascii_case_insensitive(true).build(&keywords);
        Ok(Self {
            rules,
            keywords: build
                .map_err(|error| RulesError::Rule { id: "keywords".into(), reason: error.to_string() })?,
            owner,
            foreign: set(&file.allow.paths)?,
            placeholders: set(&file.allow.values)?,
        })
    }

    pub(super) fn is_foreign(&self, path: &str) -> bool {
        self.foreign.is_match(path)
    }

    pub(super) fn is_placeholder(&self, secret: &str) -> bool {
        self.placeholders.is_match(secret)
    }

    /// Rules whose keyword the content has and whose path fits.
    pub(super) fn candidates(&self, path: &str, content: &[u8]) -> Vec<&CompiledRule> {
        let mut hit = vec![false; self.rules.len()];
        for found in self.keywords.find_overlapping_iter(content) {
            hit[self.owner[found.pattern().as_usize()]] = true;
        }
        let fits = |rule: &CompiledRule| rule.paths.as_ref().is_none_or(|paths| paths.is_match(path));
        self.rules.iter().zip(hit).filter(|(rule, hit)| *hit && fits(rule)).map(|(rule, _)| rule).collect()
    }
}

fn compile(rule: Text) -> Result<CompiledRule, RulesError> {
    let refuse = |reason: String| RulesError::Rule { id: rule.id.clone(), reason };
    let regex = RegexBuilder::new(&rule.regex).unicode(false).size_limit(MAX_REGEX_BYTES).build();
    let regex = regex.map_err(|error| refuse(error.to_string()))?;
    if !regex.capture_names().flatten().any(|name| name == "secret") {
        return Err(refuse("has no group `secret`".into()));
    }
    if rule.keywords.is_empty() {
        return Err(refuse("has no keyword".into()));
    }
    let verify = match rule.verify.as_deref() {
        None => None,
        Some(name) => {
            Some(verify::by_name(name).ok_or_else(|| refuse(format!("verify `{name}` is unknown")))?)
        }
    };
    let paths = if rule.paths.is_empty() {
        None
    } else {
        Some(RegexSet::new(&rule.paths).map_err(|error| refuse(error.to_string()))?)
    };
    Ok(CompiledRule {
        id: rule.id,
        title: rule.title,
        severity: rule.severity,
        regex,
        entropy: rule.entropy,
        verify,
        paths,
    })
}
