//! The security databases of Alpine, Wolfi and Chainguard: repaired versions by package, YAML (old) and JSON.
//!
//! `secfixes` maps the repairing version to vulnerability identifiers; version `0` means that the package was never
//! affected, which also silences other sources (a "NAK"). A line may carry several identifiers (`CVE-1 XSA-2`).

use super::{Refusal, Sink, from_json, from_yaml};
use crate::advisory::import::Item;
use crate::advisory::{Advisory, Affected, Status, scope};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Document {
    distroversion: Option<String>,
    reponame: Option<String>,
    apkurl: Option<String>,
    urlprefix: Option<String>,
    packages: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    pkg: Package,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    secfixes: Option<BTreeMap<String, Option<Vec<Option<String>>>>>,
}

pub(super) fn json(bytes: &[u8], name: &str, sink: Sink<'_>) -> Result<(), Refusal> {
    emit(from_json(bytes)?, name, sink)
}

pub(super) fn yaml(text: &str, name: &str, sink: Sink<'_>) -> Result<(), Refusal> {
    emit(from_yaml(text)?, name, sink)
}

fn ecosystem(d: &Document, name: &str) -> String {
    let hints =
        [&d.urlprefix, &d.apkurl, &d.reponame].into_iter().flatten().map(String::as_str).chain([name]);
    for hint in hints.map(str::to_ascii_lowercase) {
        if hint.contains("wolfi") {
            return "Wolfi".into();
        }
        if hint.contains("chainguard") || hint.contains("cgr.dev") {
            return "Chainguard".into();
        }
        if hint.contains("minimos") || hint.contains("minimal") {
            return "MinimOS".into();
        }
    }
    let version = d.distroversion.clone().unwrap_or_else(|| {
        name.split('/').find(|p| p.starts_with('v') || *p == "edge").unwrap_or("edge").to_owned()
    });
    scope::canonical(&format!("Alpine:{version}"))
}

fn emit(d: Document, name: &str, sink: Sink<'_>) -> Result<(), Refusal> {
    let ecosystem = ecosystem(&d, name);
    let prefix = scope::family(&ecosystem).to_ascii_uppercase();
    for Entry { pkg } in d.packages.unwrap_or_default() {
        if pkg.name.is_empty() {
            return Err(Refusal::new("package without name"));
        }
        for (fixed, ids) in pkg.secfixes.unwrap_or_default() {
            for line in ids.into_iter().flatten().flatten() {
                let mut ids = line
                    .split_whitespace()
                    .map(|i| i.trim_end_matches([',', '?']).to_owned())
                    .filter(|i| known(i));
                let Some(first) = ids.next() else { continue };
                let affected = if fixed == "0" {
                    Affected::new(ecosystem.as_str(), pkg.name.as_str())
                        .until(None)
                        .with_status(Status::NotAffected)
                } else {
                    Affected::new(ecosystem.as_str(), pkg.name.as_str()).until(Some(&fixed))
                };
                sink(Item::Advisory(Box::new(Advisory {
                    id: format!("{prefix}-{first}"),
                    upstream: vec![first],
                    related: ids.collect(),
                    affected: vec![affected],
                    fragment: true,
                    ..Advisory::default()
                })));
            }
        }
    }
    Ok(())
}

/// `CVE-2020-1`, `GHSA-…`, `GO-2024-1`, `XSA-300`, `ALPINE-13661`: letters, then a dash and more.
fn known(id: &str) -> bool {
    id.split_once('-').is_some_and(|(kind, rest)| {
        kind.len() >= 2 && kind.chars().all(|c| c.is_ascii_alphanumeric()) && !rest.is_empty()
    }) && id.len() < 64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str, name: &str) -> Vec<Advisory> {
        let mut out = Vec::new();
        let mut sink = |i| {
            if let Item::Advisory(a) = i {
                out.push(*a);
            }
        };
        if name.ends_with("json") {
            json(text.as_bytes(), name, &mut sink).expect("json");
        } else {
            yaml(text, name, &mut sink).expect("yaml");
        }
        out
    }

    #[test]
    fn version_zero_means_never_affected() {
        let text = "distroversion: v3.11\nreponame: main\npackages:\n  - pkg:\n      name: xen\n      secfixes:\n        0:\n          - CVE-2020-1234\n        4.13.1-r3:\n          - CVE-2020-15565 XSA-321\n";
        let all = items(text, "v3.11/main.yaml");
        assert_eq!(all[0].affected[0].status, Some(Status::NotAffected));
        assert_eq!(all[0].affected[0].package.as_ref().map(|p| p.ecosystem.as_str()), Some("Alpine:v3.11"));
        assert_eq!(
            (all[1].id.as_str(), all[1].related.as_slice()),
            ("ALPINE-CVE-2020-15565", &["XSA-321".to_owned()][..])
        );
    }

    #[test]
    fn wolfi_is_known_by_its_address() {
        let text = r#"{"apkurl":"{{urlprefix}}/{{reponame}}/{{arch}}","archs":["x86_64"],"reponame":"os",
          "urlprefix":"https://packages.wolfi.dev","packages":[{"pkg":{"name":"bash","secfixes":{"5.2-r1":["CVE-2022-3715"]}}}]}"#;
        let all = items(text, "security.json");
        assert_eq!(all[0].affected[0].package.as_ref().map(|p| p.ecosystem.as_str()), Some("Wolfi"));
    }
}
