//! Trivy's database: bbolt as published (`trivy.db`), or the YAML of its fixtures; both are nested buckets.
//!
//! `<platform or ecosystem::source>` → package → identifier → advisory; `vulnerability` → identifier → details;
//! `Red Hat` numbers its CPEs, which `Red Hat CPE` resolves.

use super::bolt::{Bolt, BoltError, Bucket, Value as BoltValue};
use super::{Item, Refusal, Scalar, Sink, from_yaml};
use crate::advisory::requirement::VersionSet;
use crate::advisory::{Advisory, Affected, NameKind, Rating, Reference, Status, scope};
use crate::severity::Severity;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Deepest bucket.
const MAX_DEPTH: usize = 8;

#[derive(Deserialize)]
#[serde(untagged)]
enum Node {
    Bucket {
        bucket: Scalar,
        pairs: Vec<Node>,
    },
    Pair {
        key: Scalar,
        #[serde(default)]
        value: Value,
    },
}

pub(super) fn yaml(text: &str, sink: Sink<'_>) -> Result<(), Refusal> {
    fn walk(node: Node, path: &mut Vec<String>, sink: Sink<'_>) -> Result<(), Refusal> {
        match node {
            Node::Bucket { bucket, pairs } => {
                if path.len() >= MAX_DEPTH {
                    return Err(Refusal::new("buckets nested too deeply"));
                }
                path.push(bucket.0);
                pairs.into_iter().try_for_each(|n| walk(n, path, sink))?;
                path.pop();
                Ok(())
            }
            Node::Pair { key, value } => entry(path, key.0.trim(), value, sink),
        }
    }
    from_yaml::<Vec<Node>>(text)?.into_iter().try_for_each(|n| walk(n, &mut Vec::new(), sink))
}

pub(super) fn bolt(bytes: &[u8], sink: Sink<'_>) -> Result<(), Refusal> {
    fn walk<'a>(b: &Bolt<'a>, at: Bucket<'a>, path: &mut Vec<String>, sink: Sink<'_>) -> Result<(), Refusal> {
        let mut buckets = Vec::new();
        let mut pairs = Vec::new();
        let gather = &mut |key: &'a [u8], value: BoltValue<'a>| -> Result<(), BoltError> {
            let key = String::from_utf8_lossy(key).into_owned();
            match value {
                BoltValue::Bucket(inner) => buckets.push((key, inner)),
                BoltValue::Bytes(bytes) => pairs.push((key, bytes)),
            }
            Ok(())
        };
        b.each(at, gather).map_err(Refusal::from_error)?;
        for (key, bytes) in pairs {
            let value = serde_json::from_slice(bytes).map_err(Refusal::from_error)?;
            entry(path, key.trim(), value, sink)?;
        }
        for (key, inner) in buckets {
            if path.len() >= MAX_DEPTH {
                return Err(Refusal::new("buckets nested too deeply"));
            }
            path.push(key);
            walk(b, inner, path, sink)?;
            path.pop();
        }
        Ok(())
    }
    let b = Bolt::open(bytes).map_err(Refusal::from_error)?;
    walk(&b, b.root(), &mut Vec::new(), sink)
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Row {
    fixed_version: String,
    affected_version: String,
    patched_versions: Vec<String>,
    vulnerable_versions: Vec<String>,
    unaffected_versions: Vec<String>,
    severity: f64,
    status: f64,
    state: String,
    arches: Vec<String>,
    entries: Vec<Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Entry {
    fixed_version: String,
    arches: Vec<String>,
    affected: Vec<i64>,
    cves: Vec<Cve>,
    status: f64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cve {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Severity")]
    severity: f64,
}

fn entry(path: &[String], key: &str, value: Value, sink: Sink<'_>) -> Result<(), Refusal> {
    match path {
        [root] if root == "vulnerability" => {
            details(key, value, sink);
            Ok(())
        }
        [root, table] if root == "Red Hat CPE" && table == "cpe" => {
            if let Some(to) = value.as_str().and_then(scope::red_hat_cpe) {
                sink(Item::ScopeAlias { from: format!("Red Hat CPE:{key}"), to });
            }
            Ok(())
        }
        [root, package]
            if !matches!(root.as_str(), "data-source" | "Red Hat CPE" | "trivy" | "advisory-detail") =>
        {
            let value = if value.is_null() { Value::Object(serde_json::Map::new()) } else { value };
            let row: Row = serde_json::from_value(value).map_err(Refusal::from_error)?;
            advisory(root, package, key, &row, sink)
        }
        _ => Ok(()),
    }
}

/// Trivy's status codes.
fn status(code: f64) -> Option<Status> {
    Some(match code {
        1.0 => Status::NotAffected,
        2.0 => Status::Affected,
        4.0 => Status::UnderInvestigation,
        5.0 => Status::WillNotFix,
        6.0 => Status::FixDeferred,
        7.0 => Status::EndOfLife,
        _ => return None,
    })
}

fn level(code: f64) -> Option<Rating> {
    let level = match code {
        1.0 => Severity::Low,
        2.0 => Severity::Medium,
        3.0 => Severity::High,
        4.0 => Severity::Critical,
        _ => return None,
    };
    Some(Rating::label(level.as_str()))
}

fn ecosystem(bucket: &str) -> Option<String> {
    if let Some((language, _)) = bucket.split_once("::") {
        let name = match language {
            "npm" => "npm",
            "pip" => "PyPI",
            "rubygems" => "RubyGems",
            "cargo" => "crates.io",
            "composer" => "Packagist",
            "go" => "Go",
            "maven" => "Maven",
            "nuget" => "NuGet",
            "conan" => "ConanCenter",
            "erlang" => "Hex",
            "pub" => "Pub",
            "swift" => "SwiftURL",
            "cocoapods" => "CocoaPods",
            "bitnami" => "Bitnami",
            "julia" => "Julia",
            "k8s" => "Kubernetes",
            _ => return None,
        };
        return Some(name.to_owned());
    }
    let prefixes = [
        ("alpine ", "Alpine"),
        ("debian ", "Debian"),
        ("ubuntu ", "Ubuntu"),
        ("alma ", "AlmaLinux"),
        ("rocky ", "Rocky Linux"),
        ("Oracle Linux ", "Oracle Linux"),
        ("amazon linux ", "Amazon Linux"),
        ("Photon OS ", "Photon OS"),
        ("CBL-Mariner ", "CBL-Mariner"),
        ("Azure Linux ", "Azure Linux"),
        ("SUSE ", "SUSE"),
        ("openSUSE ", "openSUSE"),
        ("openEuler-", "openEuler"),
    ];
    if let Some((family, release)) = prefixes.iter().find_map(|(p, f)| Some((*f, bucket.strip_prefix(p)?))) {
        let release = match release.strip_suffix("-ESM") {
            Some(release) => format!("Pro:{release}"),
            None => release.to_owned(),
        };
        return Some(scope::canonical(&format!("{family}:{release}")));
    }
    match bucket {
        "wolfi" => Some("Wolfi".into()),
        "chainguard" => Some("Chainguard".into()),
        "minimos" => Some("MinimOS".into()),
        "echo" => Some("Echo".into()),
        _ => None,
    }
}

/// Trivy looks rpm distributions up by binary name, all others of its distributions by source name.
fn names(ecosystem: &str) -> NameKind {
    match scope::family(ecosystem) {
        "AlmaLinux" | "Rocky Linux" | "Oracle Linux" | "Amazon Linux" | "SUSE" | "openSUSE" | "openEuler" => {
            NameKind::Binary
        }
        _ => NameKind::Default,
    }
}

fn advisory(bucket: &str, package: &str, key: &str, row: &Row, sink: Sink<'_>) -> Result<(), Refusal> {
    if bucket == "Red Hat" {
        row.entries.iter().for_each(|e| red_hat(package, key, e, sink));
        return Ok(());
    }
    let Some(ecosystem) = ecosystem(bucket) else { return Ok(()) };
    let mut affected = Vec::new();
    if row.entries.iter().any(|e| !e.fixed_version.is_empty()) {
        for e in &row.entries {
            let mut a = Affected::new(ecosystem.as_str(), package).until(Some(&e.fixed_version));
            a.arches.clone_from(&e.arches);
            affected.push(a);
        }
    } else if row.vulnerable_versions.is_empty() && row.patched_versions.is_empty() {
        let fixed = Some(row.fixed_version.as_str()).filter(|f| !f.is_empty());
        let mut a = match fixed {
            Some("0") => {
                Affected::new(ecosystem.as_str(), package).until(None).with_status(Status::NotAffected)
            }
            _ => Affected::new(ecosystem.as_str(), package).until(fixed),
        };
        if !row.affected_version.is_empty() {
            a.ranges[0].events[0] = crate::advisory::Event::Introduced(row.affected_version.clone());
        }
        if fixed.is_none() {
            a.status = status(row.status).or(match row.state.as_str() {
                "postponed" => Some(Status::FixDeferred),
                "ignored" | "no-dsa" => Some(Status::WillNotFix),
                "end-of-life" => Some(Status::EndOfLife),
                _ => None,
            });
        }
        a.arches.clone_from(&row.arches);
        affected.push(a);
    } else {
        affected.push(by_requirements(&ecosystem, package, row)?);
    }
    for a in &mut affected {
        a.names = names(&ecosystem);
        a.severity.extend(level(row.severity));
    }
    sink(Item::Advisory(Box::new(Advisory {
        id: key.to_owned(),
        affected,
        fragment: true,
        ..Advisory::default()
    })));
    Ok(())
}

/// Vulnerable and neither patched nor unaffected, as Trivy decides it.
fn by_requirements(ecosystem: &str, package: &str, row: &Row) -> Result<Affected, Refusal> {
    let scheme = scope::scheme(ecosystem);
    let any = |list: &[String]| {
        VersionSet::any(scheme, list.iter().map(String::as_str)).map_err(Refusal::from_error)
    };
    let vulnerable = if row.vulnerable_versions.is_empty() {
        VersionSet::all(scheme)
    } else {
        any(&row.vulnerable_versions)?
    };
    let safe: Vec<String> = row.patched_versions.iter().chain(&row.unaffected_versions).cloned().collect();
    let mut a = Affected::new(ecosystem, package);
    a.ranges = vulnerable.and(&any(&safe)?.not()).ranges();
    let bare = |v: &&String| v.starts_with(|c: char| c.is_ascii_digit() || c == 'v');
    a.fixed = row.patched_versions.iter().filter(bare).cloned().collect();
    Ok(a)
}

fn red_hat(package: &str, key: &str, e: &Entry, sink: Sink<'_>) {
    for cve in &e.cves {
        let affected = e.affected.iter().map(|cpe| {
            let fixed = Some(e.fixed_version.as_str()).filter(|f| !f.is_empty());
            let fixed = fixed.map(|f| f.strip_prefix("0:").unwrap_or(f));
            let mut a = Affected::new(format!("Red Hat CPE:{cpe}"), package).until(fixed);
            if fixed.is_none() {
                a.status = status(e.status);
            }
            a.names = NameKind::Binary;
            a.arches = e.arches.iter().filter(|a| *a != "noarch").cloned().collect();
            a.severity.extend(level(cve.severity));
            a
        });
        let (id, upstream) = if cve.id.is_empty() {
            (key.to_owned(), Vec::new())
        } else {
            (format!("{key}#{}", cve.id), vec![cve.id.clone()])
        };
        let affected = affected.collect();
        sink(Item::Advisory(Box::new(Advisory {
            id,
            upstream,
            affected,
            fragment: true,
            ..Advisory::default()
        })));
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Detail {
    title: String,
    description: String,
    severity: String,
    #[serde(rename = "CVSS")]
    cvss: BTreeMap<String, Vectors>,
    vendor_severity: BTreeMap<String, f64>,
    references: Vec<String>,
    published_date: Option<String>,
    last_modified_date: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Vectors {
    v2_vector: String,
    v3_vector: String,
    v40_vector: String,
}

fn details(key: &str, value: Value, sink: Sink<'_>) {
    // A detail that cannot be read takes nothing from the advisory itself.
    let d: Detail = serde_json::from_value(value).unwrap_or_default();
    let mut severity: Vec<Rating> = Vec::new();
    severity.extend(d.vendor_severity.iter().filter_map(|(who, code)| Some(level(*code)?.by(who))));
    for (who, v) in &d.cvss {
        let vectors = [&v.v40_vector, &v.v3_vector, &v.v2_vector];
        severity.extend(vectors.into_iter().filter(|v| !v.is_empty()).map(|v| Rating::vector(v).by(who)));
    }
    severity.extend(Some(d.severity).filter(|s| !s.is_empty()).map(|s| Rating::label(s).by("trivy")));
    sink(Item::Advisory(Box::new(Advisory {
        id: key.to_owned(),
        summary: d.title,
        details: d.description,
        severity,
        references: d.references.into_iter().map(Reference::web).collect(),
        published: d.published_date,
        modified: d.last_modified_date.unwrap_or_default(),
        fragment: true,
        ..Advisory::default()
    })));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advisory::Event;

    fn advisories(items: Vec<Item>) -> Vec<Advisory> {
        items.into_iter().filter_map(|i| if let Item::Advisory(a) = i { Some(*a) } else { None }).collect()
    }

    #[test]
    fn published_bolt_file_states_advisories_and_details() {
        let mut items = Vec::new();
        bolt(&super::super::bolt::tests::sample(), &mut |i| items.push(i)).expect("bolt");
        let all = advisories(items);
        assert_eq!(all[0].affected[0].package.as_ref().map(|p| p.ecosystem.as_str()), Some("Alpine:v3.10"));
        assert_eq!(all[0].affected[0].ranges[0].events[1], Event::Fixed("1.1.22-r3".into()));
        assert_eq!((all[1].summary.as_str(), all[1].severity.len()), ("musl", 1));
    }

    #[test]
    fn patched_versions_are_cut_out_of_vulnerable_ones() {
        let text = "- bucket: \"cargo::OSV\"\n  pairs:\n    - bucket: ammonia\n      pairs:\n        - key: CVE-2021-38193\n          value:\n            PatchedVersions:\n              - \">= 3.1.0\"\n              - \">= 2.1.3, < 3.0.0\"\n";
        let mut items = Vec::new();
        yaml(text, &mut |i| items.push(i)).expect("yaml");
        let ranges = &advisories(items)[0].affected[0].ranges;
        assert_eq!(ranges[0].events, [Event::Introduced("0".into()), Event::Fixed("2.1.3".into())]);
        assert_eq!(ranges[1].events, [Event::Introduced("3.0.0".into()), Event::Fixed("3.1.0".into())]);
    }
}
