//! Findings over all images that a caller may see, as a list: worst image first, each image once wherever it is.
//!
//! The index chooses images and findings, the database says where the shown ones are, and the advisories what the index
//! does not hold. Which images have a named vulnerability or package is known before any is looked at, so none is missed;
//! how many images a question walks through is bounded. A finding is excused if every project in which the image is seen
//! allows it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use ::estate::findings::{Asked, Lines, LinesError, Named};
use ::estate::{Estate, Images, OpenError, Tally, Visible};
use metadata::model::ProjectId;
use metadata::model::estate::TaggedPlace;
use oci::Digest;
use registry::admin::Allowance;
use vuln::matching::{Assessment, Finding, describe};
use vuln::{Distro, Package};

use super::totals::Tallies;
use super::{Index, Open};
use crate::job::JobError;
use crate::scan::Current;

/// Images of repositories of a name; each is looked up in the index: some 50 ms.
const MAX_NAMED_IMAGES: u32 = 20_000;
/// Images that are walked through without finding a line: some 50 ms.
const MAX_IDLE: usize = 5000;
/// Places that are read for a page, which has at most 100 images.
const PLACES: u32 = 50_000;

/// Repositories by their full name, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryNamed {
    /// What the name is.
    pub name: String,
    /// Whether it need only be contained.
    pub part: bool,
}

/// What is to be listed.
#[derive(Clone, Debug, Default)]
pub struct Listing<'q> {
    /// Projects whose images are listed: the caller may see all of them.
    pub projects: &'q [ProjectId],
    /// Which findings.
    pub asked: Asked<'q>,
    /// Only of this image.
    pub digest: Option<Digest>,
    /// Only of images in such repositories.
    pub repository: Option<RepositoryNamed>,
    /// Every vulnerability once, of the first image that has it.
    pub distinct: bool,
    /// Lines before the page.
    pub skip: usize,
    /// Lines of the page.
    pub limit: usize,
    /// Lines up to which they are counted where their number does not follow from counters.
    pub count: usize,
}

/// A list's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Exactly so many.
    Exactly(u64),
    /// So many, and perhaps more.
    AtLeast(u64),
}

/// A finding of an image.
#[derive(Clone, Debug)]
pub struct ListedFinding {
    /// The image.
    pub digest: Digest,
    /// A repository that holds it.
    pub repository: String,
    /// Its project.
    pub project: ProjectId,
    /// The package's name as reports show it.
    pub package: String,
    /// Its version.
    pub version: String,
    /// What is wrong with it.
    pub finding: Assessment,
    /// What the advisories of this moment say of it.
    pub described: Option<Finding>,
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its lines.
    pub findings: Vec<ListedFinding>,
    /// How many there are in all.
    pub total: Counted,
    /// Whether lines follow.
    pub more: bool,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum ListedFailure {
    /// More is named than can be looked through.
    #[error("{0}")]
    TooMany(String),
    /// Not now.
    #[error("the index cannot be asked: {0}")]
    Unavailable(#[from] JobError),
}

/// A line before its place is known.
struct Picked {
    digest: Digest,
    package: Package,
    shown_name: String,
    distro: Option<Distro>,
    scopes: Vec<String>,
    finding: Arc<Assessment>,
}

/// What is picked of the index.
struct Page {
    lines: Vec<Picked>,
    total: Counted,
    more: bool,
}

/// The blocking part of a question.
struct Picking {
    projects: Vec<i64>,
    id: Option<String>,
    package: Option<(String, bool)>,
    severity: Option<vuln::Severity>,
    digest: Option<Digest>,
    /// Images of the repositories that were named, with their projects.
    named: Option<Vec<(Digest, ProjectId)>>,
    allowances: Vec<Allowance>,
    distinct: bool,
    skip: usize,
    limit: usize,
    count: usize,
}

impl Index {
    /// A page of what is wrong with images of some projects.
    ///
    /// # Errors
    /// [`ListedFailure`].
    pub async fn listed(&self, listing: &Listing<'_>) -> Result<Listed, ListedFailure> {
        let (pointer, _, open) = self.current().await?;
        let tallies = self.tallies(pointer, &open).await?;
        let store = self.registry().store();
        let named = match &listing.repository {
            None => None,
            Some(RepositoryNamed { name, part }) => {
                let found = store.judged_in(name, *part, listing.projects, MAX_NAMED_IMAGES + 1).await;
                let found = found.map_err(JobError::from)?;
                if found.len() > MAX_NAMED_IMAGES as usize {
                    let text = format!("repositories of such names hold more than {MAX_NAMED_IMAGES} images");
                    return Err(ListedFailure::TooMany(format!("{text}; write more of the name")));
                }
                Some(found)
            }
        };
        let allowances = self.registry().allowances(listing.projects).await.map_err(JobError::retry)?;
        let asked = &listing.asked;
        let picking = Picking {
            projects: sorted(listing.projects),
            id: asked.id.map(str::to_owned),
            package: asked.package.map(|name| (name.text.to_owned(), name.part)),
            severity: asked.severity,
            digest: listing.digest,
            named,
            allowances: allowances.clone(),
            distinct: listing.distinct,
            skip: listing.skip,
            limit: listing.limit,
            count: listing.count,
        };
        let picked = tokio::task::spawn_blocking(move || picking.pick(&open, &tallies)).await;
        let page = match picked.map_err(JobError::retry)? {
            Ok(page) => page,
            Err(error @ LinesError::TooMany) => return Err(ListedFailure::TooMany(error.to_string())),
            Err(LinesError::Estate(error)) => return Err(JobError::failed(error).into()),
        };
        let mut digests: Vec<Digest> = page.lines.iter().map(|line| line.digest).collect();
        digests.sort_unstable();
        digests.dedup();
        let found = store.tagged_places(&digests, listing.projects, PLACES).await.map_err(JobError::from)?;
        let mut places: BTreeMap<Digest, Vec<TaggedPlace>> = BTreeMap::new();
        for place in found.into_iter().filter(|place| listing.covers(&place.full_name)) {
            places.entry(place.digest).or_default().push(place);
        }
        let current = self.scanner.advisories().current().await?;
        let lines = page.lines;
        let work = tokio::task::spawn_blocking(move || {
            lines.into_iter().map(|line| place(line, &places, &allowances, current.as_deref())).collect()
        });
        let lines: Result<Vec<Option<ListedFinding>>, JobError> = work.await.map_err(JobError::retry)?;
        // What has no place went since the index was made.
        Ok(Listed { findings: lines?.into_iter().flatten().collect(), total: page.total, more: page.more })
    }
}

impl Listing<'_> {
    fn covers(&self, full_name: &str) -> bool {
        self.repository.as_ref().is_none_or(|RepositoryNamed { name, part }| {
            full_name == name || *part && full_name.contains(name.as_str())
        })
    }
}

fn sorted(projects: &[ProjectId]) -> Vec<i64> {
    let mut sorted: Vec<i64> = projects.iter().map(|project| project.get()).collect();
    sorted.sort_unstable();
    sorted
}

/// Whether identifiers name a finding.
fn allows(ids: &[String], finding: &Assessment) -> bool {
    let named = |id: &String| ids.binary_search(id).is_ok();
    named(&finding.id) || finding.aliases.iter().any(named)
}

/// Puts a line where it counts, with what the advisories say.
fn place(
    line: Picked,
    places: &BTreeMap<Digest, Vec<TaggedPlace>>,
    allowances: &[Allowance],
    current: Option<&Current>,
) -> Result<Option<ListedFinding>, JobError> {
    let excused = |project: &ProjectId| {
        allowances.iter().any(|list| list.projects.contains(project) && allows(&list.ids, &line.finding))
    };
    let mut places = places.get(&line.digest).into_iter().flatten();
    let Some(at) = places.find(|place| !excused(&place.project)) else { return Ok(None) };
    let described = match current {
        None => None,
        Some(current) => {
            let db = current.db().map_err(JobError::failed)?;
            let all = describe(&db, &line.package, line.distro.as_ref(), &line.scopes);
            all.map_err(JobError::failed)?.into_iter().find(|finding| finding.id == line.finding.id)
        }
    };
    Ok(Some(ListedFinding {
        digest: line.digest,
        repository: at.full_name.clone(),
        project: at.project,
        package: line.shown_name,
        version: line.package.version,
        finding: Arc::unwrap_or_clone(line.finding),
        described,
    }))
}

/// Images by what does not count where they are.
struct Excuses<'l> {
    /// Images in a project in which everything counts.
    plain: Images,
    /// Identifiers, and the images in projects in which these do not count.
    lists: Vec<(&'l [String], Images)>,
}

impl Excuses<'_> {
    fn excuse(&self, at: ::estate::ImageRef, finding: &Assessment) -> bool {
        !self.plain.contains(at)
            && self
                .lists
                .iter()
                .filter(|(_, images)| images.contains(at))
                .all(|(ids, _)| allows(ids, finding))
    }

    /// Images in which such a finding may count.
    fn leave(&self, lines: &Lines<'_, '_>) -> Images {
        let mut left = self.plain.clone();
        for (ids, images) in &self.lists {
            if lines.any(|finding| !allows(ids, finding)) {
                left.or(images);
            }
        }
        left
    }
}

impl Picking {
    fn pick(&self, open: &Open, tallies: &Tallies) -> Result<Page, LinesError> {
        let view = open.borrow_dependent();
        let package = self.package.as_ref().map(|(text, part)| Named { text, part: *part });
        let asked = Asked { id: self.id.as_deref(), package, severity: self.severity };
        let mut lines = Lines::new(&view.estate, &view.findings, &asked)?;
        let mut images = self.images(&view.estate, &self.projects)?;
        let excuses = self.excuses(&view.estate)?;
        let narrowed = lines.images()?;
        if let Some(narrowed) = &narrowed {
            images.and(narrowed);
            images.and(&excuses.leave(&lines));
        }
        // Without names and excuses the counters are what there is.
        let summed = (narrowed.is_none() && excuses.lists.is_empty() && !self.distinct).then(|| {
            tallies.iter().filter(|(at, _)| images.contains(*at)).map(|(_, tally)| self.worth(tally)).sum()
        });
        let (end, mut idle) = (self.skip.saturating_add(self.limit), 0);
        let enough = if summed.is_some() { end } else { end.max(self.count) };
        let mut page = Page { lines: Vec::new(), total: Counted::Exactly(0), more: false };
        let (mut seen, mut over, mut told) = (0usize, false, HashSet::new());
        for (at, _) in tallies.iter().filter(|(at, tally)| images.contains(*at) && self.worth(tally) > 0) {
            if seen > enough || idle == MAX_IDLE {
                over = true;
                break;
            }
            let before = seen;
            for line in lines.of(*at)? {
                if excuses.excuse(*at, &line.finding)
                    || self.distinct && !told.insert(line.finding.id.clone())
                {
                    continue;
                }
                if (self.skip..end).contains(&seen) {
                    let view = view.estate.package(line.package)?;
                    page.lines.push(Picked {
                        digest: open.borrow_dependent().estate.digest(*at)?,
                        package: view.to_package(),
                        shown_name: view.shown_name(),
                        distro: view.distro.map(|id| Distro { id: id.to_owned(), ..Distro::default() }),
                        scopes: view.scopes.iter().map(|scope| (*scope).to_owned()).collect(),
                        finding: line.finding,
                    });
                }
                seen += 1;
            }
            idle = if seen == before { idle + 1 } else { 0 };
        }
        page.more = seen > end || over && seen == end;
        let seen = seen as u64;
        page.total = match summed {
            Some(total) => Counted::Exactly(total),
            None if over => Counted::AtLeast(seen),
            None => Counted::Exactly(seen),
        };
        Ok(page)
    }

    /// How many findings of a severity, or of all, counters count.
    fn worth(&self, tally: &Tally) -> u64 {
        match self.severity {
            Some(severity) => u64::from(tally.of(severity)),
            None => tally.all().total(),
        }
    }

    /// The images in some projects of which something may be listed.
    fn images(&self, estate: &Estate<'_>, projects: &[i64]) -> Result<Images, OpenError> {
        let mut images = match &self.named {
            Some(named) => {
                let inside =
                    named.iter().filter(|(_, project)| projects.binary_search(&project.get()).is_ok());
                estate.images_of(inside.map(|(digest, _)| digest))?
            }
            None => estate.all_images(),
        };
        if let Some(digest) = &self.digest {
            images.and(&estate.images_of([digest])?);
        }
        estate.cut(&mut images, Visible::Projects(projects))?;
        Ok(images)
    }

    fn excuses(&self, estate: &Estate<'_>) -> Result<Excuses<'_>, OpenError> {
        let mut plain = self.projects.clone();
        let mut lists = Vec::with_capacity(self.allowances.len());
        for list in &self.allowances {
            let projects = sorted(&list.projects);
            plain.retain(|project| projects.binary_search(project).is_err());
            lists.push((list.ids.as_slice(), self.images(estate, &projects)?));
        }
        Ok(Excuses { plain: self.images(estate, &plain)?, lists })
    }
}
