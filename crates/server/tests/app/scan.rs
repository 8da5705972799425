//! Scanning in the registry: what is pushed is catalogued and judged, and judged again as advisories change.

use std::path::Path;

use http::StatusCode;
use metadata::model::scan::{ScanRow, ScanStatus};
use oci::Digest;
use policy::Visibility;
use registry::admin::ADMIN;
use registry::scan::ArtifactScan;
use serde_json::{Value, json};
use workers::Job as _;
use workers::scan::{FeedsJob, RefreshFeeds, ScanAll, ScanAllJob, Target, priority};

use crate::test_app::{MANIFEST, TestApp};

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// A layer with these files.
pub(crate) fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, path, content.as_bytes()).expect("a file in an archive");
    }
    archive.into_inner().expect("an archive")
}

pub(crate) fn left_pad(version: &str) -> Vec<u8> {
    let package = json!({ "name": "left-pad", "version": version });
    layer(&[("app/node_modules/left-pad/package.json", &package.to_string())])
}

/// Writes the one feed, with an advisory for left-pad below `fixed`, of this severity.
pub(crate) fn feed(dir: &Path, fixed: &str, severity: &str) {
    feed_of(dir, ("npm", "left-pad"), fixed, severity);
}

/// The same for a package of another ecosystem.
pub(crate) fn feed_of(dir: &Path, (ecosystem, name): (&str, &str), fixed: &str, severity: &str) {
    let advisory = json!({
        "id": "GHSA-xxxx-yyyy-zzzz", "modified": format!("2024-01-01T00:00:{:02}Z", fixed.len()),
        "published": "2023-12-01T00:00:00Z",
        "aliases": ["CVE-2024-0001"], "summary": "left-pad pads right",
        "database_specific": { "severity": severity },
        "affected": [{ "package": { "ecosystem": ecosystem, "name": name }, "ranges": [
            { "type": "SEMVER", "events": [{ "introduced": "0" }, { "fixed": fixed }] }] }],
    });
    std::fs::write(dir.join("npm.json"), advisory.to_string()).expect("a feed");
}

/// A registry with a feed, whose pushes are scanned.
pub(crate) async fn scanning(dir: &Path) -> TestApp {
    feed(dir, "1.3.0", "HIGH");
    let app = TestApp::with(|config| {
        config.scan.on_push = true;
        config.scan.feeds = vec![format!("npm={}", dir.join("npm.json").display())];
        config.server.data_dir = dir.join("data");
    })
    .await;
    app.project("team", Visibility::Private).await;
    refresh(&app).await;
    app
}

pub(crate) async fn enqueue(app: &TestApp, job: metadata::jobs::NewJob) {
    let store = app.registry.store();
    let mut tx = store.begin().await.expect("a transaction");
    metadata::jobs::enqueue(&mut tx, store.next_id().await.expect("an id"), store.now(), job);
    store.commit(tx).await.expect("a job");
}

/// Asks the feeds for what is new, and does what follows.
pub(crate) async fn refresh(app: &TestApp) {
    let job = FeedsJob::request(&RefreshFeeds::default(), app.registry.store().now()).expect("a job");
    enqueue(app, job).await;
    app.idle().await;
    app.runner.run_duties_once().await.expect("the index is kept");
    app.idle().await;
}

/// Pushes an image with these layers.
pub(crate) async fn push(app: &TestApp, repo: &str, tag: &str, layers: &[Vec<u8>]) -> Digest {
    let ids: Vec<String> = layers.iter().map(|layer| Digest::sha256(layer).to_string()).collect();
    let config = json!({ "architecture": "amd64", "os": "linux", "config": { "User": "app" },
        "rootfs": { "type": "layers", "diff_ids": ids } });
    let config = config.to_string().into_bytes();
    push_with(app, repo, tag, layers, &config).await
}

async fn push_with(app: &TestApp, repo: &str, tag: &str, layers: &[Vec<u8>], config: &[u8]) -> Digest {
    let config_digest = app.push_blob(ADMIN, repo, config).await;
    let mut listed = Vec::new();
    for layer in layers {
        let digest = app.push_blob(ADMIN, repo, layer).await;
        listed.push(json!({ "mediaType": TAR, "digest": digest, "size": layer.len() }));
    }
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": listed,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": config.len() },
    });
    put(app, repo, tag, MANIFEST, &manifest).await
}

pub(crate) async fn put(app: &TestApp, repo: &str, reference: &str, kind: &str, manifest: &Value) -> Digest {
    let path = format!("/v2/{repo}/manifests/{reference}");
    let ask = app.ask("PUT", &path).by(ADMIN).bytes(kind, manifest.to_string().into_bytes());
    let answer = ask.send().await.expect(StatusCode::CREATED);
    answer.header("docker-content-digest").parse().expect("a digest")
}

pub(crate) async fn row(app: &TestApp, digest: &Digest) -> ScanRow {
    app.registry.store().scan(digest).await.expect("an answer").expect("a scan")
}

pub(crate) async fn referrers(app: &TestApp, repo: &str, digest: &Digest) -> Vec<Value> {
    let answer = app.get(&format!("/v2/{repo}/referrers/{digest}")).await.expect(StatusCode::OK);
    answer.json()["manifests"].as_array().expect("a list").clone()
}

pub(crate) fn high(row: &ScanRow) -> (ScanStatus, u64, u64) {
    let verdict = row.verdict.as_ref().expect("a verdict");
    (row.status, verdict.counts.high, verdict.details.fixable.high)
}

#[tokio::test]
async fn what_is_pushed_is_judged_and_its_bill_of_materials_attached() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    let digest = push(&app, "team/app", "v1", &[left_pad("1.2.0")]).await;
    app.idle().await;
    assert_eq!(high(&row(&app, &digest).await), (ScanStatus::Succeeded, 1, 1));
    let attached = referrers(&app, "team/app", &digest).await;
    assert_eq!(attached.len(), 1, "{attached:?}");
    assert_eq!(attached[0]["artifactType"], "application/spdx+json");
    let path = format!("/v2/team/app/manifests/{}", attached[0]["digest"].as_str().expect("a digest"));
    let manifest = app.get(&path).await.expect(StatusCode::OK).json();
    let path = format!("/v2/team/app/blobs/{}", manifest["layers"][0]["digest"].as_str().expect("a digest"));
    let bill = app.get(&path).await.expect(StatusCode::OK).json();
    let names: Vec<_> = bill["packages"].as_array().expect("packages").iter().map(|it| &it["name"]).collect();
    assert!(names.contains(&&json!("left-pad")), "{names:?}");

    // Again: the same document, and the layer is known.
    enqueue(&app, Target::new(digest, priority::ASKED).job(app.registry.store().now())).await;
    app.idle().await;
    assert_eq!(referrers(&app, "team/app", &digest).await, attached);
}

#[tokio::test]
async fn a_document_that_no_statement_can_hold_is_attached_unsigned() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = dir.path().join("key.pem");
    std::fs::write(&key, KEY).expect("a key");
    let app = TestApp::with(|config| {
        config.scan.on_push = true;
        config.scan.sbom = vec!["cyclonedx-xml".to_owned(), "spdx-json".to_owned()];
        config.scan.attest_key_file = Some(key);
        config.server.data_dir = dir.path().join("data");
    })
    .await;
    app.project("team", Visibility::Private).await;
    let digest = push(&app, "team/app", "v1", &[left_pad("1.2.0")]).await;
    app.idle().await;
    let attached = referrers(&app, "team/app", &digest).await;
    let mut kinds: Vec<_> = attached.iter().filter_map(|it| it["artifactType"].as_str()).collect();
    kinds.sort_unstable();
    let bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
    assert_eq!(kinds, ["application/spdx+json", "application/vnd.cyclonedx+xml", bundle]);
}

/// A key of nobody.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgHl17KFPWkVbBzOPY\nTwluyUzz65C2YdTKg09/2vkC/UOhRANCAASlxliemOOHIub5oGpKuod31+3qyX8n\nn55Hujsllf58W3DRh1zucBKomfC7KekryGV93KuKYtV1+vD7kBPOuIES\n-----END PRIVATE KEY-----";

#[tokio::test]
async fn a_layer_is_read_once_whatever_images_it_is_in() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    let (base, extra) = (left_pad("1.2.0"), layer(&[("etc/motd", "hello")]));
    push(&app, "team/app", "v1", std::slice::from_ref(&base)).await;
    app.idle().await;
    // Were the base read again, its object would be missed.
    app.lose(&base).await;
    let second = push(&app, "team/app", "v2", &[base, extra]).await;
    app.idle().await;
    assert_eq!(high(&row(&app, &second).await), (ScanStatus::Succeeded, 1, 1));
}

#[tokio::test]
async fn changed_and_withdrawn_advisories_change_the_verdicts() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    let digest = push(&app, "team/app", "v1", &[left_pad("1.3.0")]).await;
    app.idle().await;
    assert_eq!(high(&row(&app, &digest).await).1, 0);
    feed(dir.path(), "1.3.10", "HIGH");
    refresh(&app).await;
    assert_eq!(high(&row(&app, &digest).await), (ScanStatus::Succeeded, 1, 1));
    let before = row(&app, &digest).await;
    // A feed that says the same again makes no work.
    refresh(&app).await;
    assert_eq!(row(&app, &digest).await, before);
    feed(dir.path(), "1.2.0", "HIGH");
    refresh(&app).await;
    assert_eq!(high(&row(&app, &digest).await).1, 0);
}

#[tokio::test]
async fn without_advisories_and_with_broken_layers_nothing_is_clean() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = TestApp::with(|config| {
        config.scan.on_push = true;
        config.server.data_dir = dir.path().join("data");
    })
    .await;
    app.project("team", Visibility::Private).await;
    let unjudged = push(&app, "team/app", "v1", &[left_pad("1.2.0")]).await;
    let broken = app.push_image(ADMIN, "team/app", "broken", b"no archive at all").await;
    app.idle().await;
    let found = row(&app, &unjudged).await;
    assert_eq!(found.status, ScanStatus::Incomplete);
    assert!(found.reason.expect("a reason").contains("scan.feeds"));
    let found = row(&app, &broken.parse().expect("a digest")).await;
    assert_eq!((found.status, found.verdict), (ScanStatus::Failed, None));
    assert!(found.reason.expect("a reason").contains("malformed"));
}

#[tokio::test]
async fn a_failed_scan_leaves_the_last_verdict_standing() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    let base = left_pad("1.2.0");
    let digest = push(&app, "team/app", "v1", std::slice::from_ref(&base)).await;
    app.idle().await;
    app.lose(&base).await;
    let store = app.registry.store();
    let mut tx = store.begin().await.expect("a transaction");
    // As after an update of the extractors: what they read before does not count.
    metadata::model::scan::put_layer(&mut tx, &Digest::sha256(&base), 0, vec![].into(), store.now());
    store.commit(tx).await.expect("a commit");
    enqueue(&app, Target::new(digest, priority::ASKED).job(store.now())).await;
    app.idle().await;
    let found = row(&app, &digest).await;
    assert_eq!(found.status, ScanStatus::Failed);
    assert_eq!(found.verdict.expect("the last verdict").counts.high, 1);
}

#[tokio::test]
async fn a_configuration_of_other_layers_is_no_clean_image() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    let other = json!({ "rootfs": { "type": "layers", "diff_ids": [Digest::sha256(b"other").to_string()] } });
    let layers = [left_pad("1.2.0")];
    let digest = push_with(&app, "team/app", "v1", &layers, other.to_string().as_bytes()).await;
    app.idle().await;
    let found = row(&app, &digest).await;
    assert_eq!(found.status, ScanStatus::Failed);
    assert!(found.reason.expect("a reason").contains("configuration states"));
}

#[tokio::test]
async fn what_others_state_beside_an_image_is_judged_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    let digest = push(&app, "team/app", "v1", &[layer(&[("etc/motd", "hello")])]).await;
    app.idle().await;
    assert_eq!(high(&row(&app, &digest).await).1, 0);
    let bill = json!({ "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": [
        { "type": "library", "name": "left-pad", "version": "1.2.0", "purl": "pkg:npm/left-pad@1.2.0" }] });
    let bill = bill.to_string().into_bytes();
    let (blob, empty) =
        (app.push_blob(ADMIN, "team/app", &bill).await, app.push_blob(ADMIN, "team/app", b"{}").await);
    let kind = "application/vnd.cyclonedx+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind,
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2 },
        "layers": [{ "mediaType": kind, "digest": blob, "size": bill.len() }],
        "subject": { "mediaType": MANIFEST, "digest": digest.to_string(), "size": 1 },
    });
    put(&app, "team/app", "bill", MANIFEST, &manifest).await;
    app.idle().await;
    let path = "/api/v1/projects/team/repositories/app/artifacts/v1/scan/report";
    let report = app.get(path).await.expect(StatusCode::OK).json();
    assert_eq!(report["vulnerabilities"]["findings"][0]["id"], "CVE-2024-0001", "{report}");
    // What people hang beside an image in one repository says nothing of it elsewhere.
    assert_eq!(high(&row(&app, &digest).await).1, 0);
}

#[tokio::test]
async fn naming_a_blob_of_others_tells_nothing_of_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    app.project("open", Visibility::Public).await;
    let secret = left_pad("1.2.0");
    push(&app, "team/app", "v1", std::slice::from_ref(&secret)).await;
    index(&app).await;
    // A layer that need not be distributed may be absent; it is there, but not here.
    let config = app.push_blob(ADMIN, "open/app", b"{}").await;
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2 },
        "layers": [{ "mediaType": foreign, "digest": Digest::sha256(&secret).to_string(), "size": secret.len() }],
    });
    let digest = put(&app, "open/app", "spy", MANIFEST, &manifest).await;
    index(&app).await;
    let found = row(&app, &digest).await;
    assert_eq!((found.status, found.verdict), (ScanStatus::Failed, None));
    for what in ["scan/report", "sbom"] {
        let path = format!("/api/v1/projects/open/repositories/app/artifacts/spy/{what}");
        app.get(&path).await.expect(StatusCode::NOT_FOUND);
    }
    assert_eq!(ask(&app, ADMIN, "left-pad").await["total"], 1);

    // An index may list images that are not here; what is known of them is not shown here.
    let listed = app.registry.store().images_after("", 10).await.expect("images");
    let listed: Vec<_> = listed
        .iter()
        .map(|it| json!({ "mediaType": MANIFEST, "digest": it.to_string(), "size": 1 }))
        .collect();
    let kind = "application/vnd.oci.image.index.v1+json";
    let sparse = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": listed });
    put(&app, "open/other", "all", kind, &sparse).await;
    let path = "/api/v1/projects/open/repositories/other/artifacts/all/scan";
    let shown = app.get(path).await.expect(StatusCode::OK).json();
    assert_eq!((&shown["images"], &shown["unknown"]), (&json!([]), &json!(0)));
    app.idle().await;
}

#[tokio::test]
async fn everything_is_scanned_when_somebody_asks_and_an_index_is_its_images() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    let project = registry::admin::ProjectRef::Name("team".to_owned());
    let off = registry::admin::ProjectScanning { on_push: Some(false), ..Default::default() };
    app.registry.set_project_scanning(&app.admin(), &project, &off).await.expect("a setting");
    let images = [
        push(&app, "team/app", "a", &[left_pad("1.2.0")]).await,
        push(&app, "team/app", "b", &[left_pad("1.2.1")]).await,
    ];
    let listed: Vec<_> = images
        .iter()
        .map(|it| json!({ "mediaType": MANIFEST, "digest": it.to_string(), "size": 1 }))
        .collect();
    let kind = "application/vnd.oci.image.index.v1+json";
    let index = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": listed });
    let index = put(&app, "team/app", "all", kind, &index).await;
    app.idle().await;
    assert_eq!(app.registry.store().scan(&images[0]).await.expect("an answer"), None);
    let sweep = async |as_pushed| {
        let job = ScanAllJob::request(&ScanAll { as_pushed }, app.registry.store().now());
        enqueue(&app, job.expect("a job")).await;
        app.idle().await;
    };
    sweep(true).await;
    assert_eq!(app.registry.store().scan(&images[0]).await.expect("an answer"), None);
    sweep(false).await;
    let repository = app.registry.store().manifest_anywhere(&index).await.expect("an answer").expect("it");
    let known = app.registry.scans_of(repository.place.repository, &[index]).await.expect("scans");
    let ArtifactScan { row, children, active, unknown } = known[&index].clone();
    assert_eq!((row, active, children.len(), unknown), (None, None, 2, 0));
    assert!(children.iter().all(|child| high(child) == (ScanStatus::Succeeded, 1, 1)));
}

async fn ask(app: &TestApp, user: &str, question: &str) -> Value {
    let text = question.replace(' ', "%20").replace('<', "%3C");
    let ask = app.ask("GET", &format!("/api/v1/search/images?q={text}")).by(user);
    ask.send().await.expect(StatusCode::OK).json()
}

/// Brings the index up to date.
pub(crate) async fn index(app: &TestApp) {
    app.idle().await;
    app.runner.run_duties_once().await.expect("the index is kept");
    app.idle().await;
}

#[tokio::test]
async fn which_images_contain_it_is_answered_with_tags_to_who_may_see_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    app.project("open", Visibility::Public).await;
    app.user("eve").await;
    let old = push(&app, "team/app", "v1", &[left_pad("1.2.0")]).await;
    push(&app, "team/app", "v2", &[left_pad("1.3.0")]).await;
    let shown = push(&app, "open/app", "v1", &[left_pad("1.2.1")]).await;
    index(&app).await;

    let found = ask(&app, ADMIN, "left-pad < 1.3.0").await;
    assert_eq!(found["total"], 2);
    let digests: Vec<_> =
        found["images"].as_array().expect("images").iter().map(|it| &it["digest"]).collect();
    assert!(digests.contains(&&json!(old.to_string())) && digests.contains(&&json!(shown.to_string())));
    let found = ask(&app, "eve", "left-pad < 1.3.0").await;
    assert_eq!((&found["total"], &found["images"][0]["digest"]), (&json!(1), &json!(shown.to_string())));
    assert_eq!(found["images"][0]["places"], json!([{ "repository": "open/app", "tags": ["v1"] }]));
    assert_eq!(found["images"][0]["packages"][0]["purl"], "pkg:npm/left-pad@1.2.1");
    assert_eq!(ask(&app, ADMIN, "cve:CVE-2024-0001").await["total"], 2);

    let csv = app.get("/api/v1/search/images.csv?q=pkg:npm/left-pad@1.2.0").await.expect(StatusCode::OK);
    let text = String::from_utf8(csv.body).expect("text");
    assert!(text.contains(&format!("team/app,v1,{old},left-pad,1.2.0,pkg:npm/left-pad@1.2.0")), "{text}");
    let wrong = app.get("/api/v1/search/images?q=%3C%201.0").await;
    wrong.expect(StatusCode::BAD_REQUEST);

    // What is deleted is not found any more, what moves advisories is told of.
    let path = format!("/v2/team/app/manifests/{old}");
    app.ask("DELETE", &path).by(ADMIN).send().await.expect(StatusCode::ACCEPTED);
    index(&app).await;
    assert_eq!(ask(&app, ADMIN, "left-pad < 1.3.0").await["total"], 1);
    feed(dir.path(), "1.2.1", "HIGH");
    refresh(&app).await;
    assert_eq!(ask(&app, ADMIN, "cve:CVE-2024-0001").await["total"], 0);
    assert_eq!(high(&row(&app, &shown).await), (ScanStatus::Succeeded, 0, 0));
}

#[tokio::test]
async fn new_advisories_have_only_those_images_judged_again_that_they_speak_of() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    let other = push(&app, "team/app", "other", &[layer(&[("etc/motd", "hello")])]).await;
    let padded = push(&app, "team/app", "padded", &[left_pad("1.3.0")]).await;
    index(&app).await;
    let judged = |row: ScanRow| row.verdict.expect("a verdict").judged_at;
    let before = (judged(row(&app, &other).await), judged(row(&app, &padded).await));
    app.advance(std::time::Duration::from_mins(1)).await;
    feed(dir.path(), "1.3.10", "HIGH");
    refresh(&app).await;
    let after = (judged(row(&app, &other).await), judged(row(&app, &padded).await));
    assert_eq!(after.0, before.0, "nothing was said of it");
    assert!(after.1 > before.1);
    let generations =
        [row(&app, &other).await, row(&app, &padded).await].map(|row| row.verdict.map(|it| it.advisories));
    assert_eq!(generations[0], generations[1], "both are up to date");
}

#[tokio::test]
async fn a_saved_search_is_forgotten() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    let body = json!({ "q": "left-pad < 1.3.0" }).to_string().into_bytes();
    let keep = app.ask("PUT", "/api/v1/search/saved/pads").by(ADMIN).bytes("application/json", body);
    keep.send().await.expect(StatusCode::NO_CONTENT);
    let forget = app.ask("DELETE", "/api/v1/search/saved/pads").by(ADMIN);
    forget.send().await.expect(StatusCode::NO_CONTENT);
    assert_eq!(app.get("/api/v1/search/saved").await.expect(StatusCode::OK).json(), json!([]));
}

#[tokio::test]
async fn the_index_s_files_stay_few_and_say_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    for round in 0..10 {
        push(&app, "team/app", &format!("v{round}"), &[left_pad(&format!("1.2.{round}"))]).await;
        index(&app).await;
    }
    let setting = app.registry.store().setting("estate").await.expect("an answer").expect("an index");
    let files: Value = serde_json::from_str(&setting).expect("JSON");
    let count = |kind: &str| files[kind].as_array().expect("files").len();
    assert!(count("segments") < 8 && count("findings") < 8, "{setting}");
    assert_eq!(ask(&app, ADMIN, "left-pad < 1.3.0").await["total"], 10);
    assert_eq!(ask(&app, ADMIN, "cve:CVE-2024-0001").await["total"], 10);
}

#[tokio::test]
async fn a_file_of_the_index_with_other_content_is_not_believed() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    push(&app, "team/app", "v1", &[left_pad("1.2.0")]).await;
    index(&app).await;
    assert_eq!(ask(&app, ADMIN, "left-pad").await["total"], 1);
    let store = app.registry.store();
    let before = store.setting("estate").await.expect("an answer").expect("an index");
    let mut files: Value = serde_json::from_str(&before).expect("JSON");
    files["segments"][0]["digest"] = json!(Digest::sha256(b"what was written").to_string());
    let mut tx = store.begin().await.expect("a transaction");
    metadata::model::setting::replace(&mut tx, "estate", Some(&before), &files.to_string());
    store.commit(tx).await.expect("a commit");
    // As on another machine: no file is here yet.
    forget_files(dir.path());
    let asked = app.get("/api/v1/search/images?q=left-pad").await;
    asked.expect(StatusCode::SERVICE_UNAVAILABLE);
    index(&app).await;
    index(&app).await;
    assert_eq!(ask(&app, ADMIN, "left-pad").await["total"], 1, "it was made anew");
}

/// Removes every file of the index that is kept beside the process.
fn forget_files(dir: &Path) {
    for entry in std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() && entry.ends_with("estate") {
            std::fs::remove_dir_all(entry).expect("no files");
        } else if entry.is_dir() {
            forget_files(&entry);
        }
    }
}

async fn exposures(app: &TestApp, query: &str) -> Vec<Value> {
    let found = app.get(&format!("/api/v1/reports/exposure{query}")).await.expect(StatusCode::OK).json();
    found["exposures"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn how_long_a_vulnerability_stays_is_told_from_first_present_to_last_gone() {
    const DAY: std::time::Duration = std::time::Duration::from_hours(24);
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    app.user("eve").await;
    let old = push(&app, "team/app", "v1", &[left_pad("1.2.0")]).await;
    index(&app).await;
    let found = exposures(&app, "").await;
    assert_eq!(found.len(), 1, "{found:?}");
    let first = &found[0];
    assert_eq!((&first["id"], &first["project"]), (&json!("CVE-2024-0001"), &json!("team")));
    assert_eq!((&first["severity"], &first["published"]), (&json!("high"), &json!("2023-12-01T00:00:00Z")));
    assert_eq!((&first["fix_built"], &first["gone"]), (&json!(null), &json!(null)));

    // Built again with the repaired version, and the affected image deleted; a second one holds it a while longer.
    app.advance(DAY * 10).await;
    let more = push(&app, "team/other", "v1", &[left_pad("1.2.1")]).await;
    push(&app, "team/app", "v2", &[left_pad("1.3.0")]).await;
    index(&app).await;
    app.advance(DAY * 5).await;
    let gone = |repo: &str, digest: &Digest| format!("/v2/{repo}/manifests/{digest}");
    let delete = app.ask("DELETE", &gone("team/app", &old)).by(ADMIN);
    delete.send().await.expect(StatusCode::ACCEPTED);
    index(&app).await;
    let found = exposures(&app, "").await;
    assert_eq!((found.len(), &found[0]["gone"]), (1, &json!(null)), "one is still affected");
    assert!((found[0]["days_to_fix"].as_f64().expect("a fix") - 10.0).abs() < 0.1, "{found:?}");
    assert!((found[0]["days_exposed"].as_f64().expect("days") - 15.0).abs() < 0.1, "{found:?}");
    app.advance(DAY).await;
    let delete = app.ask("DELETE", &gone("team/other", &more)).by(ADMIN);
    delete.send().await.expect(StatusCode::ACCEPTED);
    index(&app).await;
    let found = exposures(&app, "?severity=high&project=team&id=CVE-2024-0001").await;
    assert!((found[0]["days_to_repair"].as_f64().expect("gone") - 16.0).abs() < 0.1, "{found:?}");

    // The feed's history: the advisory comes to speak of v2, is rated worse, and is corrected.
    app.advance(DAY).await;
    feed(dir.path(), "1.3.10", "HIGH");
    refresh(&app).await;
    let found = exposures(&app, "").await;
    assert_eq!((found.len(), &found[1]["gone"]), (2, &json!(null)), "{found:?}");
    app.advance(DAY * 2).await;
    feed(dir.path(), "1.3.100", "CRITICAL");
    refresh(&app).await;
    assert_eq!(exposures(&app, "?severity=critical").await.len(), 1);
    feed(dir.path(), "1.2.0", "HIGH");
    refresh(&app).await;
    let found = exposures(&app, "").await;
    assert!((found[1]["days_to_repair"].as_f64().expect("gone") - 2.0).abs() < 0.1, "{found:?}");

    let summary = "/api/v1/reports/exposure/summary";
    let all = app.get(summary).await.expect(StatusCode::OK).json();
    assert_eq!((&all["all"]["open"], &all["all"]["repaired"]), (&json!(0), &json!(2)), "{all}");
    assert!((all["projects"]["team"]["mean_days_to_repair"].as_f64().expect("a mean") - 9.0).abs() < 0.1);
    assert!((all["severities"]["high"]["mean_days_to_repair"].as_f64().expect("a mean") - 16.0).abs() < 0.1);
    let csv = app.get("/api/v1/reports/exposure.csv").await.expect(StatusCode::OK).text();
    assert_eq!(csv.lines().count(), 3, "{csv}");
    assert!(csv.contains("CVE-2024-0001,team,high,2023-12-01T00:00:00Z,"), "{csv}");
    let page = app.get("/api/v1/reports/exposure?limit=1").await.expect(StatusCode::OK).json();
    let after = page["next"].as_str().expect("more").to_owned();
    assert_eq!(exposures(&app, &format!("?after={after}")).await, found[1..]);

    // Who may not see the project learns nothing of it.
    let hidden = app.ask("GET", summary).by("eve").send().await.expect(StatusCode::OK).json();
    assert_eq!((&hidden["all"]["repaired"], &hidden["projects"]), (&json!(0), &json!({})));
    let named = app.ask("GET", "/api/v1/reports/exposure?project=team").by("eve");
    named.send().await.expect(StatusCode::NOT_FOUND);
    let wrong = app.get("/api/v1/reports/exposure?severity=awful").await;
    wrong.expect(StatusCode::BAD_REQUEST);
}
