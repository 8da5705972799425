//! The Syft coverage tree: what must be found in an image layer and in a directory.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Layer, files, shared};
use vuln::extract::{Cataloguer, FileInfo};
use vuln::{Inventory, Limits, Mode, PackageKind, merge};

/// Syft's package types as ours.
fn kind(name: &str) -> Option<PackageKind> {
    use PackageKind as K;
    let kind = match name {
        "AlpmPkg" => K::Alpm,
        "RpmPkg" => K::Rpm,
        "DebPkg" => K::Deb,
        "ApkPkg" => K::Apk,
        "PortagePkg" => K::Portage,
        "JenkinsPluginPkg" | "JavaPkg" => K::Maven,
        "NixPkg" => K::Nix,
        "WordpressPluginPkg" => K::WordpressPlugin,
        "HomebrewPkg" => K::Brew,
        "PhpPearPkg" => K::Pear,
        "PhpComposerPkg" => K::Composer,
        "LuaRocksPkg" => K::Luarocks,
        "GemPkg" => K::Gem,
        "NpmPkg" => K::Npm,
        "PythonPkg" => K::Pypi,
        "GoModulePkg" => K::Golang,
        "ConanPkg" => K::Conan,
        "RustPkg" => K::Cargo,
        "DartPubPkg" => K::Pub,
        "DotnetPkg" => K::Nuget,
        "CocoapodsPkg" => K::Cocoapods,
        "HackagePkg" => K::Hackage,
        "HexPkg" => K::Hex,
        "ErLangOTPPkg" | "ErlangOTPPkg" => K::Otp,
        "SwiftPkg" => K::Swift,
        "SwiplPackPkg" => K::Swiplpack,
        "GithubActionPkg" | "GithubActionWorkflowPkg" => K::Github,
        "OpamPkg" => K::Opam,
        "TerraformPkg" => K::Terraform,
        "Rpkg" => K::Cran,
        _ => return None,
    };
    Some(kind)
}

fn missing(inventory: &Inventory, expected: &serde_json::Value, lists: &[&str]) -> Vec<String> {
    let mut have: BTreeMap<(PackageKind, String), Vec<&str>> = BTreeMap::new();
    for package in &inventory.packages {
        for name in [package.full_name(), package.name.clone()] {
            have.entry((package.kind, name.to_lowercase())).or_default().push(&package.version);
        }
    }
    let mut missing = Vec::new();
    for list in lists {
        for case in expected[*list].as_array().expect("cases") {
            let kind = kind(case["type"].as_str().expect("type")).expect("a known type");
            for (name, version) in case["packages"].as_object().expect("packages") {
                let version = version.as_str().expect("version");
                let versions = have.get(&(kind, name.to_lowercase()));
                if versions.is_none_or(|versions| !versions.contains(&version)) {
                    missing.push(format!("{kind:?} {name} {version}: {versions:?}"));
                }
            }
        }
    }
    missing
}

fn expected(root: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(root.join("expected.json")).expect("readable");
    serde_json::from_str(&text).expect("json")
}

#[test]
fn everything_in_an_image_layer_is_found() {
    let Some(root) = shared("scan-truth/syft") else { return };
    let tree = root.join("image-pkg-coverage");
    let inventory = Layer::new()
        .tree(&tree.join("pkgs"), "")
        .tree(&tree.join("lib"), "lib")
        .tree(&tree.join("etc"), "")
        .inventory();
    let mut missing = missing(&inventory, &expected(&root), &["imageOnlyTestCases", "commonTestCases"]);
    // Its library has to be downloaded.
    missing.retain(|line| !line.contains("DocuSign"));
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn everything_in_a_directory_is_found() {
    let Some(root) = shared("scan-truth/syft") else { return };
    let tree = root.join("image-pkg-coverage");
    let limits = Limits::default();
    let mut cataloguer = Cataloguer::new(Mode::Directory, &limits);
    for file in files(&tree) {
        let content = std::fs::read(&file).expect("readable");
        let path = file.strip_prefix(&tree).expect("inside").to_string_lossy().into_owned();
        cataloguer
            .file(&FileInfo::new(&path, content.len() as u64, 0o644), &mut content.as_slice())
            .expect("catalogued");
    }
    let inventory = merge(&[cataloguer.finish_directory()]);
    let missing = missing(&inventory, &expected(&root), &["dirOnlyTestCases", "commonTestCases"]);
    assert_eq!(missing, Vec::<String>::new());
}
