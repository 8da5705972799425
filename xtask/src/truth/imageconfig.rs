//! `image-config`: published good and bad examples of configuration checks, by the check's name.
//!
//! A file `CHECK.yaml` holds lists `good` and `bad` for each kind of document. The rule of that name must be violated by
//! every bad example and by no good one. An example of a check that has no rule here is skipped, named.

use super::{Report, files, stem};
use anyhow::Context;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use vuln::misconfig::{self, Rule, rules_of};

#[derive(Deserialize)]
struct Sides {
    #[serde(default)]
    good: Vec<String>,
    #[serde(default)]
    bad: Vec<String>,
}

/// Kind of document: its rules' family, and a name by which a file of that kind is recognised.
const KINDS: [(&str, &str); 3] =
    [("dockerfile", "Dockerfile"), ("kubernetes", "manifest.yaml"), ("terraform", "main.tf")];

pub(super) fn run(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    for path in files(dir)? {
        if !path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let examples: BTreeMap<String, Sides> =
            serde_saphyr::from_str(&text).with_context(|| format!("parsing {}", path.display()))?;
        for (kind, sides) in &examples {
            judge(&stem(&path), kind, sides, report);
        }
    }
    Ok(())
}

fn judge(check: &str, kind: &str, sides: &Sides, report: &mut Report) {
    let known = KINDS.iter().find(|(family, _)| *family == kind);
    let rule = known.and_then(|(family, file)| Some((rule_of(family, check)?, *file)));
    let Some((rule, file)) = rule else {
        let count = sides.good.len() + sides.bad.len();
        report.skip("image-config", kind, count, &format!("no rule is called {check}"));
        return;
    };
    let all = sides.good.iter().map(|one| (false, one)).chain(sides.bad.iter().map(|one| (true, one)));
    for (bad, example) in all {
        let findings = misconfig::check_file(file, example.as_bytes()).unwrap_or_default();
        let found = findings.iter().any(|finding| finding.id == rule.id);
        let side = if bad { "bad" } else { "good" };
        let outcome = if found == bad {
            Ok(())
        } else {
            Err(format!("{side} example of {check} judged wrong:\n{example}"))
        };
        report.check("image-config", kind, outcome);
    }
}

fn rule_of(family: &str, check: &str) -> Option<&'static Rule> {
    rules_of(family).iter().find(|rule| rule.check.as_deref() == Some(check))
}
