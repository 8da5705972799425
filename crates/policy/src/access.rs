//! What a caller may do to one project and repository.
//!
//! An explicit deny wins over every allow of the same scope; a system administrator is not bound by denies, so that
//! nobody can lock the administrators out.

use core::net::IpAddr;

use crate::condition::{Conditions, TagRule};
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
    /// Only these of the role's permissions; all when none.
    pub only: Option<Permissions>,
    /// Gives or takes.
    pub effect: Effect,
    /// When it counts.
    pub conditions: Conditions,
}

impl GrantFact {
    /// The permissions that it gives or takes.
    pub fn permissions(&self) -> Permissions {
        self.role.permissions() & self.only.unwrap_or(Permissions::ALL)
    }
}

/// All that decides about access.
#[derive(Clone, Copy, Debug)]
pub struct AccessFacts<'a> {
    /// Whether the caller is signed in.
    pub signed_in: bool,
    /// Where the caller is.
    pub address: Option<IpAddr>,
    /// Microseconds since 1970.
    pub now: i64,
    /// The project's visibility; none for a question about the system or an unknown project.
    pub visibility: Option<Visibility>,
    /// The caller's grants on the system.
    pub system_grants: &'a [GrantFact],
    /// The caller's grants in the project.
    pub project_grants: &'a [GrantFact],
    /// The repository inside the project, when the question is about one.
    pub repository: Option<&'a str>,
}

/// What a caller may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whatever the tag.
    pub always: Permissions,
    /// For some tag at least: a superset.
    pub sometimes: Permissions,
}

/// The caller's own permissions there.
pub fn decide(facts: AccessFacts<'_>) -> Decision {
    let counts = |grant: &&GrantFact| grant.conditions.hold(facts.address, facts.now);
    let mut sets = Sets::default();
    for grant in facts.system_grants.iter().filter(counts) {
        if grant.role == Role::SystemAdmin && grant.effect == Effect::Allow && grant.only.is_none() {
            return Decision { always: Permissions::ALL, sometimes: Permissions::ALL };
        }
        sets.add(grant);
    }
    let reads = Permissions::of(&[Permission::ReadProject, Permission::Pull]);
    if visible(facts) {
        sets.allowed = sets.allowed | reads;
    }
    for grant in facts.project_grants.iter().filter(counts) {
        if grant.conditions.cover(facts.repository) {
            sets.add(grant);
        } else if grant.effect == Effect::Allow && facts.repository.is_none() {
            // A grant on some repositories shows the project and gives nothing else there.
            sets.allowed = sets.allowed | Permissions::of(&[Permission::ReadProject]);
        }
    }
    let always = sets.allowed.without(sets.denied | sets.denied_on_tags);
    Decision { always, sometimes: always | (sets.allowed | sets.allowed_on_tags).without(sets.denied) }
}

/// For which tags of the repository the caller has `permission`: asked when it has it only sometimes.
pub fn tag_rule(facts: AccessFacts<'_>, permission: Permission) -> TagRule {
    let mut rule =
        TagRule { untagged: permission == Permission::Pull && visible(facts), ..TagRule::default() };
    let mut denied = false;
    let grants = facts.system_grants.iter().chain(facts.project_grants);
    for grant in grants.filter(|grant| grant.permissions().has(permission)) {
        if !grant.conditions.hold(facts.address, facts.now) || !grant.conditions.cover(facts.repository) {
            continue;
        }
        let tags = &grant.conditions.tags;
        match grant.effect {
            Effect::Allow if tags.is_empty() => rule.untagged = true,
            Effect::Allow => rule.allowed.extend_from_slice(tags),
            Effect::Deny if tags.is_empty() => denied = true,
            Effect::Deny => rule.denied.extend_from_slice(tags),
        }
    }
    if denied { TagRule::default() } else { rule }
}

fn visible(facts: AccessFacts<'_>) -> bool {
    match facts.visibility {
        Some(Visibility::Public) => true,
        Some(Visibility::Internal) => facts.signed_in,
        Some(Visibility::Private) | None => false,
    }
}

#[derive(Default)]
struct Sets {
    allowed: Permissions,
    denied: Permissions,
    allowed_on_tags: Permissions,
    denied_on_tags: Permissions,
}

impl Sets {
    fn add(&mut self, grant: &GrantFact) {
        // What is not about content has no tag: a grant on tags shows the project and gives nothing else of that.
        let content = Permissions::of(&[Permission::Pull, Permission::Push, Permission::Delete]);
        let set = grant.permissions();
        match (grant.effect, grant.conditions.tags.is_empty()) {
            (Effect::Allow, true) => self.allowed = self.allowed | set,
            (Effect::Deny, true) => self.denied = self.denied | set,
            (Effect::Allow, false) => {
                self.allowed = self.allowed | Permissions::of(&[Permission::ReadProject]);
                self.allowed_on_tags = self.allowed_on_tags | (set & content);
            }
            (Effect::Deny, false) => self.denied_on_tags = self.denied_on_tags | (set & content),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(role: Role, effect: Effect, patterns: &[&str]) -> GrantFact {
        let repositories = patterns.iter().map(|text| text.parse().unwrap()).collect();
        GrantFact {
            role,
            only: None,
            effect,
            conditions: Conditions { repositories, ..Conditions::default() },
        }
    }

    fn on_tags(role: Role, effect: Effect, patterns: &[&str]) -> GrantFact {
        let tags = patterns.iter().map(|text| text.parse().unwrap()).collect();
        GrantFact { role, only: None, effect, conditions: Conditions { tags, ..Conditions::default() } }
    }

    fn facts<'a>(
        visibility: Visibility,
        signed_in: bool,
        project_grants: &'a [GrantFact],
        repository: &'a str,
    ) -> AccessFacts<'a> {
        AccessFacts {
            signed_in,
            address: None,
            now: 0,
            visibility: Some(visibility),
            system_grants: &[],
            project_grants,
            repository: Some(repository),
        }
    }

    fn ask(visibility: Visibility, signed_in: bool, grants: &[GrantFact], repository: &str) -> Permissions {
        decide(facts(visibility, signed_in, grants, repository)).always
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
    fn a_deny_of_one_permission_leaves_the_others() {
        let deny = GrantFact {
            only: Some(Permissions::of(&[Permission::Push])),
            ..grant(Role::Maintainer, Effect::Deny, &["frozen"])
        };
        let grants = [grant(Role::Maintainer, Effect::Allow, &[]), deny];
        let set = ask(Visibility::Private, true, &grants, "frozen");
        assert!(set.has(Permission::Pull) && set.has(Permission::Delete) && !set.has(Permission::Push));
    }

    #[test]
    fn a_grant_on_some_repositories_gives_nothing_on_others() {
        let grants = [grant(Role::Developer, Effect::Allow, &["team/**"])];
        assert!(ask(Visibility::Private, true, &grants, "team/x").has(Permission::Push));
        assert_eq!(ask(Visibility::Private, true, &grants, "other"), Permissions::NONE);
    }

    #[test]
    fn a_grant_on_some_tags_holds_sometimes() {
        let grants =
            [grant(Role::Guest, Effect::Allow, &[]), on_tags(Role::Developer, Effect::Allow, &["dev-*"])];
        let asked = facts(Visibility::Private, true, &grants, "r");
        let decision = decide(asked);
        assert!(decision.always.has(Permission::Pull) && !decision.always.has(Permission::Push));
        assert!(decision.sometimes.has(Permission::Push) && !decision.sometimes.has(Permission::Delete));
        let rule = tag_rule(asked, Permission::Push);
        assert!(rule.permits("dev-1") && !rule.permits("v1") && !rule.permits_untagged());
        let project = decide(AccessFacts { repository: None, ..asked });
        assert_eq!(project.always, Role::Guest.permissions(), "administration has no tags");
    }

    #[test]
    fn a_deny_on_some_tags_takes_only_these() {
        let grants =
            [grant(Role::Developer, Effect::Allow, &[]), on_tags(Role::Guest, Effect::Deny, &["prod-*"])];
        let asked = facts(Visibility::Public, true, &grants, "r");
        let decision = decide(asked);
        assert!(!decision.always.has(Permission::Pull) && decision.sometimes.has(Permission::Pull));
        let rule = tag_rule(asked, Permission::Pull);
        assert!(rule.permits("v1") && !rule.permits("prod-1"));
    }

    #[test]
    fn grants_count_only_from_their_networks_and_in_their_time() {
        let conditions = Conditions {
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            not_after: Some(100),
            ..Conditions::default()
        };
        let grants = [GrantFact { conditions, ..grant(Role::Developer, Effect::Allow, &[]) }];
        let from = |address: &str, now| {
            let asked = facts(Visibility::Private, true, &grants, "r");
            decide(AccessFacts { address: Some(address.parse().unwrap()), now, ..asked }).always
        };
        assert!(from("10.1.1.1", 99).has(Permission::Push));
        assert_eq!((from("11.1.1.1", 99), from("10.1.1.1", 100)), (Permissions::NONE, Permissions::NONE));
    }

    #[test]
    fn system_administrators_cannot_be_locked_out() {
        let system = [grant(Role::Guest, Effect::Deny, &[]), grant(Role::SystemAdmin, Effect::Allow, &[])];
        let asked = facts(Visibility::Private, true, &[], "r");
        let decision =
            decide(AccessFacts { system_grants: &system, visibility: None, repository: None, ..asked });
        assert_eq!(decision.always, Permissions::ALL);
    }
}
