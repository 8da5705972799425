//! Other scanners: registered, chosen, asked; results that are uploaded or attached; one verdict of all.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use oci::Digest;
use policy::{Role, Visibility};
use registry::admin::ADMIN;
use serde_json::{Value, json};
use url::Url;

use crate::scan::{feed, left_pad, push, put, refresh};
use crate::test_app::{Ask, TestApp};

const MIME: &str = "application/vnd.security.vulnerability.report; version=1.1";
const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// A scanner's adapter that pulls what it is asked to scan and finds what it is told to.
#[derive(Clone, Default)]
struct Adapter(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    /// Severity of the one finding; none: the scan fails.
    severity: Option<&'static str>,
    /// How it wants to be let in by the registry.
    authorization: Option<&'static str>,
    requests: Vec<Value>,
    /// What the registry answered to its token: the image, another repository, a push.
    seen: Vec<(StatusCode, StatusCode, StatusCode)>,
    /// What it answered to a client that goes by its challenge: the token service, then the image.
    challenged: Vec<StatusCode>,
}

impl Adapter {
    fn set(&self, severity: Option<&'static str>) {
        self.0.lock().expect("the script").severity = severity;
    }

    async fn serve(&self) -> Url {
        let router = Router::new()
            .route("/api/v1/metadata", get(async |State(this): State<Self>| this.metadata()))
            .route("/api/v1/scan", post(Self::scan))
            .route(
                "/api/v1/scan/{id}/report",
                get(async |State(this): State<Self>, Path(id): Path<usize>| this.report(id)),
            )
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async { axum::serve(listener, router).await });
        format!("http://{address}").parse().expect("an address")
    }

    fn metadata(&self) -> axum::Json<Value> {
        let mut properties = json!({});
        if let Some(wanted) = self.0.lock().expect("the script").authorization {
            properties["harbor.scanner-adapter/registry-authorization-type"] = wanted.into();
        }
        axum::Json(json!({
            "scanner": { "name": "Sonde", "vendor": "Example", "version": "2.0" },
            "capabilities": [
                { "type": "vulnerability", "consumes_mime_types": [OCI_IMAGE], "produces_mime_types": [MIME] },
                { "type": "sbom", "consumes_mime_types": [OCI_IMAGE],
                  "produces_mime_types": ["application/vnd.security.sbom.report+json; version=1.0"],
                  "additional_attributes": { "sbom_media_types": ["application/vnd.cyclonedx+json"] } },
            ],
            "properties": properties,
        }))
    }

    async fn scan(State(this): State<Self>, body: String) -> impl axum::response::IntoResponse {
        let request: Value = serde_json::from_str(&body).expect("a request");
        let text = |path: &str| request.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (base, authorization) = (text("/registry/url"), text("/registry/authorization"));
        let (repository, digest) = (text("/artifact/repository"), text("/artifact/digest"));
        let http = reqwest::Client::new();
        let ask = async |method: http::Method, path: String| {
            let sent = http.request(method, format!("{base}{path}")).header("authorization", &authorization);
            sent.send().await.expect("an answer").status()
        };
        let image = ask(http::Method::GET, format!("/v2/{repository}/manifests/{digest}")).await;
        let other = ask(http::Method::GET, "/v2/team/other/tags/list".to_owned()).await;
        let pushed = ask(http::Method::POST, format!("/v2/{repository}/blobs/uploads/")).await;
        let mut challenged = None;
        if authorization.starts_with("Basic ") {
            let path = format!("{base}/service/token?service=bonded&scope=repository:{repository}:pull");
            let token =
                http.get(path).header("authorization", &authorization).send().await.expect("an answer");
            let token: Value = token.json().await.expect("a token");
            let bearer = token["token"].as_str().unwrap_or_default().to_owned();
            let image = http.get(format!("{base}/v2/{repository}/manifests/{digest}")).bearer_auth(bearer);
            challenged = Some(image.send().await.expect("an answer").status());
        }
        let mut script = this.0.lock().expect("the script");
        script.challenged.extend(challenged);
        script.seen.push((image, other, pushed));
        script.requests.push(request);
        (StatusCode::ACCEPTED, axum::Json(json!({ "id": script.requests.len().to_string() })))
    }

    fn report(&self, id: usize) -> Response {
        let script = self.0.lock().expect("the script");
        let Some(severity) = script.severity else {
            let error = json!({ "error": { "message": "the database is on fire" } });
            return (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(error)).into_response();
        };
        let request = &script.requests[id - 1];
        let artifact = request["artifact"].clone();
        let scanner = json!({ "name": "Sonde", "vendor": "Example", "version": "2.0" });
        let generated_at = "2026-01-01T00:00:00Z";
        if request["enabled_capabilities"][0]["type"] == "sbom" {
            let bill =
                json!({ "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": [] });
            let report = json!({ "generated_at": generated_at, "artifact": artifact, "scanner": scanner,
                "media_type": "application/vnd.cyclonedx+json", "sbom": bill });
            let kind = "application/vnd.security.sbom.report+json; version=1.0";
            return ([(CONTENT_TYPE, kind)], report.to_string()).into_response();
        }
        let report = json!({
            "generated_at": generated_at, "artifact": artifact, "scanner": scanner, "severity": severity,
            "vulnerabilities": [{ "id": "CVE-2025-7777", "package": "openssl", "version": "3.0.1",
                "fix_version": "3.0.2", "severity": severity, "description": "found by Sonde", "links": [] }],
        });
        ([(CONTENT_TYPE, MIME)], report.to_string()).into_response()
    }
}

/// A registry with a feed that scanners can reach.
async fn reachable(dir: &std::path::Path) -> TestApp {
    feed(dir, "1.3.0", "HIGH");
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a socket").local_addr().expect("a port").port();
    let app = TestApp::with(|config| {
        config.scan.on_push = true;
        config.scan.feeds = vec![format!("npm={}", dir.join("npm.json").display())];
        config.scan.registry_url = Some(format!("http://127.0.0.1:{port}"));
        config.server.data_dir = dir.join("data");
    })
    .await;
    app.listen_at(port).await;
    app.project("team", Visibility::Private).await;
    refresh(&app).await;
    app
}

fn by<'a>(app: &'a TestApp, method: &str, path: &str) -> Ask<'a> {
    app.ask(method, path).by(ADMIN)
}

async fn register(app: &TestApp, url: &Url) {
    let body = json!({ "url": url, "description": "another one" });
    by(app, "PUT", "/api/v1/scanners/Sonde").json(&body).send().await.expect(StatusCode::NO_CONTENT);
}

async fn choose(app: &TestApp, scanners: &[&str], counting: &str) {
    let body = json!({ "scanners": scanners, "counting": counting });
    let ask = by(app, "PUT", "/api/v1/projects/team/scanners").json(&body);
    ask.send().await.expect(StatusCode::NO_CONTENT);
    app.idle().await;
}

fn of(digest: &Digest, rest: &str) -> String {
    format!("/api/v1/projects/team/repositories/app/artifacts/{digest}/scan{rest}")
}

/// Status, high and critical vulnerabilities as the list shows them.
async fn verdict(app: &TestApp, digest: &Digest) -> (String, u64, u64) {
    let scan = app.get(&of(digest, "")).await.expect(StatusCode::OK).json();
    let image = &scan["images"][0];
    let count = |name: &str| image["verdict"]["vulnerabilities"][name].as_u64().expect("a number");
    (image["status"].as_str().expect("a status").to_owned(), count("high"), count("critical"))
}

fn said(status: &str, high: u64, critical: u64) -> (String, u64, u64) {
    (status.to_owned(), high, critical)
}

#[tokio::test]
async fn a_chosen_scanner_is_asked_and_what_it_says_counts_by_the_rule() {
    let dir = tempfile::tempdir().expect("a directory");
    let (app, adapter) = (reachable(dir.path()).await, Adapter::default());
    adapter.set(Some("Critical"));
    let url = adapter.serve().await;
    register(&app, &url).await;
    let digest = push(&app, "team/app", "v1", &[left_pad("1.2.0")]).await;
    app.idle().await;
    assert_eq!(verdict(&app, &digest).await, said("succeeded", 1, 0), "nobody has chosen it");
    assert!(adapter.0.lock().expect("the script").requests.is_empty());

    choose(&app, &["Bonded", "Sonde"], "union").await;
    assert_eq!(verdict(&app, &digest).await, said("incomplete", 1, 0), "it was chosen and did not look");
    by(&app, "POST", &of(&digest, "")).send().await.expect(StatusCode::ACCEPTED);
    app.idle().await;
    assert_eq!(verdict(&app, &digest).await, said("succeeded", 1, 1));
    let findings = app.get(&of(&digest, "/findings")).await.expect(StatusCode::OK).json();
    let by_whom: Vec<_> = findings["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| (&it["id"], &it["said"][0]["by"]))
        .collect();
    assert_eq!(
        by_whom,
        [(&json!("CVE-2025-7777"), &json!("Sonde")), (&json!("CVE-2024-0001"), &json!("Bonded"))]
    );

    choose(&app, &["Bonded", "Sonde"], "intersection").await;
    assert_eq!(verdict(&app, &digest).await, said("succeeded", 0, 0), "they agree on nothing");
    choose(&app, &["Sonde", "Bonded"], "primary").await;
    assert_eq!(verdict(&app, &digest).await, said("succeeded", 0, 1));
    let scan = app.get(&of(&digest, "")).await.json();
    assert_eq!(scan["images"][0]["verdict"]["packages"], 1, "what our own scan saw stays");
    by(&app, "DELETE", "/api/v1/projects/team/scanners").send().await.expect(StatusCode::NO_CONTENT);
    app.idle().await;
    assert_eq!(verdict(&app, &digest).await, said("succeeded", 1, 0), "our own scan decides again");

    // The token of a scanner reads the one repository, and does nothing else.
    let script = adapter.0.lock().expect("the script");
    let wanted = (StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::UNAUTHORIZED);
    assert!(!script.seen.is_empty());
    for seen in &script.seen {
        assert_eq!(seen.0, wanted.0, "{:?}", script.seen);
        assert!(!seen.1.is_success() && !seen.2.is_success(), "{:?}", script.seen);
    }
    let sent = script.requests[0]["registry"]["authorization"].as_str().expect("a text");
    assert!(sent.starts_with("Basic "), "who says nothing gets Basic");
    assert!(!script.challenged.is_empty() && script.challenged.iter().all(StatusCode::is_success));
}

#[tokio::test]
async fn a_scanner_that_fails_makes_the_verdict_incomplete_and_its_last_report_stands() {
    let dir = tempfile::tempdir().expect("a directory");
    let (app, adapter) = (reachable(dir.path()).await, Adapter::default());
    adapter.set(Some("Critical"));
    adapter.0.lock().expect("the script").authorization = Some("Bearer");
    let url = adapter.serve().await;
    register(&app, &url).await;
    choose(&app, &["Sonde"], "primary").await;
    let digest = push(&app, "team/app", "v1", &[left_pad("1.2.0")]).await;
    app.idle().await;
    assert_eq!(verdict(&app, &digest).await, said("succeeded", 0, 1), "asked on push, too");
    let kinds: Vec<Value> = {
        let answer = app.get(&format!("/v2/team/app/referrers/{digest}")).await.expect(StatusCode::OK).json();
        answer["manifests"].as_array().expect("a list").iter().map(|it| it["artifactType"].clone()).collect()
    };
    assert!(kinds.contains(&json!("application/vnd.cyclonedx+json")), "its bill is attached: {kinds:?}");

    adapter.set(None);
    by(&app, "POST", &of(&digest, "")).send().await.expect(StatusCode::ACCEPTED);
    let done = app.runner.run_to_idle().await.expect("the jobs run");
    assert_eq!((done.failed, done.retried), (0, 1), "it is tried again");
    let (status, high, critical) = verdict(&app, &digest).await;
    assert_eq!((status.as_str(), high, critical), ("incomplete", 0, 1));
    let scan = app.get(&of(&digest, "")).await.json();
    let reason = scan["images"][0]["reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("Sonde") && reason.contains("on fire"), "{reason}");
    let log = app.get(&of(&digest, "/log")).await.expect(StatusCode::OK).json().to_string();
    assert!(log.contains("on fire"), "{log}");
    adapter.set(Some("High"));
    app.advance(std::time::Duration::from_mins(2)).await;
    app.idle().await;
    assert_eq!(verdict(&app, &digest).await, said("succeeded", 1, 0));
    let sent = adapter.0.lock().expect("the script").requests[0]["registry"]["authorization"].to_string();
    assert!(sent.contains("Bearer "), "{sent}");
}

fn sarif(digest: &Digest) -> Value {
    json!({
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "Trivy", "version": "0.55.0", "rules": [{
                "id": "CVE-2025-0042", "name": "LanguageSpecificPackageVulnerability",
                "properties": { "security-severity": "9.8", "tags": ["vulnerability", "security", "CRITICAL"] },
            }] } },
            "results": [{
                "ruleId": "CVE-2025-0042", "ruleIndex": 0, "level": "error",
                "message": { "text": "Package: lodash\nInstalled Version: 4.0.0\nVulnerability CVE-2025-0042\nSeverity: CRITICAL\nFixed Version: 4.17.21" },
                "locations": [{ "physicalLocation": { "artifactLocation": { "uri": "app/package-lock.json" } } }],
            }],
            "properties": { "imageName": "team/app", "repoDigests": [format!("team/app@{digest}")] },
        }],
    })
}

#[tokio::test]
async fn a_feed_that_is_not_renewed_makes_every_verdict_incomplete_until_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = reachable(dir.path()).await;
    let digest = push(&app, "team/app", "v1", &[left_pad("1.2.0")]).await;
    app.idle().await;
    assert_eq!(verdict(&app, &digest).await, said("succeeded", 1, 0));
    app.advance(std::time::Duration::from_hours(8 * 24)).await;
    assert_eq!(verdict(&app, &digest).await, said("incomplete", 1, 0));
    let overview = "/api/v2.0/projects/team/repositories/app/artifacts?with_scan_overview=true";
    let overview = app.get(overview).await.expect(StatusCode::OK).json();
    assert_eq!(overview[0]["scan_overview"][MIME]["severity"], "High");
    refresh(&app).await;
    assert_eq!(verdict(&app, &digest).await, said("succeeded", 1, 0), "nobody had to judge it again");
}

#[tokio::test]
async fn results_of_other_scanners_count_where_they_were_uploaded() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = reachable(dir.path()).await;
    app.project("else", Visibility::Private).await;
    let digest = push(&app, "team/app", "v1", &[left_pad("1.2.0")]).await;
    assert_eq!(push(&app, "else/app", "v1", &[left_pad("1.2.0")]).await, digest);
    app.idle().await;
    let path = of(&digest, "/results/ci");
    let upload = |body: Value| by(&app, "PUT", &path).json(&body).send();
    upload(sarif(&digest)).await.expect(StatusCode::NO_CONTENT);
    app.idle().await;
    assert_eq!(verdict(&app, &digest).await, said("succeeded", 1, 1));
    let elsewhere = format!("/api/v1/projects/else/repositories/app/artifacts/{digest}/scan");
    let scan = app.get(&elsewhere).await.expect(StatusCode::OK).json();
    assert_eq!(scan["images"][0]["verdict"]["vulnerabilities"]["critical"], 0, "another project's statement");
    let findings = app.get(&of(&digest, "/findings")).await.expect(StatusCode::OK).json();
    assert_eq!(findings["findings"][0]["said"][0]["by"], "upload:ci");
    let harbor =
        format!("/api/v2.0/projects/team/repositories/app/artifacts/{digest}/additions/vulnerabilities");
    let report = app.get(&harbor).await.expect(StatusCode::OK).json();
    let found = report[MIME]["vulnerabilities"].as_array().expect("a list");
    assert_eq!((found.len(), &found[0]["id"]), (2, &json!("CVE-2025-0042")), "{report}");
    let lines = app.get("/api/v1/findings.csv").await.expect(StatusCode::OK).text();
    assert!(lines.contains("upload:ci,team/app") && lines.contains("CVE-2025-0042"), "{lines}");
    assert_eq!(lines.matches("CVE-2025-0042").count(), 1, "{lines}");

    // The same name again stands for the former one; nothing of it is left when it is taken back.
    let mut none = sarif(&digest);
    none["runs"][0]["results"] = json!([]);
    upload(none).await.expect(StatusCode::NO_CONTENT);
    app.idle().await;
    assert_eq!(verdict(&app, &digest).await, said("succeeded", 1, 0));
    by(&app, "DELETE", &path).send().await.expect(StatusCode::NO_CONTENT);
    app.idle().await;
    assert_eq!(verdict(&app, &digest).await, said("succeeded", 1, 0));
    by(&app, "DELETE", &path).send().await.expect(StatusCode::NOT_FOUND);
    let left =
        app.get(&format!("/v2/team/app/referrers/{digest}?artifactType=application%2Fsarif%2Bjson")).await;
    assert_eq!(left.json()["manifests"], json!([]));

    // What is no result, or is about something else, is refused with a reason.
    upload(json!({ "hello": 1 })).await.expect(StatusCode::BAD_REQUEST);
    let answer = upload(sarif(&Digest::sha256(b"another"))).await.expect(StatusCode::BAD_REQUEST);
    assert!(answer.text().contains("not about this artifact"), "{}", answer.text());
    app.user("guest").await;
    app.member("team", "guest", Role::Guest).await;
    app.ask("PUT", &path).by("guest").json(&sarif(&digest)).send().await.expect(StatusCode::FORBIDDEN);
    app.user("stranger").await;
    app.ask("PUT", &path).by("stranger").json(&sarif(&digest)).send().await.expect(StatusCode::NOT_FOUND);
    app.idle().await;
}

#[tokio::test]
async fn a_result_that_a_client_attached_counts_as_an_upload() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = reachable(dir.path()).await;
    let digest = push(&app, "team/app", "v1", &[left_pad("1.2.0")]).await;
    app.idle().await;
    let document = sarif(&digest).to_string().into_bytes();
    let blob = app.push_blob(ADMIN, "team/app", &document).await;
    app.push_blob(ADMIN, "team/app", b"{}").await;
    let size = app.get(&format!("/v2/team/app/manifests/{digest}")).await.header("content-length");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_IMAGE, "artifactType": "application/sarif+json",
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::sha256(b"{}"), "size": 2 },
        "layers": [{ "mediaType": "application/sarif+json", "digest": blob, "size": document.len() }],
        "subject": { "mediaType": OCI_IMAGE, "digest": digest, "size": size.parse::<u64>().expect("a number") },
    });
    let own = Digest::sha256(manifest.to_string().as_bytes()).to_string();
    put(&app, "team/app", &own, OCI_IMAGE, &manifest).await;
    app.idle().await;
    assert_eq!(verdict(&app, &digest).await, said("succeeded", 1, 1));
    let findings = app.get(&of(&digest, "/findings")).await.expect(StatusCode::OK).json();
    assert_eq!(findings["findings"][0]["said"][0]["by"], "attached:Trivy");

    // Deleted like any other manifest, it counts no more.
    let deleted = by(&app, "DELETE", &format!("/v2/team/app/manifests/{own}")).send().await;
    deleted.expect(StatusCode::ACCEPTED);
    app.idle().await;
    assert_eq!(verdict(&app, &digest).await, said("succeeded", 1, 0));
}

#[tokio::test]
async fn a_result_under_a_tag_of_attestations_counts_as_long_as_the_tag_names_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = reachable(dir.path()).await;
    let digest = push(&app, "team/app", "v1", &[left_pad("1.2.0")]).await;
    let document = sarif(&digest).to_string().into_bytes();
    let blob = app.push_blob(ADMIN, "team/app", &document).await;
    app.push_blob(ADMIN, "team/app", b"{}").await;
    let about = |layers: Value| {
        json!({
            "schemaVersion": 2, "mediaType": OCI_IMAGE, "layers": layers,
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::sha256(b"{}"), "size": 2 },
        })
    };
    let result = json!([{ "mediaType": "application/sarif+json", "digest": blob, "size": document.len() }]);
    let (stated, silent) = (about(result), about(json!([])));
    let tag = format!("sha256-{}.att", digest.hex());
    for gone in ["moved", "deleted"] {
        put(&app, "team/app", &tag, OCI_IMAGE, &stated).await;
        app.idle().await;
        assert_eq!(verdict(&app, &digest).await, said("succeeded", 1, 1), "before it is {gone}");
        if gone == "moved" {
            put(&app, "team/app", &tag, OCI_IMAGE, &silent).await;
        } else {
            let deleted = by(&app, "DELETE", &format!("/v2/team/app/manifests/{tag}")).send().await;
            deleted.expect(StatusCode::ACCEPTED);
        }
        app.idle().await;
        assert_eq!(verdict(&app, &digest).await, said("succeeded", 1, 0), "{gone}");
    }
}

#[tokio::test]
async fn scanners_are_registered_by_administrators_only_and_only_if_they_answer() {
    let dir = tempfile::tempdir().expect("a directory");
    let (app, adapter) = (reachable(dir.path()).await, Adapter::default());
    let url = adapter.serve().await;
    app.user("dev").await;
    app.member("team", "dev", Role::ProjectAdmin).await;
    let secret = "s3cret-of-the-adapter";
    let body = json!({ "url": url, "credentials": { "basic": { "user": "bonded", "password": secret } } });
    let path = "/api/v1/scanners/Sonde";
    app.ask("PUT", path).by("dev").json(&body).send().await.expect(StatusCode::FORBIDDEN);
    by(&app, "PUT", path).json(&body).send().await.expect(StatusCode::NO_CONTENT);
    let nowhere = json!({ "url": "http://127.0.0.1:1" });
    by(&app, "PUT", "/api/v1/scanners/Other").json(&nowhere).send().await.expect(StatusCode::BAD_REQUEST);
    by(&app, "PUT", "/api/v1/scanners/bonded").json(&body).send().await.expect(StatusCode::CONFLICT);
    let listed = app.ask("GET", "/api/v1/scanners").by("dev").send().await.expect(StatusCode::OK);
    let list = listed.json();
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    assert_eq!((&list[0]["name"], &list[0]["credentials"]), (&json!("Sonde"), &json!("basic")));
    assert!(!listed.text().contains(secret));
    let kept =
        app.registry.store().setting("scan/scanner/sonde").await.expect("an answer").expect("a setting");
    assert!(!kept.contains(secret), "credentials are sealed");
    let said = app.get("/api/v1/scanners/Sonde/metadata").await.expect(StatusCode::OK).json();
    assert_eq!(said["scanner"]["name"], "Sonde");

    let unknown = json!({ "scanners": ["Nobody"], "counting": "union" });
    let ask = by(&app, "PUT", "/api/v1/projects/team/scanners").json(&unknown);
    let answer = ask.send().await.expect(StatusCode::BAD_REQUEST);
    assert!(answer.text().contains("Bonded, Sonde"), "{}", answer.text());
    let mine = json!({ "scanners": ["Sonde"], "counting": "primary" });
    let own = app.ask("PUT", "/api/v1/projects/team/scanners").by("dev").json(&mine);
    own.send().await.expect(StatusCode::NO_CONTENT);
    app.ask("PUT", "/api/v1/system/scanners")
        .by("dev")
        .json(&mine)
        .send()
        .await
        .expect(StatusCode::FORBIDDEN);
    by(&app, "DELETE", path).send().await.expect(StatusCode::NO_CONTENT);
    by(&app, "DELETE", path).send().await.expect(StatusCode::NOT_FOUND);
    app.idle().await;
}

#[tokio::test]
async fn harbors_clients_register_choose_and_remove_scanners() {
    let dir = tempfile::tempdir().expect("a directory");
    let (app, adapter) = (reachable(dir.path()).await, Adapter::default());
    let url = adapter.serve().await;
    let body = json!({ "name": "Sonde", "url": url, "auth": "Bearer", "access_credential": "token" });
    by(&app, "POST", "/api/v2.0/scanners/ping").json(&body).send().await.expect(StatusCode::OK);
    let answer = by(&app, "POST", "/api/v2.0/scanners").json(&body).send().await.expect(StatusCode::CREATED);
    let place = answer.header("location");
    by(&app, "POST", "/api/v2.0/scanners").json(&body).send().await.expect(StatusCode::CONFLICT);
    let shown = app.get(&place).await.expect(StatusCode::OK).json();
    assert_eq!(
        (&shown["name"], &shown["auth"], &shown["is_default"]),
        (&json!("Sonde"), &json!("Bearer"), &json!(false))
    );
    app.get(&format!("{place}/metadata")).await.expect(StatusCode::OK);
    let uuid = shown["uuid"].clone();
    let of_project = "/api/v2.0/projects/team/scanner";
    assert_eq!(app.get(of_project).await.json()["name"], "Bonded");
    by(&app, "PUT", of_project).json(&json!({ "uuid": uuid })).send().await.expect(StatusCode::OK);
    assert_eq!(app.get(of_project).await.json()["name"], "Sonde");
    let candidates =
        app.get("/api/v2.0/projects/team/scanner/candidates").await.expect(StatusCode::OK).json();
    assert_eq!(candidates.as_array().map(Vec::len), Some(2));
    by(&app, "PATCH", &place).json(&json!({ "is_default": true })).send().await.expect(StatusCode::OK);
    assert_eq!(app.get(&place).await.json()["is_default"], true);
    by(&app, "DELETE", &place).send().await.expect(StatusCode::CONFLICT);
    let own = "/api/v2.0/scanners/b0dded00-5ca4-4000-8000-000000000001";
    by(&app, "PATCH", own).json(&json!({ "is_default": true })).send().await.expect(StatusCode::OK);
    let renamed = json!({ "name": "Other", "url": url });
    by(&app, "PUT", &place).json(&renamed).send().await.expect(StatusCode::BAD_REQUEST);
    let unverified = json!({ "name": "Sonde", "url": url, "skip_certVerify": true });
    by(&app, "PUT", &place).json(&unverified).send().await.expect(StatusCode::BAD_REQUEST);
    by(&app, "PUT", &place).json(&body).send().await.expect(StatusCode::OK);
    by(&app, "DELETE", &place).send().await.expect(StatusCode::OK);
    app.get(&place).await.expect(StatusCode::NOT_FOUND);
    app.idle().await;
}
