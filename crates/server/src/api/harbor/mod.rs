//! Harbor's API v2.0: its names, ids, status codes and quirks over our use cases, so that its clients work
//! unmodified. Unknown members of bodies are ignored. No logic of its own.

mod artifact_wire;
mod artifacts;
mod members;
mod names;
mod page;
mod projects;
mod repositories;
mod scan_wire;
mod scanners;
mod scans;
mod security;
mod system_scan;
mod tags;
mod users;

use axum::Json;
use axum::response::Response;
use http::Method;
use serde_json::json;

use super::problem::Problem;
use crate::routes::Routes;

const PROJECTS: &str = "/projects";
const PROJECT: &str = "/projects/{project}";
const MEMBERS: &str = "/projects/{project}/members";
const MEMBER: &str = "/projects/{project}/members/{id}";
const REPOSITORIES: &str = "/projects/{project}/repositories";
const REPOSITORY: &str = "/projects/{project}/repositories/{repository}";
const ARTIFACTS: &str = "/projects/{project}/repositories/{repository}/artifacts";
const ARTIFACT: &str = "/projects/{project}/repositories/{repository}/artifacts/{reference}";
const USERS: &str = "/users";
const USER: &str = "/users/{id}";

pub(super) fn routes() -> Routes {
    Routes::new()
        .add(Method::GET, "/ping", async || "Pong", None)
        .add(Method::GET, PROJECTS, projects::list, None)
        .add(Method::HEAD, PROJECTS, projects::exists, None)
        .add(Method::POST, PROJECTS, projects::create, None)
        .add(Method::GET, PROJECT, projects::show, None)
        .add(Method::PUT, PROJECT, projects::change, None)
        .add(Method::DELETE, PROJECT, projects::remove, None)
        .add(Method::GET, MEMBERS, members::list, None)
        .add(Method::POST, MEMBERS, members::add, None)
        .add(Method::GET, MEMBER, members::show, None)
        .add(Method::PUT, MEMBER, members::change, None)
        .add(Method::DELETE, MEMBER, members::remove, None)
        .add(Method::GET, USERS, users::list, None)
        .add(Method::POST, USERS, users::create, None)
        .add(Method::GET, "/users/current", users::current, None)
        .add(Method::GET, "/users/search", users::search, None)
        .add(Method::GET, USER, users::show, None)
        .add(Method::PUT, USER, users::change, None)
        .add(Method::DELETE, USER, users::remove, None)
        .add(Method::PUT, "/users/{id}/sysadmin", users::sysadmin, None)
        .add(Method::PUT, "/users/{id}/password", users::password, None)
        .merge(content())
        .merge(scanning())
        .layered(|router| router.layer(axum::middleware::map_response(as_harbor)))
}

fn content() -> Routes {
    let of_artifact = |rest: &str| format!("{ARTIFACT}/{rest}");
    Routes::new()
        .add(Method::GET, "/repositories", repositories::list_all, None)
        .add(Method::GET, REPOSITORIES, repositories::list, None)
        .add(Method::GET, REPOSITORY, repositories::show, None)
        .add(Method::PUT, REPOSITORY, repositories::change, None)
        .add(Method::DELETE, REPOSITORY, repositories::remove, None)
        .add(Method::GET, ARTIFACTS, artifacts::list, None)
        .add(Method::GET, ARTIFACT, artifacts::show, None)
        .add(Method::DELETE, ARTIFACT, artifacts::remove, None)
        .add(Method::GET, &of_artifact("accessories"), artifacts::accessories, None)
        .add(Method::GET, &of_artifact("additions/build_history"), artifacts::build_history, None)
        .add(Method::GET, &of_artifact("tags"), tags::list, None)
        .add(Method::POST, &of_artifact("tags"), tags::create, None)
        .add(Method::DELETE, &of_artifact("tags/{tag}"), tags::remove, None)
}

fn scanning() -> Routes {
    let of_artifact = |rest: &str| format!("{ARTIFACT}/{rest}");
    let (schedule, list) = ("/system/scanAll/schedule", "/system/CVEAllowlist");
    Routes::new()
        .add(Method::POST, &of_artifact("scan"), scans::start, None)
        .add(Method::POST, &of_artifact("scan/stop"), scans::stop, None)
        .add(Method::GET, &of_artifact("scan/{report}/log"), scans::log, None)
        .add(Method::GET, &of_artifact("additions/vulnerabilities"), scans::vulnerabilities, None)
        .add(Method::GET, &of_artifact("additions/sbom"), scans::sbom, None)
        .add(Method::GET, schedule, system_scan::show_schedule, None)
        .add(Method::POST, schedule, system_scan::create_schedule, None)
        .add(Method::PUT, schedule, system_scan::change_schedule, None)
        .add(Method::POST, "/system/scanAll/stop", system_scan::stop, None)
        .add(Method::GET, "/scans/all/metrics", system_scan::figures, None)
        .add(Method::GET, list, system_scan::show_allow_list, None)
        .add(Method::PUT, list, system_scan::change_allow_list, None)
        .merge(scanners())
        .add(Method::GET, "/security/summary", security::summary, None)
        .add(Method::GET, "/security/vul", security::vulnerabilities, None)
        .add(Method::POST, "/export/cve", security::export, None)
        .add(Method::GET, "/export/cve/executions", security::executions, None)
        .add(Method::GET, "/export/cve/execution/{export}", security::show_execution, None)
        .add(Method::GET, "/export/cve/download/{export}", security::download, None)
}

fn scanners() -> Routes {
    let (all, one, of_project) = ("/scanners", "/scanners/{scanner}", "/projects/{project}/scanner");
    Routes::new()
        .add(Method::GET, all, scanners::list, None)
        .add(Method::POST, all, scanners::create, None)
        .add(Method::POST, "/scanners/ping", scanners::ping, None)
        .add(Method::GET, one, scanners::show, None)
        .add(Method::PUT, one, scanners::change, None)
        .add(Method::PATCH, one, scanners::make_default, None)
        .add(Method::DELETE, one, scanners::remove, None)
        .add(Method::GET, "/scanners/{scanner}/metadata", scanners::metadata, None)
        .add(Method::GET, of_project, scanners::of_project, None)
        .add(Method::PUT, of_project, scanners::choose, None)
        .add(Method::GET, "/projects/{project}/scanner/candidates", scanners::candidates, None)
}

/// The version of the API, outside of it: the first call of Harbor's own replication.
pub(super) fn version() -> Routes {
    Routes::new().add(Method::GET, "/api/version", async || Json(json!({ "version": "v2.0" })), None)
}

async fn as_harbor(response: Response) -> Response {
    match response.extensions().get::<Problem>() {
        Some(problem) => problem.harbor(),
        None => response,
    }
}
