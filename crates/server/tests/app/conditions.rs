//! Grants with conditions, denials, system roles: given through the native API, decided at every request.

use std::net::Ipv4Addr;
use std::time::Duration;

use http::StatusCode;
use policy::{Role, Visibility};
use serde_json::{Value, json};

use crate::test_app::{Answer, MANIFEST, TestApp};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A private project `team` with images of two kinds of tags, and `cara`, a member by the grants given.
async fn team(grants: &[Value]) -> TestApp {
    let app = TestApp::new().await;
    app.project("team", Visibility::Private).await;
    app.user("cara").await;
    app.push_image("admin", "team/app", "dev-1", b"dev").await;
    app.push_image("admin", "team/app", "prod-1", b"prod").await;
    app.idle().await;
    for grant in grants {
        give(&app, grant.clone()).await.expect(StatusCode::CREATED);
    }
    app
}

async fn give(app: &TestApp, mut grant: Value) -> Answer {
    grant["user"] = "cara".into();
    app.ask("POST", "/api/v1/projects/team/members").by("admin").json(&grant).send().await
}

async fn status(app: &TestApp, method: &str, path: &str) -> u16 {
    app.ask(method, path).by("cara").send().await.status.as_u16()
}

fn blob(content: &[u8]) -> String {
    format!("/v2/team/app/blobs/{}", oci::Digest::sha256(content))
}

#[tokio::test]
async fn a_grant_on_some_tags_shows_these_with_their_blobs_and_nothing_else() {
    let app = team(&[json!({ "role": "guest", "conditions": { "tags": ["dev-*"] } })]).await;
    let hidden = app.get("/v2/team/app/manifests/prod-1").await.header("docker-content-digest");
    let shown = app.get("/v2/team/app/manifests/dev-1").await.header("docker-content-digest");
    for (path, expected) in [
        ("/v2/team/app/manifests/dev-1".to_owned(), 200),
        (format!("/v2/team/app/manifests/{shown}"), 200),
        (blob(b"dev"), 200),
        (blob(b"{}"), 200),
        ("/v2/team/app/manifests/prod-1".to_owned(), 404),
        (format!("/v2/team/app/manifests/{hidden}"), 404),
        (blob(b"prod"), 404),
    ] {
        assert_eq!(status(&app, "GET", &path).await, expected, "{path}");
    }
    let tags = app.ask("GET", "/v2/team/app/tags/list").by("cara").send().await;
    assert_eq!(tags.json()["tags"], json!(["dev-1"]));
    let mount = format!("/v2/team/other/blobs/uploads/?mount={}&from=team/app", oci::Digest::sha256(b"prod"));
    give(&app, json!({ "role": "developer", "conditions": { "repositories": ["other"] } })).await;
    assert_eq!(status(&app, "POST", &mount).await, 202, "what cannot be read cannot be mounted");
}

#[tokio::test]
async fn a_hidden_tag_is_answered_as_one_that_does_not_exist() {
    let app = team(&[json!({ "role": "guest", "conditions": { "tags": ["dev-*"] } })]).await;
    let mut answers = Vec::new();
    for tag in ["prod-1", "prod-9"] {
        let mut answer = app.ask("GET", &format!("/v2/team/app/manifests/{tag}")).by("cara").send().await;
        answer.headers.remove("x-request-id");
        answers.push(answer);
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn a_denial_on_tags_stops_pushes_and_deletes_there_and_only_there() {
    let deny = json!({ "role": "maintainer", "effect": "deny", "permissions": ["push", "delete"], "conditions": { "tags": ["prod-*"] } });
    let app = team(&[json!({ "role": "maintainer" }), deny]).await;
    app.push_image("cara", "team/app", "dev-2", b"dev two").await;
    let manifest = app.get("/v2/team/app/manifests/dev-2").await.body;
    let put = app.ask("PUT", "/v2/team/app/manifests/prod-1").by("cara").bytes(MANIFEST, manifest);
    let refused = put.send().await.expect(StatusCode::FORBIDDEN);
    assert_eq!(refused.json()["errors"][0]["code"], "DENIED");
    let digest = app.get("/v2/team/app/manifests/prod-1").await.header("docker-content-digest");
    assert_eq!(status(&app, "GET", "/v2/team/app/manifests/prod-1").await, 200);
    assert_eq!(status(&app, "DELETE", "/v2/team/app/manifests/prod-1").await, 403);
    assert_eq!(status(&app, "DELETE", &format!("/v2/team/app/manifests/{digest}")).await, 403);
    assert_eq!(status(&app, "DELETE", "/v2/team/app/manifests/dev-1").await, 202);
    app.idle().await;
}

#[tokio::test]
async fn naming_a_digest_in_a_push_gives_no_right_to_read_it() {
    let app = team(&[json!({ "role": "developer", "conditions": { "tags": ["dev-*"] } })]).await;
    let hidden = app.get("/v2/team/app/manifests/prod-1").await;
    let put = |tag: &str, media_type: &str, bytes: Vec<u8>| {
        app.ask("PUT", &format!("/v2/team/app/manifests/{tag}")).by("cara").bytes(media_type, bytes).send()
    };
    let layer = oci::Digest::sha256(b"prod").to_string();
    let config = app.push_blob("cara", "team/app", b"{}").await;
    let naming = crate::test_app::image(&config, &layer, 4);
    put("dev-2", MANIFEST, naming.clone()).await.expect(StatusCode::NOT_FOUND);
    let foreign = String::from_utf8(naming.clone()).expect("text");
    let foreign = foreign.replace("layer.v1.tar", "layer.nondistributable.v1.tar");
    put("dev-2", MANIFEST, foreign.into_bytes()).await.expect(StatusCode::NOT_FOUND);
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [{
        "mediaType": MANIFEST, "digest": hidden.header("docker-content-digest"), "size": hidden.body.len(),
    }] });
    put("dev-3", INDEX, index.to_string().into_bytes()).await.expect(StatusCode::NOT_FOUND);
    put("dev-4", MANIFEST, hidden.body.clone()).await.expect(StatusCode::NOT_FOUND);
    assert_eq!(status(&app, "GET", &blob(b"prod")).await, 404);

    // Who has the bytes may use them, also before any tag leads there.
    app.push_blob("cara", "team/app", b"prod").await;
    assert_eq!(status(&app, "HEAD", &blob(b"prod")).await, 200);
    let child = put(&oci::Digest::sha256(&naming).to_string(), MANIFEST, naming.clone()).await;
    child.expect(StatusCode::CREATED);
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [{
        "mediaType": MANIFEST, "digest": oci::Digest::sha256(&naming).to_string(), "size": naming.len(),
    }] });
    put("dev-5", INDEX, index.to_string().into_bytes()).await.expect(StatusCode::CREATED);
    assert_eq!(status(&app, "GET", &blob(b"prod")).await, 200);
    app.idle().await;
}

#[tokio::test]
async fn evidence_follows_its_subject() {
    let app = team(&[json!({ "role": "guest", "conditions": { "tags": ["dev-*"] } })]).await;
    for (tag, expected) in [("dev-1", 200), ("prod-1", 404)] {
        let subject = app.get(&format!("/v2/team/app/manifests/{tag}")).await.header("docker-content-digest");
        let signature = format!("{}.sig", subject.replace(':', "-"));
        app.push_image("admin", "team/app", &signature, tag.as_bytes()).await;
        assert_eq!(
            status(&app, "GET", &format!("/v2/team/app/manifests/{signature}")).await,
            expected,
            "{tag}"
        );
        assert_eq!(status(&app, "GET", &blob(tag.as_bytes())).await, expected, "{tag}");
    }
    app.idle().await;
}

/// What hangs beside an image may take findings of it away.
#[tokio::test]
async fn who_may_push_some_tags_may_hang_nothing_beside_others() {
    let app = team(&[json!({ "role": "developer", "conditions": { "tags": ["dev-*"] } })]).await;
    app.push_blob("cara", "team/app", b"{}").await;
    let attach = async |tag: &str, note: &str| {
        let subject = app.get(&format!("/v2/team/app/manifests/{tag}")).await;
        let document = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "annotations": { "note": note },
            "artifactType": "application/vnd.openvex+json",
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": oci::Digest::sha256(b"{}"), "size": 2 },
            "layers": [{ "mediaType": "application/vnd.oci.empty.v1+json", "digest": oci::Digest::sha256(b"{}"), "size": 2 }],
            "subject": { "mediaType": MANIFEST, "digest": subject.header("docker-content-digest"), "size": subject.body.len() } });
        let bytes = document.to_string().into_bytes();
        let path = format!("/v2/team/app/manifests/{}", oci::Digest::sha256(&bytes));
        app.ask("PUT", &path).by("cara").bytes(MANIFEST, bytes).send().await.status
    };
    assert_eq!(attach("dev-1", "a").await, StatusCode::CREATED);
    assert_eq!(attach("prod-1", "a").await, StatusCode::FORBIDDEN);
    // The same image under one of the own tags and another: still somebody else's.
    app.push_image("admin", "team/app", "prod-2", b"dev").await;
    assert_eq!(attach("dev-1", "b").await, StatusCode::FORBIDDEN);
    let result = "/api/v1/projects/team/repositories/app/artifacts/dev-1/scan/results/mine";
    let vex = json!({ "@context": "https://openvex.dev/ns/v0.2.0", "@id": "a", "statements": [] });
    let upload = app.ask("PUT", result).by("cara").json(&vex).send().await;
    assert_eq!(upload.status, StatusCode::FORBIDDEN, "{}", upload.text());
    app.ask("PUT", result).by("admin").json(&vex).send().await.expect(StatusCode::NO_CONTENT);
    let taken = app.ask("DELETE", result).by("cara").send().await;
    assert_eq!(taken.status, StatusCode::FORBIDDEN, "{}", taken.text());
    app.ask("DELETE", result).by("admin").send().await.expect(StatusCode::NO_CONTENT);
    app.idle().await;
}

#[tokio::test]
async fn a_grant_counts_only_from_its_networks() {
    let app = team(&[json!({ "role": "guest", "conditions": { "networks": ["10.0.0.0/8"] } })]).await;
    for (from, expected) in [([10, 1, 2, 3], 200), ([192, 0, 2, 1], 404)] {
        let ask = app.ask("GET", "/v2/team/app/manifests/dev-1").by("cara");
        let answer = ask.send_from(Ipv4Addr::from(from).into()).await;
        assert_eq!(answer.status.as_u16(), expected, "{from:?}");
    }
}

#[tokio::test]
async fn a_grant_ends_with_its_time() {
    let window = json!({ "not_before": "2026-01-01T01:00:00Z", "not_after": "2026-01-01T02:00:00Z" });
    let app = team(&[json!({ "role": "guest", "conditions": window })]).await;
    let path = "/v2/team/app/manifests/dev-1";
    assert_eq!(status(&app, "GET", path).await, 404, "not yet");
    app.advance(Duration::from_hours(1)).await;
    assert_eq!(status(&app, "GET", path).await, 200);
    app.advance(Duration::from_hours(1)).await;
    assert_eq!(status(&app, "GET", path).await, 404, "no more");
}

#[tokio::test]
async fn malformed_and_contradicting_grants_are_refused_with_the_reason() {
    let app = team(&[]).await;
    for (grant, named) in [
        (json!({ "role": "system-admin" }), "role"),
        (json!({ "role": "guest", "effect": "maybe" }), "effect"),
        (json!({ "role": "guest", "permissions": ["fly"] }), "fly"),
        (json!({ "role": "guest", "permissions": ["push"] }), "none of these permissions"),
        (json!({ "role": "guest", "conditions": { "tags": ["a/b"] } }), "conditions.tags"),
        (json!({ "role": "guest", "conditions": { "networks": ["10.0.0.0/99"] } }), "conditions.networks"),
        (json!({ "role": "guest", "conditions": { "mfa": true } }), "mfa"),
        (
            json!({ "role": "guest", "conditions": { "not_before": "2027-01-01T00:00:00Z", "not_after": "2026-01-01T00:00:00Z" } }),
            "not_before",
        ),
    ] {
        let answer = give(&app, grant.clone()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{grant}");
        assert!(answer.text().contains(named), "{grant}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_member_s_conditions_are_shown_and_changed() {
    let app = team(&[json!({ "role": "guest", "conditions": { "tags": ["dev-*"] } })]).await;
    let list = "/api/v1/projects/team/members";
    let cara = |members: &Value| {
        members.as_array().expect("members").iter().find(|it| it["user"] == "cara").expect("cara").clone()
    };
    let member = cara(&app.get(list).await.json());
    assert_eq!(member["conditions"], json!({ "tags": ["dev-*"] }));
    let path = format!("{list}/{}", member["id"]);
    let change = app.ask("PATCH", &path).by("admin").json(&json!({ "conditions": {} }));
    change.send().await.expect(StatusCode::NO_CONTENT);
    assert!(cara(&app.get(list).await.json()).get("conditions").is_none());
    assert_eq!(status(&app, "GET", "/v2/team/app/manifests/prod-1").await, 200);
}

#[tokio::test]
async fn a_system_role_is_given_and_taken_but_never_one_s_own_administration() {
    let app = team(&[]).await;
    let make = json!({ "name": "caras" });
    let create = || app.ask("POST", "/api/v1/projects").by("cara").json(&make).send();
    create().await.expect(StatusCode::FORBIDDEN);
    let role = json!({ "user": "cara", "role": "project-creator" });
    let given =
        app.ask("POST", "/api/v1/roles").by("admin").json(&role).send().await.expect(StatusCode::CREATED);
    create().await.expect(StatusCode::CREATED);
    app.ask("DELETE", &given.location()).by("admin").send().await.expect(StatusCode::NO_CONTENT);
    app.ask("POST", "/api/v1/projects")
        .by("cara")
        .json(&json!({ "name": "more" }))
        .send()
        .await
        .expect(StatusCode::FORBIDDEN);
    let roles = app.get("/api/v1/roles").await.json();
    let own = roles
        .as_array()
        .expect("roles")
        .iter()
        .find(|it| it["user"] == "admin")
        .expect("the administrator")
        .clone();
    assert_eq!(own["role"], Role::SystemAdmin.name());
    let path = format!("/api/v1/roles/{}", own["id"]);
    app.ask("DELETE", &path).by("admin").send().await.expect(StatusCode::CONFLICT);
}
