//! Lock files and other small statements of packages: exactly what `fixtures/locks.txt` says is in each, and no more.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::files;
use vuln::extract::{Cataloguer, FileInfo};
use vuln::{Inventory, Limits, Mode, merge};

fn catalogue(root: &Path) -> Inventory {
    let limits = Limits::default();
    let mut cataloguer = Cataloguer::new(Mode::Directory, &limits);
    for file in files(root) {
        let content = std::fs::read(&file).expect("readable");
        let path = file.strip_prefix(root).expect("inside").to_string_lossy().into_owned();
        let info = FileInfo::new(&path, content.len() as u64, 0o755);
        cataloguer.file(&info, &mut content.as_slice()).expect("within limits");
    }
    merge(&[cataloguer.finish_directory()])
}

#[test]
fn every_statement_is_read_and_nothing_else() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let text = std::fs::read_to_string(folder.join("locks.txt")).expect("list");
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (directory, rest) = line.split_once(' ').expect("directory and package");
        expected.entry(directory.to_owned()).or_default().insert(rest.to_owned());
    }
    expected.insert("no-chart".to_owned(), BTreeSet::new());
    let directories = std::fs::read_dir(folder.join("locks")).expect("fixtures");
    let present: BTreeSet<String> =
        directories.map(|entry| entry.expect("entry").file_name().into_string().expect("UTF-8")).collect();
    assert_eq!(present, expected.keys().cloned().collect());
    let mut wrong = Vec::new();
    for (directory, wanted) in expected {
        let inventory = catalogue(&folder.join("locks").join(&directory));
        assert_eq!(inventory.problems, [], "{directory}");
        let line = |package: &vuln::Package| {
            let kind = serde_json::to_value(package.kind).expect("a word");
            let dev = if package.properties.get("scope").is_some_and(|s| s == "dev") { " dev" } else { "" };
            let mut needs: Vec<String> = package.depends_on.iter().map(|name| name.to_lowercase()).collect();
            if kind != "pypi" {
                needs.clone_from(&package.depends_on);
            }
            let needs = if needs.is_empty() { String::new() } else { format!(" < {}", needs.join(" ")) };
            format!(
                "{} {} {}{dev}{needs}",
                kind.as_str().expect("a word"),
                package.full_name(),
                package.version
            )
        };
        let found: BTreeSet<String> = inventory.packages.iter().map(line).collect();
        let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
        if found != wanted {
            wrong.push((directory, only(&found, &wanted), only(&wanted, &found)));
        }
    }
    assert_eq!(wrong, [], "directory, too much, missing");
}

#[test]
fn packages_of_the_workspace_are_told_from_those_of_the_registry() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("workspace");
    std::fs::create_dir_all(&dir).expect("a directory");
    let lock = "version = 4\n[[package]]\nname = \"registry\"\nversion = \"0.1.0\"\n\
        [[package]]\nname = \"serde\"\nversion = \"1.0.0\"\n\
        source = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
    std::fs::write(dir.join("Cargo.lock"), lock).expect("written");
    let found = catalogue(&dir);
    let sources =
        found.packages.iter().map(|p| (p.name.as_str(), p.properties.get("source").map(String::as_str)));
    assert_eq!(sources.collect::<Vec<_>>(), [("registry", Some("local")), ("serde", None)]);
}
