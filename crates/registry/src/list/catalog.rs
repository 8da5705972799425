//! All repositories that a caller may pull from.

use metadata::model::ProjectId;
use oci::{Page, RepoName};
use policy::Permission;

use super::NamePage;
use crate::Registry;
use crate::access::Access;
use crate::caller::Principal;
use crate::error::{Error, Refusal};

/// Rows read at once while looking for those that the caller may see.
const BATCH: u32 = 1000;

impl Registry {
    /// Full names of the repositories that hold something and that the caller may pull, in order of bytes. There are
    /// no gaps in the pages that would tell of others.
    pub async fn catalog(&self, principal: &Principal, page: &Page) -> Result<NamePage, Error> {
        if !principal.is_signed_in() && principal.scope.is_none() {
            return Err(Refusal::SignIn { scope: "registry:catalog:*".to_owned() }.into());
        }
        if !Access::scope_covers_catalog(principal) {
            return Err(Refusal::InsufficientScope { scope: "registry:catalog:*".to_owned() }.into());
        }
        let limit = page.limit() as usize;
        if limit == 0 {
            return Ok(NamePage { names: Vec::new(), more: false });
        }
        let projects = self.visible_projects(principal);
        let mut names: Vec<String> = Vec::new();
        let mut last = page.last.clone().unwrap_or_default();
        loop {
            let rows = self.store.catalog(projects.as_deref(), &last, BATCH).await?;
            let ended = rows.len() < BATCH as usize;
            for row in rows {
                last.clone_from(&row.full_name);
                if self.may_pull(principal, &row.full_name) {
                    names.push(row.full_name);
                }
                if names.len() > limit {
                    names.truncate(limit);
                    return Ok(NamePage { names, more: true });
                }
            }
            if ended {
                return Ok(NamePage { names, more: false });
            }
        }
    }

    /// Projects in which the caller may see something; none: in all.
    pub(super) fn visible_projects(&self, principal: &Principal) -> Option<Vec<ProjectId>> {
        let whole = Principal { scope: None, ..principal.clone() };
        if self.access.own_in(&whole, None).has(Permission::ReadSystem) {
            return None;
        }
        let facts = self.access.facts();
        let visible = facts
            .projects()
            .filter(|project| self.access.own_in(&whole, Some(project)).has(Permission::ReadProject));
        Some(visible.map(|project| project.id).collect())
    }

    fn may_pull(&self, principal: &Principal, full_name: &str) -> bool {
        full_name
            .parse::<RepoName>()
            .is_ok_and(|repo| self.access.own_on(principal, &repo).has(Permission::Pull))
    }
}
