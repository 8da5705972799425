//! Projects: create, list, show, change, delete.

use std::sync::Arc;

use metadata::Timestamp;
use metadata::model::access::{self, GrantRow, ProjectRow};
use metadata::model::{GrantId, ProjectId, project, setting};
use oci::{ProjectName, RepoName};
use policy::{Permission, Permissions, Role, Visibility};

use super::bootstrap::DEFAULT_ORGANISATION;
use super::{meaning, require_project, require_system};
use crate::Registry;
use crate::access::{Access, ProjectFact};
use crate::caller::Caller;
use crate::error::{Error, Refusal};

/// A project to be made.
#[derive(Clone, Debug)]
pub struct NewProject {
    /// Its name.
    pub name: ProjectName,
    /// Who may see it without a grant.
    pub visibility: Visibility,
}

/// A project as a caller sees it.
#[derive(Clone, Debug)]
pub struct ProjectView {
    /// Id.
    pub id: ProjectId,
    /// Name.
    pub name: String,
    /// Who may see it without a grant.
    pub visibility: Visibility,
    /// When it was created.
    pub created_at: Timestamp,
    /// Repositories that hold something.
    pub repository_count: u64,
    /// What the caller may do in it.
    pub permissions: Permissions,
}

fn visibility_name(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Private => "private",
        Visibility::Internal => "internal",
        Visibility::Public => "public",
    }
}

impl Registry {
    /// Creates a project; its creator administers it.
    pub async fn create_project(&self, caller: &Caller, new: &NewProject) -> Result<ProjectId, Error> {
        require_system(self, caller, Permission::CreateProject, "create projects")?;
        self.insert_project(caller, new.name.as_str(), new.visibility).await
    }

    /// Whether a push to this name makes its project: there is none, the caller may, and the setting allows it. That there
    /// is none is asked of the database: another replica may have made it just now.
    pub async fn push_makes_project(&self, caller: &Caller, repo: &RepoName) -> Result<bool, Error> {
        if !self.would_make_project(caller, repo)? {
            return Ok(false);
        }
        self.access.refresh(self.access.facts().generation()).await?;
        self.would_make_project(caller, repo)
    }

    fn would_make_project(&self, caller: &Caller, repo: &RepoName) -> Result<bool, Error> {
        if !self.settings.create_projects_on_push {
            return Ok(false);
        }
        let whole = crate::Principal { scope: None, ..caller.principal.clone() };
        if !self.access.own_in(&whole, None).has(Permission::CreateProject) {
            return Ok(false);
        }
        let facts = self.access.facts();
        if let Some(project) = facts.project_named(repo.project()) {
            if self.access.own_in(&whole, Some(project)).has(Permission::ReadProject) {
                return Ok(false);
            }
            let reason = format!("project name `{}` is taken, or you may not push to it", repo.project());
            return Err(Refusal::Denied { reason }.into());
        }
        Access::check_push_scope(&caller.principal, repo)?;
        Ok(true)
    }

    /// Creates the project of a name pushed to, where the push makes it. What can be refused without it is to be refused
    /// before.
    pub async fn create_project_for_push(&self, caller: &Caller, repo: &RepoName) -> Result<(), Error> {
        if !self.push_makes_project(caller, repo).await? {
            return Ok(());
        }
        match self.insert_project(caller, repo.project(), Visibility::Private).await {
            Ok(_) | Err(Error::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn insert_project(
        &self,
        caller: &Caller,
        name: &str,
        visibility: Visibility,
    ) -> Result<ProjectId, Error> {
        let organisation = self.store.organisation(DEFAULT_ORGANISATION).await?;
        let organisation =
            organisation.ok_or_else(|| Error::Internal("no default organisation".to_owned()))?;
        let id: ProjectId = self.store.next_id().await?;
        let now = self.store.now();
        let mut tx = self.store.begin().await?;
        access::raise(&mut tx);
        let row = ProjectRow {
            id,
            name: name.to_owned(),
            visibility: visibility_name(visibility).to_owned(),
            created_at: now,
        };
        project::insert(&mut tx, &row, organisation, caller.principal.row_id());
        if let Some(principal) = caller.principal.id {
            let grant = GrantRow {
                id: self.store.next_id::<GrantId>().await?,
                principal,
                project: Some(id),
                role: Role::ProjectAdmin.name().to_owned(),
                effect: "allow".to_owned(),
                conditions: "{}".to_owned(),
            };
            access::insert_grant(&mut tx, &grant, now);
        }
        self.record(&mut tx, caller, "project.create", Some(id), name).await?;
        let taken = Error::Conflict(format!("a project named `{name}` exists already"));
        meaning(self.store.commit(tx).await, "project", taken)?;
        self.access.apply_own().await;
        Ok(id)
    }

    /// The project, if the caller may see it.
    pub fn visible_project(
        &self,
        caller: &Caller,
        name_or_id: &ProjectRef,
    ) -> Result<Arc<ProjectFact>, Error> {
        let facts = self.access.facts();
        let found = match name_or_id {
            ProjectRef::Name(name) => facts.project_named(name),
            ProjectRef::Id(id) => facts.project(*id),
        };
        let signed_in = caller.principal.is_signed_in();
        let Some(project) = found else {
            return Err(if signed_in { Error::NotFound("project") } else { sign_in() });
        };
        if self.access.own_in(&caller.principal, Some(project)).has(Permission::ReadProject) {
            return Ok(project.clone());
        }
        Err(if signed_in { Error::NotFound("project") } else { sign_in() })
    }

    /// A project with its figures.
    pub async fn project(&self, caller: &Caller, name_or_id: &ProjectRef) -> Result<ProjectView, Error> {
        let fact = self.visible_project(caller, name_or_id)?;
        self.project_view(caller, &fact).await
    }

    async fn project_view(&self, caller: &Caller, fact: &ProjectFact) -> Result<ProjectView, Error> {
        Ok(ProjectView {
            id: fact.id,
            name: fact.name.clone(),
            visibility: fact.visibility,
            created_at: fact.created_at,
            repository_count: self.store.repository_count(fact.id).await?,
            permissions: self.access.own_in(&caller.principal, Some(fact)),
        })
    }

    /// Projects that the caller may see, in order of name after `after`, and their number.
    pub async fn projects(
        &self,
        caller: &Caller,
        name_contains: &str,
        after: &str,
        limit: usize,
    ) -> Result<(Vec<ProjectView>, usize), Error> {
        let facts = self.access.facts();
        let mut visible: Vec<&Arc<ProjectFact>> = facts
            .projects()
            .filter(|fact| fact.name.contains(name_contains))
            .filter(|fact| self.access.own_in(&caller.principal, Some(fact)).has(Permission::ReadProject))
            .collect();
        visible.sort_by(|a, b| a.name.cmp(&b.name));
        let total = visible.len();
        let mut page = Vec::new();
        for fact in visible.into_iter().filter(|fact| fact.name.as_str() > after).take(limit) {
            page.push(self.project_view(caller, fact).await?);
        }
        Ok((page, total))
    }

    /// Changes who may see a project without a grant.
    pub async fn set_visibility(
        &self,
        caller: &Caller,
        name_or_id: &ProjectRef,
        visibility: Visibility,
    ) -> Result<(), Error> {
        let fact = self.visible_project(caller, name_or_id)?;
        require_project(self, caller, &fact, Permission::UpdateProject, "change settings")?;
        self.access.check_writes_possible()?;
        let mut tx = self.store.begin().await?;
        access::raise(&mut tx);
        project::set_visibility(&mut tx, fact.id, visibility_name(visibility));
        self.record(&mut tx, caller, "project.update", Some(fact.id), &fact.name).await?;
        meaning(self.store.commit(tx).await, "project", Error::NotFound("project"))?;
        self.access.apply_own().await;
        Ok(())
    }

    /// Deletes a project that holds no image any more. What could still be restored in it is given up.
    pub async fn delete_project(&self, caller: &Caller, name_or_id: &ProjectRef) -> Result<(), Error> {
        let fact = self.visible_project(caller, name_or_id)?;
        require_project(self, caller, &fact, Permission::DeleteProject, "delete")?;
        self.access.check_writes_possible()?;
        let count = self.store.repository_count(fact.id).await?;
        if count > 0 {
            return Err(Error::Conflict(format!(
                "project `{}` still has {count} repositories; delete them first",
                fact.name
            )));
        }
        self.purge_empty_repositories(fact.id).await?;
        let mut tx = self.store.begin().await?;
        access::raise(&mut tx);
        project::delete_empty(&mut tx, fact.id);
        setting::delete(&mut tx, &super::scanning::name_of(fact.id));
        self.record(&mut tx, caller, "project.delete", Some(fact.id), &fact.name).await?;
        let busy = Error::Conflict(format!("project `{}` is being pushed to; try again", fact.name));
        meaning(self.store.commit(tx).await, "project", busy)?;
        self.access.apply_own().await;
        Ok(())
    }
}

/// How a request names a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectRef {
    /// By name.
    Name(String),
    /// By id.
    Id(ProjectId),
}

fn sign_in() -> Error {
    Refusal::SignIn { scope: String::new() }.into()
}
