//! Findings over all images that a caller may see, as a list: worst image first, each image once wherever it is.
//!
//! The index chooses images and findings, the database says where the shown ones are, and the advisories what the index
//! does not hold. Which images have a named vulnerability or package is known before any is looked at, so none is missed;
//! a question that would have to walk through too many images is refused, and two are answered at once. A finding is
//! excused if every project in which the image is seen allows it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use ::estate::findings::{Asked, Lines, LinesError, Named};
use ::estate::{Estate, ImageRef, Images, OpenError, PackageRef, Tally, Visible};
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

/// Images of repositories of which a part of the name is known; each is looked up in the index: some 50 ms.
const MAX_NAMED_IMAGES: u32 = 20_000;
/// The same of one repository.
const MAX_OWN_IMAGES: u32 = 200_000;
/// Images of one question that are walked through and have nothing that is asked for: some 200 ms.
const MAX_IDLE: usize = 20_000;
/// Images so few that looking at each costs less than looking up who has a package.
const FEW: u64 = 1000;
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

/// Questions answered at the same time by one process; each holds what is wrong with the packages it looked at.
pub(super) const AT_ONCE: usize = 2;

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
    at: PackageRef,
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
    allowances: Arc<[Allowance]>,
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
        let _turn = self.listing.acquire().await.map_err(JobError::retry)?;
        let (pointer, _, open) = self.current().await?;
        let tallies = self.tallies(&pointer, &open).await?;
        let store = self.registry().store();
        let named = match &listing.repository {
            None => None,
            Some(repository) => Some(self.images_named(listing, repository).await?),
        };
        let allowances: Arc<[Allowance]> =
            self.registry().allowances(listing.projects).await.map_err(JobError::retry)?.into();
        let asked = &listing.asked;
        let picking = Picking {
            projects: sorted(listing.projects),
            id: asked.id.map(str::to_owned),
            package: asked.package.map(|name| (name.text.to_owned(), name.part)),
            severity: asked.severity,
            digest: listing.digest,
            named,
            allowances: Arc::clone(&allowances),
            distinct: listing.distinct,
            skip: listing.skip,
            limit: listing.limit,
            count: listing.count,
        };
        let picked = tokio::task::spawn_blocking(move || picking.pick(&open, &tallies)).await;
        let page = match picked.map_err(JobError::retry)? {
            Ok(page) => page,
            Err(PickError::Lines(LinesError::Estate(error))) => return Err(JobError::failed(error).into()),
            Err(error) => return Err(ListedFailure::TooMany(error.to_string())),
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
        let (total, more) = (page.total, page.more);
        let work = move || lines_in_place(page.lines, &places, &allowances, current.as_deref());
        let lines = tokio::task::spawn_blocking(work).await.map_err(JobError::retry)??;
        // What has no place went since the index was made.
        Ok(Listed { findings: lines, total, more })
    }

    /// The images of the repositories that are named, with their projects.
    async fn images_named(
        &self,
        listing: &Listing<'_>,
        RepositoryNamed { name, part }: &RepositoryNamed,
    ) -> Result<Vec<(Digest, ProjectId)>, ListedFailure> {
        let store = self.registry().store();
        if let Some(digest) = listing.digest {
            let places = store.tagged_places(&[digest], listing.projects, PLACES).await;
            let places = places.map_err(JobError::from)?.into_iter();
            return Ok(places
                .filter(|it| listing.covers(&it.full_name))
                .map(|it| (digest, it.project))
                .collect());
        }
        let most = if *part { MAX_NAMED_IMAGES } else { MAX_OWN_IMAGES };
        let found = store.held_in(name, *part, listing.projects, most + 1).await.map_err(JobError::from)?;
        if found.len() > most as usize {
            let advice = if *part { "write more of the name" } else { "name an image by its digest, too" };
            let text = format!("repositories of such names hold more than {most} images; {advice}");
            return Err(ListedFailure::TooMany(text));
        }
        Ok(found)
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

/// Puts lines where they count, with what the advisories say.
fn lines_in_place(
    lines: Vec<Picked>,
    places: &BTreeMap<Digest, Vec<TaggedPlace>>,
    allowances: &[Allowance],
    current: Option<&Current>,
) -> Result<Vec<ListedFinding>, JobError> {
    let db = current.map(Current::db).transpose().map_err(JobError::failed)?;
    // Lines that follow each other are mostly of one package.
    let mut known: HashMap<PackageRef, Vec<Finding>> = HashMap::new();
    let mut shown = Vec::with_capacity(lines.len());
    for line in lines {
        let excused = |project: &ProjectId| {
            allowances.iter().any(|list| list.projects.contains(project) && allows(&list.ids, &line.finding))
        };
        let mut places = places.get(&line.digest).into_iter().flatten();
        let Some(at) = places.find(|place| !excused(&place.project)) else { continue };
        if let (Some(db), false) = (&db, known.contains_key(&line.at)) {
            let all = describe(db, &line.package, line.distro.as_ref(), &line.scopes);
            known.insert(line.at, all.map_err(JobError::failed)?);
        }
        let mut described = known.get(&line.at).into_iter().flatten();
        shown.push(ListedFinding {
            digest: line.digest,
            repository: at.full_name.clone(),
            project: at.project,
            package: line.shown_name,
            version: line.package.version,
            described: described.find(|finding| finding.id == line.finding.id).cloned(),
            finding: Arc::unwrap_or_clone(line.finding),
        });
    }
    Ok(shown)
}

/// Why nothing is picked.
#[derive(Debug, thiserror::Error)]
enum PickError {
    #[error(transparent)]
    Lines(#[from] LinesError),
    #[error(
        "what is asked for is not among the first {MAX_IDLE} images; narrow the search by repository, package or vulnerability"
    )]
    Idle,
}

impl From<OpenError> for PickError {
    fn from(error: OpenError) -> Self {
        Self::Lines(error.into())
    }
}

impl Picking {
    fn pick(&self, open: &Open, tallies: &Tallies) -> Result<Page, PickError> {
        let view = open.borrow_dependent();
        let mut images = self.images(&view.estate)?;
        let mut page = Page { lines: Vec::new(), total: Counted::Exactly(0), more: false };
        let count = images.count();
        // What others have must not tell on itself, by how long it takes or by what is refused.
        if count == 0 {
            return Ok(page);
        }
        let package = self.package.as_ref().map(|(text, part)| Named { text, part: *part });
        let asked = Asked { id: self.id.as_deref(), package, severity: self.severity };
        let mut lines = Lines::new(&view.estate, &view.findings, &asked);
        let named = self.id.is_some() || self.package.is_some();
        if named && count > FEW {
            images.and(&lines.narrow()?);
        }
        // Without names and excuses the counters are what there is.
        let summed = (!named && self.allowances.is_empty() && !self.distinct).then(|| {
            tallies.iter().filter(|(at, _)| images.contains(*at)).map(|(_, tally)| self.worth(tally)).sum()
        });
        let (end, mut idle) = (self.skip.saturating_add(self.limit), 0);
        let enough = if summed.is_some() { end } else { end.max(self.count) };
        let (mut seen, mut over, mut told) = (0usize, false, HashSet::new());
        for (at, _) in tallies.iter().filter(|(at, tally)| images.contains(*at) && self.worth(tally) > 0) {
            if seen > enough {
                over = true;
                break;
            }
            if idle == MAX_IDLE {
                return Err(PickError::Idle);
            }
            let (before, mut excused) = (seen, self.excused(&view.estate, *at));
            for line in lines.of(*at)? {
                if excused(&line.finding)? || self.distinct && !told.insert(line.finding.id.clone()) {
                    continue;
                }
                if (self.skip..end).contains(&seen) {
                    let package = view.estate.package(line.package)?;
                    page.lines.push(Picked {
                        digest: view.estate.digest(*at)?,
                        at: line.package,
                        package: package.to_package(),
                        shown_name: package.shown_name(),
                        distro: package.distro.map(|id| Distro { id: id.to_owned(), ..Distro::default() }),
                        scopes: package.scopes.iter().map(|scope| (*scope).to_owned()).collect(),
                        finding: line.finding,
                    });
                }
                seen += 1;
            }
            idle += usize::from(seen == before);
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

    /// Whether a finding of an image is allowed in every project in which it is seen.
    fn excused<'p>(
        &'p self,
        estate: &'p Estate<'_>,
        at: ImageRef,
    ) -> impl FnMut(&Assessment) -> Result<bool, OpenError> + 'p {
        let mut seen_in: Option<Vec<i64>> = None;
        move |finding| {
            let mut allowing = Vec::new();
            for list in self.allowances.iter().filter(|list| allows(&list.ids, finding)) {
                allowing.extend(list.projects.iter().map(|project| project.get()));
            }
            if allowing.is_empty() {
                return Ok(false);
            }
            let projects = match &mut seen_in {
                Some(projects) => projects,
                none => none.insert(self.seen_in(estate, at)?),
            };
            Ok(projects.iter().all(|project| allowing.contains(project)))
        }
    }

    /// The projects, of those that are asked for, in which an image is.
    fn seen_in(&self, estate: &Estate<'_>, at: ImageRef) -> Result<Vec<i64>, OpenError> {
        if let Some(named) = &self.named {
            let digest = estate.digest(at)?;
            return Ok(named
                .iter()
                .filter(|(it, _)| *it == digest)
                .map(|(_, project)| project.get())
                .collect());
        }
        let mut projects = estate.projects_of(at)?;
        projects.retain(|project| self.projects.binary_search(project).is_ok());
        Ok(projects)
    }

    /// How many findings of a severity, or of all, counters count.
    fn worth(&self, tally: &Tally) -> u64 {
        match self.severity {
            Some(severity) => u64::from(tally.of(severity)),
            None => tally.all().total(),
        }
    }

    /// The images of which something may be listed.
    fn images(&self, estate: &Estate<'_>) -> Result<Images, OpenError> {
        let mut images = match &self.named {
            Some(named) => estate.images_of(named.iter().map(|(digest, _)| digest))?,
            None => estate.all_images(),
        };
        if let Some(digest) = &self.digest {
            images.and(&estate.images_of([digest])?);
        }
        estate.cut(&mut images, Visible::Projects(&self.projects))?;
        Ok(images)
    }
}
