//! Push, pull, tag, delete, restore, collect.

use std::time::Duration;

use http::StatusCode;
use policy::{Role, Visibility};

use crate::test_app::{MANIFEST, TestApp, image};

async fn team() -> TestApp {
    let app = TestApp::new().await;
    app.project("team", Visibility::Private).await;
    for (name, role) in [("mia", Role::Maintainer), ("dev", Role::Developer), ("guest", Role::Guest)] {
        app.user(name).await;
        app.member("team", name, role).await;
    }
    app
}

#[tokio::test]
async fn what_a_developer_pushed_a_guest_pulls_byte_for_byte() {
    let app = team().await;
    let digest = app.push_image("dev", "team/app", "v1", b"layer").await;
    let pulled = app.ask("GET", "/v2/team/app/manifests/v1").by("guest").send().await.expect(StatusCode::OK);
    assert_eq!(
        (pulled.header("docker-content-digest"), pulled.header("content-type")),
        (digest, MANIFEST.to_owned())
    );
    let layer = pulled.json()["layers"][0]["digest"].as_str().expect("a layer").to_owned();
    let path = format!("/v2/team/app/blobs/{layer}");
    let blob = app.ask("GET", &path).by("guest").send().await.expect(StatusCode::OK);
    assert_eq!(blob.body, b"layer");
    let part = app.ask("GET", &path).by("guest").header(http::header::RANGE, "bytes=1-2").send().await;
    assert_eq!(part.expect(StatusCode::PARTIAL_CONTENT).body, b"ay");
    app.idle().await;
}

#[tokio::test]
async fn an_upload_in_chunks_goes_on_in_another_process() {
    let app = team().await;
    let other = app.replica().await;
    let opened = app.ask("POST", "/v2/team/app/blobs/uploads/").by("dev").send().await;
    let place = opened.expect(StatusCode::ACCEPTED).location();
    let octets = "application/octet-stream";
    let first = app.ask("PATCH", &place).by("dev").bytes(octets, b"abc".to_vec()).send().await;
    assert_eq!(first.expect(StatusCode::ACCEPTED).header("range"), "0-2");
    let second = other.ask("PATCH", &place).by("dev").bytes(octets, b"def".to_vec()).send().await;
    let place = second.expect(StatusCode::ACCEPTED).location();
    let digest = oci::Digest::sha256(b"abcdef");
    let done = app.ask("PUT", &format!("{place}?digest={digest}")).by("dev").send().await;
    done.expect(StatusCode::CREATED);
    let blob = other.ask("GET", &format!("/v2/team/app/blobs/{digest}")).by("guest").send().await;
    assert_eq!(blob.expect(StatusCode::OK).body, b"abcdef");
}

#[tokio::test]
async fn a_tag_moves_and_its_former_image_stays_by_digest() {
    let app = team().await;
    let first = app.push_image("dev", "team/app", "latest", b"one").await;
    let second = app.push_image("dev", "team/app", "latest", b"two").await;
    let now = app.ask("HEAD", "/v2/team/app/manifests/latest").by("guest").send().await;
    assert_eq!(now.header("docker-content-digest"), second);
    let former = app.ask("GET", &format!("/v2/team/app/manifests/{first}")).by("guest").send().await;
    former.expect(StatusCode::OK);
    let tags = app.ask("GET", "/v2/team/app/tags/list").by("guest").send().await;
    assert_eq!(tags.json(), serde_json::json!({ "name": "team/app", "tags": ["latest"] }));
    app.idle().await;
}

#[tokio::test]
async fn a_deleted_image_comes_back_with_its_tags_until_the_restore_window_ends() {
    let app = team().await;
    let digest = app.push_image("dev", "team/app", "v1", b"layer").await;
    let path = format!("/v2/team/app/manifests/{digest}");
    app.ask("DELETE", &path).by("dev").send().await.expect(StatusCode::FORBIDDEN);
    app.ask("DELETE", &path).by("mia").send().await.expect(StatusCode::ACCEPTED);
    app.ask("GET", "/v2/team/app/manifests/v1").by("guest").send().await.expect(StatusCode::NOT_FOUND);

    let window = app.registry.settings().restore_window;
    app.advance(window.saturating_sub(Duration::from_hours(1))).await;
    app.idle().await;
    let deleted = "/api/v1/projects/team/repositories/app/deleted";
    app.ask("GET", deleted).by("guest").send().await.expect(StatusCode::FORBIDDEN);
    let list = app.ask("GET", deleted).by("dev").send().await.expect(StatusCode::OK).json();
    assert_eq!(
        (list[0]["digest"].as_str(), list[0]["tags"][0].as_str()),
        (Some(digest.as_str()), Some("v1"))
    );
    let restore = |list: &serde_json::Value| format!("{deleted}/{}/restore", list[0]["id"]);
    let back = app.ask("POST", &restore(&list)).by("dev").send().await.expect(StatusCode::OK);
    assert_eq!(back.json()["digest"], digest.as_str());
    let pulled = app.ask("GET", "/v2/team/app/manifests/v1").by("guest").send().await;
    assert_eq!(pulled.expect(StatusCode::OK).header("docker-content-digest"), digest);

    app.ask("DELETE", &path).by("mia").send().await.expect(StatusCode::ACCEPTED);
    let again = app.ask("GET", deleted).by("dev").send().await.json();
    assert_eq!(again.as_array().map(Vec::len), Some(1), "what was restored is not deleted any more");
    app.advance(window + Duration::from_hours(1)).await;
    workers::maintenance::collect(&app.registry, false).await.expect("collected");
    app.ask("POST", &restore(&again)).by("dev").send().await.expect(StatusCode::NOT_FOUND);
    app.idle().await;
}

#[tokio::test]
async fn a_whole_repository_is_deleted_and_each_of_its_images_comes_back_with_all_its_tags() {
    let app = team().await;
    let digest = app.push_image("dev", "team/deep/app", "v0", b"layer").await;
    let manifest = app.get("/v2/team/deep/app/manifests/v0").await.body;
    for batch in 0..120 {
        let tags: Vec<String> = (0..10).map(|at| format!("tag=t{batch}-{at}")).collect();
        let path = format!("/v2/team/deep/app/manifests/{digest}?{}", tags.join("&"));
        let put = app.ask("PUT", &path).by("dev").bytes(MANIFEST, manifest.clone()).send().await;
        put.expect(StatusCode::CREATED);
    }
    let repository = "/api/v1/projects/team/repositories/deep%2Fapp";
    app.ask("DELETE", repository).by("dev").send().await.expect(StatusCode::FORBIDDEN);
    app.ask("DELETE", repository).by("mia").send().await.expect(StatusCode::NO_CONTENT);
    let tags = app.ask("GET", "/v2/team/deep/app/tags/list").by("guest").send().await.json();
    assert_eq!(tags["tags"], serde_json::json!([]));
    let list = app.ask("GET", &format!("{repository}/deleted")).by("dev").send().await.json();
    assert_eq!(
        (list[0]["tag_count"].as_u64(), list[0]["tags"].as_array().map(Vec::len)),
        (Some(1201), Some(100))
    );
    let restore = format!("{repository}/deleted/{}/restore", list[0]["id"]);
    app.ask("POST", &restore).by("dev").send().await.expect(StatusCode::OK);
    let tags = app.ask("GET", "/v2/team/deep/app/tags/list").by("guest").send().await.json();
    assert_eq!(tags["tags"].as_array().map(Vec::len), Some(1201));
    app.idle().await;
}

#[tokio::test]
async fn a_project_goes_with_all_that_could_be_restored_in_it() {
    let app = team().await;
    let config = app.push_blob("dev", "team/app", b"{}").await;
    for at in 0..501 {
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "annotations": { "at": at.to_string() }, "layers": [],
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2 },
        });
        let put = app.ask("PUT", "/v2/team/app/manifests/v1").by("dev");
        put.bytes(MANIFEST, manifest.to_string().into_bytes()).send().await.expect(StatusCode::CREATED);
    }
    app.idle().await;
    let repository = "/api/v1/projects/team/repositories/app";
    app.ask("DELETE", repository).by("mia").send().await.expect(StatusCode::NO_CONTENT);
    app.ask("DELETE", "/api/v1/projects/team").by("admin").send().await.expect(StatusCode::NO_CONTENT);
    app.idle().await;
}

#[tokio::test]
async fn a_blob_whose_object_is_gone_is_unknown_until_it_is_pushed_again() {
    let app = team().await;
    app.push_image("dev", "team/app", "v1", b"layer").await;
    let path = format!("/v2/team/app/blobs/{}", oci::Digest::sha256(b"layer"));
    app.lose(b"layer").await;
    let lost = app.ask("GET", &path).by("guest").send().await;
    assert!(lost.status.is_server_error(), "{}", lost.text());
    app.ask("HEAD", &path).by("guest").send().await.expect(StatusCode::NOT_FOUND);
    app.push_blob("dev", "team/app", b"layer").await;
    assert_eq!(app.ask("GET", &path).by("guest").send().await.expect(StatusCode::OK).body, b"layer");
    app.idle().await;
    // It is in the audit, once, by the system.
    app.runner.run_duties_once().await.expect("the seal");
    let records = app.get("/api/v1/audit?limit=1000").await.expect(StatusCode::OK).json();
    let records = records.as_array().expect("a page").iter();
    let found: Vec<_> = records.filter(|record| record["action"] == "blob.quarantine").collect();
    assert_eq!(found.len(), 1, "{found:?}");
    let told = ["principal", "target", "outcome"].map(|name| found[0][name].as_str().unwrap_or_default());
    assert_eq!(told, ["system", &oci::Digest::sha256(b"layer").to_string(), "done"]);
}

#[tokio::test]
async fn what_a_client_has_already_is_not_sent_again() {
    let app = team().await;
    let digest = app.push_image("dev", "team/app", "v1", b"layer").await;
    let layer = oci::Digest::sha256(b"layer").to_string();
    for (path, digest) in
        [(format!("/v2/team/app/blobs/{layer}"), &layer), ("/v2/team/app/manifests/v1".to_owned(), &digest)]
    {
        for method in ["GET", "HEAD"] {
            for (known, expected) in [
                (format!("\"{digest}\""), 304),
                (format!("W/\"{digest}\""), 304),
                ("\"x\", *".to_owned(), 304),
                ("\"x\"".to_owned(), 200),
            ] {
                let ask = app.ask(method, &path).by("guest").header(http::header::IF_NONE_MATCH, &known);
                assert_eq!(ask.send().await.status.as_u16(), expected, "{method} {path} {known}");
            }
        }
    }
    app.idle().await;
}

#[tokio::test]
async fn a_wrong_digest_of_another_algorithm_ends_an_upload_for_good() {
    let app = team().await;
    let opened = app.ask("POST", "/v2/team/app/blobs/uploads/").by("dev").send().await;
    let place = opened.expect(StatusCode::ACCEPTED).location();
    let patch = app.ask("PATCH", &place).by("dev").bytes("application/octet-stream", b"abc".to_vec());
    let place = patch.send().await.expect(StatusCode::ACCEPTED).location();
    let mut other = oci::Hasher::new(oci::Algorithm::Sha512);
    other.update(b"other");
    let wrong = app.ask("PUT", &format!("{place}?digest={}", other.finish())).by("dev").send().await;
    assert_eq!(wrong.expect(StatusCode::BAD_REQUEST).json()["errors"][0]["code"], "DIGEST_INVALID");
    app.ask("GET", &place).by("dev").send().await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_image_without_its_blobs_is_refused_and_names_them() {
    let app = team().await;
    let config = app.push_blob("dev", "team/app", b"{}").await;
    let absent = oci::Digest::sha256(b"absent").to_string();
    let put =
        app.ask("PUT", "/v2/team/app/manifests/v1").by("dev").bytes(MANIFEST, image(&config, &absent, 6));
    let answer = put.send().await.expect(StatusCode::NOT_FOUND);
    assert_eq!(answer.json()["errors"][0]["code"], "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(answer.json()["errors"][0]["detail"][0]["digest"], absent.as_str());
}

#[tokio::test]
async fn a_blob_that_an_image_needs_cannot_be_deleted() {
    let app = team().await;
    app.push_image("dev", "team/app", "v1", b"layer").await;
    let path = format!("/v2/team/app/blobs/{}", oci::Digest::sha256(b"layer"));
    let refused = app.ask("DELETE", &path).by("mia").send().await;
    assert!(matches!(refused.status.as_u16(), 405 | 409), "{}", refused.text());
    app.ask("GET", &path).by("guest").send().await.expect(StatusCode::OK);
    app.idle().await;
}
