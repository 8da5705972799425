//! News of advisories: who hears them, and how every verdict comes to say them without an image being judged again.

use std::time::{Duration, Instant};

use http::StatusCode;
use metadata::model::estate;
use metadata::model::manifest::{self, NewManifest};
use metadata::model::scan::ScanStatus;
use metadata::model::scan::{self, Attempt};
use oci::Digest;
use policy::Visibility;
use registry::admin::ADMIN;
use serde_json::{Value, json};
use server::app;
use server::config::Config;
use workers::Job as _;
use workers::scan::{FeedsJob, RefreshFeeds};

use crate::scan::{enqueue, feed, feed_of, high, index, layer, left_pad, push, refresh, row, scanning};
use crate::test_app::TestApp;

/// What never came is older than anything, for who watches the age of advisories.
#[tokio::test]
async fn a_feed_that_never_came_has_an_age() {
    let app = TestApp::new().await;
    let mut config = Config::default();
    config.scan.feeds = vec!["osv=/absent/npm.json".to_owned()];
    let scanner = app::scanner(&app.registry, &config).expect("a scanner");
    let times = scanner.feed_times().await.expect("ages");
    assert_eq!(times, [("osv".to_owned(), 0)].into());
}

/// Loses what is known of a layer, and the layer: who judges an image of it again fails.
async fn lose(app: &TestApp, layer: &[u8]) {
    let store = app.registry.store();
    let mut tx = store.begin().await.expect("a transaction");
    scan::put_layer(&mut tx, &Digest::sha256(layer), 0, vec![].into(), store.now());
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

#[tokio::test]
async fn what_no_feed_spoke_of_is_judged_when_one_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    feed_of(dir.path(), ("crates.io", "serde"), "1.3.10", "HIGH");
    refresh(&app).await;
    let image = push(&app, "team/app", "v1", &[left_pad("1.3.0")]).await;
    index(&app).await;
    let found = row(&app, &image).await;
    assert_eq!(found.status, ScanStatus::Incomplete, "no feed speaks of npm");
    assert!(found.reason.expect("a reason").contains("npm"));
    feed(dir.path(), "1.3.10", "HIGH");
    refresh(&app).await;
    assert_eq!(high(&row(&app, &image).await), (ScanStatus::Succeeded, 1, 1));
}

/// As many images like these two, in turn, as if each had been pushed and judged: that would take hours for a million.
async fn clones(app: &TestApp, images: &[Digest; 2], count: usize) -> Vec<Digest> {
    let store = app.registry.store();
    let mut templates = Vec::new();
    for image in images {
        let place = store.places_of(image, 0.into(), 1).await.expect("places").remove(0);
        let held = store.manifest_held(place.repository, image).await.expect("an answer");
        let (media_type, bytes) = held.expect("a manifest");
        let mut document: Value = serde_json::from_slice(&bytes).expect("JSON");
        document["annotations"] = json!({ "number": "NUMBER" });
        let manifest =
            oci::Manifest::parse(&media_type.parse().expect("a media type"), &bytes).expect("an image");
        templates.push((place.repository, document.to_string(), manifest, row(app, image).await));
    }
    let mut made = Vec::with_capacity(count);
    let ids = store.ids();
    while made.len() < count {
        let (mut tx, now) = (store.begin().await.expect("a transaction"), store.now());
        for number in made.len()..count.min(made.len() + 500) {
            let (repository, text, manifest, judged) = &templates[number % 2];
            let bytes = text.replace("NUMBER", &number.to_string());
            let digest = Digest::sha256(bytes.as_bytes());
            let image = NewManifest {
                repository: *repository,
                digest,
                media_type: manifest.media_type.clone(),
                artifact_type: None,
                subject: None,
                content_bytes: 0,
                height: 0,
                annotations: "{}".to_owned(),
                pushed_by: 0.into(),
                bytes: bytes.into(),
                blobs: manifest.blobs().map(|blob| blob.digest).collect(),
                gaps: Vec::new(),
                children: Vec::new(),
            };
            manifest::insert(&mut tx, &image, now);
            let (id, status) = (ids.next().await.expect("an id"), judged.status);
            let job = judged.job.expect("a job");
            let attempt = Attempt { digest: &digest, id, status, reason: None, job };
            scan::put_verdict(&mut tx, &attempt, judged.verdict.as_ref().expect("a verdict"));
            estate::mark(&mut tx, &digest);
            made.push(digest);
        }
        store.commit(tx).await.expect("a commit");
    }
    made
}

/// More than one page of verdicts; `BONDED_NEWS_IMAGES=1000000 … -- --nocapture` says what many take.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how many is said by who runs it by hand")]
async fn news_reach_the_verdicts_of_many_images() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    let count: usize =
        std::env::var("BONDED_NEWS_IMAGES").map_or(1050, |text| text.parse().expect("a count"));
    let (padded, other) = (left_pad("1.3.0"), layer(&[("etc/motd", "hello")]));
    let first = push(&app, "team/app", "v1", std::slice::from_ref(&padded)).await;
    let second = push(&app, "team/app", "v2", std::slice::from_ref(&other)).await;
    app.idle().await;
    let mut images = vec![first, second];
    images.extend(clones(&app, &[first, second], count - 2).await);
    let begun = Instant::now();
    while !app.registry.store().estate_dirty(1).await.expect("an answer").is_empty() {
        app.runner.run_duties_once().await.expect("the index is kept");
    }
    app.idle().await;
    println!("{count} images in the index after {:.2} s", begun.elapsed().as_secs_f64());
    lose(&app, &padded).await;
    lose(&app, &other).await;
    feed(dir.path(), "1.3.10", "HIGH");
    renew(&app).await;
    let (begun, processor) = (Instant::now(), processor_seconds());
    // A round looks at a million verdicts at most.
    for _ in 0..=count / 900_000 {
        app.runner.run_duties_once().await.expect("the index is kept");
    }
    let taken = (begun.elapsed().as_secs_f64(), processor_seconds() - processor);
    println!("{count} verdicts up to date after {:.2} s, {:.2} s of processor time", taken.0, taken.1);
    for (number, image) in images.iter().enumerate() {
        let found = row(&app, image).await.verdict.expect("a verdict");
        let expected = u64::from(number % 2 == 0);
        assert_eq!((found.counts.high, found.details.fixable.high), (expected, expected), "image {number}");
    }
    let behind = app.registry.store().judged_before(i64::MAX, "", 1).await.expect("an answer");
    let newest = behind[0].verdict.as_ref().expect("a verdict").advisories;
    let behind = app.registry.store().judged_before(newest, "", 1).await.expect("an answer");
    assert_eq!(behind, []);
    app.idle().await;
    let told = json!({ "id": "CVE-2024-0001", "images": count.div_ceil(2) }).to_string();
    assert_eq!(texts(app.told("advisory_matched")), [told]);
    search(&app).await;
}

/// Says what questions take.
#[expect(clippy::print_stdout, reason = "for who runs it by hand")]
async fn search(app: &TestApp) {
    for question in ["left-pad", "left-pad%20%3C%201.3.10", "CVE-2024-0001", "pkg:npm/left-pad@1.3.0", "left"]
    {
        let mut taken = Vec::new();
        for _ in 0..100 {
            let begun = Instant::now();
            app.get(&format!("/api/v1/search/images?q={question}")).await.expect(StatusCode::OK);
            taken.push(begun.elapsed());
        }
        taken.sort();
        println!("{question}: median {:?}, slowest but one of a hundred {:?}", taken[50], taken[98]);
    }
}

fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0)).as_secs_f64()
}
