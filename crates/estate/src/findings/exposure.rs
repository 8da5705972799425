//! Which vulnerabilities affect whom: what is told of the times that they stay.

use super::{Findings, Part};
use crate::container::OpenError;
use crate::estate::{Estate, ImageRef};
use crate::package::{PackageView, title};
use std::collections::{BTreeMap, BTreeSet};
use vuln::Severity;

/// A vulnerability as packages have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The worst severity.
    pub severity: Severity,
    /// A package that has it ([`subject`]).
    pub package: String,
}

/// What an advisory speaks of, whatever the version: packaging system and name, of the source where there is one.
pub fn subject(view: &PackageView<'_>) -> String {
    let mut package = view.to_package();
    if let Some(source) = package.source.take() {
        package.name = source.name;
        package.namespace = None;
    }
    format!("{:?} {}", view.kind, title(&package).0)
}

fn hold(all: &mut BTreeMap<String, Held>, id: &str, severity: Severity, view: &PackageView<'_>) {
    match all.get_mut(id) {
        Some(held) => held.severity = held.severity.max(severity),
        None => drop(all.insert(id.to_owned(), Held { severity, package: subject(view) })),
    }
}

impl Findings<'_> {
    /// The vulnerabilities of an image, by first name.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn held_by(&self, estate: &Estate<'_>, at: ImageRef) -> Result<BTreeMap<String, Held>, OpenError> {
        let mut all = BTreeMap::new();
        for (view, finding) in self.of_image(estate, at)? {
            hold(&mut all, &finding.id, finding.severity, &view);
        }
        Ok(all)
    }

    /// A vulnerability by its first name, and the projects that hold affected images; none: no image is affected.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn held(&self, estate: &Estate<'_>, id: &str) -> Result<Option<(Held, BTreeSet<i64>)>, OpenError> {
        let (mut found, mut packages) = (BTreeMap::new(), Vec::new());
        for at in self.packages(id)? {
            let Some((part, key)) = self.place(at)? else { continue };
            for row in part.rows(key)? {
                if part.names(row.vulnerability)?.0 == id {
                    hold(&mut found, id, row.severity, &estate.package(at)?);
                    packages.push(at);
                }
            }
        }
        let Some(held) = found.remove(id) else { return Ok(None) };
        let projects = estate.projects_with(&estate.images_with(packages)?)?;
        Ok((!projects.is_empty()).then(|| (held, projects.into_keys().collect())))
    }

    /// First names of vulnerabilities in order after `last`, also of some that no package has any more.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn first_names(&self, last: &str, limit: usize) -> Result<Vec<String>, OpenError> {
        let mut all = BTreeSet::new();
        for part in &self.parts {
            all.extend(part.first_names(last, limit)?);
        }
        Ok(all.into_iter().take(limit).map(str::to_owned).collect())
    }
}

impl<'a> Part<'a> {
    fn first_names(&self, last: &str, limit: usize) -> Result<Vec<&'a str>, OpenError> {
        let names = self.texts(super::file::NAMES);
        let of_names = self.lists(super::file::NAME_VULNERABILITIES);
        let vulnerabilities = self.lists(super::file::VULNERABILITY_KEYS).len();
        let mut at = crate::lists::first(0, names.len(), |i| Ok(names.at(i)? <= last))?;
        let mut out = Vec::new();
        while at < names.len() && out.len() < limit {
            for vulnerability in of_names.to_vec(at, vulnerabilities)? {
                if self.names(vulnerability)?.0 == names.at(at)? {
                    out.push(names.at(at)?);
                    break;
                }
            }
            at += 1;
        }
        Ok(out)
    }
}
