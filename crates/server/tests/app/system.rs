//! Maintenance of a running registry: asked for by its administrators, done as jobs, alarmed by metrics.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use blobs::{BlobKey, BlobStore as _};
use http::StatusCode;
use server::config::{Role, Secret};

use crate::golden::golden;
use crate::test_app::TestApp;

const COLLECTIONS: &str = "/api/v1/system/collections";
const CHECKS: &str = "/api/v1/system/checks";

async fn ask(app: &TestApp, path: &str, body: serde_json::Value) -> serde_json::Value {
    let asked =
        app.ask("POST", path).by("admin").json(&body).send().await.expect(StatusCode::ACCEPTED).json();
    assert_eq!((&asked["state"], &asked["report"]), (&"queued".into(), &serde_json::Value::Null));
    app.idle().await;
    let last = app.get(path).await.expect(StatusCode::OK).json();
    assert_eq!((&last[0]["id"], &last[0]["state"]), (&asked["id"], &"succeeded".into()));
    last[0].clone()
}

#[tokio::test]
async fn a_collection_is_previewed_started_and_reported_while_the_registry_runs() {
    let app = TestApp::with(|config| config.gc.grace = "0s".parse().expect("a duration")).await;
    app.push_image("admin", "library/app", "v1", b"layer").await;
    app.push_blob("admin", "library/app", b"layer").await;
    let before = app.blobs.list(None, 100).await.expect("objects").len();
    let preview = ask(&app, COLLECTIONS, serde_json::json!({ "dry_run": true })).await;
    assert_eq!((&preview["dry_run"], &preview["report"]["objects"]), (&true.into(), &1.into()), "{preview}");
    assert_eq!(app.blobs.list(None, 100).await.expect("objects").len(), before, "a preview deletes");
    let done = ask(&app, COLLECTIONS, serde_json::json!({})).await;
    assert_eq!(
        (&done["report"]["objects"], &done["report"]["freed_bytes"]),
        (&1.into(), &5.into()),
        "{done}"
    );
    assert_eq!(app.blobs.list(None, 100).await.expect("objects").len(), before - 1);
    let wrong = app.ask("POST", COLLECTIONS).by("admin").json(&serde_json::json!({ "dry": 1 })).send().await;
    wrong.expect(StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn damage_is_found_by_a_check_repaired_by_a_push_and_seen_in_the_metrics() {
    let app = TestApp::with(|config| config.metrics.token = Some(Secret::new("scrape-me"))).await;
    app.push_image("admin", "library/app", "v1", b"layer").await;
    let digest = oci::Digest::sha256(b"layer");
    let row = app.registry.store().blob(&digest).await.expect("a row").expect("a blob");
    app.blobs.delete(BlobKey::parse(&row.object_key).expect("a key")).await.expect("deleted");
    let found = ask(&app, CHECKS, serde_json::json!({ "read": true })).await;
    assert_eq!(found["problems"][0]["digest"], digest.to_string(), "{found}");
    assert_eq!((&found["report"]["problems"], &found["report"]["quarantined"]), (&1.into(), &0.into()));
    let metrics = async || {
        app.registry.count_damage().await.expect("counted");
        app.ask("GET", "/metrics").bearer("scrape-me").send().await.expect(StatusCode::OK).text()
    };
    assert!(metrics().await.contains("\nbonded_blobs_corrupt 0\n"));
    let repaired = ask(&app, CHECKS, serde_json::json!({ "repair": true })).await;
    assert_eq!(repaired["report"]["quarantined"], 1, "{repaired}");
    let text = metrics().await;
    assert!(text.contains("\nbonded_blobs_quarantined_total 1\n"), "{text}");
    assert!(text.contains("\nbonded_blobs_corrupt 1\n"), "{text}");
    app.push_blob("admin", "library/app", b"layer").await;
    assert!(metrics().await.contains("\nbonded_blobs_corrupt 0\n"));
    let sound = ask(&app, CHECKS, serde_json::json!({ "read": true })).await;
    assert_eq!(sound["report"]["problems"], 0, "{sound}");
}

/// Metrics as a table: name, type, labels of its samples, help.
fn table(text: &str) -> String {
    let mut rows: Vec<(&str, &str, BTreeSet<&str>, &str)> = Vec::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a name");
            rows.push((name, "", BTreeSet::new(), help));
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            rows.last_mut().expect("help first").1 = kind.split_once(' ').expect("a name").1;
        } else if let Some((_, labels)) = line.split_once('{') {
            let (labels, _) = labels.rsplit_once('}').expect("the end of labels");
            let names = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0));
            rows.last_mut().expect("a metric").2.extend(names);
        }
    }
    rows.sort_unstable();
    let mut out = String::from("| metric | type | labels | help |\n|---|---|---|---|\n");
    for (name, kind, labels, help) in rows {
        let labels: Vec<_> = labels.into_iter().collect();
        writeln!(out, "| {name} | {kind} | {} | {help} |", labels.join(", ")).expect("a text");
    }
    out
}

#[tokio::test]
async fn every_metric_was_reviewed() {
    let app = TestApp::with(|config| {
        config.metrics.token = Some(Secret::new("scrape-me"));
        config.gc.grace = "0s".parse().expect("a duration");
    })
    .await;
    app.push_image("admin", "library/app", "v1", b"layer").await;
    app.push_blob("admin", "library/app", b"layer").await;
    let queued = app.ask("POST", COLLECTIONS).by("admin").json(&serde_json::json!({})).send().await;
    queued.expect(StatusCode::ACCEPTED);
    app.runner.figures().count(app.registry.store()).await.expect("counted");
    app.idle().await;
    app.metrics.note_feeds([("osv".to_owned(), 1)].into());
    let at = app.listen().await.join("/v2/").expect("an address");
    reqwest::get(at).await.expect("an answer").bytes().await.expect("a body");
    let text = app.ask("GET", "/metrics").bearer("scrape-me").send().await.expect(StatusCode::OK).text();
    for line in [
        "bonded_duties_failed_total{duty=\"checkpoint\"} 0",
        "bonded_jobs_ended_total{job=\"collect\",result=\"failed\"} 0",
        "bonded_jobs_ended_total{job=\"collect\",result=\"succeeded\"} 1",
        "bonded_jobs{job=\"collect\",state=\"queued\"} 1",
        "bonded_objects_deleted_total 1",
        "bonded_objects_deleted_bytes_total 5",
        "bonded_feed_renewed_timestamp_seconds{feed=\"osv\"} 1",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is missing in\n{text}");
    }
    golden("tests/golden/metrics.md", &table(&text));
}

#[tokio::test]
async fn a_process_without_the_role_api_answers_only_health_and_metrics() {
    let app = TestApp::with(|config| config.server.roles = vec![Role::Jobs]).await;
    for path in
        ["/v2/", "/v2/_catalog", "/service/token", "/api/v1/projects", "/api/v2.0/ping", "/api/openapi.json"]
    {
        app.get(path).await.expect(StatusCode::NOT_FOUND);
    }
    app.get("/healthz").await.expect(StatusCode::OK);
    app.get("/readyz").await.expect(StatusCode::OK);
}
