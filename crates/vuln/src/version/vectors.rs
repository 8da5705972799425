//! The given version vectors, where they are present: every one must be right, except those that contradict the
//! ecosystem's own tool, which `testdata/version-contradictions.jsonl` lists with that tool's answer.

use super::{Scheme, compare};
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::PathBuf;

const CONTRADICTIONS: &str = include_str!("../../testdata/version-contradictions.jsonl");

/// The folder of the given sets: `BONDED_SHARED`, else `../shared` beside the workspace.
fn versions_dir() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    #[expect(clippy::disallowed_methods, reason = "a test finds its data by the environment")]
    let shared = std::env::var("BONDED_SHARED").map_or(beside, PathBuf::from);
    Some(shared.join("data/scan-truth/versions")).filter(|dir| dir.is_dir())
}

fn scheme_of_file(stem: &str) -> Option<Scheme> {
    let name = stem.split("-versions").next()?;
    if name == "packagist" { Some(Scheme::Packagist) } else { Scheme::by_name(name) }
}

fn symbol(order: Ordering) -> &'static str {
    match order {
        Ordering::Less => "<",
        Ordering::Equal => "=",
        Ordering::Greater => ">",
    }
}

fn texts<'a>(row: &'a Value, keys: [&str; 3]) -> [&'a str; 3] {
    keys.map(|k| row[k].as_str().unwrap())
}

#[test]
fn every_given_vector_is_ordered_as_its_tool_does() {
    let Some(dir) = versions_dir() else {
        println!("skipped: version vectors absent");
        return;
    };
    let mut listed: BTreeMap<[String; 3], &str> = BTreeMap::new();
    let rows: Vec<Value> = CONTRADICTIONS.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    for row in &rows {
        let [scheme, a, b] = texts(row, ["scheme", "a", "b"]);
        let answer = row["tool_answer"].as_str().unwrap();
        listed.insert([scheme, a, b].map(str::to_owned), answer);
        let ours = compare(Scheme::by_name(scheme).unwrap(), a, b).unwrap();
        assert_eq!(symbol(ours), answer, "{row}: not even the tool's answer");
    }
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for entry in std::fs::read_dir(dir.join("scalibr")).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let scheme = scheme_of_file(&stem).unwrap();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let [a, op, b] = texts(&row, ["a", "op", "b"]);
            if listed.contains_key(&[scheme.name(), a, b].map(str::to_owned)) {
                continue;
            }
            checked += 1;
            match compare(scheme, a, b) {
                Ok(order) if symbol(order) == op => {}
                other => wrong.push(format!("{scheme}: {a} {op} {b}, ours {other:?}")),
            }
        }
    }
    for line in std::fs::read_to_string(dir.join("rpm-alma-evr.jsonl")).unwrap().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let (a, b) = (row["a"].as_str().unwrap(), row["b"].as_str().unwrap());
        checked += 1;
        if compare(Scheme::Rpm, a, b).unwrap() as i64 != row["cmp"].as_i64().unwrap() {
            wrong.push(format!("rpm: {row}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {checked} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(checked > 10_000);
}
