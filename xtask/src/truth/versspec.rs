//! `versions/vers-spec`: the VERS test suite (vers-test.schema 0.1 and 0.2).

use super::{Report, json, stem};
use serde_json::Value;
use std::path::Path;
use vuln::vers::{Comparator, Constraint, Vers};
use vuln::version::{Scheme, compare};

const SET: &str = "vers-spec";

pub(super) fn run(path: &Path, report: &mut Report) -> anyhow::Result<()> {
    let document = json(path)?;
    let name = stem(path);
    let Some(tests) = document["tests"].as_array() else {
        report.skip(SET, &name, 1, "file has no tests");
        return Ok(());
    };
    for test in tests {
        let fails = test["expected_failure"].as_bool().unwrap_or(false);
        let kind = test["test_type"].as_str().unwrap_or_default();
        let Some(outcome) = answer(kind, &test["input"], &test["expected_output"], fails) else {
            report.skip(SET, &name, 1, &format!("tests of type {kind:?} with such an input are not known"));
            continue;
        };
        let outcome = match (outcome, fails) {
            (Ok(given), false) if given == test["expected_output"] => Ok(()),
            (Ok(given), false)
                if kind == "comparison" && same_order(&test["input"], &given, &test["expected_output"]) =>
            {
                Ok(())
            }
            (Ok(given), false) => {
                Err(format!("{} gives {given}, not {}", test["input"], test["expected_output"]))
            }
            (Err(_), true) => Ok(()),
            (Ok(given), true) => Err(format!("{} should fail and gives {given}", test["input"])),
            (Err(why), false) => Err(format!("{}: {why}", test["input"])),
        };
        report.check(SET, &name, outcome);
    }
    Ok(())
}

/// Our answer in the shape of the expected one; `None` if the test is of another kind.
fn answer(kind: &str, input: &Value, expected: &Value, fails: bool) -> Option<Result<Value, String>> {
    Some(match kind {
        "comparison" => sorted(input)?,
        "equality" => equal(input)?,
        "containment" => contained(input)?,
        "parse" => parsed(input.as_str()?, expected),
        "from_native" => native(input)?,
        "validate" | "roundtrip" => {
            let read =
                if fails { Vers::parse_canonical(input.as_str()?) } else { Vers::parse(input.as_str()?) };
            read.map(|vers| Value::from(vers.to_string())).map_err(|e| e.to_string())
        }
        "build" => built(input)?,
        _ => return None,
    })
}

fn versions(input: &Value) -> Option<(Scheme, Vec<&str>)> {
    let scheme = Scheme::by_name(input["input_scheme"].as_str()?)?;
    Some((scheme, input["versions"].as_array()?.iter().filter_map(Value::as_str).collect()))
}

fn sorted(input: &Value) -> Option<Result<Value, String>> {
    let (scheme, versions) = versions(input)?;
    let keyed: Result<Vec<_>, _> = versions.iter().map(|v| scheme.parse(v).map(|key| (key, *v))).collect();
    Some(keyed.map_err(|e| e.to_string()).map(|mut keyed| {
        keyed.sort_by(|a, b| a.0.cmp(&b.0));
        keyed.iter().map(|(_, version)| Value::from(*version)).collect()
    }))
}

/// Whether two sorted lists hold equal versions at each place: the suite writes them normalised.
fn same_order(input: &Value, ours: &Value, theirs: &Value) -> bool {
    let (Some((scheme, _)), Some(ours), Some(theirs)) = (versions(input), ours.as_array(), theirs.as_array())
    else {
        return false;
    };
    let same = |(a, b): (&Value, &Value)| {
        let (Some(a), Some(b)) = (a.as_str(), b.as_str()) else { return false };
        compare(scheme, a, b).is_ok_and(std::cmp::Ordering::is_eq)
    };
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(same)
}

fn equal(input: &Value) -> Option<Result<Value, String>> {
    let (scheme, versions) = versions(input)?;
    let [a, b] = versions.as_slice() else { return None };
    Some(compare(scheme, a, b).map(|order| Value::from(order.is_eq())).map_err(|e| e.to_string()))
}

fn contained(input: &Value) -> Option<Result<Value, String>> {
    let (vers, version) = (input["vers"].as_str()?, input["version"].as_str()?);
    let inside = Vers::parse(vers).and_then(|vers| vers.contains(version));
    Some(inside.map(Value::from).map_err(|e| e.to_string()))
}

/// In the expected output's own member names and its own word for equality.
fn parsed(text: &str, expected: &Value) -> Result<Value, String> {
    let vers = Vers::parse_canonical(text).map_err(|e| e.to_string())?;
    let key = |wanted: &'static str, other: &'static str| {
        if expected.get(other).is_some() { other } else { wanted }
    };
    let list_key = key("version_constraints", "constraints");
    let writes_equals = expected[list_key].as_array().into_iter().flatten().any(|c| c[0] == "=");
    let list: Vec<Value> = match vers.constraints() {
        None => vec![Value::from(vec!["*", ""])],
        Some(list) => list
            .iter()
            .map(|c| match c.comparator {
                Comparator::Equal if writes_equals => Value::from(vec!["=", c.version.as_str()]),
                comparator => Value::from(vec![comparator.as_str(), c.version.as_str()]),
            })
            .collect(),
    };
    Ok(serde_json::json!({ key("scheme", "type"): vers.ty(), list_key: list }))
}

fn native(input: &Value) -> Option<Result<Value, String>> {
    let scheme =
        input["scheme"].as_str().or(input["input_scheme"].as_str()).or(input["data_source"].as_str())?;
    let vers = Vers::from_native(scheme, input["native_range"].as_str()?);
    Some(vers.map(|vers| Value::from(vers.to_string())).map_err(|e| e.to_string()))
}

fn built(input: &Value) -> Option<Result<Value, String>> {
    let ty = input["type"].as_str().or(input["scheme"].as_str())?;
    let list = input["constraints"].as_array().or(input["version_constraints"].as_array())?;
    let mut constraints = Vec::new();
    for pair in list {
        let (comparator, version) = (pair[0].as_str()?, pair[1].as_str().unwrap_or_default());
        if comparator == "*" {
            return Some(Vers::all(ty).map(|v| Value::from(v.to_string())).map_err(|e| e.to_string()));
        }
        constraints.push(Constraint::new(Comparator::parse(comparator)?, version));
    }
    Some(Vers::build(ty, constraints).map(|v| Value::from(v.to_string())).map_err(|e| e.to_string()))
}
