//! `syft`: one root tree of many ecosystems with Syft's expected name → version maps.
//!
//! As an image layer the tree must yield `imageOnly` and `common`, as a directory `dirOnly` and `common`. Cases that
//! Syft's own data marks as needing the network are skipped.

use super::{Report, folders, inventory, json};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use vuln::{Mode, Package};

/// Cases whose files are not part of the tree (downloaded when Syft's image is built).
const ABSENT: &[&str] = &["linux kernel", "kernel", "DocuSign", "PE", "binary"];

pub(super) fn run(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    let expected = json(&dir.join("expected.json"))?;
    for tree in folders(dir)? {
        let cases = |key: &str| expected[key].as_array().cloned().unwrap_or_default();
        for (mode, own) in [(Mode::Image, "imageOnlyTestCases"), (Mode::Directory, "dirOnlyTestCases")] {
            let inventory = inventory::of_folder(&tree, mode)?;
            let mut names = BTreeSet::new();
            for package in inventory.packages.iter().chain(&inventory.suppressed) {
                names.extend(spellings(package).map(|name| (name, package.version.clone())));
            }
            for case in cases("commonTestCases").iter().chain(&cases(own)) {
                judge(case, mode, &names, report);
            }
        }
    }
    Ok(())
}

fn judge(case: &Value, mode: Mode, names: &BTreeSet<(String, String)>, report: &mut Report) {
    let group = case["type"].as_str().unwrap_or_default();
    let title = case["case"].as_str().unwrap_or_default();
    let packages = case["packages"].as_object().into_iter().flatten();
    if ABSENT.iter().any(|word| title.contains(word) || group.contains(word)) {
        report.skip("syft", group, packages.count(), "its files need a download");
        return;
    }
    for (name, version) in packages {
        if ABSENT.iter().any(|word| name.contains(word)) {
            report.skip("syft", group, 1, "its files need a download");
            continue;
        }
        let version = version.as_str().unwrap_or_default();
        let wanted = (name.to_lowercase(), version.to_owned());
        let found = names.contains(&wanted)
            || names.contains(&(wanted.0.clone(), format!("0:{version}")))
            || names.contains(&(wanted.0.clone(), version.trim_start_matches('v').to_owned()));
        let missed = format!("{mode:?} {title}: {name} {version} is missed");
        report.check("syft", group, if found { Ok(()) } else { Err(missed) });
    }
}

/// A package's names as tools spell them.
fn spellings(package: &Package) -> impl Iterator<Item = String> {
    let mut names = vec![package.name.clone(), vuln::advisory::scope::language_name(package)];
    if let Some(namespace) = &package.namespace {
        names.push(format!("{namespace}/{}", package.name));
        names.push(format!("{namespace}:{}", package.name));
    }
    names.into_iter().map(|name| name.to_lowercase())
}
