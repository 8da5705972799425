//! Members: who has which role in a project, and under which conditions.
//!
//! One row is one grant. A user has at most one that gives a role without conditions; grants on some repositories or
//! tags, from some networks, for some time, and denials stand beside it.

use std::sync::Arc;

use metadata::model::access::{self, GrantRow};
use metadata::model::{GrantId, PrincipalId};
use policy::condition::MAX_ENTRIES;
use policy::{Conditions, Effect, GrantFact, Permission, Permissions, Role};

use super::projects::ProjectRef;
use super::{meaning, require_project};
use crate::Registry;
use crate::access::{GrantView, ProjectFact, effect_name, to_json};
use crate::caller::Caller;
use crate::error::Error;

/// A grant to a principal in a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The grant's id.
    pub id: GrantId,
    /// Who.
    pub principal: PrincipalId,
    /// Login name.
    pub name: String,
    /// What it gives or takes, and when.
    pub grant: GrantFact,
}

impl Member {
    /// Whether it simply gives a role: what APIs without conditions can show.
    pub fn is_plain(&self) -> bool {
        is_plain(&self.grant)
    }
}

/// Changes to a member; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct MemberChange {
    /// Another role.
    pub role: Option<Role>,
    /// Other permissions of the role; an empty set: all of them.
    pub only: Option<Permissions>,
    /// Other conditions, in place of all former ones.
    pub conditions: Option<Conditions>,
}

fn is_plain(grant: &GrantFact) -> bool {
    grant.effect == Effect::Allow && grant.only.is_none() && grant.conditions.is_empty()
}

/// A role given without conditions.
pub fn plain(role: Role) -> GrantFact {
    GrantFact { role, only: None, effect: Effect::Allow, conditions: Conditions::default() }
}

fn check(grant: &GrantFact) -> Result<(), Error> {
    let conditions = &grant.conditions;
    if !grant.role.is_project_role() {
        return Err(Error::Invalid(format!("`{}` is not a role in a project", grant.role)));
    }
    let longest = conditions.repositories.len().max(conditions.tags.len()).max(conditions.networks.len());
    if longest > MAX_ENTRIES {
        return Err(Error::Invalid(format!("a condition has at most {MAX_ENTRIES} entries")));
    }
    if let (Some(begin), Some(end)) = (conditions.not_before, conditions.not_after)
        && begin >= end
    {
        return Err(Error::Invalid("not_before must be earlier than not_after".to_owned()));
    }
    if grant.permissions() == Permissions::NONE {
        return Err(Error::Invalid(format!("`{}` has none of these permissions", grant.role)));
    }
    Ok(())
}

fn describe(grant: &GrantFact) -> String {
    let terms = if is_plain(grant) {
        String::new()
    } else {
        format!(" {} {}", effect_name(grant.effect), to_json(grant))
    };
    format!("{}{terms}", grant.role)
}

impl Registry {
    /// The members of a project.
    pub fn members(&self, caller: &Caller, project: &ProjectRef) -> Result<Vec<Member>, Error> {
        let fact = self.visible_project(caller, project)?;
        require_project(self, caller, &fact, Permission::ListMembers, "list members")?;
        let facts = self.access.facts();
        let member = |view: GrantView| {
            let name = facts.principal(view.principal)?.row.name.clone();
            Some(Member { id: view.id, principal: view.principal, name, grant: view.fact })
        };
        Ok(facts.grants_in(Some(fact.id)).into_iter().filter_map(member).collect())
    }

    /// Gives a user a role in a project, or denies some of it.
    pub async fn add_member(
        &self,
        caller: &Caller,
        project: &ProjectRef,
        user: &str,
        grant: GrantFact,
    ) -> Result<Member, Error> {
        check(&grant)?;
        let fact = self.visible_project(caller, project)?;
        require_project(self, caller, &fact, Permission::ManageMembers, "manage members")?;
        self.access.check_writes_possible()?;
        let principal = self.access.facts().principal_named(user).cloned().ok_or(Error::NotFound("user"))?;
        let known = self.access.facts().grants_in(Some(fact.id));
        let same = |view: &GrantView| {
            view.principal == principal.row.id
                && (view.fact == grant || (is_plain(&view.fact) && is_plain(&grant)))
        };
        if known.iter().any(same) {
            return Err(Error::Conflict(format!("`{user}` is a member already; change the role instead")));
        }
        let row = self.grant_row(principal.row.id, Some(fact.id), &grant).await?;
        let mut tx = self.store.begin().await?;
        access::raise(&mut tx);
        access::insert_grant(&mut tx, &row, self.store.now());
        let target = format!("{}: {user} as {}", fact.name, describe(&grant));
        self.record(&mut tx, caller, "member.add", Some(fact.id), &target).await?;
        self.store.commit(tx).await?;
        self.access.apply_own().await;
        Ok(Member { id: row.id, principal: row.principal, name: principal.row.name.clone(), grant })
    }

    /// The row of a new grant.
    pub(super) async fn grant_row(
        &self,
        principal: PrincipalId,
        project: Option<metadata::model::ProjectId>,
        grant: &GrantFact,
    ) -> Result<GrantRow, Error> {
        Ok(GrantRow {
            id: self.store.next_id().await?,
            principal,
            project,
            role: grant.role.name().to_owned(),
            effect: effect_name(grant.effect).to_owned(),
            conditions: to_json(grant),
        })
    }

    /// Changes a member's role, permissions or conditions.
    pub async fn change_member(
        &self,
        caller: &Caller,
        project: &ProjectRef,
        id: GrantId,
        change: MemberChange,
    ) -> Result<(), Error> {
        let (fact, member) = self.member_to_change(caller, project, id)?;
        let grant = GrantFact {
            role: change.role.unwrap_or(member.grant.role),
            only: change
                .only
                .map_or(member.grant.only, |only| Some(only).filter(|set| *set != Permissions::NONE)),
            effect: member.grant.effect,
            conditions: change.conditions.unwrap_or_else(|| member.grant.conditions.clone()),
        };
        check(&grant)?;
        let row = GrantRow { id, ..self.grant_row(member.principal, Some(fact.id), &grant).await? };
        let mut tx = self.store.begin().await?;
        access::raise(&mut tx);
        access::update_grant(&mut tx, &row);
        let target = format!("{}: {} as {}", fact.name, member.name, describe(&grant));
        self.record(&mut tx, caller, "member.change", Some(fact.id), &target).await?;
        meaning(self.store.commit(tx).await, "grant", Error::NotFound("member"))?;
        self.access.apply_own().await;
        Ok(())
    }

    /// Takes a grant of a member away.
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
        let target = format!("{}: {} as {}", fact.name, member.name, describe(&member.grant));
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
    ) -> Result<(Arc<ProjectFact>, Member), Error> {
        let fact = self.visible_project(caller, project)?;
        require_project(self, caller, &fact, Permission::ManageMembers, "manage members")?;
        self.access.check_writes_possible()?;
        let member = self.members(caller, project)?.into_iter().find(|member| member.id == id);
        Ok((fact, member.ok_or(Error::NotFound("member"))?))
    }
}
