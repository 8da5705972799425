//! The matrix of rights: every route × every kind of caller, as one golden file to be reviewed.
//!
//! The routes come from the table that makes the router. A route without a row in [`sample`] fails, so none is added
//! without somebody looking at who may use it.

use std::fmt::Write as _;
use std::path::Path;

use http::Method;
use policy::{Role, Visibility};
use registry::admin::{ScannerChange, UserChange};
use serde_json::{Value, json};

use crate::golden::golden;
use crate::test_app::{Answer, MANIFEST, PASSWORD, TestApp, image};

/// The callers, least right first.
const ACTORS: [&str; 11] = [
    "anonymous",
    "narrow-token",
    "stranger",
    "limited-guest",
    "guest",
    "developer",
    "maintainer",
    "project-admin",
    "scanner-user",
    "auditor",
    "system-admin",
];

const LAYER: &[u8] = b"layer";
const OCTETS: &str = "application/octet-stream";

/// One installation with everything that a request may name.
struct World {
    app: TestApp,
    project: String,
    member: i64,
    victim: i64,
    role: i64,
    deleted: i64,
    upload: String,
    report: String,
    token: String,
    /// Harbor's name of the one registered scanner.
    scanner: String,
}

impl World {
    async fn new(visibility: Visibility) -> Self {
        let app = TestApp::new().await;
        app.project("acme", visibility).await;
        for role in [Role::LimitedGuest, Role::Guest, Role::Developer, Role::Maintainer, Role::ProjectAdmin] {
            app.user(role.name()).await;
            app.member("acme", role.name(), role).await;
        }
        for name in ["stranger", "scanner-user", "auditor", "system-admin", "victim"] {
            app.user(name).await;
        }
        app.system_role("scanner-user", Role::ScannerUser).await;
        app.system_role("auditor", Role::Auditor).await;
        app.system_role("system-admin", Role::SystemAdmin).await;
        app.member("acme", "victim", Role::Guest).await;
        let digest = app.push_image("admin", "acme/app", "v1", LAYER).await;
        let hex = digest.trim_start_matches("sha256:");
        let report = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]].join("-");
        // Of two images' blobs one is not in use.
        app.push_blob("admin", "acme/app", b"loose").await;
        let gone = app.push_image("admin", "acme/app", "gone", b"gone").await;
        app.ask("DELETE", &format!("/v2/acme/app/manifests/{gone}")).by("admin").send().await;
        app.idle().await;
        let deleted = app.get("/api/v1/projects/acme/repositories/app/deleted").await.json();
        let deleted = deleted[0]["id"].as_i64().expect("an id");
        let members = app.get("/api/v1/projects/acme/members").await.json();
        let member = members.as_array().expect("members").iter().find(|it| it["user"] == "victim");
        let member = member.expect("a member")["id"].as_i64().expect("an id");
        let token = app.token("project-admin", "repository:acme/other:pull,push,delete").await;
        let victim = app.id_of("victim").get();
        // It is nowhere: nobody may be asked anything here.
        let change = ScannerChange {
            description: String::new(),
            url: "http://127.0.0.1:1".to_owned(),
            credentials: None,
            disabled: true,
        };
        app.registry.put_scanner(&app.admin(), "sonde", &change).await.expect("a scanner");
        let scanner = app.registry.scanners().await.expect("scanners").remove(0).uuid;
        let roles = app.get("/api/v1/roles").await.json();
        let role = roles.as_array().expect("roles").iter().find(|it| it["user"] == "auditor");
        let role = role.expect("a role")["id"].as_i64().expect("an id");
        Self {
            app,
            project: "acme".to_owned(),
            member,
            victim,
            role,
            deleted,
            upload: String::new(),
            report,
            token,
            scanner,
        }
    }

    /// Sends the sample of a route as a caller.
    async fn ask(&mut self, actor: &str, method: &Method, path: &str) -> Answer {
        let (target, body) = self.sample(actor, method, path).await;
        let ask = self.app.ask(method.as_str(), &target);
        let ask = match actor {
            "anonymous" => ask,
            "narrow-token" => ask.bearer(&self.token),
            user => ask.by(user),
        };
        let ask = match body {
            Body::None => ask,
            Body::Json(document) => ask.json(&document),
            Body::Bytes(media_type, bytes) => ask.bytes(media_type, bytes),
        };
        ask.send().await
    }

    /// A request that succeeds for whoever may make it.
    async fn sample(&mut self, actor: &str, method: &Method, path: &str) -> (String, Body) {
        if path.contains("{upload}") {
            self.upload = self.open_upload(actor).await;
        }
        let loose = oci::Digest::sha256(b"loose").to_string();
        let blob = oci::Digest::sha256(LAYER).to_string();
        let id = match path {
            _ if path.contains("/members/") => self.member,
            _ if path.contains("/roles/") => self.role,
            _ if path.contains("/deleted/") => self.deleted,
            _ => self.victim,
        };
        let target = path
            .replace("{project}", &self.project)
            .replace("{repository}", "app")
            .replace("{id}", &id.to_string())
            .replace("{name}", "acme/app")
            .replace("{reference}", "v1")
            .replace("{tag}", "v1")
            .replace("{report}", &self.report)
            .replace("{search}", "pads")
            .replace("{scanner}", if path.starts_with("/api/v1") { "sonde" } else { &self.scanner })
            .replace("{result}", "ci")
            .replace("{scan}", "1")
            .replace("{export}", &self.exports(actor, path).await)
            .replace("{digest}", if method == Method::DELETE { &loose } else { &blob })
            .replace("{upload}", &self.upload);
        if path == "/scanner/api/v1/scan" {
            return (target, Body::Json(adapter_request()));
        }
        sample(method, path, target)
    }

    /// An export of the caller's own, of none for callers who cannot ask for one.
    async fn exports(&self, actor: &str, path: &str) -> String {
        if !path.contains("{export}") || matches!(actor, "anonymous" | "narrow-token") {
            return "1".to_owned();
        }
        let ask = self.app.ask("POST", "/api/v2.0/export/cve").by(actor).json(&json!({}));
        ask.send().await.expect(http::StatusCode::OK).json()["id"].to_string()
    }

    /// An upload of the caller's own, or of the administrator for callers who cannot open one.
    async fn open_upload(&self, actor: &str) -> String {
        let path = "/v2/acme/app/blobs/uploads/";
        let own = self.app.ask("POST", path).by(actor).send().await;
        let opened =
            if own.status.is_success() { own } else { self.app.ask("POST", path).by("admin").send().await };
        opened.header("docker-upload-uuid")
    }
}

enum Body {
    None,
    Json(Value),
    Bytes(&'static str, Vec<u8>),
}

/// A request of another registry: refused before it is asked anything, since its address is no public one.
fn adapter_request() -> Value {
    json!({
        "registry": { "url": "http://127.0.0.1:1", "authorization": "" },
        "artifact": { "repository": "library/app", "digest": oci::Digest::sha256(b"x") },
    })
}

/// The bodies of routes of scanning.
fn of_scanning(method: &Method, path: &str) -> Option<Body> {
    Some(match (method.as_str(), path) {
        ("PUT", "/api/v1/scanners/{scanner}") => {
            Body::Json(json!({ "url": "http://127.0.0.1:1", "disabled": true }))
        }
        ("PUT", "/api/v1/system/scanners" | "/api/v1/projects/{project}/scanners") => {
            Body::Json(json!({ "scanners": ["Bonded", "sonde"], "counting": "union" }))
        }
        ("PUT", path) if path.ends_with("/scan/results/{result}") => Body::Json(json!({
            "version": "2.1.0",
            "runs": [{ "tool": { "driver": { "name": "Trivy", "rules": [] } }, "results": [] }],
        })),
        ("POST", "/api/v2.0/scanners") => {
            Body::Json(json!({ "name": "other", "url": "http://127.0.0.1:1", "disabled": true }))
        }
        ("POST", "/api/v2.0/scanners/ping") => Body::Json(json!({ "url": "http://127.0.0.1:1" })),
        ("PUT", "/api/v2.0/scanners/{scanner}") => {
            Body::Json(json!({ "name": "sonde", "url": "http://127.0.0.1:1", "disabled": true }))
        }
        ("PATCH", "/api/v2.0/scanners/{scanner}") => Body::Json(json!({ "is_default": true })),
        ("PUT", "/api/v2.0/projects/{project}/scanner") => {
            Body::Json(json!({ "uuid": "b0dded00-5ca4-4000-8000-000000000001" }))
        }
        ("PUT", "/api/v1/projects/{project}/scanning") => Body::Json(json!({ "on_push": true })),
        ("PUT", "/api/v1/system/allow-list") => Body::Json(json!({ "ids": ["CVE-2024-0001"] })),
        ("PUT", "/api/v2.0/system/CVEAllowlist") => {
            Body::Json(json!({ "items": [{ "cve_id": "CVE-2024-0001" }] }))
        }
        _ => return None,
    })
}

/// The address and body of a route's sample. Add a row for a new route: what would succeed for an administrator.
fn sample(method: &Method, path: &str, target: String) -> (String, Body) {
    if let Some(body) = of_scanning(method, path) {
        return (target, body);
    }
    let blob = |content| oci::Digest::sha256(content);
    let body = match (method.as_str(), path) {
        ("GET", "/service/token") => {
            return (format!("{target}?service=bonded&scope=repository:acme/app:pull"), Body::None);
        }
        ("POST", "/service/token") => {
            let form = format!("grant_type=password&username=guest&password={PASSWORD}&scope=");
            Body::Bytes("application/x-www-form-urlencoded", form.into_bytes())
        }
        ("HEAD", "/api/v2.0/projects") => return (format!("{target}?project_name=acme"), Body::None),
        // Deleting needs a project without images.
        ("DELETE", "/api/v1/projects/{project}" | "/api/v2.0/projects/{project}") => {
            return (target.replace("acme", "hollow"), Body::None);
        }
        ("POST", "/v2/{name}/blobs/uploads/") => {
            return (format!("{target}?digest={}", blob(b"fresh")), Body::Bytes(OCTETS, b"fresh".to_vec()));
        }
        ("PATCH", "/v2/{name}/blobs/uploads/{upload}") => Body::Bytes(OCTETS, b"part".to_vec()),
        ("PUT", "/v2/{name}/blobs/uploads/{upload}") => {
            return (format!("{target}?digest={}", blob(b"whole")), Body::Bytes(OCTETS, b"whole".to_vec()));
        }
        ("PUT", "/v2/{name}/manifests/{reference}") => {
            let manifest = image(&blob(b"{}").to_string(), &blob(LAYER).to_string(), LAYER.len());
            Body::Bytes(MANIFEST, manifest)
        }
        ("POST", "/api/v1/projects") => Body::Json(json!({ "name": "made" })),
        ("POST", "/api/v2.0/projects") => Body::Json(json!({ "project_name": "made" })),
        ("PATCH", "/api/v1/projects/{project}") => Body::Json(json!({ "visibility": "internal" })),
        ("PUT", "/api/v2.0/projects/{project}") => Body::Json(json!({ "metadata": { "public": "true" } })),
        ("POST", "/api/v1/projects/{project}/members") => {
            Body::Json(json!({ "user": "stranger", "role": "guest" }))
        }
        ("PATCH", "/api/v1/projects/{project}/members/{id}") => Body::Json(json!({ "role": "developer" })),
        ("POST", "/api/v2.0/projects/{project}/members") => {
            Body::Json(json!({ "role_id": 3, "member_user": { "username": "stranger" } }))
        }
        ("PUT", "/api/v2.0/projects/{project}/members/{id}") => Body::Json(json!({ "role_id": 2 })),
        ("POST", "/api/v1/users") => Body::Json(json!({ "name": "made", "password": PASSWORD })),
        ("PATCH", "/api/v1/users/{id}") => Body::Json(json!({ "display_name": "Other" })),
        ("PUT", "/api/v1/users/{id}/password") => Body::Json(json!({ "new": "Another-Horse-8" })),
        ("POST", "/api/v1/roles") => Body::Json(json!({ "user": "stranger", "role": "project-creator" })),
        ("POST", "/api/v1/system/collections") => Body::Json(json!({ "dry_run": true })),
        ("POST", "/api/v1/system/checks") => Body::Json(json!({})),
        ("GET", "/api/v1/search/images" | "/api/v1/search/images.csv") => {
            return (format!("{target}?q=left-pad"), Body::None);
        }
        ("PUT", "/api/v1/search/saved/{search}") => Body::Json(json!({ "q": "left-pad" })),
        ("POST" | "PUT", "/api/v2.0/system/scanAll/schedule") => {
            Body::Json(json!({ "schedule": { "type": "Daily" } }))
        }
        ("POST", "/api/v2.0/export/cve") => Body::Json(json!({ "job_name": "all" })),
        ("PATCH", "/api/v1/projects/{project}/repositories/{repository}")
        | ("PUT", "/api/v2.0/projects/{project}/repositories/{repository}") => {
            Body::Json(json!({ "description": "what it is" }))
        }
        ("POST", "/api/v2.0/projects/{project}/repositories/{repository}/artifacts/{reference}/tags") => {
            Body::Json(json!({ "name": "other" }))
        }
        ("POST", "/api/v2.0/users") => Body::Json(json!({ "username": "made", "password": PASSWORD })),
        ("PUT", "/api/v2.0/users/{id}") => Body::Json(json!({ "realname": "Other" })),
        ("PUT", "/api/v2.0/users/{id}/sysadmin") => Body::Json(json!({ "sysadmin_flag": true })),
        ("PUT", "/api/v2.0/users/{id}/password") => Body::Json(json!({ "new_password": "Another-Horse-8" })),
        (
            "POST",
            "/api/v1/projects/{project}/repositories/{repository}/deleted/{id}/restore"
            | "/api/v1/system/advisories/renewals"
            | "/api/v1/system/scans"
            | "/api/v2.0/system/scanAll/stop",
        )
        | ("GET" | "HEAD" | "DELETE", _) => Body::None,
        ("POST", path) if path.contains("/{reference}/scan") => Body::None,
        (method, path) => {
            unreachable!("{method} {path} has no row in the matrix of rights: add one to `sample`")
        }
    };
    (target, body)
}

async fn world(visibility: Visibility) -> World {
    let world = World::new(visibility).await;
    world.app.project("hollow", visibility).await;
    for role in [Role::LimitedGuest, Role::Guest, Role::Developer, Role::Maintainer, Role::ProjectAdmin] {
        world.app.member("hollow", role.name(), role).await;
    }
    world
}

async fn section(visibility: Visibility, title: &str) -> String {
    let mut out = format!("## {title}\n\n{:60}", "route");
    for actor in ACTORS {
        let _ = write!(out, " {actor:>13}");
    }
    out.push('\n');
    let mut current = world(visibility).await;
    let routes = server::app::App::routes();
    let ops = server::telemetry::ops::PATHS.map(|path| (Method::GET, path.to_owned()));
    let served = routes.endpoints().iter().map(|endpoint| (endpoint.method.clone(), endpoint.path.clone()));
    for (method, path) in ops.into_iter().chain(served) {
        let _ = write!(out, "{:60}", format!("{method} {path}"));
        for actor in ACTORS {
            let answer = current.ask(actor, &method, &path).await;
            let _ = write!(out, " {:>13}", answer.status.as_u16());
            assert!(!answer.status.is_server_error(), "{actor} {method} {path}: {}", answer.text());
            if answer.status.is_success() && !method.is_safe() {
                current.app.idle().await;
                current = world(visibility).await;
            }
        }
        out.push('\n');
    }
    out
}

#[tokio::test]
async fn who_may_do_what_is_what_was_reviewed() {
    let mut made = String::from(
        "# Who may do what: the status of every route for every kind of caller\n\n\
         There are no robots yet. `narrow-token` is an access token of the project's administrator for another repository.\n\n",
    );
    made += &section(Visibility::Private, "a private project").await;
    made.push('\n');
    made += &section(Visibility::Public, "a public project").await;
    golden("tests/golden/rights.md", &made);
}

#[test]
fn only_the_table_makes_routes() {
    fn sources(dir: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, found);
            } else if std::fs::read_to_string(&path).expect("a file").contains(".route(") {
                found.push(path.file_name().expect("a name").to_string_lossy().into_owned());
            }
        }
    }
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found.sort();
    assert_eq!(
        found,
        ["ops.rs", "page.rs", "routes.rs"],
        "routes are made in routes.rs, from the table, and nowhere else (health and metrics, and ACME's page, are none of the API's)"
    );
}

#[tokio::test]
async fn nobody_locks_out_or_demotes_oneself() {
    let app = TestApp::new().await;
    let (admin, id) = (app.admin(), app.id_of("admin"));
    for change in [
        UserChange { disabled: Some(true), ..UserChange::default() },
        UserChange { admin: Some(false), ..UserChange::default() },
    ] {
        assert!(app.registry.change_user(&admin, id, &change).await.is_err(), "{change:?}");
    }
    assert!(app.registry.delete_user(&admin, id).await.is_err());
}

#[tokio::test]
async fn the_last_administrator_stays_whoever_acts() {
    let app = TestApp::new().await;
    app.user("second").await;
    app.system_role("second", Role::SystemAdmin).await;
    // Both act on what they saw while both were administrators.
    let first = app.admin();
    let mut second = app.admin();
    second.principal.id = Some(app.id_of("second"));
    let take = UserChange { admin: Some(false), ..UserChange::default() };
    let other = app.replica().await;
    app.registry.change_user(&first, app.id_of("second"), &take).await.expect("the first is quicker");
    let late = other.registry.change_user(&second, app.id_of("admin"), &take).await;
    assert!(
        matches!(&late, Err(registry::Error::Conflict(text)) if text.contains("last administrator")),
        "{late:?}"
    );
}
