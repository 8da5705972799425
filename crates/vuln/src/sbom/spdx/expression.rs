//! Licence fields of SPDX documents: expressions, and references for texts that are none.

use std::collections::BTreeMap;

use oci::Digest;

/// Texts that are no SPDX expression, by the reference that stands for them.
#[derive(Default)]
pub(super) struct References(pub(super) BTreeMap<String, String>);

impl References {
    /// One expression for all licences of a package; `NOASSERTION` when there are none.
    pub(super) fn expression(&mut self, licenses: &[String]) -> String {
        let mut parts: Vec<String> = Vec::new();
        for text in licenses.iter().filter(|text| !text.trim().is_empty()) {
            let part = match spdx::Expression::parse(text) {
                Ok(_) if licenses.len() > 1 && text.contains(' ') => format!("({text})"),
                Ok(_) => text.clone(),
                Err(_) => self.reference(text),
            };
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        if parts.is_empty() { "NOASSERTION".to_owned() } else { parts.join(" AND ") }
    }

    fn reference(&mut self, text: &str) -> String {
        let plain: String = text
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
            .take(40)
            .collect();
        let hex = Digest::sha256(text.as_bytes()).hex();
        let id = format!("LicenseRef-{}-{}", plain.trim_matches('-'), &hex[..8]);
        self.0.insert(id.clone(), text.to_owned());
        id
    }
}

/// The licences that a declared expression stands for: a lone reference is its text.
pub(super) fn read(expression: Option<&str>, texts: &BTreeMap<String, String>) -> Vec<String> {
    match expression.map(str::trim) {
        None | Some("" | "NOASSERTION" | "NONE") => Vec::new(),
        Some(text) => vec![texts.get(text).cloned().unwrap_or_else(|| text.to_owned())],
    }
}
