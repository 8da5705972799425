//! What another base image would change: a pure comparison of two sets of findings.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::PackageKind;
use crate::matching::Finding;

/// The effect of a change of base.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// Findings that go, as `id package`.
    pub removed: Vec<String>,
    /// Findings that come.
    pub added: Vec<String>,
    /// Findings that stay.
    pub kept: usize,
}

impl Advice {
    /// `this base removes 31 findings`.
    pub fn sentence(&self) -> String {
        let added = match self.added.len() {
            0 => String::new(),
            count => format!(" and adds {count}"),
        };
        format!("this base removes {} findings{added}", self.removed.len())
    }
}

/// Compares what counts of an image on its present base with what a candidate base would bring. Language packages are
/// the image's own and stay; packages of the distribution come from the base.
pub fn base_advice(image: &[Finding], candidate: &[Finding]) -> Advice {
    let of_base = |finding: &&Finding| {
        use PackageKind::{Alpm, Apk, Deb, Opkg, Rpm};
        finding.counts() && matches!(finding.kind, Deb | Rpm | Apk | Alpm | Opkg)
    };
    let keys = |findings: &[Finding]| -> BTreeSet<String> {
        findings.iter().filter(of_base).map(|finding| format!("{} {}", finding.id, finding.package)).collect()
    };
    let (now, then) = (keys(image), keys(candidate));
    Advice {
        removed: now.difference(&then).cloned().collect(),
        added: then.difference(&now).cloned().collect(),
        kept: now.intersection(&then).count(),
    }
}
