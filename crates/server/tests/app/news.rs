//! News of advisories: who hears them, and how every verdict comes to say them without an image being judged again.

use http::StatusCode;
use metadata::model::scan::ScanStatus;
use oci::Digest;
use policy::Visibility;
use registry::admin::ADMIN;
use serde_json::{Value, json};
use workers::Job as _;
use workers::scan::{FeedsJob, RefreshFeeds};

use crate::scan::{enqueue, feed, high, index, layer, left_pad, push, refresh, row, scanning};
use crate::test_app::TestApp;

/// Loses what is known of a layer, and the layer: who judges an image of it again fails.
async fn lose(app: &TestApp, layer: &[u8]) {
    let store = app.registry.store();
    let mut tx = store.begin().await.expect("a transaction");
    metadata::model::scan::put_layer(&mut tx, &Digest::sha256(layer), 0, vec![].into(), store.now());
    store.commit(tx).await.expect("a commit");
    app.lose(layer).await;
}

/// Renews the advisories and does nothing else.
async fn renew(app: &TestApp) {
    let job = FeedsJob::request(&RefreshFeeds::default(), app.registry.store().now()).expect("a job");
    enqueue(app, job).await;
    app.idle().await;
}

/// Events without their projects, sorted.
fn texts(told: Vec<(Option<i64>, Value)>) -> Vec<String> {
    let mut texts: Vec<String> = told.into_iter().map(|(_, what)| what.to_string()).collect();
    texts.sort();
    texts
}

#[tokio::test]
async fn a_new_advisory_is_told_once_in_each_project_and_every_verdict_says_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    app.project("open", Visibility::Public).await;
    let (padded, other) = (left_pad("1.3.0"), layer(&[("etc/motd", "hello")]));
    let first = push(&app, "team/app", "v1", std::slice::from_ref(&padded)).await;
    let second = push(&app, "team/app", "v2", &[padded.clone(), other.clone()]).await;
    let third = push(&app, "open/app", "v1", std::slice::from_ref(&padded)).await;
    index(&app).await;
    assert_eq!(third, first, "the same image in two projects");
    let verdicts = app.told("verdict_changed").len();
    assert_eq!(app.told("advisory_matched"), []);

    lose(&app, &padded).await;
    feed(dir.path(), "1.3.10", "HIGH");
    refresh(&app).await;
    for image in [&first, &second] {
        assert_eq!(high(&row(&app, image).await), (ScanStatus::Succeeded, 1, 1));
    }
    let told = app.told("advisory_matched");
    let projects: std::collections::BTreeSet<_> = told.iter().map(|(project, _)| project).collect();
    assert_eq!(projects.len(), 2);
    let expected = [1, 2].map(|images| json!({ "id": "CVE-2024-0001", "images": images }).to_string());
    assert_eq!(texts(told), expected);
    assert_eq!(app.told("verdict_changed").len(), verdicts, "one event for all images of a project");

    // Rated worse, then corrected: told, and undone.
    feed(dir.path(), "1.3.100", "CRITICAL");
    refresh(&app).await;
    let counts = row(&app, &first).await.verdict.expect("a verdict").counts;
    assert_eq!((counts.critical, counts.high), (1, 0));
    feed(dir.path(), "1.2.0", "HIGH");
    refresh(&app).await;
    for image in [&first, &second] {
        assert_eq!(row(&app, image).await.verdict.expect("a verdict").counts.total(), 0);
    }
    assert_eq!(app.told("advisory_matched").len(), 6);
}

#[tokio::test]
async fn renewals_that_come_before_the_index_looks_are_told_all_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    let padded = left_pad("1.3.0");
    let image = push(&app, "team/app", "v1", std::slice::from_ref(&padded)).await;
    index(&app).await;
    lose(&app, &padded).await;
    feed(dir.path(), "1.3.10", "LOW");
    renew(&app).await;
    feed(dir.path(), "1.3.100", "HIGH");
    renew(&app).await;
    // Nothing new.
    renew(&app).await;
    index(&app).await;
    assert_eq!(high(&row(&app, &image).await), (ScanStatus::Succeeded, 1, 1));
    assert_eq!(texts(app.told("advisory_matched")), [r#"{"id":"CVE-2024-0001","images":1}"#]);
}

#[tokio::test]
async fn a_verdict_that_the_index_cannot_know_is_given_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    let image = push(&app, "team/app", "v1", &[left_pad("1.3.0")]).await;
    // Judged, and not in the index when the advisories come.
    app.idle().await;
    feed(dir.path(), "1.3.10", "HIGH");
    refresh(&app).await;
    index(&app).await;
    assert_eq!(high(&row(&app, &image).await), (ScanStatus::Succeeded, 1, 1));
    let told = app.told("verdict_changed");
    assert_eq!(told.last().expect("an event").1["after"]["high"], 1, "{told:?}");
}

#[tokio::test]
async fn a_saved_search_tells_of_the_first_image_that_answers_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    let keep = async |question: &str| {
        let body = json!({ "q": question }).to_string().into_bytes();
        app.ask("PUT", "/api/v1/search/saved/pads").by(ADMIN).bytes("application/json", body).send().await
    };
    keep("left-pad <").await.expect(StatusCode::BAD_REQUEST);
    keep("left-pad < 1.3.0").await.expect(StatusCode::NO_CONTENT);
    push(&app, "team/app", "a", &[left_pad("1.2.0")]).await;
    index(&app).await;
    let told = app.told("saved_search_changed");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0].1["before"], &told[0].1["after"]), (&json!(0), &json!(1)));
    // What does not answer it is no news.
    push(&app, "team/app", "b", &[left_pad("1.3.0")]).await;
    index(&app).await;
    assert_eq!(app.told("saved_search_changed").len(), 1);
    let saved = app.get("/api/v1/search/saved").await.expect(StatusCode::OK).json();
    assert_eq!((&saved[0]["name"], &saved[0]["total"]), (&json!("pads"), &json!(1)));
}
