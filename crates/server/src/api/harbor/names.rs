//! What a path of Harbor's API names: a repository by project and name, an artifact by tag or digest.
//!
//! A slash in a repository's name arrives encoded twice (`%252F`), as Harbor's clients send it, or once; ids of artifacts
//! and tags, which are keys of text here, are numbers made from them.

use http::HeaderMap;
use metadata::model::RepositoryId;
use oci::{Digest, Reference, RepoName};
use registry::access::Right;
use registry::admin::ProjectRef;
use registry::{Caller, Error, Grant};

use super::projects::project_ref;
use crate::app::App;

/// A repository as a path names it.
#[derive(Clone, Debug, serde::Deserialize)]
pub(super) struct InRepository {
    pub(super) project: String,
    pub(super) repository: String,
}

impl InRepository {
    /// The repository's name. A project that is named by an id which there is not gets a name that nothing has.
    pub(super) fn name(&self, app: &App, headers: &HeaderMap) -> Result<RepoName, Error> {
        let project = match project_ref(&self.project, headers) {
            ProjectRef::Name(name) => name,
            ProjectRef::Id(id) => {
                let facts = app.registry.access().facts();
                facts.project(id).map_or_else(|| self.project.clone(), |fact| fact.name.clone())
            }
        };
        let repository = self.repository.replace("%2F", "/").replace("%2f", "/");
        RepoName::of(&project, &repository).map_err(|error| Error::Invalid(error.to_string()))
    }

    /// The proof that the caller has a right on it.
    pub(super) async fn grant<R: Right>(
        &self,
        app: &App,
        caller: &Caller,
        headers: &HeaderMap,
    ) -> Result<Grant<R>, Error> {
        app.registry.access().grant(&caller.principal, &self.name(app, headers)?).await
    }
}

/// The path of a repository.
pub(super) fn repository_path(full_name: &str) -> String {
    let (project, repository) = full_name.split_once('/').unwrap_or(("library", full_name));
    format!("/projects/{project}/repositories/{}", repository.replace('/', "%252F"))
}

/// A tag or a digest.
pub(super) fn reference(text: &str) -> Result<Reference, Error> {
    if text.contains(':') {
        let digest = text.parse().map(Reference::Digest);
        return digest.map_err(|error: oci::DigestError| Error::Invalid(error.to_string()));
    }
    text.parse().map(Reference::Tag).map_err(|error: oci::TagError| Error::Invalid(error.to_string()))
}

/// A positive number that stands for a thing of a repository: the same wherever and whenever it is shown, and exact in
/// the numbers of JavaScript.
pub(super) fn number(repository: RepositoryId, key: &str) -> i64 {
    let digest = Digest::sha256(format!("{repository}/{key}").as_bytes());
    let head = digest.raw().first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    i64::try_from(head >> 11).unwrap_or(i64::MAX)
}
