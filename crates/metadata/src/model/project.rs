//! Projects: the first segment of a repository's name, and the unit of access.

use super::access::{self, ProjectRow};
use super::{OrganisationId, PrincipalId, ProjectId};
use crate::error::StoreError;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::{Timestamp, params};

crate::statements! {
    INSERT_ORGANISATION = Write "INSERT INTO organisation (id, name, created_at, tx) VALUES ($1, $2, $3, $4)";
    ORGANISATION = Read "SELECT id FROM organisation WHERE name = $1";
    INSERT = Write "INSERT INTO project (id, organisation_id, name, visibility, created_at, created_by, generation, tx) VALUES ($1, $2, $3, $4, $5, $6, (SELECT generation FROM access_generation WHERE id = 1), $7)";
    SET_VISIBILITY = Write "UPDATE project SET visibility = $2, generation = (SELECT generation FROM access_generation WHERE id = 1), tx = $3 WHERE id = $1";
    DELETE_EMPTY = Write "DELETE FROM project WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM repository WHERE project_id = $1)";
    REPOSITORY_COUNT = Read "SELECT count(*) FROM repository WHERE project_id = $1 AND manifest_count > 0";
}

impl Store {
    /// The organisation of that name.
    pub async fn organisation(&self, name: &str) -> Result<Option<OrganisationId>, StoreError> {
        self.row(&ORGANISATION, &params![name]).await?.map(|row| row.id(0)).transpose()
    }

    /// How many repositories of a project hold something.
    pub async fn repository_count(&self, project: ProjectId) -> Result<u64, StoreError> {
        self.row(&REPOSITORY_COUNT, &params![project]).await?.map_or(Ok(0), |row| row.uint(0))
    }
}

/// Inserts an organisation.
pub fn insert_organisation(tx: &mut Tx, id: OrganisationId, name: &str, at: Timestamp) {
    let by = tx.id();
    tx.step_or(&INSERT_ORGANISATION, params![id, name, at, by], Expect::Rows(1), "organisation");
}

/// Inserts a project; a taken name is a conflict at `project`.
pub fn insert(tx: &mut Tx, row: &ProjectRow, organisation: OrganisationId, by: PrincipalId) {
    let id = tx.id();
    tx.step_or(
        &INSERT,
        params![row.id, organisation, &row.name, &row.visibility, row.created_at, by, id],
        Expect::Rows(1),
        "project",
    );
}

/// Sets who may see the project without a grant.
pub fn set_visibility(tx: &mut Tx, id: ProjectId, visibility: &str) {
    let by = tx.id();
    tx.step_or(&SET_VISIBILITY, params![id, visibility, by], Expect::Rows(1), "project");
}

/// Deletes a project with its grants; one that still has repositories is a conflict at `project`.
pub fn delete_empty(tx: &mut Tx, id: ProjectId) {
    access::mark_grants_of_project(tx, id);
    access::mark_removed(tx, "project", id.get());
    tx.step_or(&DELETE_EMPTY, params![id], Expect::Rows(1), "project");
}
