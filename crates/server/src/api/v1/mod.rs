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
    let images = Routes::new().merge(projects()).merge(repositories()).merge(artifacts()).merge(scans());
    let images = images.merge(scanning()).merge(search()).merge(reports());
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

fn scans() -> Routes {
    use scans::{Form, Line, Scan, log, report, sbom, show, start, stop};
    let of = |rest: &str| {
        format!("/projects/{{project}}/repositories/{{repository}}/artifacts/{{reference}}/{rest}")
    };
    Routes::new()
        .add(
            Method::GET,
            &of("scan"),
            show,
            about("show_scan", "Shows what is known of an artifact: of an index, of its images.")
                .open()
                .answers::<Scan>(),
        )
        .add(
            Method::POST,
            &of("scan"),
            start,
            about("start_scan", "Scans an artifact; the last verdict stands until there is another.")
                .accepts::<Scan>(),
        )
        .add(Method::DELETE, &of("scan"), stop, about("stop_scan", "Stops the scan of an artifact."))
        .add(
            Method::GET,
            &of("scan/log"),
            log,
            about("show_scan_log", "Shows what the newest scan of an artifact said.")
                .open()
                .answers::<Vec<Line>>(),
        )
        .add(
            Method::GET,
            &of("scan/report"),
            report,
            about("show_scan_report", "Makes the report of an image by the advisories of this moment.")
                .open()
                .answers::<serde_json::Value>(),
        )
        .add(
            Method::GET,
            &of("sbom"),
            sbom,
            about("show_sbom", "Makes the bill of materials of an image.")
                .open()
                .query::<Form>()
                .answers::<serde_json::Value>(),
        )
}

fn scanning() -> Routes {
    use scanning::{Decided, Status, Sweep, Which, WireList, advisories, allow_list, change};
    use scanning::{change_allow_list, findings, renew, show, start, stop, sweeps};
    let (project, list, all) = ("/projects/{project}/scanning", "/system/allow-list", "/system/scans");
    Routes::new()
        .add(
            Method::GET,
            project,
            show,
            about("show_scanning", "Shows what a project decides about scanning.").answers::<Decided>(),
        )
        .add(
            Method::PUT,
            project,
            change,
            about("change_scanning", "Decides about scanning in a project.").body::<Decided>(),
        )
        .add(
            Method::GET,
            list,
            allow_list,
            about("show_allow_list", "Shows the allow-list of the whole system.").answers::<WireList>(),
        )
        .add(
            Method::PUT,
            list,
            change_allow_list,
            about("change_allow_list", "Changes the allow-list of the whole system.").body::<WireList>(),
        )
        .add(
            Method::GET,
            all,
            sweeps,
            about("list_scans", "Lists the last scans of everything.").answers::<Vec<Sweep>>(),
        )
        .add(
            Method::POST,
            all,
            start,
            about("scan_all", "Scans everything, behind what people ask for.").accepts::<Sweep>(),
        )
        .add(
            Method::DELETE,
            all,
            stop,
            about("stop_scan_all", "Stops the scans of everything; what was judged stays."),
        )
        .add(
            Method::GET,
            "/system/advisories",
            advisories,
            about("show_advisories", "Shows the advisories that artifacts are judged by.")
                .answers::<Status>(),
        )
        .add(
            Method::POST,
            "/system/advisories/renewals",
            renew,
            about("renew_advisories", "Asks the feeds what is new.").accepts::<system::Progress>(),
        )
        .add(
            Method::GET,
            "/findings.csv",
            findings,
            about("export_findings", "Lists the findings of all that you may see, as CSV.")
                .query::<Which>()
                .text("text/csv"),
        )
}

fn search() -> Routes {
    use search::{Asked, Exported, Found, Keep, Saved, export, forget, images, keep, saved};
    Routes::new()
        .add(
            Method::GET,
            "/search/images",
            images,
            about("search_images", "Lists the images that contain what is asked for.")
                .open()
                .query::<Asked>()
                .answers::<Found>(),
        )
        .add(
            Method::GET,
            "/search/images.csv",
            export,
            about("export_images", "Lists the images that contain what is asked for, as CSV.")
                .open()
                .query::<Exported>()
                .text("text/csv"),
        )
        .add(
            Method::GET,
            "/search/saved",
            saved,
            about(
                "list_saved_searches",
                "Lists your questions that are asked again whenever something changes.",
            )
            .answers::<Vec<Saved>>(),
        )
        .add(
            Method::PUT,
            "/search/saved/{search}",
            keep,
            about("keep_search", "Keeps a question; a new answer raises an event.").body::<Keep>(),
        )
        .add(Method::DELETE, "/search/saved/{search}", forget, about("forget_search", "Forgets a question."))
}

fn reports() -> Routes {
    use exposure::{Exposures, Page, Totals, Which, export, list, summary};
    Routes::new()
        .add(
            Method::GET,
            "/reports/exposure",
            list,
            about("list_exposures", "Lists how long vulnerabilities stay in projects.")
                .open()
                .query::<Page>()
                .answers::<Exposures>(),
        )
        .add(
            Method::GET,
            "/reports/exposure/summary",
            summary,
            about("summarise_exposures", "Says how long repairs take, by severity and by project.")
                .open()
                .query::<Which>()
                .answers::<Totals>(),
        )
        .add(
            Method::GET,
            "/reports/exposure.csv",
            export,
            about("export_exposures", "Lists how long vulnerabilities stay in projects, as CSV.")
                .open()
                .query::<Which>()
                .text("text/csv"),
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
