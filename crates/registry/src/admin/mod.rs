//! Administration: projects, users, members, the first start. Both APIs render these use cases and add no logic.

mod bootstrap;
mod members;
mod projects;
mod repositories;
mod roles;
mod scanners;
mod scanning;
mod users;

pub use bootstrap::ADMIN;
pub use members::{Member, MemberChange, plain};
pub use projects::{NewProject, ProjectRef, ProjectView};
pub use roles::RoleView;
pub use scanners::{
    Counting, OWN_SCANNER, RegisteredScanner, ScannerChange, ScannerChoice, ScannerCredentials,
};
pub use scanning::{AllowList, Allowance, ProjectScanning};
pub use users::{NewUser, UserChange, UserView};

use metadata::CommitError;
use policy::Permission;

use crate::Registry;
use crate::access::ProjectFact;
use crate::caller::Caller;
use crate::error::{Error, Refusal};

/// Proves a permission on the system; without it the reason names what is missing.
fn require_system(
    registry: &Registry,
    caller: &Caller,
    permission: Permission,
    what: &str,
) -> Result<(), Error> {
    if registry.access.own_in(&caller.principal, None).has(permission) {
        return registry.access.check_writes_possible();
    }
    Err(refuse(caller, format!("you may not {what}; ask a system administrator")))
}

/// Proves a permission in a project. Who may not see it gets the answer of one that does not exist.
fn require_project(
    registry: &Registry,
    caller: &Caller,
    project: &ProjectFact,
    permission: Permission,
    what: &str,
) -> Result<(), Error> {
    let own = registry.access.own_in(&caller.principal, Some(project));
    if own.has(permission) {
        return Ok(());
    }
    if !caller.principal.is_signed_in() {
        return Err(Refusal::SignIn { scope: String::new() }.into());
    }
    if own.has(Permission::ReadProject) {
        let reason =
            format!("you may not {what} in project `{}`; ask one of its administrators", project.name);
        return Err(Refusal::Denied { reason }.into());
    }
    Err(Error::NotFound("project"))
}

fn refuse(caller: &Caller, reason: String) -> Error {
    if caller.principal.is_signed_in() {
        Refusal::Denied { reason }.into()
    } else {
        Refusal::SignIn { scope: String::new() }.into()
    }
}

/// A commit whose conflict at `tag` has a meaning for the caller.
/// Tells when a commit would have left nobody to administer the installation.
fn administered(result: Result<(), CommitError>) -> Result<Result<(), CommitError>, Error> {
    match result {
        Err(error) if error.conflicts_at("administrator") => {
            Err(Error::Conflict("this is the last administrator; name another one first".to_owned()))
        }
        other => Ok(other),
    }
}

fn meaning(result: Result<(), CommitError>, tag: &str, conflict: Error) -> Result<(), Error> {
    match result {
        Err(error) if error.conflicts_at(tag) => Err(conflict),
        other => Ok(other?),
    }
}
