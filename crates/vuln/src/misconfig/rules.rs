//! Rules as data, and the conditions of those that need no code.
//!
//! A condition names a place in a JSON-like document by a dotted path (`*` for every element of a list or object, `@keys`
//! for an object's keys) and compares what is there. Several paths are alternatives: the first that is present counts,
//! which is how a container inherits from its pod. A rule is violated when all its conditions hold.

use std::sync::OnceLock;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::Finding;
use crate::Severity;

/// Most values that one path yields.
const MAX_VALUES: usize = 10_000;

/// One rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Identifier, `BD-…`.
    pub id: String,
    /// Name of the code that decides, for rules that are not data.
    pub check: Option<String>,
    /// The same rule elsewhere.
    #[serde(default)]
    pub alias: Vec<String>,
    /// Severity.
    pub severity: Severity,
    /// What is wrong, in general.
    pub title: String,
    /// What to do.
    pub remedy: String,
    /// What the rule looks at: `container`, `pod`, `object` of Kubernetes; a resource type of Terraform.
    #[serde(default)]
    pub on: Vec<String>,
    /// Kinds of objects, empty for all.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Conditions that must all hold for the rule to be violated.
    #[serde(default)]
    pub when: Vec<Condition>,
}

/// One condition.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Alternatives, best first.
    pub path: Vec<String>,
    /// How to compare.
    #[serde(rename = "is")]
    pub operator: Operator,
    /// What with: texts, numbers and booleans by their JSON text.
    #[serde(default)]
    pub value: Vec<String>,
    /// The values as regular expressions, compiled at first use.
    #[serde(skip)]
    compiled: OnceLock<Vec<Regex>>,
}

/// Comparisons. Those that speak of a value hold when any value of the path satisfies them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operator {
    /// No path has a value.
    Absent,
    /// Some path has a value.
    Present,
    /// Equal to one of the values.
    Equals,
    /// No value, or none equal to any of the values.
    NotEquals,
    /// Matches one of the regular expressions.
    Matches,
    /// No value, or none that matches.
    NotMatches,
    /// A number below the first value.
    Below,
}

impl Rule {
    /// The finding of this rule at a place.
    pub fn finding(&self, path: &str, lines: Option<(usize, usize)>, message: &str) -> Finding {
        Finding {
            id: self.id.clone(),
            aliases: self.alias.clone(),
            severity: self.severity,
            title: self.title.clone(),
            message: message.to_owned(),
            remedy: self.remedy.clone(),
            path: path.to_owned(),
            lines,
            suppressed: Vec::new(),
        }
    }

    /// Whether `target` violates the rule; `scopes` resolve paths of the form `@name.path`.
    pub(super) fn violated(&self, target: &Value, scopes: &[(&str, &Value)]) -> bool {
        !self.when.is_empty() && self.when.iter().all(|condition| condition.holds(target, scopes))
    }
}

impl Condition {
    fn holds(&self, target: &Value, scopes: &[(&str, &Value)]) -> bool {
        let mut values = Vec::new();
        for path in &self.path {
            let (root, path) = match path.strip_prefix('@').and_then(|path| path.split_once('.')) {
                Some((scope, rest)) if scope != "keys" => {
                    let root = scopes.iter().find(|(name, _)| *name == scope).map(|(_, value)| *value);
                    (root.unwrap_or(&Value::Null), rest)
                }
                _ => (target, path.as_str()),
            };
            find(root, path, &mut values);
            if !values.is_empty() {
                break;
            }
        }
        let texts = || values.iter().map(text);
        let matching = || {
            let compile = || self.value.iter().filter_map(|pattern| Regex::new(pattern).ok()).collect();
            let patterns = self.compiled.get_or_init(compile);
            texts().any(|text| patterns.iter().any(|pattern| pattern.is_match(&text)))
        };
        match self.operator {
            Operator::Absent => values.is_empty(),
            Operator::Present => !values.is_empty(),
            Operator::Equals => texts().any(|text| self.value.contains(&text)),
            Operator::NotEquals => !texts().any(|text| self.value.contains(&text)),
            Operator::Matches => matching(),
            Operator::NotMatches => !matching(),
            Operator::Below => {
                let limit = self.value.first().and_then(|value| value.parse::<f64>().ok());
                texts()
                    .filter_map(|text| text.parse::<f64>().ok())
                    .any(|number| limit.is_some_and(|limit| number < limit))
            }
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The first step of a path and the rest; `\.` is a dot inside a name.
fn split(path: &str) -> (String, &str) {
    let mut from = 0;
    while let Some(at) = path[from..].find('.').map(|at| from + at) {
        if !path[..at].ends_with('\\') {
            return (path[..at].replace("\\.", "."), &path[at + 1..]);
        }
        from = at + 1;
    }
    (path.replace("\\.", "."), "")
}

/// The values at a path; `null`, empty lists and empty objects count as absent.
fn find(root: &Value, path: &str, out: &mut Vec<Value>) {
    if out.len() >= MAX_VALUES {
        return;
    }
    if path.is_empty() {
        let empty = match root {
            Value::Null => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => false,
        };
        if !empty {
            out.push(root.clone());
        }
        return;
    }
    let (head, rest) = split(path);
    match (head.as_str(), root) {
        ("*", Value::Array(list)) => list.iter().for_each(|entry| find(entry, rest, out)),
        ("*", Value::Object(members)) => members.values().for_each(|entry| find(entry, rest, out)),
        // A block that Terraform may repeat is an object or a list of objects.
        ("*", other) if !other.is_null() => find(other, rest, out),
        ("@keys", Value::Object(members)) => out.extend(members.keys().map(|key| Value::String(key.clone()))),
        (name, Value::Object(members)) => {
            if let Some(entry) = members.get(name) {
                find(entry, rest, out);
            }
        }
        (_, Value::Array(list)) => list.iter().for_each(|entry| find(entry, path, out)),
        _ => {}
    }
}
