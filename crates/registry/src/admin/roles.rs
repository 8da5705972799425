//! Roles on the system: who administers it, audits it, creates projects.

use metadata::model::access;
use metadata::model::{GrantId, PrincipalId};
use policy::{Effect, Permission, Role};

use super::members::plain;
use super::{administered, meaning, refuse, require_system};
use crate::Registry;
use crate::access::GrantView;
use crate::caller::Caller;
use crate::error::Error;

/// A role of a principal on the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleView {
    /// The grant's id.
    pub id: GrantId,
    /// Who.
    pub principal: PrincipalId,
    /// Login name.
    pub name: String,
    /// As what.
    pub role: Role,
}

impl Registry {
    /// Who has which role on the system.
    pub fn roles(&self, caller: &Caller) -> Result<Vec<RoleView>, Error> {
        let own = self.access.own_in(&caller.principal, None);
        if !own.has(Permission::ManageSystem) && !own.has(Permission::ReadSystem) {
            return Err(refuse(
                caller,
                "you may not list system roles; ask a system administrator".to_owned(),
            ));
        }
        Ok(self.role_views())
    }

    fn role_views(&self) -> Vec<RoleView> {
        let facts = self.access.facts();
        let view = |grant: GrantView| {
            let name = facts.principal(grant.principal)?.row.name.clone();
            Some(RoleView { id: grant.id, principal: grant.principal, name, role: grant.fact.role })
        };
        let grants = facts.grants_in(None).into_iter().filter(|grant| grant.fact.effect == Effect::Allow);
        grants.filter_map(view).collect()
    }

    /// Gives a user a role on the system.
    pub async fn give_role(&self, caller: &Caller, user: &str, role: Role) -> Result<RoleView, Error> {
        require_system(self, caller, Permission::ManageSystem, "give system roles")?;
        if role.is_project_role() {
            return Err(Error::Invalid(format!("`{role}` is given in a project, not on the system")));
        }
        let principal = self.access.facts().principal_named(user).cloned().ok_or(Error::NotFound("user"))?;
        let id = principal.row.id;
        if self.role_views().iter().any(|view| view.principal == id && view.role == role) {
            return Err(Error::Conflict(format!("`{user}` is {role} already")));
        }
        let row = self.grant_row(id, None, &plain(role)).await?;
        let mut tx = self.store.begin().await?;
        access::raise(&mut tx);
        access::insert_grant(&mut tx, &row, self.store.now());
        self.record(&mut tx, caller, "role.give", None, &format!("{user} as {role}")).await?;
        self.store.commit(tx).await?;
        self.access.apply_own().await;
        Ok(RoleView { id: row.id, principal: id, name: principal.row.name.clone(), role })
    }

    /// Takes a role on the system away, never one's own administration and never the last.
    pub async fn take_role(&self, caller: &Caller, id: GrantId) -> Result<(), Error> {
        require_system(self, caller, Permission::ManageSystem, "take system roles")?;
        let view = self.role_views().into_iter().find(|view| view.id == id).ok_or(Error::NotFound("role"))?;
        if caller.principal.id == Some(view.principal) && view.role == Role::SystemAdmin {
            return Err(Error::Conflict("you cannot take your own administration away".to_owned()));
        }
        let mut tx = self.store.begin().await?;
        access::raise(&mut tx);
        access::delete_grant(&mut tx, id);
        access::stays_administered(&mut tx);
        self.record(&mut tx, caller, "role.take", None, &format!("{} as {}", view.name, view.role)).await?;
        meaning(administered(self.store.commit(tx).await)?, "grant", Error::NotFound("role"))?;
        self.access.apply_own().await;
        Ok(())
    }
}
