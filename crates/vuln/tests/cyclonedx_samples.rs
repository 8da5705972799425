//! CycloneDX's own samples: every `valid-*` document is accepted, every `invalid-*` one refused.

use std::path::{Path, PathBuf};

use vuln::sbom::{Limits, Strictness, read};

fn shared() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    std::env::var_os("BONDED_SHARED").map_or(root, PathBuf::from)
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn valid_samples_are_accepted_and_invalid_ones_refused() {
    let mut found = Vec::new();
    files(&shared().join("data/scan-truth/sbom/cdx-samples"), &mut found);
    if found.is_empty() {
        println!("skipped: no CycloneDX samples");
        return;
    }
    found.sort();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for path in &found {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !path.extension().is_some_and(|extension| extension == "json" || extension == "xml") {
            continue;
        }
        checked += 1;
        let result = read(&std::fs::read(path).expect("readable"), Strictness::Strict, &Limits::default());
        if result.is_ok() != name.starts_with("valid-") {
            wrong.push(format!(
                "{}: {}",
                path.display(),
                result.map_or_else(|e| e.to_string(), |_| "accepted".into())
            ));
        }
    }
    assert!(checked > 0);
    assert!(wrong.is_empty(), "{} of {checked} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
