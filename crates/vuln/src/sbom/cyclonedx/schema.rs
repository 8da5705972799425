//! The rules of CycloneDX documents: the official JSON schemas, embedded, and what prose adds to them.
//!
//! Validators are compiled at first use and kept. Nothing is ever fetched: an unknown reference is an error.

use std::collections::HashSet;
use std::sync::{LazyLock, OnceLock};

use jsonschema::{Retrieve, Uri, Validator};
use serde_json::Value;

use crate::sbom::CycloneDxVersion;

const SPDX: &str = include_str!("../../../data/cyclonedx/spdx.schema.json");
const JSF: &str = include_str!("../../../data/cyclonedx/jsf-0.82.schema.json");
const CRYPTOGRAPHY: &str = include_str!("../../../data/cyclonedx/cryptography-defs.schema.json");

/// Most violations that one check reports.
const MAX_VIOLATIONS: usize = 8;

fn text(version: CycloneDxVersion) -> &'static str {
    match version {
        // The first two have no JSON form; 1.2 is a superset of them, and `early` adds what it allows and they do not.
        CycloneDxVersion::V1_0 | CycloneDxVersion::V1_1 | CycloneDxVersion::V1_2 => {
            include_str!("../../../data/cyclonedx/bom-1.2.schema.json")
        }
        CycloneDxVersion::V1_3 => include_str!("../../../data/cyclonedx/bom-1.3.schema.json"),
        CycloneDxVersion::V1_4 => include_str!("../../../data/cyclonedx/bom-1.4.schema.json"),
        CycloneDxVersion::V1_5 => include_str!("../../../data/cyclonedx/bom-1.5.schema.json"),
        CycloneDxVersion::V1_6 => include_str!("../../../data/cyclonedx/bom-1.6.schema.json"),
        CycloneDxVersion::V1_7 => include_str!("../../../data/cyclonedx/bom-1.7.schema.json"),
    }
}

struct Embedded;

impl Retrieve for Embedded {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let text = match uri.as_str().rsplit('/').next() {
            Some("spdx.schema.json") => SPDX,
            Some("jsf-0.82.schema.json") => JSF,
            Some("cryptography-defs.schema.json") => CRYPTOGRAPHY,
            _ => return Err(format!("no embedded schema {}", uri.as_str()).into()),
        };
        Ok(serde_json::from_str(text)?)
    }
}

fn validator(version: CycloneDxVersion) -> Result<&'static Validator, String> {
    static COMPILED: [OnceLock<Result<Validator, String>>; CycloneDxVersion::ALL.len()] =
        [const { OnceLock::new() }; CycloneDxVersion::ALL.len()];
    let slot =
        &COMPILED[CycloneDxVersion::ALL.iter().position(|entry| *entry == version).unwrap_or_default()];
    let compile = || {
        let schema: Value = serde_json::from_str(text(version)).map_err(|error| error.to_string())?;
        let options = jsonschema::options().with_retriever(Embedded).should_validate_formats(true);
        options.build(&schema).map_err(|error| error.to_string())
    };
    slot.get_or_init(compile).as_ref().map_err(Clone::clone)
}

/// The rules that a document breaks, each as `place: reason`; empty when it is valid.
pub(crate) fn check(document: &Value, version: CycloneDxVersion) -> Vec<String> {
    let validator = match validator(version) {
        Ok(validator) => validator,
        Err(reason) => return vec![format!("embedded schema is unusable: {reason}")],
    };
    let mut broken: Vec<String> = validator
        .iter_errors(document)
        .take(MAX_VIOLATIONS)
        .map(|error| {
            format!("{}: {}", place(&error.instance_path().to_string()), shorten(&error.to_string()))
        })
        .collect();
    if broken.is_empty() {
        broken = references(document);
    }
    broken
}

fn place(pointer: &str) -> &str {
    if pointer.is_empty() { "/" } else { pointer }
}

fn shorten(text: &str) -> String {
    if text.len() <= 300 {
        return text.to_owned();
    }
    let head: String = text.chars().take(120).collect();
    let tail: Vec<char> = text.chars().rev().take(160).collect();
    format!("{head} … {}", tail.into_iter().rev().collect::<String>())
}

/// "Every bom-ref must be unique within the BOM": the one rule of components that a schema cannot say.
fn references(document: &Value) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut broken = Vec::new();
    let mut todo: Vec<&Value> = Vec::new();
    todo.extend(document.pointer("/metadata/component"));
    for key in ["components", "services"] {
        todo.extend(document.get(key).and_then(Value::as_array).into_iter().flatten());
    }
    while let Some(entry) = todo.pop() {
        if let Some(reference) = entry.get("bom-ref").and_then(Value::as_str)
            && !seen.insert(reference)
        {
            broken.push(format!("/: bom-ref `{}` is used twice", shorten(reference)));
        }
        for key in ["components", "services"] {
            todo.extend(entry.get(key).and_then(Value::as_array).into_iter().flatten());
        }
    }
    broken.truncate(MAX_VIOLATIONS);
    broken
}

/// Whether CycloneDX's list of licence ids has this one, in this spelling.
pub(crate) fn is_license_id(id: &str) -> bool {
    static IDS: LazyLock<HashSet<String>> = LazyLock::new(|| {
        let schema: Value = serde_json::from_str(SPDX).unwrap_or_default();
        let ids = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
        ids.filter_map(Value::as_str).map(str::to_owned).collect()
    });
    IDS.contains(id)
}
