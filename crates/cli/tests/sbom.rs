//! `bonded sbom` as a person uses it: made, converted, compared, scored and merged, with the promised exit codes.

#[expect(dead_code, reason = "this suite needs no web server")]
mod common;

use std::path::Path;

use common::{bonded, code, text};

fn project(dir: &Path, version: &str) {
    let lock = format!(
        r#"{{"name":"app","version":"1.0.0","lockfileVersion":3,"packages":{{"":{{"name":"app"}},
        "node_modules/left-pad":{{"version":"{version}","license":"WTFPL"}}}}}}"#
    );
    std::fs::create_dir_all(dir).expect("directory");
    std::fs::write(dir.join("package-lock.json"), lock).expect("lock file");
}

#[test]
fn a_directory_is_listed_in_every_form_and_read_back() {
    let dir = tempfile::tempdir().expect("directory");
    let app = dir.path().join("app");
    project(&app, "1.3.0");
    for format in ["spdx-json", "spdx3-json", "cyclonedx-json@1.4", "cyclonedx-json", "cyclonedx-xml@1.7"] {
        let first = dir.path().join("first");
        let args = ["sbom", &text(&app), "-o", format, "--created", "1700000000", "--output"];
        let to = |path: &Path| {
            let path = text(path);
            let mut all: Vec<&str> = args.to_vec();
            all.push(&path);
            bonded(&all)
        };
        assert_eq!(to(&first), code(0), "{format}");
        let second = dir.path().join("second");
        assert_eq!(to(&second), code(0), "{format}");
        let bytes = std::fs::read(&first).expect("written");
        assert_eq!(bytes, std::fs::read(&second).expect("written"), "{format} is not deterministic");
        assert!(String::from_utf8_lossy(&bytes).contains("pkg:npm/left-pad@1.3.0"), "{format}");
        assert_eq!(bonded(&["sbom", "diff", &text(&app), &text(&first)]), code(0), "{format} lost something");
    }
}

#[test]
fn differences_scores_and_errors_have_their_exit_codes() {
    let dir = tempfile::tempdir().expect("directory");
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    project(&old, "1.2.0");
    project(&new, "1.3.0");
    assert_eq!(bonded(&["sbom", "diff", &text(&old), &text(&new)]), code(1));
    assert_eq!(bonded(&["sbom", "score", &text(&old)]), code(0));
    assert_eq!(bonded(&["sbom", "score", &text(&old), "--fail-below", "100"]), code(1));
    assert_eq!(bonded(&["sbom", "/no/such/thing"]), code(2));
    assert_eq!(bonded(&["sbom"]), code(2));
    let broken = dir.path().join("broken.json");
    std::fs::write(&broken, r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"name":"x"}]}"#)
        .expect("file");
    assert_eq!(bonded(&["sbom", &text(&broken)]), code(2));
    assert_eq!(
        bonded(&["sbom", &text(&broken), "--lenient", "--output", &text(&dir.path().join("out"))]),
        code(0)
    );
}

#[test]
fn sources_are_merged_by_trust() {
    let dir = tempfile::tempdir().expect("directory");
    let app = dir.path().join("app");
    project(&app, "1.3.0");
    let (stated, merged) = (dir.path().join("stated.json"), dir.path().join("merged.json"));
    let document = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"components":[
        {"type":"library","name":"left-pad","version":"1.3.0","purl":"pkg:npm/left-pad@1.3.0","supplier":{"name":"Azer"}}]}"#;
    std::fs::write(&stated, document).expect("file");
    let source = format!("declared={}", text(&stated));
    assert_eq!(
        bonded(&["sbom", "merge", &text(&app), &source, "-o", "cyclonedx-json", "--output", &text(&merged)]),
        code(0)
    );
    let text = std::fs::read_to_string(&merged).expect("merged");
    assert!(text.contains("scanned,declared") && text.contains("Azer"), "{text}");
}
