//! What a caller may do to one project and repository.
//!
//! An explicit deny wins over every allow of the same scope; a system administrator is not bound by denies, so that
//! nobody can lock the administrators out.

use crate::pattern::RepositoryPattern;
use crate::role::{Permission, Permissions, Role};

/// Who may see a project without a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Only who has a grant.
    Private,
    /// Every signed-in user pulls.
    Internal,
    /// Everybody pulls.
    Public,
}

/// Whether a grant gives or takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Gives the role's permissions.
    Allow,
    /// Takes the role's permissions.
    Deny,
}

/// One grant to the caller, in the project or on the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantFact {
    /// The permissions it is about.
    pub role: Role,
    /// Gives or takes.
    pub effect: Effect,
    /// Only these repositories of the project; all when empty.
    pub repositories: Vec<RepositoryPattern>,
}

impl GrantFact {
    fn covers(&self, repository: Option<&str>) -> bool {
        match repository {
            // Without a repository in question, a grant on some of them shows the project but gives nothing else.
            None => self.repositories.is_empty(),
            Some(name) => {
                self.repositories.is_empty() || self.repositories.iter().any(|pattern| pattern.covers(name))
            }
        }
    }
}

/// All that decides about access.
#[derive(Clone, Copy, Debug)]
pub struct AccessFacts<'a> {
    /// Whether the caller is signed in.
    pub signed_in: bool,
    /// The project's visibility; none for a question about the system or an unknown project.
    pub visibility: Option<Visibility>,
    /// The caller's grants on the system.
    pub system_grants: &'a [GrantFact],
    /// The caller's grants in the project.
    pub project_grants: &'a [GrantFact],
    /// The repository inside the project, when the question is about one.
    pub repository: Option<&'a str>,
}

/// The caller's own permissions there.
pub fn permissions(facts: AccessFacts<'_>) -> Permissions {
    let mut allowed = Permissions::NONE;
    let mut denied = Permissions::NONE;
    for grant in facts.system_grants {
        if grant.role == Role::SystemAdmin && grant.effect == Effect::Allow {
            return Permissions::ALL;
        }
        add(&mut allowed, &mut denied, grant);
    }
    let visible = match facts.visibility {
        Some(Visibility::Public) => true,
        Some(Visibility::Internal) => facts.signed_in,
        Some(Visibility::Private) | None => false,
    };
    if visible {
        allowed = allowed | Permissions::of(&[Permission::ReadProject, Permission::Pull]);
    }
    for grant in facts.project_grants {
        if grant.covers(facts.repository) {
            add(&mut allowed, &mut denied, grant);
        } else if grant.effect == Effect::Allow && facts.repository.is_none() {
            allowed = allowed | Permissions::of(&[Permission::ReadProject]);
        }
    }
    allowed.without(denied)
}

fn add(allowed: &mut Permissions, denied: &mut Permissions, grant: &GrantFact) {
    let set = grant.role.permissions();
    match grant.effect {
        Effect::Allow => *allowed = *allowed | set,
        Effect::Deny => *denied = *denied | set,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(role: Role, effect: Effect, patterns: &[&str]) -> GrantFact {
        GrantFact { role, effect, repositories: patterns.iter().map(|text| text.parse().unwrap()).collect() }
    }

    fn ask(
        visibility: Visibility,
        signed_in: bool,
        project_grants: &[GrantFact],
        repository: &str,
    ) -> Permissions {
        permissions(AccessFacts {
            signed_in,
            visibility: Some(visibility),
            system_grants: &[],
            project_grants,
            repository: Some(repository),
        })
    }

    #[test]
    fn visibility_decides_for_callers_without_a_grant() {
        assert!(!ask(Visibility::Private, true, &[], "r").has(Permission::Pull));
        assert!(!ask(Visibility::Internal, false, &[], "r").has(Permission::Pull));
        assert!(ask(Visibility::Internal, true, &[], "r").has(Permission::Pull));
        assert!(ask(Visibility::Public, false, &[], "r").has(Permission::Pull));
        assert!(!ask(Visibility::Public, true, &[], "r").has(Permission::Push));
    }

    #[test]
    fn a_deny_wins_over_an_allow_where_it_applies() {
        let grants = [
            grant(Role::Developer, Effect::Allow, &[]),
            grant(Role::LimitedGuest, Effect::Deny, &["secret/**"]),
        ];
        assert!(ask(Visibility::Public, true, &grants, "open").has(Permission::Push));
        assert!(!ask(Visibility::Public, true, &grants, "secret/x").has(Permission::Pull));
    }

    #[test]
    fn a_grant_on_some_repositories_gives_nothing_on_others() {
        let grants = [grant(Role::Developer, Effect::Allow, &["team/**"])];
        assert!(ask(Visibility::Private, true, &grants, "team/x").has(Permission::Push));
        assert_eq!(ask(Visibility::Private, true, &grants, "other"), Permissions::NONE);
    }

    #[test]
    fn system_administrators_cannot_be_locked_out() {
        let system = [grant(Role::Guest, Effect::Deny, &[]), grant(Role::SystemAdmin, Effect::Allow, &[])];
        let set = permissions(AccessFacts {
            signed_in: true,
            visibility: None,
            system_grants: &system,
            project_grants: &[],
            repository: None,
        });
        assert_eq!(set, Permissions::ALL);
    }
}
