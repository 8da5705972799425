//! Permissions and the roles that are named sets of them.
//!
//! Harbor's five project roles are presets; system roles apply everywhere. A role is data: adding one changes this
//! table and nothing else.

use std::fmt;
use std::ops::{BitAnd, BitOr};
use std::str::FromStr;

/// One thing that a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Permission {
    /// See that the project exists, its settings and lists.
    ReadProject,
    /// Read manifests and blobs, list tags and referrers.
    Pull,
    /// Upload blobs, put manifests, move tags.
    Push,
    /// Delete tags, manifests and blobs.
    Delete,
    /// List members.
    ListMembers,
    /// Add, change and remove members.
    ManageMembers,
    /// Change the project's settings.
    UpdateProject,
    /// Delete the project.
    DeleteProject,
    /// Read the project's audit records.
    ReadProjectAudit,
    /// Create projects.
    CreateProject,
    /// Create, change and delete users.
    ManageUsers,
    /// Read every project and all audit records.
    ReadSystem,
    /// Change the system's settings and run its maintenance.
    ManageSystem,
    /// Have images of other registries scanned.
    UseScanner,
}

impl Permission {
    /// Every permission.
    pub const LIST: [Self; 14] = [
        Self::ReadProject,
        Self::Pull,
        Self::Push,
        Self::Delete,
        Self::ListMembers,
        Self::ManageMembers,
        Self::UpdateProject,
        Self::DeleteProject,
        Self::ReadProjectAudit,
        Self::CreateProject,
        Self::ManageUsers,
        Self::ReadSystem,
        Self::ManageSystem,
        Self::UseScanner,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadProject => "read-project",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::ListMembers => "list-members",
            Self::ManageMembers => "manage-members",
            Self::UpdateProject => "update-project",
            Self::DeleteProject => "delete-project",
            Self::ReadProjectAudit => "read-project-audit",
            Self::CreateProject => "create-project",
            Self::ManageUsers => "manage-users",
            Self::ReadSystem => "read-system",
            Self::ManageSystem => "manage-system",
            Self::UseScanner => "use-scanner",
        }
    }
}

/// The text names no permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no permission of that name")]
pub struct PermissionError;

impl FromStr for Permission {
    type Err = PermissionError;

    fn from_str(text: &str) -> Result<Self, PermissionError> {
        Self::LIST.into_iter().find(|permission| permission.name() == text).ok_or(PermissionError)
    }
}

/// A set of permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u32);

impl Permissions {
    /// No permission.
    pub const NONE: Self = Self(0);
    /// Every permission.
    pub const ALL: Self = Self(u32::MAX);

    /// The set of `list`.
    pub const fn of(list: &[Permission]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < list.len() {
            bits |= 1 << list[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// Whether `permission` is in the set.
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u8) != 0
    }

    /// The permissions in the set.
    pub fn list(self) -> impl Iterator<Item = Permission> {
        Permission::LIST.into_iter().filter(move |permission| self.has(*permission))
    }

    /// This set without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Permissions {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Permissions {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// A named set of permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything in the project.
    ProjectAdmin,
    /// Developer who may also delete.
    Maintainer,
    /// Pull and push.
    Developer,
    /// Pull, and see the members.
    Guest,
    /// Pull only.
    LimitedGuest,
    /// Everything everywhere.
    SystemAdmin,
    /// Read everything everywhere, change nothing.
    Auditor,
    /// Create projects.
    ProjectCreator,
    /// Have images of other registries scanned.
    ScannerUser,
}

const LIMITED_GUEST: Permissions = Permissions::of(&[Permission::ReadProject, Permission::Pull]);

impl Role {
    /// Every role, project roles first.
    pub const LIST: [Self; 9] = [
        Self::ProjectAdmin,
        Self::Maintainer,
        Self::Developer,
        Self::Guest,
        Self::LimitedGuest,
        Self::SystemAdmin,
        Self::Auditor,
        Self::ProjectCreator,
        Self::ScannerUser,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::ProjectAdmin => "project-admin",
            Self::Maintainer => "maintainer",
            Self::Developer => "developer",
            Self::Guest => "guest",
            Self::LimitedGuest => "limited-guest",
            Self::SystemAdmin => "system-admin",
            Self::Auditor => "auditor",
            Self::ProjectCreator => "project-creator",
            Self::ScannerUser => "scanner-user",
        }
    }

    /// Whether the role is given in a project; else it is given on the system.
    pub fn is_project_role(self) -> bool {
        !matches!(self, Self::SystemAdmin | Self::Auditor | Self::ProjectCreator | Self::ScannerUser)
    }

    /// What the role may do.
    pub fn permissions(self) -> Permissions {
        let guest = LIMITED_GUEST | Permissions::of(&[Permission::ListMembers]);
        let developer = guest | Permissions::of(&[Permission::Push, Permission::ReadProjectAudit]);
        let maintainer = developer | Permissions::of(&[Permission::Delete]);
        match self {
            Self::LimitedGuest => LIMITED_GUEST,
            Self::Guest => guest,
            Self::Developer => developer,
            Self::Maintainer => maintainer,
            Self::ProjectAdmin => {
                maintainer
                    | Permissions::of(&[
                        Permission::ManageMembers,
                        Permission::UpdateProject,
                        Permission::DeleteProject,
                    ])
            }
            Self::SystemAdmin => Permissions::ALL,
            Self::Auditor => guest | Permissions::of(&[Permission::ReadProjectAudit, Permission::ReadSystem]),
            Self::ProjectCreator => Permissions::of(&[Permission::CreateProject]),
            Self::ScannerUser => Permissions::of(&[Permission::UseScanner]),
        }
    }
}

/// The text names no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "role is not one of project-admin, maintainer, developer, guest, limited-guest, system-admin, auditor, project-creator, scanner-user"
)]
pub struct RoleError;

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        Self::LIST.into_iter().find(|role| role.name() == text).ok_or(RoleError)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_project_role_holds_the_next_lower() {
        let ladder = [Role::ProjectAdmin, Role::Maintainer, Role::Developer, Role::Guest, Role::LimitedGuest];
        for pair in ladder.windows(2) {
            assert_eq!(pair[0].permissions() & pair[1].permissions(), pair[1].permissions(), "{pair:?}");
            assert_ne!(pair[0].permissions(), pair[1].permissions(), "{pair:?}");
        }
    }

    #[test]
    fn project_roles_grant_nothing_on_the_system() {
        let system = [
            Permission::CreateProject,
            Permission::ManageUsers,
            Permission::ReadSystem,
            Permission::ManageSystem,
            Permission::UseScanner,
        ];
        for role in Role::LIST.into_iter().filter(|role| role.is_project_role()) {
            assert!(system.iter().all(|permission| !role.permissions().has(*permission)), "{role}");
        }
    }

    #[test]
    fn every_permission_is_listed_under_its_own_name() {
        for (at, permission) in Permission::LIST.into_iter().enumerate() {
            assert_eq!((permission as usize, permission.name().parse()), (at, Ok(permission)));
        }
        assert_eq!(Permissions::of(&Permission::LIST).list().count(), Permission::LIST.len());
    }

    #[test]
    fn auditors_change_nothing() {
        let set = Role::Auditor.permissions();
        for permission in
            [Permission::Push, Permission::Delete, Permission::ManageMembers, Permission::ManageSystem]
        {
            assert!(!set.has(permission), "{permission:?}");
        }
    }
}
