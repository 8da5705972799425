//! Findings as lines of a list over many images: which images have one that is asked for, and what each of them has.
//!
//! A package is asked once for all images of a list, because images share packages. What names a vulnerability or a
//! package is found from there and not by going through images: the least bad image is found like the worst one.

use super::Findings;
use crate::container::OpenError;
use crate::estate::{Estate, ImageRef, Images, PackageRef};
use crate::layout;
use crate::package::PackageView;
use crate::search::pattern::{each_with, plain_piece};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use vuln::Severity;
use vuln::matching::Assessment;

/// Most packages whose findings are looked up because of a part of their name: some 50 ms.
const MAX_PACKAGES: usize = 50_000;
/// Most of these findings: some 100 MiB.
const MAX_FINDINGS: usize = 300_000;

/// A package's name as a report shows it, or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'q> {
    /// The text.
    pub text: &'q str,
    /// Whether the name need only contain it.
    pub part: bool,
}

impl Named<'_> {
    fn is(&self, name: &str) -> bool {
        name == self.text || self.part && name.contains(self.text)
    }
}

/// Which findings are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked<'q> {
    /// A vulnerability, by any of its names.
    pub id: Option<&'q str>,
    /// A package.
    pub package: Option<Named<'q>>,
    /// How bad.
    pub severity: Option<Severity>,
}

/// Why there are no lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinesError {
    /// The estate or its findings cannot be read.
    #[error("estate cannot be read")]
    Estate(#[from] OpenError),
    /// A part of a name that too many names have.
    #[error(
        "more than {MAX_PACKAGES} packages, or {MAX_FINDINGS} of their findings, have such a name; write more of it"
    )]
    TooMany,
}

/// A finding of a package of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The package.
    pub package: PackageRef,
    /// What is wrong with it.
    pub finding: Arc<Assessment>,
}

/// The findings that are asked for.
#[derive(Debug)]
pub struct Lines<'v, 'a, 'q> {
    estate: &'v Estate<'a>,
    findings: &'v Findings<'a>,
    asked: Asked<'q>,
    /// Findings of packages; once they are `narrowed`, of all that have any that is asked for.
    known: HashMap<PackageRef, Vec<Arc<Assessment>>>,
    narrowed: bool,
}

impl<'v, 'a, 'q> Lines<'v, 'a, 'q> {
    /// The findings of an estate that are asked for.
    pub fn new(estate: &'v Estate<'a>, findings: &'v Findings<'a>, asked: &Asked<'q>) -> Self {
        Self { estate, findings, asked: *asked, known: HashMap::new(), narrowed: false }
    }

    fn read(&self, at: PackageRef) -> Result<Vec<Arc<Assessment>>, OpenError> {
        let Asked { id, package, severity } = self.asked;
        let mut found = self.findings.of(at)?;
        found.retain(|f| severity.is_none_or(|severity| f.severity == severity));
        found.retain(|f| id.is_none_or(|id| f.id == id || f.aliases.iter().any(|alias| alias == id)));
        if let Some(name) = package
            && !found.is_empty()
            && !name.is(&self.estate.package(at)?.shown_name())
        {
            found.clear();
        }
        Ok(found.into_iter().map(Arc::new).collect())
    }

    /// The images that have what is asked for by name, found from there: no other is looked at afterwards.
    ///
    /// # Errors
    /// [`LinesError`].
    pub fn narrow(&mut self) -> Result<Images, LinesError> {
        let packages = match (self.asked.id, self.asked.package) {
            (Some(id), _) => self.findings.packages(id)?,
            (None, Some(name)) => packages_named(self.estate, name)?,
            (None, None) => return Ok(self.estate.all_images()),
        };
        self.known.clear();
        let mut count = 0;
        for at in packages {
            let found = self.read(at)?;
            count += found.len();
            if count > MAX_FINDINGS {
                return Err(LinesError::TooMany);
            }
            if !found.is_empty() {
                self.known.insert(at, found);
            }
        }
        self.narrowed = true;
        Ok(self.estate.images_with(self.known.keys().copied())?)
    }

    /// The findings of an image that are asked for, the worst first.
    ///
    /// # Errors
    /// [`OpenError::Damaged`].
    pub fn of(&mut self, at: ImageRef) -> Result<Vec<Line>, OpenError> {
        let segment = self.estate.layer(at.segment)?.segment;
        let mut components = Vec::new();
        segment.each_component(at.image, |component| components.push(component))?;
        let mut out = Vec::new();
        for component in components {
            let package = PackageRef { segment: at.segment, package: segment.package_of(component)? };
            if !self.narrowed && !self.known.contains_key(&package) {
                let found = self.read(package)?;
                self.known.insert(package, found);
            }
            let found = self.known.get(&package).into_iter().flatten();
            out.extend(found.map(|finding| Line { package, finding: Arc::clone(finding) }));
        }
        let key = |line: &Line| (std::cmp::Reverse(line.finding.severity), line.package);
        out.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.finding.id.cmp(&b.finding.id)));
        Ok(out)
    }
}

/// Packages that may have a name, found by a piece of it that every ecosystem spells alike.
fn packages_named(estate: &Estate<'_>, name: Named<'_>) -> Result<BTreeSet<PackageRef>, LinesError> {
    let piece = plain_piece(name.text, |c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let mut all = BTreeSet::new();
    for (number, layer) in estate.numbered() {
        let segment = layer.segment;
        let mut titles = Vec::new();
        each_with(&segment.texts(layout::TITLE_TEXTS), piece, |title, _| {
            titles.push(title);
            Ok(())
        })?;
        for title in titles {
            let packages = segment.packages_of(title..title + 1)?;
            all.extend(packages.map(|package| PackageRef { segment: number, package }));
            if all.len() > MAX_PACKAGES {
                return Err(LinesError::TooMany);
            }
        }
    }
    Ok(all)
}

impl PackageView<'_> {
    /// Its name as reports show it: as the ecosystem's advisories spell it, of a distribution the binary name.
    pub fn shown_name(&self) -> String {
        match vuln::advisory::scope::language(self.kind) {
            Some(_) => vuln::advisory::scope::language_name(&self.to_package()),
            None => self.name.to_owned(),
        }
    }
}
