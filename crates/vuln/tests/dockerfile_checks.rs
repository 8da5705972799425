//! Published good and bad examples of Dockerfile checks: each check finds the bad and passes the good.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use vuln::misconfig::{dockerfile, rules_of};

#[derive(Deserialize)]
struct Examples {
    dockerfile: Sides,
}

#[derive(Deserialize)]
struct Sides {
    #[serde(default)]
    good: Vec<String>,
    #[serde(default)]
    bad: Vec<String>,
}

fn shared() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    std::env::var_os("BONDED_SHARED").map_or(root, PathBuf::from)
}

#[test]
fn every_example_is_judged_right() {
    let dir = shared().join("data/scan-truth/image-config/trivy-checks");
    let Ok(entries) = std::fs::read_dir(&dir) else {
        println!("skipped: no Dockerfile examples");
        return;
    };
    let mut wrong = Vec::new();
    let mut checked = 0;
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let rule = rules_of("dockerfile").iter().find(|rule| rule.check.as_deref() == Some(name.as_str()));
        let Some(rule) = rule else {
            wrong.push(format!("{name}: no such rule"));
            continue;
        };
        let text = std::fs::read_to_string(&path).expect("readable");
        let examples: Examples = serde_saphyr::from_str(&text).expect("examples");
        let sides = [(false, examples.dockerfile.good), (true, examples.dockerfile.bad)];
        for (bad, example) in
            sides.into_iter().flat_map(|(bad, list)| list.into_iter().map(move |one| (bad, one)))
        {
            checked += 1;
            let found = dockerfile::check("Dockerfile", &example).iter().any(|finding| finding.id == rule.id);
            if found != bad {
                wrong.push(format!(
                    "{name}: {} example judged wrong:\n{example}",
                    if bad { "bad" } else { "good" }
                ));
            }
        }
    }
    assert!(checked > 0);
    assert!(wrong.is_empty(), "{} of {checked} wrong\n{}", wrong.len(), wrong.join("\n"));
}
