//! Small readers that several extractors share.

use std::collections::BTreeMap;

use super::ParseError;

/// Text of a file; invalid UTF-8 is replaced, a byte-order mark dropped.
pub(crate) fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned()
}

/// A JSON document.
pub(crate) fn json(bytes: &[u8]) -> Result<serde_json::Value, ParseError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes).map_err(ParseError::malformed)
}

/// A YAML document as the JSON values it stands for.
pub(crate) fn yaml(bytes: &[u8]) -> Result<serde_json::Value, ParseError> {
    serde_saphyr::from_str(&text(bytes)).map_err(ParseError::malformed)
}

/// A TOML document.
pub(crate) fn toml(bytes: &[u8]) -> Result<toml::Table, ParseError> {
    text(bytes).parse().map_err(ParseError::malformed)
}

/// A string member of a JSON object.
pub(crate) fn str_of<'v>(value: &'v serde_json::Value, key: &str) -> &'v str {
    value.get(key).and_then(serde_json::Value::as_str).unwrap_or("")
}

/// Stanzas of `Field: value` lines (Debian control, Python metadata, R DESCRIPTION). Continuation lines are joined with
/// a newline; the first of repeated fields wins. Field names are lower-cased.
pub(crate) fn stanzas(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut all = Vec::new();
    let mut stanza: BTreeMap<String, String> = BTreeMap::new();
    let mut last: Option<String> = None;
    for line in text.lines() {
        let line = line.trim_end_matches('\r');
        if line.trim().is_empty() {
            if !stanza.is_empty() {
                all.push(std::mem::take(&mut stanza));
            }
            last = None;
        } else if line.starts_with([' ', '\t']) {
            if let Some(value) = last.as_ref().and_then(|key| stanza.get_mut(key)) {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((key, value)) = line.split_once(':') {
            let key = key.trim().to_ascii_lowercase();
            if stanza.contains_key(&key) {
                last = None;
            } else {
                stanza.insert(key.clone(), value.trim().to_owned());
                last = Some(key);
            }
        } else {
            last = None;
        }
    }
    if !stanza.is_empty() {
        all.push(stanza);
    }
    all
}

/// Names in a Debian-style dependency list: alternatives, versions and architectures are dropped.
pub(crate) fn dependency_names(list: &str) -> Vec<String> {
    let mut names: Vec<String> = list
        .split([',', '|'])
        .filter_map(|item| item.split_whitespace().next())
        .map(|name| name.split([':', '(']).next().unwrap_or("").to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The part between the first `open` and the next `close`.
pub(crate) fn between<'t>(text: &'t str, open: &str, close: &str) -> Option<&'t str> {
    let start = text.find(open)? + open.len();
    let rest = text.get(start..)?;
    rest.get(..rest.find(close)?)
}
