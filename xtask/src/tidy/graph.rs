//! The crate graph as `cargo metadata` tells it, reduced to what the arrow needs.
//!
//! Edges that exist only on other platforms are left out (the graph is filtered to the host), dev-dependencies are
//! kept apart: they ship nowhere, but they may not turn the arrow round either.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// One package: a member of the workspace or a dependency.
#[derive(Debug, Clone, Default)]
pub(super) struct Package {
    pub(super) name: String,
    /// Package ids of normal and build dependencies.
    pub(super) uses: BTreeSet<String>,
    /// Package ids of dev-dependencies.
    pub(super) uses_in_tests: BTreeSet<String>,
}

/// Packages by id, and which of them are ours.
#[derive(Debug, Clone, Default)]
pub(super) struct Graph {
    pub(super) packages: BTreeMap<String, Package>,
    /// Ids of the workspace's members.
    pub(super) members: BTreeSet<String>,
    /// Ids of members under `crates/`.
    pub(super) product: BTreeSet<String>,
    /// Name and version of every package that is built for the workspace, its tests included.
    pub(super) built: BTreeSet<(String, String)>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetaPackage>,
    workspace_members: Vec<String>,
    workspace_root: String,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct MetaPackage {
    id: String,
    name: String,
    manifest_path: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dep>,
}

#[derive(Deserialize)]
struct Dep {
    pkg: String,
    dep_kinds: Vec<DepKind>,
}

#[derive(Deserialize)]
struct DepKind {
    kind: Option<String>,
}

/// Asks cargo for the resolved graph of the workspace at `root`.
pub(super) fn load(root: &Path) -> anyhow::Result<Graph> {
    let out = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root)
        .output()
        .context("cargo metadata could not be started")?;
    if !out.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    let meta: Metadata = serde_json::from_slice(&out.stdout).context("cargo metadata changed its form")?;
    Ok(Graph { built: built(root)?, ..reduce(meta) })
}

/// What `cargo tree` says is built. (`cargo metadata` also lists optional packages that only a weak feature names.)
fn built(root: &Path) -> anyhow::Result<BTreeSet<(String, String)>> {
    let out = Command::new("cargo")
        .args(["tree", "--workspace", "--edges", "normal,build,dev", "--prefix", "none", "--format", "{p}"])
        .current_dir(root)
        .output()
        .context("cargo tree could not be started")?;
    if !out.status.success() {
        bail!("cargo tree failed: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    let text = String::from_utf8_lossy(&out.stdout);
    let words = text.lines().map(|line| line.split_whitespace());
    Ok(words
        .filter_map(|mut w| Some((w.next()?.to_owned(), w.next()?.trim_start_matches('v').to_owned())))
        .collect())
}

fn reduce(meta: Metadata) -> Graph {
    let crates_dir = format!("{}/crates/", meta.workspace_root);
    let members: BTreeSet<String> = meta.workspace_members.into_iter().collect();
    let mut graph = Graph { members, ..Graph::default() };
    for package in meta.packages {
        if graph.members.contains(&package.id) && package.manifest_path.starts_with(&crates_dir) {
            graph.product.insert(package.id.clone());
        }
        graph.packages.insert(package.id, Package { name: package.name, ..Package::default() });
    }
    for node in meta.resolve.nodes {
        let Some(package) = graph.packages.get_mut(&node.id) else { continue };
        for dep in node.deps {
            let dev_only = dep.dep_kinds.iter().all(|k| k.kind.as_deref() == Some("dev"));
            if dev_only {
                package.uses_in_tests.insert(dep.pkg);
            } else {
                package.uses.insert(dep.pkg);
            }
        }
    }
    graph
}

impl Graph {
    /// Everything that `id` reaches over normal and build dependencies, with the id through which it was reached.
    pub(super) fn reach(&self, id: &str) -> BTreeMap<String, String> {
        let mut via = BTreeMap::new();
        let mut open = vec![id.to_owned()];
        while let Some(at) = open.pop() {
            for next in self.packages.get(&at).into_iter().flat_map(|p| &p.uses) {
                if next != id && !via.contains_key(next) {
                    via.insert(next.clone(), at.clone());
                    open.push(next.clone());
                }
            }
        }
        via
    }

    /// `oci -> sha2 -> digest`: how `from` came to use `to`.
    pub(super) fn path(&self, via: &BTreeMap<String, String>, from: &str, to: &str) -> String {
        let mut names = vec![self.name(to)];
        let mut at = to;
        while let Some(before) = via.get(at) {
            names.push(self.name(before));
            at = before;
            if at == from {
                break;
            }
        }
        names.reverse();
        names.join(" -> ")
    }

    /// The package's name; its id where the graph does not know it.
    pub(super) fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.packages.get(id).map_or(id, |p| p.name.as_str())
    }
}
