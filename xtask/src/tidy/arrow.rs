//! The arrow: which crate of ours may use which, and what nobody may use.
//!
//! [`TABLE`] is the layout of ARCHITECTURE.md as data. A crate may use what its row names and all that these may use;
//! a crate without a row is an error, so a new crate cannot slip in without a decision. The pure crates must not even
//! *reach* a runtime, a database or a client through somebody else: that is what makes them testable without one.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::graph::Graph;

/// Crate → what it may use directly (the closure is taken by [`may_use`]).
const TABLE: &[(&str, &[&str])] = &[
    ("oci", &[]),
    ("policy", &["oci"]),
    ("vuln", &["oci"]),
    ("estate", &["oci", "vuln"]),
    ("trust", &["oci"]),
    ("blobs", &["oci"]),
    ("metadata", &["oci"]),
    ("upstream", &["oci"]),
    ("registry", &["policy", "blobs", "metadata", "upstream"]),
    ("workers", &["registry", "estate", "trust"]),
    ("cli", &["oci", "policy", "vuln", "trust", "upstream"]),
    ("server", &["workers", "cli"]),
];

/// Most crates under `crates/`.
const MAX_CRATES: usize = 12;

/// Crates that know no runtime, database, client, file system or clock.
pub(super) const PURE: &[&str] = &["oci", "policy", "vuln", "estate", "trust"];

/// Packages that a pure crate must not reach; `vuln` reads rpm's SQLite file from bytes and is excused from `SQL`, and so is
/// `estate`, which reaches it only through `vuln`.
const IMPURE: &[&str] =
    &["tokio", "async-std", "smol", "hyper", "reqwest", "ureq", "axum", "object_store", "tempfile", "rustix"];
const SQL: &[&str] = &["rusqlite", "libsqlite3-sys", "tokio-postgres", "sqlx", "diesel"];
const MAY_READ_SQLITE: &[&str] = &["vuln", "estate"];

/// Packages that nobody here may reach: one TLS stack, one crypto provider.
const BANNED: &[&str] = &["ring", "openssl", "openssl-sys", "native-tls", "sqlx", "rsa"];

/// Packages of which two versions at once are a mistake.
const SINGLE: &[&str] = &["reqwest", "rustls", "hyper", "tokio", "rusqlite"];

/// Every finding about crates.
pub(super) fn check(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    if graph.product.len() > MAX_CRATES {
        findings.push(Finding::error(
            "crates/",
            format!("{} crates, at most {MAX_CRATES}: merge before you add", graph.product.len()),
        ));
    }
    for id in &graph.product {
        findings.extend(check_uses(graph, id));
        findings.extend(check_purity(graph, id));
    }
    findings.extend(check_packages(graph));
    findings
}

fn check_uses(graph: &Graph, id: &str) -> Vec<Finding> {
    let name = graph.name(id);
    let Some(allowed) = may_use(name) else {
        return vec![Finding::error(name, "no row in the table of crates (xtask/src/tidy/arrow.rs)")];
    };
    let Some(package) = graph.packages.get(id) else { return Vec::new() };
    let ours = |uses: &BTreeSet<String>| -> Vec<String> {
        let members = uses.iter().filter(|dep| graph.members.contains(*dep));
        members.map(|dep| graph.name(dep).to_owned()).filter(|dep| !allowed.contains(dep.as_str())).collect()
    };
    let mut findings = Vec::new();
    for dep in ours(&package.uses) {
        findings.push(Finding::error(name, format!("uses {dep}, which the arrow forbids")));
    }
    for dep in ours(&package.uses_in_tests) {
        findings.push(Finding::error(name, format!("uses {dep} in tests, which the arrow forbids")));
    }
    findings
}

fn check_purity(graph: &Graph, id: &str) -> Vec<Finding> {
    let name = graph.name(id);
    if !PURE.contains(&name) {
        return Vec::new();
    }
    let via = graph.reach(id);
    let forbidden =
        |dep: &str| IMPURE.contains(&dep) || (SQL.contains(&dep) && !MAY_READ_SQLITE.contains(&name));
    let reached = via.keys().filter(|dep| forbidden(graph.name(dep)));
    reached
        .map(|dep| Finding::error(name, format!("is pure but reaches {}", graph.path(&via, id, dep))))
        .collect()
}

fn check_packages(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, version) in &graph.built {
        if BANNED.contains(&name.as_str()) {
            findings.push(Finding::error("Cargo.lock", format!("{name} is banned")));
        }
        if SINGLE.contains(&name.as_str()) {
            versions.entry(name).or_default().insert(version);
        }
    }
    for (name, versions) in versions.into_iter().filter(|(_, v)| v.len() > 1) {
        let list = versions.into_iter().collect::<Vec<_>>().join(", ");
        findings.push(Finding::error("Cargo.lock", format!("{name} is there in several versions: {list}")));
    }
    findings
}

/// Names of our crates that `name` may use, `None` without a row.
fn may_use(name: &str) -> Option<BTreeSet<&'static str>> {
    let row = |name: &str| TABLE.iter().find(|(n, _)| *n == name).map(|(_, uses)| *uses);
    let mut allowed = BTreeSet::new();
    let mut open = row(name)?.to_vec();
    while let Some(next) = open.pop() {
        if allowed.insert(next) {
            open.extend(row(next)?);
        }
    }
    Some(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::graph::Package;

    fn graph(edges: &[(&str, &[&str])]) -> Graph {
        let mut graph = Graph::default();
        for (name, uses) in edges {
            for id in uses.iter().chain([name]) {
                let package = Package { name: (*id).to_owned(), ..Package::default() };
                graph.packages.entry((*id).to_owned()).or_insert(package);
            }
            let uses = uses.iter().map(|&u| u.to_owned()).collect();
            graph.packages.get_mut(*name).unwrap().uses = uses;
        }
        for (name, _) in TABLE {
            if graph.packages.contains_key(*name) {
                graph.product.insert((*name).to_owned());
                graph.members.insert((*name).to_owned());
            }
        }
        graph
    }

    fn said(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(|f| format!("{}: {}", f.place, f.what)).collect()
    }

    #[test]
    fn the_closure_of_a_row_may_be_used() {
        assert!(
            check(&graph(&[("workers", &["registry", "metadata", "oci"]), ("registry", &["blobs"])]))
                .is_empty()
        );
    }

    #[test]
    fn an_edge_against_the_arrow_is_an_error() {
        let found = check(&graph(&[("registry", &["workers"])]));
        assert_eq!(said(&found), ["registry: uses workers, which the arrow forbids"]);
    }

    #[test]
    fn a_dev_dependency_against_the_arrow_is_an_error() {
        let mut graph = graph(&[("oci", &[]), ("server", &[])]);
        graph.packages.get_mut("oci").unwrap().uses_in_tests.insert("server".to_owned());
        assert_eq!(said(&check(&graph)), ["oci: uses server in tests, which the arrow forbids"]);
    }

    #[test]
    fn a_pure_crate_that_reaches_a_runtime_is_told_with_the_path() {
        let found = check(&graph(&[("trust", &["fancy"]), ("fancy", &["tokio"])]));
        assert_eq!(said(&found), ["trust: is pure but reaches trust -> fancy -> tokio"]);
    }

    #[test]
    fn only_vuln_reads_sqlite() {
        assert!(check(&graph(&[("vuln", &["rusqlite"])])).is_empty());
        assert_eq!(check(&graph(&[("policy", &["rusqlite"])])).len(), 1);
    }

    #[test]
    fn a_crate_without_a_row_is_an_error() {
        let mut graph = graph(&[("shiny", &[])]);
        graph.product.insert("shiny".to_owned());
        assert!(said(&check(&graph))[0].contains("no row"));
    }

    #[test]
    fn a_banned_package_and_a_second_version_are_errors() {
        let mut graph = graph(&[]);
        for (name, version) in [("ring", "0.17.0"), ("rustls", "1.0.0"), ("rustls", "2.0.0")] {
            graph.built.insert((name.to_owned(), version.to_owned()));
        }
        assert_eq!(
            said(&check(&graph)),
            ["Cargo.lock: ring is banned", "Cargo.lock: rustls is there in several versions: 1.0.0, 2.0.0"]
        );
    }

    #[test]
    fn no_row_names_a_crate_without_a_row() {
        for (name, _) in TABLE {
            assert!(may_use(name).is_some(), "{name}");
        }
    }
}
