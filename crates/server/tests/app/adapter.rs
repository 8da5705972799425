//! The registry as somebody else's scanner: our own client of the scanner-adapter API against our own server, over real
//! HTTP, scanning images that lie in another registry. Every answer is held against the API's official description.

use std::path::Path;
use std::time::Duration;

use axum::Router;
use http::StatusCode;
use oci::Digest;
use policy::{Role, Visibility};
use registry::adapter::MOST_WAITING;
use registry::admin::ADMIN;
use serde_json::{Value, json};
use upstream::adapter::{Adapter, AdapterError, Authorization, Progress, Wanted, check, wire};
use upstream::{Credentials, Guard, Options};
use url::Url;
use vuln::sbom::{Limits, Strictness};
use workers::Job as _;
use workers::housekeeping::{Housekeeping, HousekeepingJob};
use workers::scan::{Forget, ForgetScansJob};

use crate::scan::{enqueue, feed, layer, left_pad, push, put, refresh};
use crate::test_app::{Answer, MANIFEST, PASSWORD, TestApp};

const SPDX: &str = "application/spdx+json";
const CYCLONEDX: &str = "application/vnd.cyclonedx+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A registry that a Harbor's user `harbor` may use as scanner; advisories for left-pad below 1.3.0.
async fn scanner(dir: &Path, permit: &[&str]) -> TestApp {
    feed(dir, "1.3.0", "HIGH");
    let app = without_advisories(dir, permit).await;
    refresh(&app).await;
    app
}

async fn without_advisories(dir: &Path, permit: &[&str]) -> TestApp {
    let app = TestApp::with(|config| {
        config.scan.feeds = vec![format!("npm={}", dir.join("npm.json").display())];
        config.scan.permit = permit.iter().map(|rule| (*rule).to_owned()).collect();
        config.server.data_dir = dir.join("data");
    })
    .await;
    for name in ["harbor", "other"] {
        app.user(name).await;
        app.system_role(name, Role::ScannerUser).await;
    }
    app
}

/// A registry with a private project `team`.
async fn harbor() -> (TestApp, Url) {
    let app = TestApp::new().await;
    app.project("team", Visibility::Private).await;
    let address = app.listen().await;
    (app, address)
}

async fn client(app: &TestApp, user: &str) -> Adapter {
    let base = app.listen().await.join("/scanner").expect("an address");
    let options = Options { ca_pem: None, plain_http: false, guard: Guard::anywhere() };
    let own = Credentials { user: user.to_owned(), password: PASSWORD.to_owned() };
    Adapter::new(&options, &base, Authorization::Basic(own)).expect("a client")
}

fn request(registry: &Url, authorization: &str, digest: &Digest) -> wire::ScanRequest {
    wire::ScanRequest {
        registry: wire::RegistryAccess { url: registry.to_string(), authorization: authorization.to_owned() },
        artifact: wire::Artifact {
            repository: "team/app".to_owned(),
            digest: digest.to_string(),
            tag: "v1".to_owned(),
            mime_type: MANIFEST.to_owned(),
        },
        enabled_capabilities: Vec::new(),
    }
}

async fn basic(adapter: &Adapter, registry: &Url, digest: &Digest) -> String {
    let own = data_encoding::BASE64.encode(format!("{ADMIN}:{PASSWORD}").as_bytes());
    adapter.accept(&request(registry, &format!("Basic {own}"), digest)).await.expect("accepted")
}

fn wanted<'a>(media_type: &'a str, form: Option<&'a str>) -> Wanted<'a> {
    Wanted { media_type, sbom_media_type: form, limit: 64 << 20 }
}

const VULNERABILITIES: Wanted<'static> =
    Wanted { media_type: wire::VULNERABILITY_REPORT, sbom_media_type: None, limit: 64 << 20 };

async fn ready(adapter: &Adapter, id: &str, wanted: &Wanted<'_>) -> Value {
    let Progress::Ready(document) = adapter.report(id, wanted).await.expect("a report") else {
        unreachable!("it is still being made")
    };
    serde_json::from_slice(&document.bytes).expect("JSON")
}

/// Why there is no report.
async fn failure(adapter: &Adapter, id: &str) -> String {
    match adapter.report(id, &VULNERABILITIES).await {
        Err(AdapterError::Failed { message, .. }) => message,
        other => unreachable!("{other:?}"),
    }
}

/// Holds an answer against what the API's description says of its path, method and status.
#[track_caller]
fn valid(path: &str, method: &str, answer: Answer) -> Answer {
    let text = include_str!("../fixtures/scanner-adapter-openapi-v1.2.yaml");
    let api: Value = serde_saphyr::from_str(text).expect("the description");
    let stated = &api["paths"][path][method]["responses"][answer.status.as_str()];
    assert!(stated.is_object(), "{method} {path} {} is not described", answer.status);
    let Some(content) = stated["content"].as_object() else { return answer };
    let kind = answer.header("content-type");
    let schema = content.get(&kind);
    let schema = schema.unwrap_or_else(|| unreachable!("{method} {path} is not described as `{kind}`"));
    let root = json!({ "$ref": schema["schema"]["$ref"], "components": api["components"] });
    let validator = jsonschema::options().should_validate_formats(true).build(&root).expect("a schema");
    let errors: Vec<_> = validator.iter_errors(&answer.json()).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new(), "{}", answer.text());
    answer
}

const SCAN: &str = "/scanner/api/v1/scan";

/// Asks for a report and holds the answer against the description.
async fn asked(app: &TestApp, user: &str, id: &str, accept: &str, query: &str) -> Answer {
    let ask = app.ask("GET", &format!("{SCAN}/{id}/report{query}")).by(user);
    let answer = ask.header(http::header::ACCEPT, accept).send().await;
    valid("/scan/{scan_request_id}/report", "get", answer)
}

#[tokio::test]
async fn a_harbor_has_its_images_scanned_here() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanner(dir.path(), &["127.0.0.0/8"]).await;
    let (harbor, address) = harbor().await;
    let base = left_pad("1.2.0");
    let digest = push(&harbor, "team/app", "v1", &[base.clone(), layer(&[("etc/motd", "hello")])]).await;
    let adapter = client(&app, "harbor").await;
    check(&adapter.metadata().await.expect("metadata"), "here").expect("it can be registered");

    let token = harbor.token(ADMIN, "repository:team/app:pull").await;
    let asked_for = request(&address, &format!("Bearer {token}"), &digest);
    let id = adapter.accept(&asked_for).await.expect("accepted");
    let later = adapter.report(&id, &VULNERABILITIES).await.expect("an answer");
    assert_eq!(later, Progress::Later(Some(Duration::from_secs(3))));
    // Another process does it, and answers.
    let replica = app.replica().await;
    replica.idle().await;
    let adapter = client(&replica, "harbor").await;
    for media_type in [wire::VULNERABILITY_REPORT, wire::VULNERABILITY_REPORT_1_0] {
        let report = ready(&adapter, &id, &wanted(media_type, None)).await;
        assert_eq!((&report["severity"], &report["scanner"]["name"]), (&json!("High"), &json!("Bonded")));
        assert_eq!(report["artifact"], serde_json::to_value(&asked_for.artifact).expect("JSON"));
        let found = report["vulnerabilities"].as_array().expect("a list");
        assert_eq!(found.len(), 1, "{report}");
        assert_eq!((&found[0]["id"], &found[0]["package"]), (&json!("CVE-2024-0001"), &json!("left-pad")));
        assert_eq!((&found[0]["version"], &found[0]["fix_version"]), (&json!("1.2.0"), &json!("1.3.0")));
    }
    for (form, own) in [(SPDX, "SPDX 2 JSON"), (CYCLONEDX, "CycloneDX 1.6 JSON")] {
        let report = ready(&adapter, &id, &wanted(wire::SBOM_REPORT, Some(form))).await;
        assert_eq!(report["media_type"], form);
        let bill = report["sbom"].to_string();
        let read = vuln::sbom::read(bill.as_bytes(), Strictness::Strict, &Limits::default()).expect(form);
        assert_eq!(read.form.to_string(), own);
        assert!(read.document.inventory.packages.iter().any(|it| it.name == "left-pad"), "{bill}");
    }

    // New advisories count at once, and a layer that this Harbor gave before is not fetched again.
    feed(dir.path(), "1.2.0", "HIGH");
    refresh(&app).await;
    let report = ready(&adapter, &id, &VULNERABILITIES).await;
    assert_eq!((&report["severity"], &report["vulnerabilities"]), (&json!("Unknown"), &json!([])));
    let second = push(&harbor, "team/app", "v2", std::slice::from_ref(&base)).await;
    harbor.lose(&base).await;
    let id = basic(&adapter, &address, &second).await;
    app.idle().await;
    let bill = ready(&adapter, &id, &wanted(wire::SBOM_REPORT, Some(SPDX))).await;
    assert!(bill.to_string().contains("left-pad"));
    harbor.idle().await;
}

#[tokio::test]
async fn every_answer_is_as_the_api_describes_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanner(dir.path(), &["127.0.0.1"]).await;
    let (harbor, address) = harbor().await;
    let digest = push(&harbor, "team/app", "v1", &[left_pad("1.2.0")]).await;
    let metadata = app.ask("GET", "/scanner/api/v1/metadata").by("harbor").send().await;
    let metadata = valid("/metadata", "get", metadata.expect(StatusCode::OK)).json();
    assert!(metadata["properties"][wire::DATABASE_UPDATED].is_string(), "{metadata}");
    let consumed = &metadata["capabilities"][0]["consumes_mime_types"];
    assert!(!consumed.as_array().expect("a list").contains(&json!(INDEX)), "a Harbor sends each image");

    let post = async |body: &Value| {
        let ask = app.ask("POST", SCAN).by("harbor");
        let ask = ask.bytes(wire::SCAN_REQUEST, body.to_string().into_bytes());
        valid("/scan", "post", ask.send().await)
    };
    let own = data_encoding::BASE64.encode(format!("{ADMIN}:{PASSWORD}").as_bytes());
    let right = serde_json::to_value(request(&address, &format!("Basic {own}"), &digest)).expect("JSON");
    for (at, to, status) in [
        ("/registry/url", json!("core.harbor"), 422),
        ("/artifact/digest", json!("latest"), 422),
        ("/artifact/mime_type", json!(INDEX), 501),
        ("/artifact", json!(7), 400),
    ] {
        let mut wrong = right.clone();
        *wrong.pointer_mut(at).expect("a field") = to;
        assert_eq!(post(&wrong).await.status.as_u16(), status, "{at}");
    }
    let long = json!({ "registry": { "url": "x".repeat(70_000) } });
    assert_eq!(post(&long).await.status, StatusCode::BAD_REQUEST);
    let accepted = post(&right).await.expect(StatusCode::ACCEPTED).json();
    let id = accepted["id"].as_str().expect("an id").to_owned();

    let query = format!("?sbom_media_type={}", SPDX.replace('+', "%2B"));
    let waits = asked(&app, "harbor", &id, wire::SBOM_REPORT, &query).await.expect(StatusCode::FOUND);
    assert_eq!(waits.header("refresh-after"), "3");
    assert_eq!(waits.location(), format!("{SCAN}/{id}/report{query}"));
    app.idle().await;
    for (accept, query, status) in [
        (wire::VULNERABILITY_REPORT, "", 200),
        (wire::VULNERABILITY_REPORT_1_0, "", 200),
        (wire::SBOM_REPORT, query.as_str(), 200),
        (wire::SBOM_REPORT, "?sbom_media_type=application/vnd.cyclonedx%2Bjson", 200),
        (wire::SBOM_REPORT, "", 400),
        (wire::SBOM_REPORT, "?sbom_media_type=text", 400),
        ("application/vnd.scanner.adapter.vuln.report.raw", "", 501),
    ] {
        let answer = asked(&app, "harbor", &id, accept, query).await;
        assert_eq!(answer.status.as_u16(), status, "{accept} {query}");
    }
    let unknown = asked(&app, "harbor", "7", wire::VULNERABILITY_REPORT, "").await;
    unknown.expect(StatusCode::NOT_FOUND);
    harbor.idle().await;
}

#[tokio::test]
async fn what_cannot_be_fetched_or_read_says_why_and_is_never_empty() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanner(dir.path(), &["127.0.0.1"]).await;
    let (harbor, address) = harbor().await;
    let image = push(&harbor, "team/app", "v1", &[left_pad("1.2.0")]).await;
    let listed = json!([{ "mediaType": MANIFEST, "digest": image.to_string(), "size": 1 }]);
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": listed });
    let index = put(&harbor, "team/app", "all", INDEX, &index).await;
    let broken: Digest =
        harbor.push_image(ADMIN, "team/app", "broken", b"no archive").await.parse().expect("a digest");
    // A registry that gives other content than it is asked for.
    let liar = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let lies: Url = format!("http://{}", liar.local_addr().expect("address")).parse().expect("address");
    let other = ([(http::header::CONTENT_TYPE, MANIFEST)], "{}");
    let router = Router::new().fallback(move || std::future::ready(other));
    tokio::spawn(async move { axum::serve(liar, router).await });

    let adapter = client(&app, "harbor").await;
    let own = data_encoding::BASE64.encode(format!("{ADMIN}:{PASSWORD}").as_bytes());
    let own = format!("Basic {own}");
    let absent = Digest::sha256(b"absent");
    for (registry, authorization, digest, reason) in [
        (&address, "Bearer wrong", &image, "401"),
        (&address, "Digest x", &image, "neither `Basic BASE64` nor `Bearer TOKEN`"),
        (&address, own.as_str(), &absent, "404"),
        (&address, own.as_str(), &index, "an index of images"),
        (&address, own.as_str(), &broken, "malformed"),
        (&lies, own.as_str(), &image, "has the digest sha256:44136fa355b3678a1146ad16f7e8649e94fb4f"),
    ] {
        let id = adapter.accept(&request(registry, authorization, digest)).await.expect("accepted");
        app.idle().await;
        let said = failure(&adapter, &id).await;
        assert!(said.contains(reason), "{reason}: {said}");
        assert!(!said.contains(&own), "{said}");
        let answer = asked(&app, "harbor", &id, wire::VULNERABILITY_REPORT, "").await;
        answer.expect(StatusCode::INTERNAL_SERVER_ERROR);
    }
    harbor.idle().await;
}

#[tokio::test]
async fn without_advisories_there_is_a_bill_of_materials_and_no_clean_report() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = without_advisories(dir.path(), &["127.0.0.1"]).await;
    let (harbor, address) = harbor().await;
    let image = push(&harbor, "team/app", "v1", &[layer(&[("etc/motd", "hello")])]).await;
    let adapter = client(&app, "harbor").await;
    let id = basic(&adapter, &address, &image).await;
    app.idle().await;
    let said = failure(&adapter, &id).await;
    assert!(said.contains("no advisories"), "{said}");
    ready(&adapter, &id, &wanted(wire::SBOM_REPORT, Some(CYCLONEDX))).await;
    harbor.idle().await;
}

#[tokio::test]
async fn an_address_that_was_not_permitted_is_not_asked() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanner(dir.path(), &["10.0.0.0/8"]).await;
    let (harbor, address) = harbor().await;
    let image = push(&harbor, "team/app", "v1", &[left_pad("1.2.0")]).await;
    let adapter = client(&app, "harbor").await;
    let id = basic(&adapter, &address, &image).await;
    app.idle().await;
    let said = failure(&adapter, &id).await;
    assert!(said.contains("was not permitted"), "{said}");
    harbor.idle().await;
}

#[tokio::test]
async fn a_scan_is_its_askers_and_its_authorization_nobodys() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanner(dir.path(), &["127.0.0.1"]).await;
    app.user("eve").await;
    let (harbor, address) = harbor().await;
    let image = push(&harbor, "team/app", "v1", &[left_pad("1.2.0")]).await;
    let adapter = client(&app, "harbor").await;
    let token = harbor.token(ADMIN, "repository:team/app:pull").await;
    let asked_for = request(&address, &format!("Bearer {token}"), &image);
    let id = adapter.accept(&asked_for).await.expect("accepted");
    let store = app.registry.store();
    let kept = store.adapter_scan(&id).await.expect("an answer").expect("a row");
    let sealed = kept.request.expect("what was asked");
    assert!(!sealed.windows(16).any(|part| token.as_bytes().windows(16).any(|it| it == part)));
    app.idle().await;
    assert_eq!(store.adapter_scan(&id).await.expect("an answer").expect("a row").request, None);

    let path = format!("{SCAN}/{id}/report");
    let body = serde_json::to_value(&asked_for).expect("JSON");
    for (user, status) in [("other", 404), ("eve", 403), (ADMIN, 404), ("harbor", 200)] {
        let answer = app.ask("GET", &path).by(user).send().await;
        assert_eq!(answer.status.as_u16(), status, "{user}");
    }
    for ask in
        [app.ask("GET", "/scanner/api/v1/metadata"), app.ask("POST", SCAN).json(&body), app.ask("GET", &path)]
    {
        let refused = ask.by("eve").send().await.expect(StatusCode::FORBIDDEN);
        assert_eq!(refused.header("content-type"), wire::ERROR);
        let said = refused.json()["error"]["message"].clone();
        assert!(said.as_str().is_some_and(|it| it.contains("ask a system administrator")), "{said}");
    }
    let unknown = app.ask("GET", &path).send().await.expect(StatusCode::UNAUTHORIZED);
    assert_eq!(
        (unknown.header("content-type").as_str(), unknown.json()["error"].is_object()),
        (wire::ERROR, true)
    );
    assert!(unknown.header("www-authenticate").starts_with("Basic "));

    app.runner.run_duties_once().await.expect("the audit is sealed");
    let audit = app.get("/api/v1/audit?limit=1000").await.expect(StatusCode::OK).text();
    assert!(
        audit.contains("scanner.scan") && audit.contains(&format!("{address}team/app@{image}")),
        "{audit}"
    );
    assert!(!audit.contains(&token));
    harbor.idle().await;
    app.idle().await;
}

#[tokio::test]
async fn a_layer_that_is_only_named_is_not_told_about() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanner(dir.path(), &["127.0.0.1"]).await;
    app.project("team", Visibility::Private).await;
    let secret = left_pad("1.2.0");
    let here = push(&app, "team/app", "v1", std::slice::from_ref(&secret)).await;
    let job = workers::scan::Target::new(here, 0).job(app.registry.store().now());
    enqueue(&app, job).await;
    app.idle().await;
    // A registry whose image names that layer and cannot give it; and another one that can, to another caller.
    let (spying, spy) = harbor().await;
    let config = spying.push_blob(ADMIN, "team/app", b"{}").await;
    let kind = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    let named = Digest::sha256(&secret).to_string();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2 },
        "layers": [{ "mediaType": kind, "digest": named, "size": secret.len() }],
    });
    let image = put(&spying, "team/app", "spy", MANIFEST, &manifest).await;
    let (honest, with_it) = harbor().await;
    let whole = push(&honest, "team/app", "v1", std::slice::from_ref(&secret)).await;
    let other = client(&app, "other").await;
    let id = basic(&other, &with_it, &whole).await;
    app.idle().await;
    ready(&other, &id, &VULNERABILITIES).await;

    let adapter = client(&app, "harbor").await;
    let id = basic(&adapter, &spy, &image).await;
    app.idle().await;
    let said = failure(&adapter, &id).await;
    assert!(said.contains("404") && !said.contains("left-pad"), "{said}");
    spying.idle().await;
    honest.idle().await;
}

#[tokio::test]
async fn a_registry_that_is_away_is_tried_again_and_then_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanner(dir.path(), &["127.0.0.1"]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let away: Url = format!("http://{}", listener.local_addr().expect("address")).parse().expect("address");
    // Whoever connects is left alone at once.
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let adapter = client(&app, "harbor").await;
    let id = basic(&adapter, &away, &Digest::sha256(b"x")).await;
    for attempt in 1..=3 {
        let later = adapter.report(&id, &VULNERABILITIES).await.expect("an answer");
        assert!(matches!(later, Progress::Later(_)), "before attempt {attempt}");
        let done = app.runner.run_to_idle().await.expect("an attempt");
        assert_eq!((done.retried, done.failed), (usize::from(attempt < 3), usize::from(attempt == 3)));
        app.advance(Duration::from_mins(5)).await;
    }
    let said = failure(&adapter, &id).await;
    assert!(said.contains("cannot be reached"), "{said}");
}

#[tokio::test]
async fn a_scan_whose_processes_die_ends_too_and_no_caller_asks_without_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanner(dir.path(), &[]).await;
    let adapter = client(&app, "harbor").await;
    let address: Url = "https://harbor.test".parse().expect("an address");
    let image = Digest::sha256(b"x");
    let id = basic(&adapter, &address, &image).await;
    let (store, lease) = (app.registry.store(), Duration::from_secs(30));
    // Three processes take it, and none says a word any more; the fourth finds out.
    for taken in [1, 1, 1, 0] {
        let claimed = metadata::jobs::claim(store, "a process", &["adapter_scan"], lease, 1).await;
        assert_eq!(claimed.expect("jobs").len(), taken);
        if taken == 1 {
            let later = adapter.report(&id, &VULNERABILITIES).await.expect("an answer");
            assert!(matches!(later, Progress::Later(_)));
        }
        app.advance(Duration::from_mins(1)).await;
    }
    let said = failure(&adapter, &id).await;
    assert!(said.contains("its process died"), "{said}");

    for _ in 1..MOST_WAITING {
        basic(&adapter, &address, &image).await;
    }
    let body = serde_json::to_value(request(&address, "", &image)).expect("JSON");
    let full = app.ask("POST", SCAN).by("harbor").json(&body).send().await;
    let full = full.expect(StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(full.header("content-type"), wire::ERROR);
    app.ask("POST", SCAN).by("other").json(&body).send().await.expect(StatusCode::ACCEPTED);
    for job in metadata::jobs::list(store, "adapter_scan", None, 1000).await.expect("jobs") {
        if job.state == metadata::jobs::JobState::Queued {
            let mut tx = store.begin().await.expect("a transaction");
            metadata::jobs::cancel(&mut tx, job.id, store.now());
            store.commit(tx).await.expect("a commit");
        }
    }
}

#[tokio::test]
async fn what_was_asked_for_is_forgotten_after_a_while() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanner(dir.path(), &["127.0.0.1"]).await;
    let (harbor, address) = harbor().await;
    let base = left_pad("1.2.0");
    let image = push(&harbor, "team/app", "v1", std::slice::from_ref(&base)).await;
    let adapter = client(&app, "harbor").await;
    let id = basic(&adapter, &address, &image).await;
    app.idle().await;
    app.advance(Duration::from_mins(59)).await;
    ready(&adapter, &id, &VULNERABILITIES).await;
    app.advance(Duration::from_mins(2)).await;
    let gone = adapter.report(&id, &VULNERABILITIES).await;
    assert!(matches!(gone, Err(AdapterError::Lost { .. })), "{gone:?}");
    let store = app.registry.store();
    assert!(store.has_expired_adapter_scans(store.now()).await.expect("an answer"));
    let sweep = async || {
        let now = store.now();
        enqueue(&app, HousekeepingJob::request(&Housekeeping::default(), now).expect("a job")).await;
        enqueue(&app, ForgetScansJob::request(&Forget::default(), now).expect("a job")).await;
        app.idle().await;
    };
    sweep().await;
    assert!(!store.has_expired_adapter_scans(store.now()).await.expect("an answer"));
    // What its layers state is kept for the next image that has them, and then no longer.
    harbor.lose(&base).await;
    let id = basic(&adapter, &address, &image).await;
    app.idle().await;
    ready(&adapter, &id, &VULNERABILITIES).await;
    app.advance(Duration::from_hours(31 * 24)).await;
    sweep().await;
    let id = basic(&adapter, &address, &image).await;
    app.idle().await;
    let said = failure(&adapter, &id).await;
    assert!(said.contains(&format!("layer {}", Digest::sha256(&base))), "its registry has lost it: {said}");
    harbor.idle().await;
}
