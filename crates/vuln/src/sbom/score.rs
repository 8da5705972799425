//! How good a bill of materials is, with reasons.
//!
//! Two yardsticks: the NTIA minimum elements (July 2021) and the required fields of BSI TR-03183-2 (version 2). Each
//! criterion counts the components that meet it; the score is the mean of the criteria in percent, rounded down, so
//! that 100 means that nothing at all is missing.

use serde::Serialize;

use super::document::Document;
use crate::license;

/// Most component names that a reason lists.
const MAX_NAMES: usize = 5;

/// One criterion of a yardstick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Criterion {
    /// Yardstick: `ntia` or `bsi`.
    pub yardstick: &'static str,
    /// Criterion, in the yardstick's words.
    pub name: &'static str,
    /// Components (or documents) that meet it.
    pub met: usize,
    /// Components (or documents) that it asks.
    pub of: usize,
    /// Why it is not fully met; empty when it is.
    pub reason: String,
}

/// The score of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Score {
    /// NTIA minimum elements, percent.
    pub ntia_percent: u32,
    /// BSI TR-03183-2, percent.
    pub bsi_percent: u32,
    /// All criteria.
    pub criteria: Vec<Criterion>,
}

type Test<'a> = &'a dyn Fn(&crate::Package) -> bool;

/// Scores a document.
pub fn score(document: &Document) -> Score {
    let mut criteria = Vec::new();
    document_criteria(document, &mut criteria);
    let packages = &document.inventory.packages;
    let any_edge = packages.iter().any(|package| !package.depends_on.is_empty());
    let identified: Test<'_> = &|package| {
        package.kind != crate::PackageKind::Generic
            || package.properties.contains_key("cpe")
            || package.properties.contains_key("swid")
    };
    let licensed: Test<'_> = &|package| {
        !package.licenses.is_empty() && package.licenses.iter().all(|text| license::is_expression(text))
    };
    let hashed: Test<'_> = &|package| package.hashes.iter().any(|hash| hash.starts_with("sha512:"));
    let per_component: [(&'static str, &'static str, Test<'_>); 10] = [
        ("ntia", "supplier name", &|package| package.supplier.is_some()),
        ("ntia", "component name", &|package| !package.name.is_empty()),
        ("ntia", "version", &|package| !package.version.is_empty()),
        ("ntia", "other unique identifiers", identified),
        ("bsi", "component creator", &|package| package.supplier.is_some()),
        ("bsi", "component name", &|package| !package.name.is_empty()),
        ("bsi", "component version", &|package| !package.version.is_empty()),
        ("bsi", "filename of the component", &|package| !package.evidence.is_empty()),
        ("bsi", "distribution licences", licensed),
        ("bsi", "hash value of the deployable component (SHA-512)", hashed),
    ];
    for (yardstick, name, test) in per_component {
        criteria.push(components(yardstick, name, packages, test));
    }
    for yardstick in ["ntia", "bsi"] {
        let met = packages.is_empty() || any_edge || packages.len() == 1;
        let reason = "no component states what it depends on";
        criteria.push(single(yardstick, "dependency relationship", met, reason));
    }
    Score { ntia_percent: percent(&criteria, "ntia"), bsi_percent: percent(&criteria, "bsi"), criteria }
}

fn document_criteria(document: &Document, criteria: &mut Vec<Criterion>) {
    let author = !document.authors.is_empty() || !document.tools.is_empty();
    for yardstick in ["ntia", "bsi"] {
        criteria.push(single(
            yardstick,
            "author of SBOM data",
            author,
            "the document names no author or tool",
        ));
        criteria.push(single(
            yardstick,
            "timestamp",
            document.created.is_some(),
            "the document has no time of creation",
        ));
    }
    let partial = document.inventory.problems.len();
    let reason = format!("{partial} files could not be read, so the list is partial");
    criteria.push(single("bsi", "completeness", partial == 0, &reason));
}

fn single(yardstick: &'static str, name: &'static str, met: bool, reason: &str) -> Criterion {
    let reason = if met { String::new() } else { reason.to_owned() };
    Criterion { yardstick, name, met: usize::from(met), of: 1, reason }
}

fn components(
    yardstick: &'static str,
    name: &'static str,
    packages: &[crate::Package],
    test: &dyn Fn(&crate::Package) -> bool,
) -> Criterion {
    let lacking: Vec<&str> =
        packages.iter().filter(|package| !test(package)).map(|package| package.name.as_str()).collect();
    let mut reason = String::new();
    if !lacking.is_empty() {
        let shown = lacking.iter().take(MAX_NAMES).copied().collect::<Vec<_>>().join(", ");
        let more = lacking.len().saturating_sub(MAX_NAMES);
        let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
        reason = format!("missing in {shown}{tail}");
    }
    Criterion { yardstick, name, met: packages.len() - lacking.len(), of: packages.len(), reason }
}

fn percent(criteria: &[Criterion], yardstick: &str) -> u32 {
    let own: Vec<&Criterion> = criteria.iter().filter(|criterion| criterion.yardstick == yardstick).collect();
    if own.is_empty() {
        return 0;
    }
    // An empty list meets no per-component criterion: a bill of materials without materials says nothing.
    let permille = |criterion: &&Criterion| (criterion.met * 1000).checked_div(criterion.of).unwrap_or(0);
    let sum: usize = own.iter().map(permille).sum();
    u32::try_from(sum / own.len() / 10).unwrap_or(100)
}
