//! The snapshot of access facts, and how changed rows are applied to it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use metadata::Timestamp;
use metadata::model::access::{AccessChanges, GrantRow, PrincipalRow, ProjectRow};
use metadata::model::{GrantId, PrincipalId, ProjectId};
use policy::{GrantFact, Visibility};

use super::terms;

/// A principal.
#[derive(Debug)]
pub struct PrincipalFact {
    /// Its row.
    pub row: PrincipalRow,
    /// The name as callers carry it.
    pub name: Arc<str>,
}

/// A project.
#[derive(Debug)]
pub struct ProjectFact {
    /// Id.
    pub id: ProjectId,
    /// Name.
    pub name: String,
    /// Who may see it without a grant.
    pub visibility: Visibility,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A grant with its owner, for lists.
#[derive(Clone, Debug)]
pub struct GrantView {
    /// Id.
    pub id: GrantId,
    /// To whom.
    pub principal: PrincipalId,
    /// What.
    pub fact: GrantFact,
}

type ByProject = HashMap<Option<ProjectId>, Vec<GrantFact>>;

/// All access facts at one generation.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    generation: i64,
    principals: HashMap<PrincipalId, Arc<PrincipalFact>>,
    principal_names: HashMap<String, PrincipalId>,
    projects: HashMap<ProjectId, Arc<ProjectFact>>,
    project_names: HashMap<String, ProjectId>,
    grant_rows: HashMap<GrantId, Arc<GrantRow>>,
    grants: HashMap<PrincipalId, Arc<ByProject>>,
}

impl Facts {
    /// The generation that these facts are of.
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// A principal by name, in any case.
    pub fn principal_named(&self, name: &str) -> Option<&Arc<PrincipalFact>> {
        let id = match self.principal_names.get(name) {
            Some(id) => id,
            None => self.principal_names.get(&name.to_lowercase())?,
        };
        self.principals.get(id)
    }

    /// A principal by id.
    pub fn principal(&self, id: PrincipalId) -> Option<&Arc<PrincipalFact>> {
        self.principals.get(&id)
    }

    /// All principals.
    pub fn principals(&self) -> impl Iterator<Item = &Arc<PrincipalFact>> {
        self.principals.values()
    }

    /// A project by name.
    pub fn project_named(&self, name: &str) -> Option<&Arc<ProjectFact>> {
        self.projects.get(self.project_names.get(name)?)
    }

    /// A project by id.
    pub fn project(&self, id: ProjectId) -> Option<&Arc<ProjectFact>> {
        self.projects.get(&id)
    }

    /// All projects.
    pub fn projects(&self) -> impl Iterator<Item = &Arc<ProjectFact>> {
        self.projects.values()
    }

    /// A principal's grants in a project, or on the system.
    pub fn grants_of(&self, principal: Option<PrincipalId>, project: Option<ProjectId>) -> &[GrantFact] {
        principal
            .and_then(|id| self.grants.get(&id))
            .and_then(|map| map.get(&project))
            .map_or(&[], Vec::as_slice)
    }

    /// The grants in a project, or on the system.
    pub fn grants_in(&self, project: Option<ProjectId>) -> Vec<GrantView> {
        let rows = self.grant_rows.values().filter(|row| row.project == project);
        let mut views: Vec<GrantView> = rows
            .filter_map(|row| Some(GrantView { id: row.id, principal: row.principal, fact: fact(row)? }))
            .collect();
        views.sort_by_key(|view| view.id);
        views
    }

    /// Applies changed and removed rows.
    pub(super) fn apply(&mut self, changes: AccessChanges) {
        self.generation = changes.generation;
        let mut touched = HashSet::new();
        for (kind, id) in changes.removed {
            self.remove(&kind, id, &mut touched);
        }
        for row in changes.principals {
            if let Some(old) = self.principals.get(&row.id) {
                self.principal_names.remove(&old.row.name.to_lowercase());
            }
            self.principal_names.insert(row.name.to_lowercase(), row.id);
            let name = Arc::from(row.name.as_str());
            self.principals.insert(row.id, Arc::new(PrincipalFact { row, name }));
        }
        for row in changes.projects {
            self.project_names.insert(row.name.clone(), row.id);
            self.projects.insert(row.id, Arc::new(project(row)));
        }
        for row in changes.grants {
            touched.insert(row.principal);
            self.grant_rows.insert(row.id, Arc::new(row));
        }
        self.rebuild(&touched);
    }

    fn remove(&mut self, kind: &str, id: i64, touched: &mut HashSet<PrincipalId>) {
        match kind {
            "principal" => {
                if let Some(gone) = self.principals.remove(&PrincipalId::from(id)) {
                    self.principal_names.remove(&gone.row.name.to_lowercase());
                    self.grants.remove(&gone.row.id);
                }
            }
            "project" => {
                if let Some(gone) = self.projects.remove(&ProjectId::from(id)) {
                    self.project_names.remove(&gone.name);
                }
            }
            _ => {
                if let Some(gone) = self.grant_rows.remove(&GrantId::from(id)) {
                    touched.insert(gone.principal);
                }
            }
        }
    }

    fn rebuild(&mut self, touched: &HashSet<PrincipalId>) {
        let mut fresh: HashMap<PrincipalId, ByProject> =
            touched.iter().map(|id| (*id, ByProject::new())).collect();
        for row in self.grant_rows.values() {
            if let (Some(map), Some(fact)) = (fresh.get_mut(&row.principal), fact(row)) {
                map.entry(row.project).or_default().push(fact);
            }
        }
        for (id, map) in fresh {
            self.grants.insert(id, Arc::new(map));
        }
    }
}

fn project(row: ProjectRow) -> ProjectFact {
    let visibility = match row.visibility.as_str() {
        "public" => Visibility::Public,
        "internal" => Visibility::Internal,
        _ => Visibility::Private,
    };
    ProjectFact { id: row.id, name: row.name, visibility, created_at: row.created_at }
}

/// The grant as a fact. One that this version does not understand gives nothing: it is logged and left out.
fn fact(row: &GrantRow) -> Option<GrantFact> {
    let fact = terms::of_row(row);
    if fact.is_none() {
        tracing::error!(grant = row.id.get(), "grant is not understood and gives nothing");
    }
    fact
}
