//! What the access snapshot of each process reads: principals, projects and grants that changed since a generation.
//!
//! Every change to these three tables first raises the generation in the same transaction (`raise`) and stamps its
//! rows with it; removals leave a row in `access_removed`. So a reader that knows generation g reads only rows with
//! a later one, and a generation that did not move means that nothing changed.

use super::{GrantId, PrincipalId, ProjectId};
use crate::error::StoreError;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::value::Row;
use crate::{Timestamp, params};

crate::statements! {
    RAISE = Write "UPDATE access_generation SET generation = generation + 1 WHERE id = 1";
    GENERATION = Read "SELECT generation FROM access_generation WHERE id = 1";
    PRINCIPALS = Scan "SELECT id, kind, name, display_name, email, password, disabled, epoch, created_at FROM principal WHERE generation > $1 ORDER BY id";
    PROJECTS = Scan "SELECT id, name, visibility, created_at FROM project WHERE generation > $1 ORDER BY id";
    GRANTS = Scan "SELECT id, principal_id, project_id, role, effect, conditions FROM access_grant WHERE generation > $1 ORDER BY id";
    REMOVED = Scan "SELECT kind, id FROM access_removed WHERE generation > $1";
    REMOVE_MARK = Write "INSERT INTO access_removed (kind, id, generation) VALUES ($1, $2, (SELECT generation FROM access_generation WHERE id = 1))";
    INSERT_GRANT = Write "INSERT INTO access_grant (id, principal_id, project_id, role, effect, conditions, created_at, generation, tx) VALUES ($1, $2, $3, $4, $5, $6, $7, (SELECT generation FROM access_generation WHERE id = 1), $8)";
    UPDATE_GRANT = Write "UPDATE access_grant SET role = $2, effect = $3, conditions = $4, generation = (SELECT generation FROM access_generation WHERE id = 1), tx = $5 WHERE id = $1";
    ADMINISTRATORS = Check "SELECT 1 FROM access_grant g JOIN principal p ON p.id = g.principal_id WHERE g.project_id IS NULL AND g.role = 'system-admin' AND g.effect = 'allow' AND g.conditions = '{}' AND p.disabled = 0";
    DELETE_GRANT = Write "DELETE FROM access_grant WHERE id = $1";
    MARK_GRANTS_OF_PRINCIPAL = Write "INSERT INTO access_removed (kind, id, generation) SELECT 'grant', id, (SELECT generation FROM access_generation WHERE id = 1) FROM access_grant WHERE principal_id = $1";
    MARK_GRANTS_OF_PROJECT = Write "INSERT INTO access_removed (kind, id, generation) SELECT 'grant', id, (SELECT generation FROM access_generation WHERE id = 1) FROM access_grant WHERE project_id = $1";
}

/// A principal as the snapshot holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalRow {
    /// Id.
    pub id: PrincipalId,
    /// `user` or `robot`.
    pub kind: String,
    /// Login name.
    pub name: String,
    /// Name for people.
    pub display_name: String,
    /// Mail address.
    pub email: Option<String>,
    /// Password hash in PHC form; none: no password login.
    pub password: Option<String>,
    /// May not sign in.
    pub disabled: bool,
    /// Grows whenever everything issued before must stop to work.
    pub epoch: i64,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A project as the snapshot holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectRow {
    /// Id.
    pub id: ProjectId,
    /// Name.
    pub name: String,
    /// `private`, `internal` or `public`.
    pub visibility: String,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A grant as the snapshot holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRow {
    /// Id.
    pub id: GrantId,
    /// To whom.
    pub principal: PrincipalId,
    /// Where; none: on the system.
    pub project: Option<ProjectId>,
    /// The role's name.
    pub role: String,
    /// `allow` or `deny`.
    pub effect: String,
    /// Conditions as JSON.
    pub conditions: String,
}

/// All that changed after a generation.
#[derive(Clone, Debug, Default)]
pub struct AccessChanges {
    /// The generation that these changes lead to.
    pub generation: i64,
    /// New and changed principals.
    pub principals: Vec<PrincipalRow>,
    /// New and changed projects.
    pub projects: Vec<ProjectRow>,
    /// New and changed grants.
    pub grants: Vec<GrantRow>,
    /// Removed rows as (`principal` | `project` | `grant`, id).
    pub removed: Vec<(String, i64)>,
}

impl Store {
    /// The generation of the access facts.
    pub async fn access_generation(&self) -> Result<i64, StoreError> {
        let row = self.row(&GENERATION, &[]).await?;
        row.ok_or_else(|| StoreError::inconsistent("access_generation has no row"))?.int(0)
    }

    /// What changed after `since` (0: everything). The generation is read first: a change that commits while the
    /// rows are read is read again next time, never missed.
    pub async fn access_changes(&self, since: i64) -> Result<AccessChanges, StoreError> {
        let generation = self.access_generation().await?;
        let since = params![since];
        let removed = self.rows(&REMOVED, &since).await?;
        Ok(AccessChanges {
            generation,
            principals: self
                .rows(&PRINCIPALS, &since)
                .await?
                .iter()
                .map(principal)
                .collect::<Result<_, _>>()?,
            projects: self.rows(&PROJECTS, &since).await?.iter().map(project).collect::<Result<_, _>>()?,
            grants: self.rows(&GRANTS, &since).await?.iter().map(grant).collect::<Result<_, _>>()?,
            removed: removed
                .iter()
                .map(|row| Ok::<_, StoreError>((row.text(0)?.to_owned(), row.int(1)?)))
                .collect::<Result<_, _>>()?,
        })
    }
}

pub(super) fn principal(row: &Row) -> Result<PrincipalRow, StoreError> {
    Ok(PrincipalRow {
        id: row.id(0)?,
        kind: row.text(1)?.to_owned(),
        name: row.text(2)?.to_owned(),
        display_name: row.text(3)?.to_owned(),
        email: row.opt_text(4)?.map(str::to_owned),
        password: row.opt_text(5)?.map(str::to_owned),
        disabled: row.bool(6)?,
        epoch: row.int(7)?,
        created_at: row.id(8)?,
    })
}

fn project(row: &Row) -> Result<ProjectRow, StoreError> {
    Ok(ProjectRow {
        id: row.id(0)?,
        name: row.text(1)?.to_owned(),
        visibility: row.text(2)?.to_owned(),
        created_at: row.id(3)?,
    })
}

fn grant(row: &Row) -> Result<GrantRow, StoreError> {
    Ok(GrantRow {
        id: row.id(0)?,
        principal: row.id(1)?,
        project: row.opt_id(2)?,
        role: row.text(3)?.to_owned(),
        effect: row.text(4)?.to_owned(),
        conditions: row.text(5)?.to_owned(),
    })
}

/// Raises the generation; the first step of every change to access facts.
pub fn raise(tx: &mut Tx) {
    tx.step(&RAISE, vec![], Expect::Rows(1));
}

/// Leaves a mark that a row of `kind` (`principal`, `project`, `grant`) is gone.
pub(super) fn mark_removed(tx: &mut Tx, kind: &'static str, id: i64) {
    tx.step(&REMOVE_MARK, params![kind, id], Expect::Rows(1));
}

/// Gives a role.
pub fn insert_grant(tx: &mut Tx, row: &GrantRow, at: Timestamp) {
    let id = tx.id();
    tx.step(
        &INSERT_GRANT,
        params![row.id, row.principal, row.project, &row.role, &row.effect, &row.conditions, at, id],
        Expect::Rows(1),
    );
}

/// Changes what a grant gives or takes, and when.
pub fn update_grant(tx: &mut Tx, row: &GrantRow) {
    let by = tx.id();
    let values = params![row.id, &row.role, &row.effect, &row.conditions, by];
    tx.step_or(&UPDATE_GRANT, values, Expect::Rows(1), "grant");
}

/// Takes a grant back.
pub fn delete_grant(tx: &mut Tx, id: GrantId) {
    mark_removed(tx, "grant", id.get());
    tx.step_or(&DELETE_GRANT, params![id], Expect::Rows(1), "grant");
}

/// An installation nobody administers is a conflict at `administrator`. The value raised the generation before, which
/// makes such values take turns.
pub fn stays_administered(tx: &mut Tx) {
    tx.step_or(&ADMINISTRATORS, params![], Expect::AtLeast(1), "administrator");
}

/// Marks the grants that vanish with a principal.
pub(super) fn mark_grants_of_principal(tx: &mut Tx, id: PrincipalId) {
    tx.step(&MARK_GRANTS_OF_PRINCIPAL, params![id], Expect::Any);
}

/// Marks the grants that vanish with a project.
pub(super) fn mark_grants_of_project(tx: &mut Tx, id: ProjectId) {
    tx.step(&MARK_GRANTS_OF_PROJECT, params![id], Expect::Any);
}
