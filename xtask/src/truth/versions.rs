//! `versions`: version vectors (`scalibr/*.jsonl`, `rpm-*.jsonl`) and the VERS suite (`vers-spec/*.json`).
//!
//! A file's name begins with its ecosystem. Rows that contradict the ecosystem's own tool are listed in `vuln`'s
//! `version-contradictions.jsonl` and skipped.

use super::{Report, file_name, files, json_lines, stem, versspec};
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::path::Path;
use vuln::version::{Scheme, compare};

const CONTRADICTIONS: &str = include_str!("../../../crates/vuln/testdata/version-contradictions.jsonl");

pub(super) fn run(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    let listed = contradictions()?;
    for path in files(dir)? {
        match path.extension().and_then(|e| e.to_str()) {
            Some("jsonl") => vectors(&path, &listed, report)?,
            Some("json") => versspec::run(&path, report)?,
            _ => report.skip("versions", &file_name(&path), 1, "file is not known"),
        }
    }
    Ok(())
}

/// (scheme, a, b) of the listed rows, both ways round.
fn contradictions() -> anyhow::Result<BTreeSet<[String; 3]>> {
    let mut listed = BTreeSet::new();
    for line in CONTRADICTIONS.lines() {
        let row: Value = serde_json::from_str(line)?;
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        listed.insert([text("scheme"), text("a"), text("b")]);
        listed.insert([text("scheme"), text("b"), text("a")]);
    }
    Ok(listed)
}

/// The scheme that a file's name states: `debian-versions-generated`, `rpm-alma-evr`.
fn scheme_of(stem: &str) -> Option<Scheme> {
    let name = stem.split("-versions").next().unwrap_or(stem);
    Scheme::by_name(name).or_else(|| Scheme::by_name(name.split(['-', '_']).next().unwrap_or(name)))
}

fn vectors(path: &Path, listed: &BTreeSet<[String; 3]>, report: &mut Report) -> anyhow::Result<()> {
    let name = stem(path);
    let rows = json_lines(path)?;
    let Some(scheme) = scheme_of(&name) else {
        report.skip("versions", &name, rows.len(), "no scheme of this name");
        return Ok(());
    };
    for row in rows {
        let (Some(a), Some(b), Some(expected)) = (row["a"].as_str(), row["b"].as_str(), expected(&row))
        else {
            report.skip("versions", &name, 1, "row is not understood");
            continue;
        };
        if listed.contains(&[scheme.name().to_owned(), a.to_owned(), b.to_owned()]) {
            report.skip("versions", &name, 1, "contradicts the ecosystem's own tool (listed)");
            continue;
        }
        let outcome = match compare(scheme, a, b) {
            Ok(order) if order == expected => Ok(()),
            Ok(order) => Err(format!("{a} {} {b}, ours {}", symbol(expected), symbol(order))),
            Err(error) => Err(format!("{a} {} {b}: {error}", symbol(expected))),
        };
        report.check("versions", &name, outcome);
    }
    Ok(())
}

fn expected(row: &Value) -> Option<Ordering> {
    if let Some(op) = row["op"].as_str() {
        return match op {
            "<" => Some(Ordering::Less),
            "=" | "==" => Some(Ordering::Equal),
            ">" => Some(Ordering::Greater),
            _ => None,
        };
    }
    row["cmp"].as_i64().map(|cmp| cmp.cmp(&0))
}

fn symbol(order: Ordering) -> &'static str {
    match order {
        Ordering::Less => "<",
        Ordering::Equal => "=",
        Ordering::Greater => ">",
    }
}
