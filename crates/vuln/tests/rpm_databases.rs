//! rpm databases against what `rpm -qa` says.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::{Layer, names, shared};
use vuln::{Inventory, PackageKind};

/// `name|epoch|version|release|arch|sourcerpm|vendor|license|modularitylabel` of every package.
fn rows(inventory: &Inventory) -> BTreeSet<String> {
    let or_none = |value: Option<&String>| value.cloned().unwrap_or_else(|| "(none)".to_owned());
    let packages = inventory.packages.iter().filter(|package| package.kind == PackageKind::Rpm);
    packages
        .map(|package| {
            let (epoch, rest) = package.version.split_once(':').unwrap_or(("0", &package.version));
            let (version, release) = rest.split_once('-').expect("version-release");
            let bare = |version: &str| {
                version.split_once(':').map_or(version.to_owned(), |(_, rest)| rest.to_owned())
            };
            let source = package
                .source
                .as_ref()
                .map(|source| format!("{}-{}.src.rpm", source.name, bare(&source.version)));
            [
                package.name.clone(),
                epoch.to_owned(),
                version.to_owned(),
                release.to_owned(),
                or_none(package.arch.as_ref()),
                or_none(source.as_ref()),
                or_none(package.supplier.as_ref()),
                package.licenses.join(","),
                or_none(package.module.as_ref()),
            ]
            .join("|")
        })
        .collect()
}

fn expected(path: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(path).expect("readable");
    text.lines().filter(|line| !line.starts_with("name|")).map(str::to_owned).collect()
}

#[test]
fn berkeley_db_databases_state_exactly_what_rpm_states() {
    let Some(root) = shared("scan-truth/rpmdb/bdb-cbl-mariner-2.0") else { return };
    let database = std::fs::read(root.join("Packages")).expect("readable");
    let inventory = Layer::new().file("var/lib/rpm/Packages", database).inventory();
    assert_eq!(rows(&inventory), expected(&root.join("expected.txt")));
}

#[test]
fn sqlite_and_ndb_databases_state_exactly_what_rpm_states() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rpmdb");
    for (file, path) in [
        ("rpmdb.sqlite.zst", "usr/lib/sysimage/rpm/rpmdb.sqlite"),
        ("Packages.db.zst", "usr/lib/sysimage/rpm/Packages.db"),
    ] {
        let packed = std::fs::read(root.join(file)).expect("readable");
        let inventory =
            Layer::new().file(path, zstd::decode_all(packed.as_slice()).expect("zstd")).inventory();
        assert_eq!(inventory.problems, [], "{file}");
        assert_eq!(rows(&inventory), expected(&root.join("expected.txt")), "{file}");
    }
}

/// A header with string and number values.
fn header(strings: &[(u32, &str)], numbers: &[(u32, u32)]) -> Vec<u8> {
    let (mut index, mut store) = (Vec::new(), Vec::new());
    let mut entry = |tag: u32, kind: u32, offset: usize| {
        for value in [tag, kind, u32::try_from(offset).expect("small"), 1] {
            index.extend(value.to_be_bytes());
        }
    };
    for (tag, number) in numbers {
        entry(*tag, 4, store.len());
        store.extend(number.to_be_bytes());
    }
    for (tag, text) in strings {
        entry(*tag, 6, store.len());
        store.extend(text.as_bytes());
        store.push(0);
    }
    let mut blob = Vec::new();
    blob.extend(u32::try_from(index.len() / 16).expect("small").to_be_bytes());
    blob.extend(u32::try_from(store.len()).expect("small").to_be_bytes());
    blob.extend(index);
    blob.extend(store);
    blob
}

/// An ndb file with these blobs.
fn ndb(blobs: &[Vec<u8>]) -> Vec<u8> {
    let mut page = b"RpmP\0\0\0\0\x01\0\0\0\x01\0\0\0".to_vec();
    page.resize(32, 0);
    let mut data = Vec::new();
    for (index, blob) in blobs.iter().enumerate() {
        let number = u32::try_from(index + 1).expect("small").to_le_bytes();
        page.extend(b"Slot");
        page.extend(number);
        page.extend(u32::try_from((4096 + data.len()) / 16).expect("small").to_le_bytes());
        page.extend([0; 4]);
        data.extend(b"BlbS");
        data.extend(number);
        data.extend([1, 0, 0, 0]);
        data.extend(u32::try_from(blob.len()).expect("small").to_le_bytes());
        data.extend(blob);
        data.resize(data.len().next_multiple_of(16), 0);
    }
    page.resize(4096, 0);
    page.extend(data);
    page
}

#[test]
fn epoch_modularity_label_and_source_are_taken_and_keys_are_no_packages() {
    let module = header(
        &[
            (1000, "nodejs"),
            (1001, "12.22.5"),
            (1002, "1.module_el8"),
            (1011, "AlmaLinux"),
            (1014, "MIT"),
            (1022, "x86_64"),
            (1044, "nodejs-12.22.5-1.module_el8.src.rpm"),
            (5096, "nodejs:12:8040020210817:522a0ee4"),
        ],
        &[(1003, 1)],
    );
    let key = header(&[(1000, "gpg-pubkey"), (1001, "abc"), (1002, "def")], &[]);
    let inventory = Layer::new()
        .file("etc/os-release", "ID=almalinux\nVERSION_ID=8.4\n")
        .file("var/lib/rpm/Packages.db", ndb(&[module, key]))
        .inventory();
    assert_eq!(names(&inventory), ["nodejs 1:12.22.5-1.module_el8"]);
    let package = inventory.packages.first().expect("nodejs");
    assert_eq!(package.module.as_deref(), Some("nodejs:12:8040020210817:522a0ee4"));
    assert_eq!(package.source.as_ref().map(|source| source.version.as_str()), Some("1:12.22.5-1.module_el8"));
    assert!(!package.properties.contains_key("third-party"));
}

#[test]
fn the_manifest_of_images_without_a_database_is_read() {
    let line = "tzdata\t2021e-1.cm1\t0\t1635208140\tMicrosoft Corporation\t(none)\t100\tnoarch\t0\ttzdata-2021e-1.cm1.src.rpm\n";
    let inventory = Layer::new().file("var/lib/rpmmanifest/container-manifest-2", line).inventory();
    assert_eq!(
        rows(&inventory).into_iter().next().as_deref(),
        Some("tzdata|0|2021e|1.cm1|noarch|tzdata-2021e-1.cm1.src.rpm|Microsoft Corporation||(none)")
    );
}

#[test]
fn a_damaged_database_is_a_problem_and_never_an_empty_list() {
    for content in [&b"SQLite format 3\0garbage"[..], b"RpmP\0\0\0\0", b"something else"] {
        let inventory = Layer::new().file("var/lib/rpm/Packages", content).inventory();
        assert_eq!(inventory.problems.len(), 1, "{content:?}");
    }
}
