//! Tests of all forms together: what is written is valid, stable and read back the same.

use proptest::prelude::*;

use super::*;
use crate::{Distro, Evidence, Inventory, Package, PackageKind, Problem, SourcePackage};

fn sample() -> Document {
    let layer = oci::Digest::sha256(b"layer");
    let evidence = |path: &str| Evidence { layer: Some(layer), path: path.into() };
    let mut libc = Package::new(PackageKind::Deb, "libc6", "2.36-9+deb12u4");
    libc.arch = Some("amd64".into());
    libc.source = Some(SourcePackage { name: "glibc".into(), version: "2.36-9+deb12u4".into() });
    libc.supplier = Some("GNU Libc Maintainers <debian-glibc@lists.debian.org>".into());
    libc.licenses = vec!["GPL-2.0-only".into(), "LGPL-2.1-only".into()];
    libc.evidence = vec![evidence("var/lib/dpkg/status")];
    let mut ssl = Package::new(PackageKind::Deb, "libssl3", "3.0.11-1~deb12u2");
    ssl.arch = Some("amd64".into());
    ssl.source = Some(SourcePackage { name: "openssl".into(), version: "3.0.11-1~deb12u2".into() });
    ssl.licenses = vec!["Apache-2.0".into()];
    ssl.depends_on = vec!["debconf".into(), "libc6".into()];
    ssl.evidence = vec![evidence("var/lib/dpkg/status")];
    ssl.properties.insert("cpe".into(), "cpe:2.3:a:openssl:openssl:3.0.11:*:*:*:*:*:*:*".into());
    let mut core = Package::new(PackageKind::Npm, "core", "7.0.0");
    core.namespace = Some("babel".into());
    core.licenses = vec!["MIT OR Apache-2.0".into()];
    core.hashes = vec![format!("sha512:{}", "ab".repeat(64))];
    core.evidence = vec![evidence("app/package-lock.json")];
    let mut flask = Package::new(PackageKind::Pypi, "Flask_Cors", "4.0.0");
    flask.licenses = vec!["see the file LICENSE".into()];
    flask.evidence = vec![evidence("usr/lib/python3/dist-packages/flask_cors/METADATA")];
    flask.properties.insert("homepage".into(), "https://example.org/<flask>&\"cors\"".into());
    let mut acme = Package::new(PackageKind::Generic, "Acme Server", "9.1");
    acme.properties.insert(
        "swid".into(),
        r#"{"name":"Acme Server","tagId":"swidgen-242eb18a-503e","version":"9.1"}"#.into(),
    );
    acme.evidence = vec![evidence("opt/acme/acme.swidtag")];
    let mut packages = vec![libc, ssl, core, flask, acme];
    packages.sort();
    let distro = Distro {
        id: "debian".into(),
        version_id: "12".into(),
        codename: Some("bookworm".into()),
        pretty_name: Some("Debian GNU/Linux 12 (bookworm)".into()),
        ..Distro::default()
    };
    let problems =
        vec![Problem { source: "jar".into(), path: "app/x.jar".into(), message: "zip ends early".into() }];
    let inventory = Inventory { distro: Some(distro), packages, problems, ..Inventory::default() };
    let subject = Subject {
        kind: SubjectKind::Container,
        name: "registry.example/team/app".into(),
        version: Some("1.2".into()),
        digest: Some(oci::Digest::sha256(b"manifest")),
    };
    let mut document = Document::new(subject, "2024-05-01T12:00:00Z".parse().ok(), inventory);
    document.tools = vec!["bonded-0.1.0".into()];
    document.authors = vec!["Example Corp".into()];
    document
}

#[test]
fn every_form_is_as_the_golden_file() {
    for format in Format::all() {
        let text = String::from_utf8(write(&sample(), format).expect("written")).expect("UTF-8");
        insta::assert_snapshot!(format.to_string().replace('@', "-"), text);
    }
}

#[test]
fn every_form_is_read_back_as_it_was() {
    for format in Format::all() {
        let bytes = write(&sample(), format).expect("written");
        let reading =
            read(&bytes, Strictness::Strict, &Limits::default()).unwrap_or_else(|e| panic!("{format}: {e}"));
        assert_eq!(reading.document, sample(), "{format}");
        assert_eq!(reading.notes, Vec::<String>::new(), "{format}");
    }
}

#[test]
fn in_toto_statement_is_read_by_its_predicate() {
    let bom: serde_json::Value =
        serde_json::from_slice(&write(&sample(), Format::Spdx23Json).expect("written")).expect("JSON");
    let statement = serde_json::json!({ "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://spdx.dev/Document", "subject": [], "predicate": bom });
    let reading =
        read(statement.to_string().as_bytes(), Strictness::Strict, &Limits::default()).expect("read");
    assert_eq!(reading.document.inventory, sample().inventory);
}

#[test]
fn tag_value_is_read_like_its_json() {
    let text = "SPDXVersion: SPDX-2.3\nDataLicense: CC0-1.0\nSPDXID: SPDXRef-DOCUMENT\nDocumentName: x\n\
        DocumentNamespace: https://example.org/x\nCreator: Tool: syft-1.0\nCreator: Organization: Anchore, Inc\n\
        Created: 2024-01-01T00:00:00Z\n\nPackageName: musl\nSPDXID: SPDXRef-1\nPackageVersion: 1.2.4-r2\n\
        PackageSupplier: Person: Timo (t@example.org)\nPackageDownloadLocation: NOASSERTION\nFilesAnalyzed: false\n\
        PackageLicenseDeclared: MIT\nPackageCopyrightText: <text>a\nb</text>\n\
        ExternalRef: PACKAGE-MANAGER purl pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.18.4&upstream=musl\n\
        Relationship: SPDXRef-DOCUMENT DESCRIBES SPDXRef-1\n";
    let reading = read(text.as_bytes(), Strictness::Strict, &Limits::default()).expect("read");
    let inventory = reading.document.inventory;
    assert_eq!(inventory.distro.map(|distro| distro.version_id).as_deref(), Some("3.18.4"));
    let musl = &inventory.packages[0];
    assert_eq!((musl.kind, musl.version.as_str()), (PackageKind::Apk, "1.2.4-r2"));
    assert_eq!(musl.source.as_ref().map(|source| source.name.as_str()), Some("musl"));
    assert_eq!(musl.licenses, ["MIT"]);
    assert_eq!(reading.document.authors, ["Anchore, Inc"]);
}

#[test]
fn broken_documents_say_where_and_why() {
    for (text, reason) in [
        ("{}", "not an SBOM"),
        ("hello", "not an SBOM"),
        ("{", "not well-formed JSON"),
        (r#"{"bomFormat":"CycloneDX","specVersion":"9.9"}"#, "version `9.9`"),
        (r#"{"bomFormat":"CycloneDX","specVersion":"1.5","components":[{"name":"x"}]}"#, "/components/0"),
        (r#"{"spdxVersion":"SPDX-2.3","packages":[{"name":"x"}]}"#, "SPDXID is missing"),
        (
            r#"<!DOCTYPE bom [<!ENTITY a "b">]><bom xmlns="http://cyclonedx.org/schema/bom/1.5"/>"#,
            "document type",
        ),
        (r#"<bom xmlns="http://cyclonedx.org/schema/bom/1.5"><components>"#, "ends early"),
    ] {
        let error =
            read(text.as_bytes(), Strictness::Strict, &Limits::default()).expect_err(text).to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn duplicate_bom_refs_are_refused() {
    let text = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"components":[
        {"type":"library","bom-ref":"a","name":"x"},{"type":"library","bom-ref":"a","name":"y"}]}"#;
    let error =
        read(text.as_bytes(), Strictness::Strict, &Limits::default()).expect_err("duplicate").to_string();
    assert!(error.contains("used twice"), "{error}");
    let lenient = read(text.as_bytes(), Strictness::Lenient, &Limits::default()).expect("lenient");
    assert_eq!((lenient.document.inventory.packages.len(), lenient.notes.len()), (2, 1));
}

#[test]
fn better_provenance_decides_and_worse_adds() {
    let mut scanned = Package::new(PackageKind::Pypi, "Flask", "1.0");
    scanned.licenses = vec!["BSD-3-Clause".into()];
    let mut declared = Package::new(PackageKind::Pypi, "flask", "1.0");
    declared.licenses = vec!["MIT".into()];
    declared.supplier = Some("Pallets".into());
    let only = Package::new(PackageKind::Npm, "left-pad", "1.3.0");
    let of = |packages| Inventory { packages, ..Inventory::default() };
    let merged = merge(vec![
        (Provenance::Declared, of(vec![declared, only])),
        (Provenance::Scanned, of(vec![scanned])),
    ]);
    let flask = merged.packages.iter().find(|package| package.name == "Flask").expect("scanned spelling");
    assert_eq!(flask.licenses, ["BSD-3-Clause"]);
    assert_eq!(flask.supplier.as_deref(), Some("Pallets"));
    assert_eq!(flask.properties["bonded:provenance"], "scanned,declared");
    assert_eq!(merged.packages.len(), 2);
}

#[test]
fn difference_names_added_removed_and_changed() {
    let of = |list: &[(&str, &str)]| Inventory {
        packages: list
            .iter()
            .map(|(name, version)| Package::new(PackageKind::Npm, *name, *version))
            .collect(),
        ..Inventory::default()
    };
    let found = diff(&of(&[("a", "1"), ("b", "1"), ("c", "1")]), &of(&[("a", "2"), ("b", "1"), ("d", "1")]));
    assert_eq!(found.added.len(), 1);
    assert_eq!(found.removed.len(), 1);
    assert_eq!(found.changed[0].fields[0].before, "1");
    assert!(diff(&sample().inventory, &sample().inventory).is_empty());
}

#[test]
fn score_counts_and_gives_reasons() {
    let full = score(&sample());
    let supplier =
        full.criteria.iter().find(|criterion| criterion.name == "supplier name").expect("criterion");
    assert_eq!((supplier.met, supplier.of), (1, 5));
    assert!(supplier.reason.contains("core"), "{}", supplier.reason);
    assert!(full.ntia_percent < 100 && full.ntia_percent > 50, "{full:?}");
    assert!(score(&Document::default()).ntia_percent < 50);
}

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,5})?"
}

fn any_package() -> impl Strategy<Value = Package> {
    let kinds = prop::sample::select(vec![
        PackageKind::Deb,
        PackageKind::Rpm,
        PackageKind::Apk,
        PackageKind::Npm,
        PackageKind::Pypi,
        PackageKind::Maven,
        PackageKind::Golang,
        PackageKind::Generic,
        PackageKind::Composer,
        PackageKind::Conan,
        PackageKind::Oci,
    ]);
    let text = "[ -~äß€]{1,20}";
    (
        (kinds, text, text, prop::option::of(word()), prop::option::of(word())),
        (prop::option::of((word(), word())), prop::option::of(word()), prop::option::of("[ -~]{1,20}")),
        (prop::collection::vec(text, 0..3), prop::collection::vec("[0-9a-f]{40}", 0..2)),
        (prop::collection::btree_set(word(), 0..3), prop::collection::btree_map(text, text, 0..3)),
        prop::collection::vec(("[a-z/.]{1,20}", any::<bool>()), 1..3),
    )
        .prop_map(
            |(
                (kind, name, version, namespace, arch),
                (source, module, supplier),
                (licenses, hashes),
                rest,
                places,
            )| {
                let mut package = Package::new(kind, name, version);
                package.namespace = namespace;
                package.arch = arch;
                package.source = source.map(|(name, version)| SourcePackage { name, version });
                package.module = module;
                package.supplier = supplier;
                package.licenses = licenses;
                package.hashes = hashes.into_iter().map(|hex| format!("sha1:{hex}")).collect();
                package.depends_on = rest.0.into_iter().collect();
                package.properties = rest.1;
                package.evidence = places
                    .into_iter()
                    .map(|(path, layer)| Evidence { layer: layer.then(|| oci::Digest::sha256(b"l")), path })
                    .collect();
                package
            },
        )
}

/// What 1.0 and 1.1 allow, and what only later versions do.
#[test]
fn the_first_versions_of_cyclonedx_are_read_by_their_own_rules() {
    let accepted = |version: &str, root: &str, component: &str, members: &str| {
        let text = format!(
            r#"<bom xmlns="http://cyclonedx.org/schema/bom/{version}" version="1">{root}<components><component {component}>
            <name>left-pad</name><version>1.3.0</version>{members}</component></components></bom>"#
        );
        match read(text.as_bytes(), Strictness::Strict, &Limits::default()) {
            Ok(reading) => {
                assert_eq!(reading.document.inventory.packages.len(), 1);
                assert_eq!(reading.document.inventory.packages[0].version, "1.3.0");
                true
            }
            Err(ReadError::Invalid { .. }) => false,
            Err(other) => panic!("{other}"),
        }
    };
    let modified = "<purl>pkg:npm/left-pad@1.3.0</purl><modified>false</modified>";
    assert!(accepted("1.0", "", r#"type="library""#, modified));
    assert!(!accepted("1.0", "", r#"type="library""#, ""), "1.0 wants `modified`");
    assert!(accepted("1.1", "", r#"type="library" bom-ref="a""#, ""));
    for kind in ["container", "firmware"] {
        assert!(!accepted("1.1", "", &format!(r#"type="{kind}""#), modified), "{kind} came with 1.2");
        assert!(accepted("1.2", "", &format!(r#"type="{kind}""#), modified));
    }
    assert!(accepted("1.1", "", r#"type="file""#, modified));
    assert!(!accepted("1.0", "", r#"type="file""#, modified), "file came with 1.1");
    assert!(!accepted("1.1", "<metadata/>", r#"type="library""#, modified), "metadata came with 1.2");
    let empty = r#"<bom xmlns="http://cyclonedx.org/schema/bom/1.1" version="1"/>"#;
    assert!(read(empty.as_bytes(), Strictness::Strict, &Limits::default()).is_err());
    let json = r#"{"bomFormat":"CycloneDX","specVersion":"1.1","components":[]}"#;
    let refused = read(json.as_bytes(), Strictness::Strict, &Limits::default());
    assert!(matches!(refused, Err(ReadError::Version { .. })), "there is no JSON form of 1.1");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_inventory_survives_every_form(packages in prop::collection::vec(any_package(), 0..5)) {
        let mut document = sample();
        document.inventory.packages = packages;
        document.inventory.packages.sort();
        document.inventory.packages.dedup();
        for format in Format::all() {
            let bytes = write(&document, format).expect("written");
            let reading = read(&bytes, Strictness::Strict, &Limits::default())
                .map_err(|error| TestCaseError::fail(format!("{format}: {error}")))?;
            prop_assert_eq!(&reading.document.inventory, &document.inventory, "{}", format);
            prop_assert_eq!(write(&document, format).expect("again"), bytes, "{}", format);
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes, Strictness::Lenient, &Limits::default());
    }
}
