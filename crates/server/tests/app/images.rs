//! Push, pull, tag, delete, restore, collect.

use std::time::Duration;

use http::StatusCode;
use oci::RepoName;
use policy::{Role, Visibility};
use registry::{Error, Grant, Push};

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
    let repo: RepoName = "team/app".parse().expect("a name");
    let grant = || async {
        app.registry.access().grant::<Push>(&app.admin().principal, &repo).await.expect("a grant")
    };
    let restorable = app.registry.restorable(&grant().await, 0, 10).await.expect("a list");
    let back = app.registry.restore_manifest(&app.admin(), &grant().await, restorable[0].id).await;
    assert_eq!(back.expect("restored").to_string(), digest);
    let pulled = app.ask("GET", "/v2/team/app/manifests/v1").by("guest").send().await;
    assert_eq!(pulled.expect(StatusCode::OK).header("docker-content-digest"), digest);

    app.ask("DELETE", &path).by("mia").send().await.expect(StatusCode::ACCEPTED);
    let again = app.registry.restorable(&grant().await, 0, 10).await.expect("a list");
    assert_eq!(again.len(), 1, "what was restored is not deleted any more");
    app.advance(window + Duration::from_hours(1)).await;
    workers::maintenance::collect(&app.registry, false).await.expect("collected");
    let grant: Grant<Push> = grant().await;
    let gone = app.registry.restore_manifest(&app.admin(), &grant, again[0].id).await;
    assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
    app.idle().await;
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
