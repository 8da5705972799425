//! Which images contain what: asked of the index, shown with their projects and tags.

use std::collections::BTreeMap;

use ::estate::Visible;
use ::estate::search::{self, Query, QueryError, SearchError, Window};
use metadata::model::ProjectId;
use metadata::model::estate::TaggedPlace;
use oci::Digest;

use super::Index;
use crate::job::JobError;

/// Most matched packages that are shown of one image.
const PACKAGES: usize = 20;
/// Most places that are shown of one page.
const PLACES: u32 = 5000;

/// A question.
#[derive(Clone, Debug)]
pub struct Question<'q> {
    /// Its text: `log4j-core < 2.17.1`.
    pub text: &'q str,
    /// Projects whose images may be named.
    pub projects: &'q [ProjectId],
    /// Only images after this one.
    pub after: Option<Digest>,
    /// Most images.
    pub limit: usize,
}

/// A page of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How many images there are in all.
    pub total: u64,
    /// Images, by digest.
    pub images: Vec<Hit>,
    /// What to continue after, if there is more.
    pub next: Option<Digest>,
}

/// An image of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The image.
    pub digest: Digest,
    /// The packages that were asked for, the first of them.
    pub packages: Vec<HitPackage>,
    /// How many there are.
    pub matched: u64,
    /// Where it is, as far as the caller may know.
    pub places: Vec<TaggedPlace>,
}

/// A package of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HitPackage {
    /// Its package URL, where its kind has one.
    pub purl: Option<String>,
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Files that state it.
    pub paths: Vec<String>,
    /// Licences as declared.
    pub licenses: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchFailure {
    /// The text is no question.
    #[error(transparent)]
    Question(#[from] QueryError),
    /// The question cannot be answered.
    #[error("{0}")]
    Meaning(String),
    /// Not now.
    #[error("the index cannot be asked: {0}")]
    Unavailable(#[from] JobError),
}

impl Index {
    /// Answers a question.
    ///
    /// # Errors
    /// [`SearchFailure`].
    pub async fn search(&self, question: Question<'_>) -> Result<Answer, SearchFailure> {
        let query = Query::parse(question.text)?;
        let (_, _, open) = self.current().await?;
        let projects: Vec<i64> = question.projects.iter().map(|project| project.get()).collect();
        let (after, limit) = (question.after, question.limit);
        let found = tokio::task::spawn_blocking(move || {
            let view = open.borrow_dependent();
            let window = Window { visible: Visible::Projects(&projects), after, limit, packages: PACKAGES };
            let page = search::search(&view.estate, &view.findings, &query, &window)?;
            let hits = page.images.into_iter().map(|found| Hit {
                digest: found.digest,
                packages: found.packages.iter().map(package).collect(),
                matched: found.matched,
                places: Vec::new(),
            });
            Ok::<_, SearchError>(Answer { total: page.total, images: hits.collect(), next: page.next })
        });
        let mut answer = found.await.map_err(JobError::retry)?.map_err(refused)?;
        let digests: Vec<Digest> = answer.images.iter().map(|hit| hit.digest).collect();
        let store = self.registry().store();
        let mut places: BTreeMap<Digest, Vec<TaggedPlace>> = BTreeMap::new();
        let found = store.tagged_places(&digests, question.projects, PLACES).await.map_err(JobError::from)?;
        for place in found {
            places.entry(place.digest).or_default().push(place);
        }
        for hit in &mut answer.images {
            hit.places = places.remove(&hit.digest).unwrap_or_default();
        }
        Ok(answer)
    }
}

pub(super) fn refused(error: SearchError) -> SearchFailure {
    match error {
        SearchError::Estate(error) => JobError::failed(error).into(),
        error => SearchFailure::Meaning(error.to_string()),
    }
}

fn package(seen: &::estate::Seen<'_>) -> HitPackage {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    HitPackage {
        purl: seen.package.purl().map(|purl| purl.to_string()),
        name: seen.package.to_package().full_name(),
        version: seen.package.version.to_owned(),
        paths: texts(&seen.paths),
        licenses: texts(&seen.licenses),
    }
}
