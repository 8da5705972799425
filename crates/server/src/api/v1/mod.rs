//! The native API.

mod artifacts;
mod audit;
mod conditions;
mod exposure;
mod members;
mod projects;
mod repositories;
mod role;
mod roles;
mod scan_routes;
pub(super) mod scanners;
mod scanning;
mod scans;
mod search;
mod system;
mod users;

use std::borrow::Cow;

use http::Method;
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema, json_schema};

use crate::routes::{Routes, about};

pub(super) fn routes() -> Routes {
    let images =
        Routes::new().merge(projects()).merge(repositories()).merge(artifacts()).merge(scan_routes::routes());
    images.merge(members()).merge(users()).merge(roles()).merge(audit()).merge(system())
}

fn repositories() -> Routes {
    use repositories::{Change, Deleted, Page, Repository, Restored, change, deleted, list, remove};
    use repositories::{restore, show};
    let one = "/projects/{project}/repositories/{repository}";
    Routes::new()
        .add(
            Method::GET,
            "/projects/{project}/repositories",
            list,
            about("list_repositories", "Lists the repositories of a project that hold something.")
                .open()
                .query::<PageQuery>()
                .pages::<Repository>(),
        )
        .add(
            Method::GET,
            one,
            show,
            about("show_repository", "Shows a repository.").open().answers::<Repository>(),
        )
        .add(
            Method::PATCH,
            one,
            change,
            about("change_repository", "Says what a repository is for.").body::<Change>(),
        )
        .add(
            Method::DELETE,
            one,
            remove,
            about(
                "delete_repository",
                "Deletes every image of a repository; each stays restorable for a while.",
            ),
        )
        .add(
            Method::GET,
            &format!("{one}/deleted"),
            deleted,
            about("list_deleted_images", "Lists the deleted images of a repository that can be restored.")
                .query::<Page>()
                .answers::<Vec<Deleted>>(),
        )
        .add(
            Method::POST,
            &format!("{one}/deleted/{{id}}/restore"),
            restore,
            about("restore_image", "Brings a deleted image back, with those of its tags that are free.")
                .answers::<Restored>(),
        )
}

fn artifacts() -> Routes {
    use artifacts::{Artifact, ArtifactDetails, Page, list, show};
    let all = "/projects/{project}/repositories/{repository}/artifacts";
    Routes::new()
        .add(
            Method::GET,
            all,
            list,
            about("list_artifacts", "Lists the artifacts of a repository, newest first.")
                .open()
                .query::<Page>()
                .pages::<Artifact>()
                .linked(),
        )
        .add(
            Method::GET,
            &format!("{all}/{{reference}}"),
            show,
            about("show_artifact", "Shows an artifact, named by tag or digest.")
                .open()
                .answers::<ArtifactDetails>(),
        )
}

fn projects() -> Routes {
    use projects::{Change, NewProject, Project, change, create, list, remove, show};
    let (all, one) = ("/projects", "/projects/{project}");
    Routes::new()
        .add(
            Method::GET,
            all,
            list,
            about("list_projects", "Lists the projects that you may see.")
                .open()
                .query::<PageQuery>()
                .pages::<Project>(),
        )
        .add(
            Method::POST,
            all,
            create,
            about("create_project", "Creates a project, which you then administer.")
                .body::<NewProject>()
                .creates::<Project>(),
        )
        .add(Method::GET, one, show, about("show_project", "Shows a project.").open().answers::<Project>())
        .add(Method::PATCH, one, change, about("change_project", "Changes a project.").body::<Change>())
        .add(
            Method::DELETE,
            one,
            remove,
            about("delete_project", "Deletes a project that holds no image any more."),
        )
}

fn members() -> Routes {
    use members::{Change, Member, NewMember, add, change, list, remove};
    let (all, one) = ("/projects/{project}/members", "/projects/{project}/members/{id}");
    Routes::new()
        .add(
            Method::GET,
            all,
            list,
            about("list_members", "Lists who has which role in a project.").answers::<Vec<Member>>(),
        )
        .add(
            Method::POST,
            all,
            add,
            about("add_member", "Gives a user a role in a project.").body::<NewMember>().creates::<Member>(),
        )
        .add(Method::PATCH, one, change, about("change_member", "Changes a member's role.").body::<Change>())
        .add(Method::DELETE, one, remove, about("remove_member", "Takes a member's role away."))
}

fn users() -> Routes {
    use users::{Change, NewUser, Password, User, change, create, current, list, password, remove, show};
    let (all, one) = ("/users", "/users/{id}");
    Routes::new()
        .add(
            Method::GET,
            all,
            list,
            about("list_users", "Lists users; for who administers them.")
                .query::<PageQuery>()
                .pages::<User>(),
        )
        .add(
            Method::POST,
            all,
            create,
            about("create_user", "Creates a user.").body::<NewUser>().creates::<User>(),
        )
        .add(
            Method::GET,
            "/users/current",
            current,
            about("show_current_user", "Shows who you are.").answers::<User>(),
        )
        .add(Method::GET, one, show, about("show_user", "Shows a user.").answers::<User>())
        .add(Method::PATCH, one, change, about("change_user", "Changes a user.").body::<Change>())
        .add(Method::DELETE, one, remove, about("delete_user", "Deletes a user."))
        .add(
            Method::PUT,
            "/users/{id}/password",
            password,
            about("change_password", "Changes a password; one's own with the old one.").body::<Password>(),
        )
}

fn roles() -> Routes {
    use roles::{NewRole, RoleGrant, give, list, take};
    Routes::new()
        .add(
            Method::GET,
            "/roles",
            list,
            about("list_roles", "Lists who has which role on the system.").answers::<Vec<RoleGrant>>(),
        )
        .add(
            Method::POST,
            "/roles",
            give,
            about("give_role", "Gives a user a role on the system.").body::<NewRole>().creates::<RoleGrant>(),
        )
        .add(
            Method::DELETE,
            "/roles/{id}",
            take,
            about("take_role", "Takes a role on the system away; never one's own administration."),
        )
}

fn audit() -> Routes {
    use audit::{Page, Record, list};
    Routes::new().add(
        Method::GET,
        "/audit",
        list,
        about("list_audit", "Lists the sealed audit records in the order of their numbers.")
            .query::<Page>()
            .answers::<Vec<Record>>(),
    )
}

fn system() -> Routes {
    use system::{Check, Collection, NewCheck, NewCollection, check, checks, collect, collections};
    let (all_collections, all_checks) = ("/system/collections", "/system/checks");
    Routes::new()
        .add(
            Method::GET,
            all_collections,
            collections,
            about("list_collections", "Lists the last collections of what nothing needs any more.")
                .answers::<Vec<Collection>>(),
        )
        .add(
            Method::POST,
            all_collections,
            collect,
            about("start_collection", "Collects what nothing needs any more, or counts it.")
                .body::<NewCollection>()
                .accepts::<Collection>(),
        )
        .add(
            Method::GET,
            all_checks,
            checks,
            about("list_checks", "Lists the last checks of the database against the stored blobs.")
                .answers::<Vec<Check>>(),
        )
        .add(
            Method::POST,
            all_checks,
            check,
            about("start_check", "Compares the database with the stored blobs.")
                .body::<NewCheck>()
                .accepts::<Check>(),
        )
}

/// A page of a list by key.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    /// Entries whose name contains this.
    #[serde(default)]
    name: String,
    /// Entries after this name.
    #[serde(default)]
    after: String,
    /// Entries of a page; 100 when not said.
    #[serde(default)]
    limit: Limit,
}

/// How many entries a page has.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(try_from = "usize")]
struct Limit(usize);

impl JsonSchema for Limit {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 })
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(100)
    }
}

impl TryFrom<usize> for Limit {
    type Error = &'static str;

    fn try_from(count: usize) -> Result<Self, &'static str> {
        if (1..=1000).contains(&count) { Ok(Self(count)) } else { Err("limit must lie between 1 and 1000") }
    }
}
