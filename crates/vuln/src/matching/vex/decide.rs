//! Which statement decides on a vulnerability of a package of one scanned thing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{VexDocument, VexName, VexProduct, VexStatement, VexStatus};
use crate::advisory::Status;
use crate::matching::finding::{Finding, Suppression, SuppressionKind};
use crate::matching::ignore;
use crate::package::{Distro, Inventory, Package};
use crate::purl::Purl;

/// What a VEX product may name: the scanned thing itself and every package in it.
#[derive(Default)]
pub(crate) struct Products {
    named: BTreeSet<String>,
    purls: BTreeMap<String, Vec<Purl>>,
}

impl Products {
    /// What is in an inventory, and the names of the scanned thing.
    pub(crate) fn of(inventory: &Inventory, scanned: &[String]) -> Self {
        let mut out = Self { named: scanned.iter().cloned().collect(), ..Self::default() };
        let own = inventory.packages.iter().filter_map(|p| Purl::of_package(p, inventory.distro.as_ref()));
        for purl in scanned.iter().filter_map(|text| Purl::parse(text).ok()).chain(own) {
            out.purls.entry(Self::key(&purl)).or_default().push(purl);
        }
        out
    }

    /// What is in it by its package URLs.
    pub(crate) fn purls(&self) -> impl Iterator<Item = &Purl> {
        self.purls.values().flatten()
    }

    fn key(purl: &Purl) -> String {
        format!("{}/{}/{}", purl.ty(), purl.namespace().unwrap_or_default(), purl.name())
    }

    /// Whether a product is the scanned thing or in it: with a version that one, without any.
    fn has(&self, product: &VexName) -> bool {
        self.named.contains(&product.text)
            || product.purl.as_ref().is_some_and(|pattern| {
                let here = self.purls.get(&Self::key(pattern)).map_or(&[][..], Vec::as_slice);
                here.iter().any(|purl| ignore::means(pattern, purl))
            })
    }
}

/// What a statement says of the scanned thing.
struct Said<'d> {
    document: &'d VexDocument,
    statement: &'d VexStatement,
    /// It speaks of the scanned thing as a whole.
    whole: bool,
    /// Package URLs of what it speaks of.
    packages: Vec<&'d Purl>,
}

impl<'d> Said<'d> {
    fn of(document: &'d VexDocument, statement: &'d VexStatement, known: &Products) -> Option<Self> {
        let mut said = Self { document, statement, whole: false, packages: Vec::new() };
        for product in &statement.products {
            let VexProduct { name, subcomponents } = &**product;
            if subcomponents.is_empty() {
                said.packages.extend(&name.purl);
                said.whole |= name.text.starts_with("pkg:oci/") && known.has(name);
            } else if known.has(name) {
                said.packages.extend(subcomponents.iter().filter_map(|part| part.purl.as_ref()));
            }
        }
        (said.whole || !said.packages.is_empty()).then_some(said)
    }

    fn speaks_of(&self, package: Option<&Purl>) -> bool {
        let is = |package| self.packages.iter().any(|pattern| ignore::means(pattern, package));
        self.whole || package.is_some_and(is)
    }
}

/// What documents say of one scanned thing, found by the names of vulnerabilities.
#[derive(Default)]
pub(crate) struct Decisions<'d> {
    /// Of the least trusted document first.
    said: Vec<Said<'d>>,
    by_name: HashMap<&'d str, Vec<usize>>,
}

impl<'d> Decisions<'d> {
    /// Documents, the most trusted last.
    pub(crate) fn of(documents: &'d [VexDocument], known: &Products) -> Self {
        let mut out = Self::default();
        for document in documents {
            for statement in &document.statements {
                let Some(said) = Said::of(document, statement, known) else { continue };
                for name in statement.vulnerabilities.iter() {
                    out.by_name.entry(name).or_default().push(out.said.len());
                }
                out.said.push(said);
            }
        }
        out
    }

    /// The statement that decides on a vulnerability with these names: the latest of the most trusted document that
    /// speaks of it. Of a package that is not known only what is said of the whole thing counts.
    fn deciding(&self, (id, aliases): (&str, &[String]), package: Option<&Purl>) -> Option<&Said<'d>> {
        let mut mine: Vec<usize> = std::iter::once(id)
            .chain(aliases.iter().map(String::as_str))
            .filter_map(|name| self.by_name.get(name))
            .flatten()
            .copied()
            .collect();
        mine.sort_unstable();
        let mut speaking =
            mine.into_iter().rev().filter_map(|at| self.said.get(at)).filter(|said| said.speaks_of(package));
        let mut best = speaking.next()?;
        for said in speaking.take_while(|said| std::ptr::eq(said.document, best.document)) {
            if said.statement.timestamp > best.statement.timestamp {
                best = said;
            }
        }
        Some(best)
    }

    /// Applies the statement that decides on a finding.
    pub(crate) fn apply(&self, finding: &mut Finding, package: &Package, distro: Option<&Distro>) {
        if self.said.is_empty() {
            return;
        }
        let Some(purl) = Purl::of_package(package, distro) else { return };
        let Some(said) = self.deciding((&finding.id, &finding.aliases), Some(&purl)) else { return };
        match said.statement.status {
            VexStatus::NotAffected | VexStatus::Fixed => finding.suppress(excuse(said)),
            VexStatus::UnderInvestigation => {
                if finding.status == Status::Affected {
                    finding.status = Status::UnderInvestigation;
                }
            }
            VexStatus::Affected => {}
        }
    }

    /// Why a vulnerability of a package does not count; none: it does.
    pub(crate) fn excused(&self, names: (&str, &[String]), package: Option<&Purl>) -> Option<Suppression> {
        let said = self.deciding(names, package)?;
        matches!(said.statement.status, VexStatus::NotAffected | VexStatus::Fixed).then(|| excuse(said))
    }
}

fn excuse(Said { document, statement: s, .. }: &Said<'_>) -> Suppression {
    let said = if s.status == VexStatus::Fixed { "fixed" } else { "not affected" };
    let why: Vec<&str> = [&*s.justification, &*s.statement].into_iter().filter(|w| !w.is_empty()).collect();
    let reason = if why.is_empty() { said.to_owned() } else { format!("{said}: {}", why.join("; ")) };
    let source = if document.author.is_empty() {
        document.id.clone()
    } else {
        format!("{} ({})", document.id, document.author)
    };
    Suppression { kind: SuppressionKind::Vex, reason, source, until: None }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn says(product: &str, parts: &[&str], status: VexStatus, timestamp: &str) -> VexStatement {
        let name = |text: &str| VexName::new(text.to_owned());
        let subcomponents = parts.iter().map(|part| name(part)).collect();
        VexStatement {
            vulnerabilities: ["CVE-2026-0001".to_owned()].into(),
            products: vec![Arc::new(VexProduct { name: name(product), subcomponents })],
            status,
            justification: Arc::default(),
            statement: Arc::default(),
            timestamp: timestamp.parse().ok(),
        }
    }

    fn document(statements: Vec<VexStatement>) -> VexDocument {
        VexDocument { statements, ..VexDocument::default() }
    }

    fn decided(documents: &[VexDocument], package: &str, known: &Products) -> Option<VexStatus> {
        let purl = Purl::parse(package).expect("purl");
        let decisions = Decisions::of(documents, known);
        decisions.deciding(("CVE-2026-0001", &[]), Some(&purl)).map(|said| said.statement.status)
    }

    fn inventory(purls: &[&str]) -> Inventory {
        let package = |text: &&str| Purl::parse(text).expect("purl").to_package();
        Inventory { packages: purls.iter().map(package).collect(), ..Inventory::default() }
    }

    #[test]
    fn a_subcomponent_counts_only_inside_its_product_at_its_version() {
        let lib = "pkg:golang/example.org/lib@v1.0.0";
        let means = |product: &str, present: &[&str], scanned: &[&str]| {
            let scanned: Vec<String> = scanned.iter().map(|s| (*s).to_owned()).collect();
            let said = document(vec![says(product, &[lib], VexStatus::NotAffected, "")]);
            decided(&[said], lib, &Products::of(&inventory(present), &scanned)).is_some()
        };
        let app = "pkg:golang/example.org/app";
        assert!(means(app, &["pkg:golang/example.org/app@v2.0.0"], &[]), "without a version any");
        assert!(means("pkg:golang/example.org/app@v2.0.0", &["pkg:golang/example.org/app@v2.0.0"], &[]));
        assert!(!means("pkg:golang/example.org/app@v1.0.0", &["pkg:golang/example.org/app@v2.0.0"], &[]));
        assert!(!means(app, &["pkg:golang/example.org/apps@v2.0.0"], &[]));
        assert!(!means(app, &[], &[]));
        let image = "pkg:oci/app@sha256%3Aaa?repository_url=example.org/app&tag=1";
        assert!(means("pkg:oci/app", &[], &[image]));
        assert!(means("pkg:oci/app@sha256:aa", &[], &[image]));
        assert!(!means("pkg:oci/app@sha256:bb", &[], &[image]));
    }

    #[test]
    fn trust_decides_between_documents_and_time_within_one() {
        let says = |status, timestamp: &str| says("pkg:npm/lib", &[], status, timestamp);
        let decided =
            |documents: &[VexDocument]| decided(documents, "pkg:npm/lib@1.0.0", &Products::default());
        let (yes, no) = (VexStatus::Affected, VexStatus::NotAffected);
        let newer = document(vec![says(no, "2026-06-01T00:00:00Z")]);
        let vendor = document(vec![says(yes, "2026-01-01T00:00:00Z")]);
        assert_eq!(decided(&[newer.clone(), vendor.clone()]), Some(yes), "the vendor is trusted more");
        assert_eq!(decided(&[vendor, newer]), Some(no));
        // As texts the first would be the later one.
        let zones = [says(no, "2026-01-01T01:00:00+09:00"), says(yes, "2025-12-31T20:00:00Z")];
        assert_eq!(decided(&[document(zones.to_vec())]), Some(yes));
        assert_eq!(decided(&[document(vec![says(no, "2026-01-01T00:00:00Z"), says(yes, "")])]), Some(no));
        let same = "2026-01-01T00:00:00Z";
        assert_eq!(decided(&[document(vec![says(no, same), says(yes, same)])]), Some(yes), "the later one");
        assert_eq!(decided(&[]), None);
    }
}
