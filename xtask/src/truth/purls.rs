//! `purl`: the package URL test suite (`spec/*.json`, `types/*.json`), parse, build and validate.
//!
//! Tests of group `recommended` exercise flexible reading and go to the lenient parser; required ones to the conforming
//! one. Rows in which the suite contradicts itself or its type definitions are listed and skipped.

use super::{Report, files, json, stem};
use serde_json::{Map, Value};
use std::path::Path;
use vuln::purl::{Purl, PurlParts};

const SET: &str = "purl";
const CONTRADICTIONS: &str = include_str!("../../../crates/vuln/testdata/purl-contradictions.jsonl");

pub(super) fn run(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    let listed: Vec<Value> = CONTRADICTIONS.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    for path in files(dir)?.iter().filter(|p| p.extension().is_some_and(|e| e == "json")) {
        let name = stem(path);
        let group = name.strip_suffix("-test").unwrap_or(&name);
        let document = json(path)?;
        let Some(tests) = document["tests"].as_array() else {
            report.skip(SET, group, 1, "file has no tests");
            continue;
        };
        for test in tests {
            if listed.iter().any(|l| l["test_type"] == test["test_type"] && l["input"] == test["input"]) {
                report.skip(SET, group, 1, "the suite contradicts the specification (listed)");
                continue;
            }
            match answer(test) {
                None => report.skip(SET, group, 1, "test type is not known"),
                Some(given) => report.check(SET, group, judge(test, given)),
            }
        }
    }
    Ok(())
}

fn judge(test: &Value, given: Result<Value, String>) -> Result<(), String> {
    let (kind, input) = (&test["test_type"], &test["input"]);
    match (given, test["expected_failure"].as_bool().unwrap_or(false)) {
        (Ok(given), false) if given == test["expected_output"] => Ok(()),
        (Ok(given), false) => Err(format!("{kind} {input} gives {given}, not {}", test["expected_output"])),
        (Ok(given), true) => Err(format!("{kind} {input} should fail and gives {given}")),
        (Err(_), true) => Ok(()),
        (Err(why), false) => Err(format!("{kind} {input}: {why}")),
    }
}

/// Our answer in the shape of the expected one; `None` for another type of test.
fn answer(test: &Value) -> Option<Result<Value, String>> {
    let input = &test["input"];
    let strict = test["test_group"] != "recommended";
    let read = |text: &str| {
        let purl = if strict { Purl::parse_strict(text) } else { Purl::parse(text) };
        purl.map_err(|e| e.to_string())
    };
    Some(match test["test_type"].as_str()? {
        "parse" => read(input.as_str()?).map(|purl| parts(&purl)),
        "validate" | "roundtrip" => read(input.as_str()?).map(|purl| Value::from(purl.to_string())),
        "build" => Purl::build(input_parts(input))
            .map(|purl| Value::from(purl.to_string()))
            .map_err(|e| e.to_string()),
        _ => return None,
    })
}

fn parts(purl: &Purl) -> Value {
    let qualifiers: Map<String, Value> =
        purl.qualifiers().iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
    serde_json::json!({
        "type": purl.ty(),
        "namespace": purl.namespace(),
        "name": purl.name(),
        "version": purl.version(),
        "qualifiers": if qualifiers.is_empty() { Value::Null } else { Value::Object(qualifiers) },
        "subpath": purl.subpath(),
    })
}

fn input_parts(input: &Value) -> PurlParts {
    let text = |key: &str| input[key].as_str().unwrap_or_default().to_owned();
    let value = |value: &Value| match value {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        other => other.as_str().map_or_else(|| other.to_string(), str::to_owned),
    };
    let qualifiers = input["qualifiers"].as_object().into_iter().flatten();
    PurlParts {
        ty: text("type"),
        namespace: text("namespace"),
        name: text("name"),
        version: text("version"),
        qualifiers: qualifiers.map(|(k, v)| (k.clone(), value(v))).collect(),
        subpath: text("subpath"),
    }
}
