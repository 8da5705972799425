//! Tokens and passwords over time: expiry, rotation of keys, revocation, on one process and on two.

use std::time::Duration;

use http::StatusCode;
use metadata::model::{access, principal};
use policy::{Role, Visibility};
use registry::admin::{ProjectRef, UserChange};

use crate::test_app::TestApp;

const SCOPE: &str = "repository:team/app:pull";
const PATH: &str = "/v2/team/app/manifests/v1";

async fn team() -> TestApp {
    let app = TestApp::new().await;
    app.project("team", Visibility::Private).await;
    app.user("dev").await;
    app.member("team", "dev", Role::Developer).await;
    app.push_image("dev", "team/app", "v1", b"layer").await;
    app.idle().await;
    app
}

#[tokio::test]
async fn a_token_ends_with_its_life_and_a_minute_for_clocks_that_differ() {
    let app = team().await;
    let token = app.token("dev", SCOPE).await;
    app.advance(Duration::from_secs(5 * 60 + 59)).await;
    app.ask("GET", PATH).bearer(&token).send().await.expect(StatusCode::OK);
    app.advance(Duration::from_secs(2)).await;
    let ended = app.ask("GET", PATH).bearer(&token).send().await.expect(StatusCode::UNAUTHORIZED);
    assert!(ended.header("www-authenticate").ends_with("error=\"invalid_token\""), "{:?}", ended.headers);
}

#[tokio::test]
async fn keys_rotate_before_they_retire_and_old_tokens_live_on() {
    let app = team().await;
    let other = app.replica().await;
    let kid = |token: &str| {
        let head =
            data_encoding::BASE64URL_NOPAD.decode(token.split('.').next().unwrap_or_default().as_bytes());
        let head: serde_json::Value = serde_json::from_slice(&head.expect("base64")).expect("a JSON header");
        head["kid"].as_str().expect("a key's id").to_owned()
    };
    let rotate = |app: &TestApp| app.registry.clone();
    let first = app.token("dev", SCOPE).await;
    app.advance(Duration::from_hours(30 * 24 - 1)).await;
    rotate(&app).authenticator().keys().rotate().await.expect("rotated");
    let old = app.token("dev", SCOPE).await;
    assert_eq!(kid(&old), kid(&first), "a key signs for a month");
    app.advance(Duration::from_hours(1)).await;
    let old = app.token("dev", SCOPE).await;
    assert_eq!(kid(&old), kid(&first), "and on until somebody makes the next");
    rotate(&app).authenticator().keys().rotate().await.expect("rotated");
    let new = app.token("dev", SCOPE).await;
    assert_ne!(kid(&new), kid(&old));
    for token in [&old, &new] {
        app.ask("GET", PATH).bearer(token).send().await.expect(StatusCode::OK);
    }
    // The other process meets the new key for the first time.
    other.registry.access().refresh(0).await.expect("access facts");
    other.ask("GET", PATH).bearer(&new).send().await.expect(StatusCode::OK);
    rotate(&other).authenticator().keys().rotate().await.expect("rotated");
    assert_eq!(kid(&other.token("dev", SCOPE).await), kid(&new), "two processes make one key");
    assert_eq!(app.registry.store().signing_keys().await.expect("keys").len(), 2);
}

#[tokio::test]
async fn a_right_taken_away_is_gone_in_every_process_within_its_next_comparison() {
    let app = team().await;
    let other = app.replica().await;
    let token = other.token("dev", SCOPE).await;
    other.ask("GET", PATH).bearer(&token).send().await.expect(StatusCode::OK);
    let project = ProjectRef::Name("team".to_owned());
    let members = app.registry.members(&app.admin(), &project).expect("members");
    let dev = members.iter().find(|member| member.name == "dev").expect("a member");
    app.registry.remove_member(&app.admin(), &project, dev.id).await.expect("removed");
    app.ask("GET", PATH).bearer(&token).send().await.expect(StatusCode::NOT_FOUND);
    other.advance(Duration::from_secs(1)).await;
    other.ask("GET", PATH).bearer(&token).send().await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_right_given_in_one_process_is_never_missed_by_another() {
    let app = team().await;
    let other = app.replica().await;
    app.user("late").await;
    app.member("team", "late", Role::Guest).await;
    other.ask("GET", PATH).by("late").send().await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_locked_user_and_a_changed_password_end_what_was_issued() {
    let app = team().await;
    let token = app.token("dev", SCOPE).await;
    let id = app.id_of("dev");
    let lock = |disabled| UserChange { disabled: Some(disabled), ..UserChange::default() };
    app.registry.change_user(&app.admin(), id, &lock(true)).await.expect("locked");
    app.ask("GET", PATH).bearer(&token).send().await.expect(StatusCode::UNAUTHORIZED);
    app.ask("GET", PATH).by("dev").send().await.expect(StatusCode::UNAUTHORIZED);
    app.registry.change_user(&app.admin(), id, &lock(false)).await.expect("unlocked");
    app.ask("GET", PATH).bearer(&token).send().await.expect(StatusCode::UNAUTHORIZED);

    let token = app.token("dev", SCOPE).await;
    app.registry.change_password(&app.admin(), id, None, "Another-Horse-8").await.expect("changed");
    app.ask("GET", PATH).bearer(&token).send().await.expect(StatusCode::UNAUTHORIZED);
    app.ask("GET", PATH).by("dev").send().await.expect(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_deleted_user_s_token_is_worth_nothing_even_for_what_is_public() {
    let app = team().await;
    app.push_image("admin", "library/base", "v1", b"public").await;
    let token = app.token("dev", "repository:library/base:pull").await;
    app.registry.delete_user(&app.admin(), app.id_of("dev")).await.expect("deleted");
    app.ask("GET", "/v2/library/base/manifests/v1")
        .bearer(&token)
        .send()
        .await
        .expect(StatusCode::UNAUTHORIZED);
    app.idle().await;
}

#[tokio::test]
async fn a_change_of_another_process_is_read_although_this_one_made_none() {
    let app = team().await;
    let other = app.replica().await;
    let store = app.registry.store();
    let mut tx = store.begin().await.expect("a transaction");
    access::raise(&mut tx);
    principal::set_disabled(&mut tx, app.id_of("dev"), true);
    store.commit(tx).await.expect("committed");
    app.advance(Duration::from_secs(1)).await;
    other.advance(Duration::from_secs(1)).await;
    for process in [&app, &other] {
        process.ask("GET", PATH).by("dev").send().await.expect(StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_token_that_does_not_cover_pushing_makes_no_project() {
    let app = TestApp::new().await;
    let token = app.token("admin", "repository:library/app:pull").await;
    let uploads = app.ask("POST", "/v2/fresh/app/blobs/uploads/").bearer(&token).send().await;
    let asked = uploads.expect(StatusCode::UNAUTHORIZED).header("www-authenticate");
    assert!(asked.contains("scope=\"repository:fresh/app:pull,push\""), "{asked}");
    let manifest = app.ask("PUT", "/v2/fresh/app/manifests/v1").bearer(&token);
    manifest.bytes(crate::test_app::MANIFEST, b"{}".to_vec()).send().await.expect(StatusCode::UNAUTHORIZED);
    app.get("/api/v1/projects/fresh").await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn guesses_sent_at_once_are_slowed_like_guesses_in_turn() {
    let app = TestApp::new().await;
    app.user("dev").await;
    let guesses = (0..60).map(|at| {
        let credentials = data_encoding::BASE64.encode(format!("dev:guess {at}").as_bytes());
        app.ask("GET", "/v2/").header(http::header::AUTHORIZATION, &format!("Basic {credentials}")).send()
    });
    let answers = futures_util::future::join_all(guesses).await;
    let heard = answers.iter().filter(|answer| answer.status == StatusCode::UNAUTHORIZED).count();
    let refused = answers.iter().filter(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS).count();
    assert!(heard < 20 && heard + refused == 60, "{heard} were compared, {refused} refused");
}

/// Neither the host of a request nor what it says of proxies stands in an answer when the operator named the address.
#[tokio::test]
async fn the_configured_address_is_the_realm_whatever_a_request_says() {
    let configured: server::config::ExternalUrl =
        "https://registry.example:8443".parse().expect("an address");
    for (external_url, realm) in [
        (Some(configured), "https://registry.example:8443/service/token"),
        (None, "http://evil.example/service/token"),
    ] {
        let app = TestApp::with(|config| config.server.external_url = external_url).await;
        let ask = |method: &str, path: &str| {
            let forwarded = http::HeaderName::from_static("x-forwarded-host");
            app.ask(method, path).host("evil.example").header(forwarded, "worse.example")
        };
        for path in ["/v2/", "/v2/private/app/manifests/v1"] {
            let answer = ask("GET", path).send().await.expect(StatusCode::UNAUTHORIZED);
            let challenge = answer.header("www-authenticate");
            assert!(challenge.starts_with(&format!("Bearer realm=\"{realm}\",")), "{path}: {challenge}");
            assert!(!challenge.contains("worse.example"), "{challenge}");
        }
        let opened = ask("POST", "/v2/library/app/blobs/uploads/").by("admin").send().await;
        let location = opened.expect(StatusCode::ACCEPTED).location();
        assert!(location.starts_with("/v2/library/app/blobs/uploads/"), "{location}");
    }
}
