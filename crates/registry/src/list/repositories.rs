//! Repositories as a caller sees them: those that hold something and that it may pull, of one project or of all.
//!
//! A page by key costs the same anywhere. Totals are counted by an index where the caller sees everything, else by
//! looking at each, up to [`COUNTED`]: nothing in a page or a total tells of what the caller may not see.

use metadata::model::ProjectId;
use metadata::model::catalog::Among;
use metadata::model::repository::{self, RepositoryRow};
use oci::{Digest, RepoName};
use policy::Permission;

use crate::Registry;
use crate::access::{Grant, ProjectFact, Pull, Push};
use crate::admin::ProjectRef;
use crate::caller::Caller;
use crate::error::Error;

/// Rows that are counted and sorted one by one.
pub const COUNTED: usize = 10_000;

/// Rows read at once while looking for those that the caller may see.
const BATCH: u32 = 1000;

/// Longest description, in characters.
const MAX_DESCRIPTION: usize = 10_000;

/// What a list is ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RepositoryOrder {
    /// The name; the only order with a cursor, of any length.
    #[default]
    Name,
    /// When it was made.
    Created,
    /// When it was pushed to.
    Pushed,
    /// How often it was pulled from.
    Pulls,
    /// How many manifests it holds.
    Manifests,
}

/// Which repositories.
#[derive(Clone, Debug, Default)]
pub struct RepositoryQuery {
    /// Of this project; of all that the caller may see when none.
    pub project: Option<ProjectRef>,
    /// Whose full name contains this.
    pub contains: String,
    /// Whose full name is this.
    pub named: Option<String>,
    /// That hold this blob.
    pub blob: Option<Digest>,
    /// In this order.
    pub order: RepositoryOrder,
    /// From the end.
    pub descending: bool,
    /// After this name: inside the project when it is the list of one, else the full one.
    pub after: String,
    /// Without the first so many.
    pub skip: usize,
    /// At most so many.
    pub limit: usize,
}

/// One page of repositories.
#[derive(Clone, Debug, Default)]
pub struct RepositoryPage {
    /// The repositories.
    pub rows: Vec<RepositoryRow>,
    /// How many there are in all; for who sees only a part, or of a search, counted up to [`COUNTED`].
    pub total: usize,
    /// More follow after the last one.
    pub more: bool,
}

/// Where the rows of a query come from.
struct Source {
    project: Option<(ProjectId, String)>,
    /// Projects in which the caller may see something; none: all.
    projects: Option<Vec<ProjectId>>,
    /// The caller may pull from every repository of them.
    whole: bool,
}

impl Registry {
    /// Repositories that the caller may pull from.
    pub async fn repositories(
        &self,
        caller: &Caller,
        query: &RepositoryQuery,
    ) -> Result<RepositoryPage, Error> {
        let source = self.source(caller, query)?;
        let plain = query.contains.is_empty() && query.named.is_none() && query.blob.is_none();
        let by_name = query.order == RepositoryOrder::Name && !query.descending;
        if plain && by_name && source.whole {
            let wanted = query.skip.saturating_add(query.limit).saturating_add(1);
            let mut rows = self.found(caller, query, &source, &query.after, wanted).await?;
            let total = self.count_whole(&source).await?;
            let more = rows.len() == wanted;
            rows.truncate(wanted - 1);
            return Ok(RepositoryPage { rows: rows.split_off(query.skip.min(rows.len())), total, more });
        }
        let mut rows = self.found(caller, query, &source, "", COUNTED + 1).await?;
        let total = rows.len().min(COUNTED);
        if by_name && rows.len() > COUNTED {
            // What lies beyond is reached by the cursor.
            rows = self.found(caller, query, &source, &query.after, query.skip + query.limit + 1).await?;
        } else if by_name {
            let key = |row: &RepositoryRow| source.key(row).to_owned();
            rows.retain(|row| key(row) > query.after);
        } else if rows.len() > COUNTED {
            let text = format!("more than {COUNTED} repositories are listed by name only; narrow the search");
            return Err(Error::Invalid(text));
        }
        sort(&mut rows, query);
        let mut rows: Vec<_> = rows.into_iter().skip(query.skip).take(query.limit + 1).collect();
        let more = rows.len() > query.limit;
        rows.truncate(query.limit);
        Ok(RepositoryPage { rows, total, more })
    }

    fn source(&self, caller: &Caller, query: &RepositoryQuery) -> Result<Source, Error> {
        if let Some(named) = &query.project {
            let project = self.visible_project(caller, named)?;
            let whole = self.pulls_all_of(caller, &project);
            let named = (project.id, format!("{}/", project.name));
            return Ok(Source { project: Some(named), projects: None, whole });
        }
        let projects = self.visible_projects(&caller.principal);
        let facts = self.access.facts();
        let whole = facts
            .projects()
            .filter(|project| projects.as_ref().is_none_or(|ids| ids.contains(&project.id)))
            .all(|project| self.pulls_all_of(caller, project));
        Ok(Source { project: None, projects, whole })
    }

    /// Whether the caller pulls from each repository of a project without a look at its name.
    fn pulls_all_of(&self, caller: &Caller, project: &ProjectFact) -> bool {
        self.access.own_in(&caller.principal, Some(project)).has(Permission::Pull)
            && !self.access.looks_at_names(&caller.principal, project)
    }

    async fn count_whole(&self, source: &Source) -> Result<usize, Error> {
        let count = match (source.id(), &source.projects) {
            (Some(project), _) => self.store.repository_count(project).await?,
            (None, projects) => self.store.live_count(projects.as_deref()).await?,
        };
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// The first `wanted` of the query's repositories after a name, in order of name.
    async fn found(
        &self,
        caller: &Caller,
        query: &RepositoryQuery,
        source: &Source,
        after: &str,
        wanted: usize,
    ) -> Result<Vec<RepositoryRow>, Error> {
        let among = match (&query.blob, source.id(), &source.projects) {
            (Some(digest), _, _) => Among::Holding(digest),
            (None, Some(project), _) => Among::Project(project),
            (None, None, Some(ids)) => Among::Projects(ids),
            (None, None, None) => Among::All,
        };
        let text = query.named.as_deref().unwrap_or(&query.contains);
        let text = match (&among, &source.project) {
            (Among::Project(_), Some((_, prefix))) => text.strip_prefix(prefix).unwrap_or(text),
            _ => text,
        };
        let mut rows = Vec::new();
        let mut last = after.to_owned();
        loop {
            let batch = if source.whole { wanted.min(BATCH as usize) } else { BATCH as usize };
            let limit = u32::try_from(batch).unwrap_or(BATCH);
            let found = self.store.live_repositories(among, text, &last, limit).await?;
            let ended = found.len() < batch;
            if let Some(end) = found.last() {
                last = if query.blob.is_some() { end.full_name.clone() } else { source.key(end).to_owned() };
            }
            for row in found {
                let asked = source.id().is_none_or(|project| row.project == project)
                    && query.named.as_ref().is_none_or(|name| row.full_name == *name);
                if asked && self.pulls(caller, source, &row) {
                    rows.push(row);
                }
                if rows.len() == wanted {
                    return Ok(rows);
                }
            }
            if ended {
                return Ok(rows);
            }
        }
    }

    fn pulls(&self, caller: &Caller, source: &Source, row: &RepositoryRow) -> bool {
        let inside = source.id() == Some(row.project)
            || source.id().is_none() && source.projects.as_ref().is_none_or(|ids| ids.contains(&row.project));
        source.whole && inside
            || row
                .full_name
                .parse::<RepoName>()
                .is_ok_and(|repo| self.access.own_on(&caller.principal, &repo).has(Permission::Pull))
    }

    /// Projects of which the caller may pull every artifact, so that figures over them tell nothing else.
    pub fn judged_projects(&self, caller: &Caller) -> Vec<ProjectId> {
        let facts = self.access.facts();
        facts
            .projects()
            .filter(|project| self.pulls_all_of(caller, project))
            .map(|project| project.id)
            .collect()
    }

    /// A repository that holds something.
    pub async fn repository(&self, grant: &Grant<Pull>) -> Result<RepositoryRow, Error> {
        let row = self.store.repository(grant.project, grant.repo.repository()).await?;
        row.filter(|row| row.manifest_count > 0).ok_or(Error::NameUnknown)
    }

    /// Says what a repository is for.
    pub async fn describe_repository(
        &self,
        caller: &Caller,
        grant: &Grant<Push>,
        description: &str,
    ) -> Result<(), Error> {
        if description.chars().count() > MAX_DESCRIPTION {
            return Err(Error::Invalid(format!("a description has at most {MAX_DESCRIPTION} characters")));
        }
        let row = self.store.repository(grant.project, grant.repo.repository()).await?;
        let row = row.filter(|row| row.manifest_count > 0).ok_or(Error::NameUnknown)?;
        let mut tx = self.store.begin().await?;
        repository::set_description(&mut tx, row.id, description);
        self.record(&mut tx, caller, "repository.update", Some(grant.project), grant.repo.as_str()).await?;
        Ok(self.store.commit(tx).await?)
    }
}

impl Source {
    fn id(&self) -> Option<ProjectId> {
        self.project.as_ref().map(|(id, _)| *id)
    }

    /// The name that the list is ordered by.
    fn key<'a>(&self, row: &'a RepositoryRow) -> &'a str {
        if self.project.is_some() { &row.name } else { &row.full_name }
    }
}

fn sort(rows: &mut [RepositoryRow], query: &RepositoryQuery) {
    match query.order {
        RepositoryOrder::Name => {}
        RepositoryOrder::Created => rows.sort_by_key(|row| row.created_at),
        RepositoryOrder::Pushed => rows.sort_by_key(|row| row.pushed_at),
        RepositoryOrder::Pulls => rows.sort_by_key(|row| row.pull_count),
        RepositoryOrder::Manifests => rows.sort_by_key(|row| row.manifest_count),
    }
    if query.descending {
        rows.reverse();
    }
}
