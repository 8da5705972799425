//! The decision for one request: the caller's own rights, then its token's scope, and what to answer otherwise.
//!
//! One rule everywhere: anonymous callers are asked to sign in; signed-in callers without the right to read get the
//! answer of a name that does not exist; who may read but not do this is told so.

use std::marker::PhantomData;
use std::sync::Arc;

use oci::RepoName;
use policy::{AccessFacts, Decision, Permission, Permissions, TagRule, decide, tag_rule};

use super::{Access, Facts, Grant, ProjectFact, Right, WRITES_STOP_AFTER};
use crate::caller::{Principal, ScopeEntry, ScopeTarget};
use crate::error::{Error, Refusal};

/// What a request needs on a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    permission: Permission,
    actions: &'static str,
}

impl Need {
    const fn of(permission: Permission) -> Self {
        let actions = match permission {
            Permission::Push => "pull,push",
            Permission::Delete => "delete",
            _ => "pull",
        };
        Self { permission, actions }
    }

    /// The scope of a token that covers it.
    fn scope(self, repo: &RepoName) -> String {
        format!("repository:{}:{}", repo.asked(), self.actions)
    }

    fn covered_by(self, entry: &ScopeEntry) -> bool {
        match self.permission {
            Permission::Push => entry.push,
            Permission::Delete => entry.delete,
            _ => entry.pull || entry.push,
        }
    }
}

impl Access {
    /// Proves that `principal` has the right `R` on `repo`.
    pub async fn grant<R: Right>(&self, principal: &Principal, repo: &RepoName) -> Result<Grant<R>, Error> {
        let need = Need::of(R::PERMISSION);
        if need.permission != Permission::Pull {
            self.check_writes_possible()?;
        }
        let mut facts = self.facts.load_full();
        let mut project = facts.project_named(repo.project()).cloned();
        if principal.is_scanner() && need.permission == Permission::Pull {
            return Self::lent(principal, repo, project.as_deref());
        }
        let mut decision = decide(self.asked(&facts, principal, project.as_deref(), repo));
        let settled = decision.sometimes.has(need.permission) && project.is_some();
        if !settled && self.reread(facts.generation()).await? {
            facts = self.facts.load_full();
            project = facts.project_named(repo.project()).cloned();
            decision = decide(self.asked(&facts, principal, project.as_deref(), repo));
        }
        let own = decision.sometimes;
        match project {
            Some(project) if own.has(need.permission) => {
                if covers(principal, repo, need) {
                    Ok(Grant {
                        project: project.id,
                        repo: repo.clone(),
                        principal: principal.row_id(),
                        principal_name: principal.name.clone(),
                        tags: self.tags(&facts, principal, &project, repo, decision, need.permission),
                        right: PhantomData,
                    })
                } else {
                    Err(Refusal::InsufficientScope { scope: need.scope(repo) }.into())
                }
            }
            _ if !principal.is_signed_in() => Err(Refusal::SignIn { scope: need.scope(repo) }.into()),
            Some(_) if own.has(Permission::Pull) || own.has(Permission::ReadProject) => {
                let reason = format!("you may read `{repo}` but not {}", verb(need.permission));
                Err(Refusal::Denied { reason }.into())
            }
            _ => Err(Refusal::Hidden.into()),
        }
    }

    /// What a scanner may read: what it was asked to scan has been decided before.
    fn lent<R: Right>(
        principal: &Principal,
        repo: &RepoName,
        project: Option<&ProjectFact>,
    ) -> Result<Grant<R>, Error> {
        let project = project.filter(|_| covers(principal, repo, Need::of(Permission::Pull)));
        let project = project.ok_or(Refusal::Hidden)?;
        Ok(Grant {
            project: project.id,
            repo: repo.clone(),
            principal: principal.row_id(),
            principal_name: principal.name.clone(),
            tags: None,
            right: PhantomData,
        })
    }

    /// For which tags a permission holds that does not hold for all of them.
    fn tags(
        &self,
        facts: &Facts,
        principal: &Principal,
        project: &ProjectFact,
        repo: &RepoName,
        decision: Decision,
        permission: Permission,
    ) -> Option<Arc<TagRule>> {
        if decision.always.has(permission) {
            return None;
        }
        Some(Arc::new(tag_rule(self.asked(facts, principal, Some(project), repo), permission)))
    }

    /// The facts of a question about a repository.
    fn asked<'a>(
        &self,
        facts: &'a Facts,
        principal: &Principal,
        project: Option<&ProjectFact>,
        repo: &'a RepoName,
    ) -> AccessFacts<'a> {
        AccessFacts { repository: Some(repo.repository()), ..self.asked_in(facts, principal, project) }
    }

    /// The facts of a question about a project, or the system.
    fn asked_in<'a>(
        &self,
        facts: &'a Facts,
        principal: &Principal,
        project: Option<&ProjectFact>,
    ) -> AccessFacts<'a> {
        AccessFacts {
            signed_in: principal.is_signed_in(),
            address: principal.address,
            now: self.store.now().micros(),
            visibility: project.map(|project| project.visibility),
            system_grants: facts.grants_of(principal.id, None),
            project_grants: project.map_or(&[], |project| facts.grants_of(principal.id, Some(project.id))),
            repository: None,
        }
    }

    /// The caller's own permissions in a project (or on the system), within its token's scope: a token of the
    /// distribution API gives nothing else.
    pub fn own_in(&self, principal: &Principal, project: Option<&ProjectFact>) -> Permissions {
        if principal.scope.is_some() {
            return Permissions::NONE;
        }
        let facts = self.facts.load();
        decide(self.asked_in(&facts, principal, project)).always
    }

    /// The caller's own permissions on a repository's name for some tag at least, whatever its token covers.
    pub fn own_on(&self, principal: &Principal, repo: &RepoName) -> Permissions {
        let facts = self.facts.load();
        let project = facts.project_named(repo.project()).map(AsRef::as_ref);
        decide(self.asked(&facts, principal, project, repo)).sometimes
    }

    /// Whether some grant of the caller counts on some repositories of a project only, so that what it may do
    /// to one is known by name alone.
    pub fn looks_at_names(&self, principal: &Principal, project: &ProjectFact) -> bool {
        let facts = self.facts.load();
        let asked = self.asked_in(&facts, principal, Some(project));
        let mut grants = asked.system_grants.iter().chain(asked.project_grants);
        grants.any(|grant| !grant.conditions.repositories.is_empty())
    }

    /// Whether the caller's own rights and its token allow pulling from `repo`, were it to exist.
    pub fn may_pull(&self, principal: &Principal, repo: &RepoName) -> bool {
        self.own_on(principal, repo).has(Permission::Pull) && Self::scope_covers_pull(principal, repo)
    }

    /// Whether the token of the caller covers pulling `repo`; true for callers without a token.
    pub fn scope_covers_pull(principal: &Principal, repo: &RepoName) -> bool {
        covers(principal, repo, Need::of(Permission::Pull))
    }

    /// Refuses a token that does not cover pushing to `repo`, and says which scope would.
    pub fn check_push_scope(principal: &Principal, repo: &RepoName) -> Result<(), Error> {
        let need = Need::of(Permission::Push);
        if covers(principal, repo, need) {
            Ok(())
        } else {
            Err(Refusal::InsufficientScope { scope: need.scope(repo) }.into())
        }
    }

    /// Whether the caller may ask for the list of all repositories with the token it has.
    pub fn scope_covers_catalog(principal: &Principal) -> bool {
        let Some(scope) = &principal.scope else { return true };
        scope.iter().any(|entry| entry.target == ScopeTarget::Catalog)
    }

    /// Reads the facts again before a negative answer. Without the database, what is known decides pulls for
    /// `access_stale_max`.
    async fn reread(&self, seen: i64) -> Result<bool, Error> {
        match self.refresh(seen).await {
            Ok(changed) => Ok(changed),
            Err(error) => {
                tracing::warn!(%error, "a negative answer could not be checked");
                Err(Error::Unavailable)
            }
        }
    }

    /// Refuses writes when the facts could not be compared for a minute.
    pub fn check_writes_possible(&self) -> Result<(), Error> {
        if self.age() > WRITES_STOP_AFTER { Err(Error::Unavailable) } else { Ok(()) }
    }

    /// Refuses everything when the facts are too old to serve even pulls.
    pub fn check_reads_possible(&self) -> Result<(), Error> {
        if self.age() > self.stale_max + WRITES_STOP_AFTER { Err(Error::Unavailable) } else { Ok(()) }
    }
}

fn covers(principal: &Principal, repo: &RepoName, need: Need) -> bool {
    let Some(scope) = &principal.scope else { return true };
    scope.iter().any(|entry| match &entry.target {
        ScopeTarget::Repository(name) => name == repo && need.covered_by(entry),
        ScopeTarget::Catalog => false,
    })
}

fn verb(permission: Permission) -> &'static str {
    match permission {
        Permission::Push => "push to it",
        Permission::Delete => "delete from it",
        _ => "do this",
    }
}
