//! The registry's entities: their rows, the reads that use cases make, and the steps that planners put into a `Tx`.
//!
//! One file per entity. Reads are methods of `Store`; steps are functions over `&mut Tx` whose tags (`Conflict`
//! names) say what the plan relied on. Not found is `Ok(None)`.

pub mod access;
pub mod adapter;
pub mod artifact;
pub mod audit;
pub mod blob;
pub mod catalog;
pub mod checkpoint;
pub mod collect;
pub mod combined;
pub mod deleted;
pub mod estate;
pub mod exposure;
pub mod installation;
pub mod keys;
pub mod manifest;
pub mod notes;
pub mod principal;
pub mod project;
pub mod rebuild;
pub mod referrers;
pub mod repository;
pub mod scan;
pub mod seal;
pub mod sealed;
pub mod setting;
pub mod tag;
pub mod upload;

crate::typed_id! {
    /// An organisation.
    pub OrganisationId;
    /// A project.
    pub ProjectId;
    /// A repository.
    pub RepositoryId;
    /// A principal: a user or a robot.
    pub PrincipalId;
    /// A grant.
    pub GrantId;
    /// A deleted manifest that can be restored.
    pub DeletedId;
}
