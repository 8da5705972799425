//! What a push leaves behind: how deep indexes may nest, what comes into being, and what does not; bytes that were
//! refused are given back.

use std::time::Duration;

use http::StatusCode;
use oci::Digest;
use policy::{Role, Visibility};
use serde_json::json;
use server::config::Size;

use crate::test_app::{Answer, MANIFEST, TestApp, image};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCTETS: &str = "application/octet-stream";

async fn team() -> TestApp {
    let app = TestApp::new().await;
    app.project("team", Visibility::Private).await;
    app.user("dev").await;
    app.member("team", "dev", Role::Developer).await;
    app
}

/// An index of these manifests.
fn index(children: &[(&[u8], &str)]) -> Vec<u8> {
    let entry = |(bytes, media_type): &(&[u8], &str)| json!({ "mediaType": media_type, "digest": Digest::sha256(bytes), "size": bytes.len() });
    let entries: Vec<_> = children.iter().map(entry).collect();
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string().into_bytes()
}

/// Indexes of which each holds the one before; the first holds `image`.
fn nested(image: &[u8], depth: usize) -> Vec<Vec<u8>> {
    let mut chain = vec![index(&[(image, MANIFEST)])];
    while chain.len() < depth {
        let above = index(&[(chain.last().expect("one"), INDEX)]);
        chain.push(above);
    }
    chain
}

async fn put_index(app: &TestApp, bytes: &[u8]) -> Answer {
    let path = format!("/v2/team/app/manifests/{}", Digest::sha256(bytes));
    app.ask("PUT", &path).by("dev").bytes(INDEX, bytes.to_vec()).send().await
}

#[track_caller]
fn too_deep(answer: Answer) {
    let answer = answer.expect(StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["errors"][0]["code"], "MANIFEST_INVALID", "{}", answer.text());
    assert!(answer.text().contains("16"), "{}", answer.text());
}

#[tokio::test]
async fn indexes_pushed_from_the_outermost_in_nest_no_deeper_than_others() {
    let app = team().await;
    app.push_image("dev", "team/app", "v1", b"layer").await;
    let image = app.get("/v2/team/app/manifests/v1").await.body;
    let chain = nested(&image, 17);
    for bytes in chain[1..].iter().rev() {
        put_index(&app, bytes).await.expect(StatusCode::CREATED);
    }
    too_deep(put_index(&app, &chain[0]).await);
    app.ask("GET", &format!("/v2/team/app/manifests/{}", Digest::sha256(&chain[0])))
        .by("dev")
        .send()
        .await
        .expect(StatusCode::NOT_FOUND);
    app.idle().await;
}

#[tokio::test]
async fn what_comes_into_an_index_later_counts_for_what_is_put_around_it() {
    let app = team().await;
    app.push_image("dev", "team/app", "v1", b"layer").await;
    let image = app.get("/v2/team/app/manifests/v1").await.body;
    let chain = nested(&image, 12);
    // The upper half first, then the lower half in its natural order: it meets the upper one last.
    for bytes in chain[6..].iter().rev().chain(&chain[..6]) {
        put_index(&app, bytes).await.expect(StatusCode::CREATED);
    }
    let mut top = chain.last().expect("a top").clone();
    for height in 13..=16 {
        top = index(&[(&top, INDEX)]);
        assert_eq!(put_index(&app, &top).await.status, StatusCode::CREATED, "height {height}");
    }
    too_deep(put_index(&app, &index(&[(&top, INDEX)])).await);
    // What is there is pushed again, and a second way to it is as high.
    put_index(&app, &chain[0]).await.expect(StatusCode::CREATED);
    too_deep(put_index(&app, &index(&[(&image, MANIFEST), (&top, INDEX)])).await);
    app.idle().await;
}

async fn exists(app: &TestApp, project: &str) -> bool {
    let status = app.get(&format!("/api/v1/projects/{project}")).await.status;
    assert!(matches!(status, StatusCode::OK | StatusCode::NOT_FOUND), "{status}");
    status == StatusCode::OK
}

#[tokio::test]
async fn a_push_that_is_refused_makes_no_project() {
    let app = TestApp::with(|config| {
        config.limits.uploads_per_principal = 1;
        config.limits.blob = Size::from_mib(1);
    })
    .await;
    let config = Digest::sha256(b"{}").to_string();
    let layer = Digest::sha256(b"layer").to_string();
    let good = image(&config, &layer, 5);
    let other = Digest::sha256(b"other").to_string();
    let refused: [(&str, &str, Vec<u8>, u16); 5] = [
        ("v1", MANIFEST, b"no JSON".to_vec(), 400),
        ("v1", MANIFEST, vec![b' '; (4 << 20) + 1], 413),
        ("v1", "text/plain", good.clone(), 400),
        (other.as_str(), MANIFEST, good.clone(), 400),
        // Its blobs cannot be in a project that is not there.
        ("v1", MANIFEST, good, 404),
    ];
    for (reference, media_type, bytes, status) in refused {
        let path = format!("/v2/fresh/app/manifests/{reference}");
        let answer = app.ask("PUT", &path).by("admin").bytes(media_type, bytes).send().await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
        assert!(!exists(&app, "fresh").await, "made by a push that was answered {status}");
    }
    // An upload that cannot begin: too large, of a malformed range, or one too many.
    let post = format!("/v2/fresh/app/blobs/uploads/?digest={layer}");
    let large = app.ask("POST", &post).by("admin").header(http::header::CONTENT_LENGTH, "1048577");
    assert_eq!(large.send().await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let ranged = app.ask("POST", &post).by("admin").header(http::header::CONTENT_RANGE, "5-1");
    assert_eq!(ranged.send().await.status, StatusCode::BAD_REQUEST);
    assert!(!exists(&app, "fresh").await);
    app.ask("POST", "/v2/open/app/blobs/uploads/").by("admin").send().await.expect(StatusCode::ACCEPTED);
    for path in ["/v2/fresh/app/blobs/uploads/", &post] {
        let ask = app.ask("POST", path).by("admin").bytes(OCTETS, b"layer".to_vec());
        ask.send().await.expect(StatusCode::TOO_MANY_REQUESTS);
        assert!(!exists(&app, "fresh").await);
    }
    // What is accepted makes it: here an index of what is not there yet.
    let sparse = index(&[(b"absent", MANIFEST)]);
    let put = app.ask("PUT", "/v2/fresh/app/manifests/v1").by("admin").bytes(INDEX, sparse);
    put.send().await.expect(StatusCode::CREATED);
    assert!(exists(&app, "fresh").await);
    app.idle().await;
}

#[tokio::test]
async fn an_index_shows_which_of_its_manifests_are_there_and_its_push_warns_of_the_others() {
    let app = team().await;
    app.push_image("dev", "team/app", "there", b"layer").await;
    app.push_image("dev", "team/other", "elsewhere", b"other").await;
    let there = app.get("/v2/team/app/manifests/there").await.body;
    let elsewhere = app.get("/v2/team/other/manifests/elsewhere").await.body;
    let bytes = index(&[(&there, MANIFEST), (&elsewhere, MANIFEST), (b"nowhere", MANIFEST)]);
    let warned = put_index(&app, &bytes).await.expect(StatusCode::CREATED);
    let warning = "299 - \"not in this repository: 2 of the manifests that this index lists\"";
    assert_eq!(warned.header("warning"), warning);
    let path = format!("/api/v1/projects/team/repositories/app/artifacts/{}", Digest::sha256(&bytes));
    let present = async || {
        let shown = app.ask("GET", &path).by("dev").send().await.expect(StatusCode::OK).json();
        let children = shown["children"].as_array().cloned().unwrap_or_default();
        children.iter().map(|child| child["present"].as_bool()).collect::<Vec<_>>()
    };
    assert_eq!(present().await, [Some(true), Some(false), Some(false)]);
    // What was absent comes; what was there goes.
    app.push_image("dev", "team/app", "now", b"other").await;
    assert_eq!(present().await, [Some(true), Some(true), Some(false)]);
    let gone = format!("/v2/team/app/manifests/{}", Digest::sha256(&there));
    app.ask("DELETE", &gone).by("admin").send().await.expect(StatusCode::ACCEPTED);
    assert_eq!(present().await, [Some(false), Some(true), Some(false)]);
    // Whoever pushes it again is told as it is now; a whole one is not warned of.
    assert!(put_index(&app, &bytes).await.header("warning").contains(" 2 of "));
    let whole = index(&[(&elsewhere, MANIFEST)]);
    assert_eq!(put_index(&app, &whole).await.expect(StatusCode::CREATED).header("warning"), "");
    app.idle().await;
}

#[tokio::test]
async fn where_children_are_required_an_index_without_them_is_refused_and_names_them() {
    let app = TestApp::with(|config| config.push.require_children = true).await;
    app.project("team", Visibility::Private).await;
    app.user("dev").await;
    app.member("team", "dev", Role::Developer).await;
    app.push_image("dev", "team/app", "there", b"layer").await;
    app.push_image("dev", "team/other", "elsewhere", b"other").await;
    let there = app.get("/v2/team/app/manifests/there").await.body;
    let elsewhere = app.get("/v2/team/other/manifests/elsewhere").await.body;
    let bytes = index(&[(&there, MANIFEST), (&elsewhere, MANIFEST)]);
    let refused = put_index(&app, &bytes).await.expect(StatusCode::NOT_FOUND).json();
    assert_eq!(refused["errors"][0]["code"], "MANIFEST_BLOB_UNKNOWN");
    let detail = json!([{ "digest": Digest::sha256(&elsewhere), "problem": "unknown" }]);
    assert_eq!(refused["errors"][0]["detail"], detail);
    let path = format!("/v2/team/app/manifests/{}", Digest::sha256(&bytes));
    app.get(&path).await.expect(StatusCode::NOT_FOUND);
    app.push_image("dev", "team/app", "now", b"other").await;
    let taken = put_index(&app, &bytes).await.expect(StatusCode::CREATED);
    assert_eq!(taken.header("warning"), "");
    app.get(&path).await.expect(StatusCode::OK);
    app.idle().await;
}

#[tokio::test]
async fn an_image_that_may_lack_blobs_is_warned_of_but_not_for_layers_that_need_not_be_there() {
    let app = TestApp::with(|config| config.push.require_blobs = false).await;
    let config = app.push_blob("admin", "library/app", b"{}").await;
    let manifest = |media_type: &str| {
        let layer = json!({ "mediaType": media_type, "digest": Digest::sha256(b"absent"), "size": 6 });
        let config =
            json!({ "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2 });
        json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] })
    };
    for (media_type, expected) in [
        (
            "application/vnd.oci.image.layer.v1.tar",
            "299 - \"not in this repository: 1 of the blobs that this manifest refers to\"",
        ),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", ""),
    ] {
        let put = app.ask("PUT", "/v2/library/app/manifests/v1").by("admin");
        let put = put.bytes(MANIFEST, manifest(media_type).to_string().into_bytes()).send().await;
        assert_eq!(put.expect(StatusCode::CREATED).header("warning"), expected);
    }
    app.idle().await;
}

async fn open(app: &TestApp) -> String {
    let opened = app.ask("POST", "/v2/team/app/blobs/uploads/").by("dev").send().await;
    opened.expect(StatusCode::ACCEPTED).location()
}

/// Bytes in storage once what was given up is collected.
async fn stored(app: &TestApp) -> u64 {
    workers::maintenance::collect(&app.registry, false).await.expect("a collection");
    app.objects().await.iter().map(|(_, size)| size).sum()
}

/// Deletes a blob; bytes in storage once the grace is over.
async fn stored_without(app: &TestApp, digest: &Digest) -> u64 {
    let path = format!("/v2/team/app/blobs/{digest}");
    app.ask("DELETE", &path).by("admin").send().await.expect(StatusCode::ACCEPTED);
    stored(app).await;
    app.advance(app.registry.settings().collect_grace + Duration::from_secs(1)).await;
    stored(app).await
}

#[tokio::test]
async fn a_blob_over_the_limit_is_413_said_or_streamed_and_leaves_no_byte() {
    const LIMIT: usize = 1 << 20;
    let app = TestApp::with(|config| config.limits.blob = Size::from_mib(1)).await;
    app.project("team", Visibility::Private).await;
    app.user("dev").await;
    app.member("team", "dev", Role::Developer).await;
    let pieces = |length: usize| vec![7_u8; length].chunks(65_536).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let refused = |answer: Answer| {
        let answer = answer.expect(StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(answer.json()["errors"][0]["code"], "SIZE_INVALID", "{}", answer.text());
    };
    let large = vec![7; LIMIT + 1];
    let digest = Digest::sha256(&large);
    let single = format!("/v2/team/app/blobs/uploads/?digest={digest}");
    refused(app.ask("POST", &single).by("dev").bytes(OCTETS, large.clone()).send().await);
    refused(app.ask("POST", &single).by("dev").streamed(pieces(LIMIT + 1)).send().await);
    assert_eq!(stored(&app).await, 0);
    for method in ["PATCH", "PUT"] {
        let place = open(&app).await;
        let first = app.ask("PATCH", &place).by("dev").bytes(OCTETS, b"begun".to_vec()).send().await;
        let place = first.expect(StatusCode::ACCEPTED).location();
        let path = if method == "PUT" { format!("{place}?digest={digest}") } else { place.clone() };
        refused(app.ask(method, &path).by("dev").bytes(OCTETS, large[..LIMIT - 4].to_vec()).send().await);
        refused(app.ask(method, &path).by("dev").streamed(pieces(LIMIT - 4)).send().await);
        // The session is where it was: it takes what fits, and not a byte more.
        let status = app.ask("GET", &place).by("dev").send().await.expect(StatusCode::NO_CONTENT);
        assert_eq!((status.header("range"), stored(&app).await), ("0-4".to_owned(), 5), "{method}");
        let rest = app.ask("PATCH", &place).by("dev").streamed(pieces(LIMIT - 5)).send().await;
        let place = rest.expect(StatusCode::ACCEPTED).location();
        refused(app.ask("PATCH", &place).by("dev").streamed(pieces(1)).send().await);
        let whole = [b"begun".to_vec(), vec![7; LIMIT - 5]].concat();
        let done = format!("{place}?digest={}", Digest::sha256(&whole));
        app.ask("PUT", &done).by("dev").send().await.expect(StatusCode::CREATED);
        assert_eq!(stored(&app).await, LIMIT as u64, "{method}");
        assert_eq!(stored_without(&app, &Digest::sha256(&whole)).await, 0, "{method}");
    }
    app.get(&format!("/v2/team/app/blobs/{digest}")).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn after_a_wrong_digest_the_session_takes_the_right_one_and_what_was_refused_is_given_back() {
    let app = team().await;
    let (right, wrong) = (Digest::sha256(b"begun and ended"), Digest::sha256(b"something else"));
    let invalid = |answer: Answer| {
        let answer = answer.expect(StatusCode::BAD_REQUEST);
        assert_eq!(answer.json()["errors"][0]["code"], "DIGEST_INVALID", "{}", answer.text());
    };
    let post = format!("/v2/team/app/blobs/uploads/?digest={wrong}");
    invalid(app.ask("POST", &post).by("dev").bytes(OCTETS, b"begun and ended".to_vec()).send().await);
    assert_eq!(stored(&app).await, 0, "of a single POST");
    // Without and with bytes before the wrong end.
    for begun in [&b""[..], b"begun"] {
        let mut place = open(&app).await;
        if !begun.is_empty() {
            let patch = app.ask("PATCH", &place).by("dev").bytes(OCTETS, begun.to_vec()).send().await;
            place = patch.expect(StatusCode::ACCEPTED).location();
        }
        let end = b"begun and ended"[begun.len()..].to_vec();
        let put = |digest: Digest, end: Vec<u8>| {
            let path = format!("{place}?digest={digest}");
            let app = &app;
            async move { app.ask("PUT", &path).by("dev").bytes(OCTETS, end).send().await }
        };
        invalid(put(wrong, end.clone()).await);
        assert_eq!(stored(&app).await, begun.len() as u64, "only what was acknowledged");
        invalid(put(right, b" and something".to_vec()).await);
        app.get(&format!("/v2/team/app/blobs/{right}")).await.expect(StatusCode::NOT_FOUND);
        put(right, end).await.expect(StatusCode::CREATED);
        let got = app.get(&format!("/v2/team/app/blobs/{right}")).await.expect(StatusCode::OK);
        assert_eq!(got.body, b"begun and ended");
        assert_eq!(stored_without(&app, &right).await, 0);
    }
}
