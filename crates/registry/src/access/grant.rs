//! A `Grant` is the proof that a caller may do something to a repository. Use cases take it instead of a name, so
//! there is no way to a repository's content around the decision.

use std::marker::PhantomData;
use std::sync::Arc;

use metadata::model::{PrincipalId, ProjectId};
use oci::RepoName;
use policy::{Permission, TagRule};

/// A kind of right that a grant proves.
pub trait Right {
    /// The permission that it needs.
    const PERMISSION: Permission;
}

/// Reading manifests, blobs and lists.
#[derive(Debug)]
pub struct Pull;

/// Uploading blobs, putting manifests, moving tags.
#[derive(Debug)]
pub struct Push;

/// Deleting.
#[derive(Debug)]
pub struct Delete;

impl Right for Pull {
    const PERMISSION: Permission = Permission::Pull;
}

impl Right for Push {
    const PERMISSION: Permission = Permission::Push;
}

impl Right for Delete {
    const PERMISSION: Permission = Permission::Delete;
}

/// The proof that a caller has a right on a repository of an existing project.
#[derive(Debug)]
pub struct Grant<R> {
    pub(crate) project: ProjectId,
    pub(crate) repo: RepoName,
    pub(crate) principal: PrincipalId,
    pub(crate) principal_name: Arc<str>,
    pub(crate) tags: Option<Arc<TagRule>>,
    pub(crate) right: PhantomData<R>,
}

impl<R> Grant<R> {
    /// The repository's project.
    pub fn project(&self) -> ProjectId {
        self.project
    }

    /// The repository's name.
    pub fn repo(&self) -> &RepoName {
        &self.repo
    }

    /// For which tags the right holds; none: for every one.
    pub(crate) fn tags(&self) -> Option<&TagRule> {
        self.tags.as_deref()
    }
}
