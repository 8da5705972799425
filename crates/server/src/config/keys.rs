//! The tree of valid keys, derived from the JSON Schema.
//!
//! Why from the schema: the sections' types are the only place where a key is spelled. The tree finds unknown keys and
//! the nearest valid one, and tells how a text from the environment or a flag is to be read (`"5000"` is a number for
//! one key and a password for another).

use std::collections::BTreeMap;

use serde_json::Value;

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A section with keys of its own.
    Section(BTreeMap<String, Kind>),
    /// A list; in the environment separated by commas.
    List(Box<Kind>),
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer,
    /// A number with a fraction.
    Number,
    /// Text, of whatever grammar.
    Text,
}

impl Kind {
    /// The tree of the whole configuration.
    pub fn root() -> Self {
        Self::of(&super::Config::schema())
    }

    fn of(schema: &Value) -> Self {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            return Self::Section(
                properties.iter().map(|(key, value)| (key.clone(), Self::of(value))).collect(),
            );
        }
        // `Option<T>` is either `"type": ["x", "null"]` or `anyOf: [x, null]`.
        if let Some(first) = schema.get("anyOf").and_then(|any| any.get(0)) {
            return Self::of(first);
        }
        let named = |name: &str| match schema.get("type") {
            Some(Value::String(one)) => one == name,
            Some(Value::Array(several)) => several.iter().any(|one| one == name),
            _ => false,
        };
        if named("array") {
            Self::List(Box::new(schema.get("items").map_or(Self::Text, Self::of)))
        } else if named("boolean") {
            Self::Bool
        } else if named("integer") {
            Self::Integer
        } else if named("number") {
            Self::Number
        } else {
            Self::Text
        }
    }

    /// The keys of a section; none for anything else.
    pub fn children(&self) -> Option<&BTreeMap<String, Self>> {
        match self {
            Self::Section(children) => Some(children),
            _ => None,
        }
    }

    /// The kind of a key by its path.
    pub fn find<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<&Self> {
        path.into_iter().try_fold(self, |kind, key| kind.children()?.get(key))
    }

    /// All keys that are not sections, dotted.
    pub fn leaves(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.collect("", &mut found);
        found
    }

    fn collect(&self, prefix: &str, found: &mut Vec<String>) {
        for (key, kind) in self.children().into_iter().flatten() {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match kind {
                Self::Section(_) => kind.collect(&path, found),
                _ => found.push(path),
            }
        }
    }

    /// The valid key that somebody who wrote this one most likely meant.
    pub fn nearest(&self, wrong: &str) -> Option<String> {
        let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
        let score = |key: &String| {
            // The whole path decides; a right last word in the wrong section counts as near.
            let whole = strsim::normalized_damerau_levenshtein(wrong, key);
            let word = if last(wrong) == last(key) { 0.9 } else { 0.0 };
            whole.max(word)
        };
        let mut sections: Vec<String> = self.leaves();
        sections.extend(self.children().into_iter().flat_map(|c| c.keys().cloned()));
        let best = sections.into_iter().map(|key| (score(&key), key)).max_by(|a, b| a.0.total_cmp(&b.0))?;
        (best.0 >= 0.6).then_some(best.1)
    }

    /// Reads a text from the environment or a flag as this kind.
    pub fn read(&self, text: &str) -> Result<toml::Value, String> {
        match self {
            Self::Text => Ok(toml::Value::String(text.to_owned())),
            Self::Bool => {
                text.parse().map(toml::Value::Boolean).map_err(|_| "expected true or false".to_owned())
            }
            Self::Integer => {
                text.parse().map(toml::Value::Integer).map_err(|_| "expected a whole number".to_owned())
            }
            Self::Number => text.parse().map(toml::Value::Float).map_err(|_| "expected a number".to_owned()),
            Self::List(item) => {
                let items = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                items.map(|part| item.read(part)).collect::<Result<Vec<_>, _>>().map(toml::Value::Array)
            }
            Self::Section(_) => Err("it is a section: set one of its keys".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_types_of_the_sections() {
        let root = Kind::root();
        let kind = |path: &str| root.find(path.split('.')).cloned();
        assert_eq!(kind("server.listen"), Some(Kind::Text));
        assert_eq!(kind("server.external_url"), Some(Kind::Text));
        assert_eq!(kind("server.http2"), Some(Kind::Bool));
        assert_eq!(kind("server.worker_threads"), Some(Kind::Integer));
        assert_eq!(kind("telemetry.otlp.sample_ratio"), Some(Kind::Number));
        assert_eq!(kind("server.roles"), Some(Kind::List(Box::new(Kind::Text))));
        assert_eq!(kind("storage.s3.secret_access_key"), Some(Kind::Text));
        assert_eq!(kind("storage.s4"), None);
    }

    #[test]
    fn the_nearest_key_is_a_misspelt_or_misplaced_one() {
        let root = Kind::root();
        for (wrong, right) in [
            ("server.listn", Some("server.listen")),
            ("serwer", Some("server")),
            ("listen", Some("metrics.listen")),
            ("storage.bucket", Some("storage.s3.bucket")),
            ("zzz.qqq", None),
        ] {
            let nearest = root.nearest(wrong);
            let last = |key: &str| key.rsplit('.').next().map(str::to_owned);
            assert_eq!(nearest.as_deref().and_then(last), right.and_then(last), "{wrong}: {nearest:?}");
        }
    }
}
