//! Foreign bytes: whatever comes, importers, database, VEX and ignore readers answer or refuse, and never panic.

use proptest::prelude::*;
use vuln::advisory::import::{ImportLimits, import};
use vuln::db::{Db, FeedDraft, ShrinkPolicy, Update};
use vuln::matching::{IgnoreFile, VexDocument, query};

/// Openings of every form, so that random tails reach the readers behind the detection.
const OPENINGS: &[(&str, &str)] = &[
    (
        "a.json",
        r#"{"id":"X","modified":"","affected":[{"package":{"ecosystem":"npm","name":"a"},"ranges":[{"type":"SEMVER","events":["#,
    ),
    ("a.yaml", "id: X\nmodified: x\naffected:\n- package:\n    name: "),
    ("a.yml", "gem: x\ncve: 2020-1\npatched_versions:\n  - "),
    ("b.yaml", "title: x\nbranches:\n  a:\n    versions: ["),
    (
        "main.yaml",
        "distroversion: v3.1\nreponame: main\npackages:\n  - pkg:\n      name: a\n      secfixes:\n        ",
    ),
    ("list", "[01 Jan 2020] DSA-1-1 x\n\t{CVE-2020-1}\n\t[sid] - "),
    (
        "x.xml",
        "<?xml version=\"1.0\"?><oval_definitions><definitions><definition class=\"patch\" id=\"1\"><criteria>",
    ),
    (
        "x.xml",
        "<updates><update type=\"security\"><id>ALAS2-1</id><pkglist><collection><package name=\"a\" version=\"",
    ),
    ("x.json", r#"{"document":{"csaf_version":"2.0","tracking":{"id":"x"}},"product_tree":{"branches":["#),
    ("epss.csv", "cve,epss,percentile\nCVE-2020-1,"),
    ("kev.csv", "cveID,x\nCVE-2020-1,\""),
    ("db.yaml", "- bucket: alpine 3.1\n  pairs:\n    - bucket: "),
    ("x.json", r#"{"vulnerable_versions":"#),
    (
        "x.md",
        "```toml\n[advisory]\nid = \"RUSTSEC-2020-1\"\npackage = \"a\"\ndate = \"\"\n[versions]\npatched = [\"",
    ),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn importers_never_panic(opening in 0..OPENINGS.len(), tail in proptest::collection::vec(any::<u8>(), 0..200), words in "[-<>=~^!|,. \\[\\](){}\":0-9a-z\n]{0,200}") {
        let (name, head) = OPENINGS[opening];
        let limits = ImportLimits { max_document_bytes: 1 << 20, ..ImportLimits::default() };
        for end in [tail.as_slice(), words.as_bytes()] {
            let bytes = [head.as_bytes(), end].concat();
            let _ = import(name, &bytes, &limits, &mut |_| ());
            let _ = VexDocument::parse(name, &bytes);
        }
        let _ = IgnoreFile::parse("x", &words);
        let _ = IgnoreFile::parse("x.yaml", &words);
    }

    #[test]
    fn a_changed_database_never_panics(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut update = Update::new();
        let mut draft = FeedDraft::new("a", "a", "2026-11-21T00:00:00Z");
        let record = br#"{"id":"X","modified":"2026-01-01T00:00:00Z","aliases":["CVE-2020-1"],"summary":"s","affected":[{"package":
          {"ecosystem":"npm","name":"p"},"versions":["1","2"],"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"3"}]}]}]}"#;
        draft.import("x.json", record, &ImportLimits::default()).expect("import");
        draft.import("e.csv", b"cve,epss,percentile\nCVE-2020-1,0.5,0.5\n", &ImportLimits::default()).expect("import");
        update.put(draft, ShrinkPolicy::Refuse).expect("feed");
        let mut bytes = update.finish();
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(db) = Db::open(&bytes) {
            let _ = query(&db, "npm", "p", "1.0.0");
            let _ = db.by_id("CVE-2020-1").map(|all| all.into_iter().filter(|a| db.details(*a).is_ok()).count());
            let _ = (db.epss("CVE-2020-1"), db.kev("CVE-2020-1"), db.end_of_life("a", "1"));
        }
    }
}
