//! Members: who has which role in a project.

use metadata::model::access::{self, GrantRow};
use metadata::model::{GrantId, PrincipalId};
use policy::{Effect, Permission, Role};

use super::projects::ProjectRef;
use super::{meaning, require_project};
use crate::Registry;
use crate::caller::Caller;
use crate::error::Error;

/// A role of a principal in a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The grant's id.
    pub id: GrantId,
    /// Who.
    pub principal: PrincipalId,
    /// Login name.
    pub name: String,
    /// As what.
    pub role: Role,
}

fn check_role(role: Role) -> Result<(), Error> {
    if role.is_project_role() {
        return Ok(());
    }
    Err(Error::Invalid(format!("`{role}` is not a role in a project")))
}

impl Registry {
    /// The members of a project.
    pub fn members(&self, caller: &Caller, project: &ProjectRef) -> Result<Vec<Member>, Error> {
        let fact = self.visible_project(caller, project)?;
        require_project(self, caller, &fact, Permission::ListMembers, "list members")?;
        let facts = self.access.facts();
        let grants =
            facts.grants_in(Some(fact.id)).into_iter().filter(|view| view.fact.effect == Effect::Allow);
        Ok(grants
            .filter_map(|view| {
                let name = facts.principal(view.principal)?.row.name.clone();
                Some(Member { id: view.id, principal: view.principal, name, role: view.fact.role })
            })
            .collect())
    }

    /// Gives a user a role in a project.
    pub async fn add_member(
        &self,
        caller: &Caller,
        project: &ProjectRef,
        user: &str,
        role: Role,
    ) -> Result<GrantId, Error> {
        check_role(role)?;
        let fact = self.visible_project(caller, project)?;
        require_project(self, caller, &fact, Permission::ManageMembers, "manage members")?;
        self.access.check_writes_possible()?;
        let principal = self.access.facts().principal_named(user).cloned().ok_or(Error::NotFound("user"))?;
        let members = self.access.facts().grants_in(Some(fact.id));
        let allows = |view: &&crate::access::GrantView| {
            view.principal == principal.row.id && view.fact.effect == Effect::Allow
        };
        if members.iter().any(|view| allows(&view)) {
            return Err(Error::Conflict(format!("`{user}` is a member already; change the role instead")));
        }
        let row = GrantRow {
            id: self.store.next_id().await?,
            principal: principal.row.id,
            project: Some(fact.id),
            role: role.name().to_owned(),
            effect: "allow".to_owned(),
            conditions: "{}".to_owned(),
        };
        let mut tx = self.store.begin().await?;
        access::raise(&mut tx);
        access::insert_grant(&mut tx, &row, self.store.now());
        let target = format!("{}: {user} as {role}", fact.name);
        self.record(&mut tx, caller, "member.add", Some(fact.id), &target).await?;
        self.store.commit(tx).await?;
        self.access.apply_own().await;
        Ok(row.id)
    }

    /// Changes a member's role.
    pub async fn change_member(
        &self,
        caller: &Caller,
        project: &ProjectRef,
        id: GrantId,
        role: Role,
    ) -> Result<(), Error> {
        check_role(role)?;
        let (fact, member) = self.member_to_change(caller, project, id)?;
        let mut tx = self.store.begin().await?;
        access::raise(&mut tx);
        access::update_grant(&mut tx, id, role.name());
        let target = format!("{}: {} as {role}", fact.name, member.name);
        self.record(&mut tx, caller, "member.change", Some(fact.id), &target).await?;
        meaning(self.store.commit(tx).await, "grant", Error::NotFound("member"))?;
        self.access.apply_own().await;
        Ok(())
    }

    /// Takes a member's role away.
    pub async fn remove_member(
        &self,
        caller: &Caller,
        project: &ProjectRef,
        id: GrantId,
    ) -> Result<(), Error> {
        let (fact, member) = self.member_to_change(caller, project, id)?;
        let mut tx = self.store.begin().await?;
        access::raise(&mut tx);
        access::delete_grant(&mut tx, id);
        let target = format!("{}: {}", fact.name, member.name);
        self.record(&mut tx, caller, "member.remove", Some(fact.id), &target).await?;
        meaning(self.store.commit(tx).await, "grant", Error::NotFound("member"))?;
        self.access.apply_own().await;
        Ok(())
    }

    /// The member with that id in this project: an id of another project is not found here.
    fn member_to_change(
        &self,
        caller: &Caller,
        project: &ProjectRef,
        id: GrantId,
    ) -> Result<(std::sync::Arc<crate::access::ProjectFact>, Member), Error> {
        let fact = self.visible_project(caller, project)?;
        require_project(self, caller, &fact, Permission::ManageMembers, "manage members")?;
        self.access.check_writes_possible()?;
        let member = self.members(caller, project)?.into_iter().find(|member| member.id == id);
        Ok((fact, member.ok_or(Error::NotFound("member"))?))
    }
}
