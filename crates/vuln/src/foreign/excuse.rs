//! What lets findings not count, whoever says them: allow-lists and VEX documents.
//!
//! They are applied to a vulnerability of a package once all scanners are put together: scanners name an erratum and all
//! vulnerabilities that it repairs in one breath, and an excuse of one of them must not excuse the others.

use std::collections::HashMap;

use super::combine::{CombinedFinding, plain};
use crate::matching::VexDocument;
use crate::matching::vex::{Decisions, Products};
use crate::{Inventory, Purl};

/// What lets findings of an artifact not count.
#[derive(Clone, Copy, Debug, Default)]
pub struct Excuses<'a> {
    /// Identifiers that are allowed.
    pub allowed: &'a [String],
    /// VEX documents, the most trusted last.
    pub vex: &'a [VexDocument],
    /// Package URLs of the artifact.
    pub products: &'a [String],
    /// What is in it, if that is known: VEX documents name packages by URL, and not every scanner does.
    pub inventory: Option<&'a Inventory>,
}

/// The same, ready to be asked.
pub(super) struct Excused<'a> {
    allowed: &'a [String],
    vex: Decisions<'a>,
    /// Packages by name and version; none: there are several such.
    packages: HashMap<String, Option<Purl>>,
}

impl<'a> Excused<'a> {
    pub(super) fn of(excuses: &Excuses<'a>) -> Self {
        let mut out = Self { allowed: excuses.allowed, vex: Decisions::default(), packages: HashMap::new() };
        if excuses.vex.is_empty() {
            return out;
        }
        let nothing = Inventory::default();
        let known = Products::of(excuses.inventory.unwrap_or(&nothing), excuses.products);
        out.vex = Decisions::of(excuses.vex, &known);
        for purl in known.purls() {
            let package = purl.to_package();
            for name in plain(&package.name, &package.version) {
                let here = out.packages.entry(name).or_insert_with(|| Some(purl.clone()));
                if here.as_ref().is_some_and(|other| other != purl) {
                    *here = None;
                }
            }
        }
        out
    }

    /// Lets what everybody said of a vulnerability of a package not count if it is excused, and says why.
    pub(super) fn apply(&self, finding: &mut CombinedFinding) {
        let Some(why) = self.why(finding) else { return };
        for opinion in &mut finding.said {
            opinion.suppressed.get_or_insert_with(|| why.clone());
        }
    }

    fn why(&self, finding: &CombinedFinding) -> Option<String> {
        let names = (finding.id.as_str(), finding.aliases.as_slice());
        if self.allowed.iter().any(|name| *name == finding.id || finding.aliases.contains(name)) {
            return Some("allow-list".to_owned());
        }
        let stated = finding.purl.as_deref().and_then(|text| Purl::parse(text).ok());
        let by_name = || {
            let mut named = plain(&finding.package, &finding.version).into_iter();
            named.find_map(|name| self.packages.get(&name)?.clone())
        };
        let package = stated.or_else(by_name);
        self.vex.excused(names, package.as_ref()).map(|it| format!("{}: {}", it.source, it.reason))
    }
}
