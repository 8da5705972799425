//! DESIGN.md §5 "answers": what a caller without the right is told, byte for byte.

use http::StatusCode;
use policy::{Role, Visibility};

use crate::test_app::{Answer, TestApp};

/// A repository `hidden/app` of a private project that `eve` has no right in; she administers her own project.
async fn two_projects() -> TestApp {
    let app = TestApp::new().await;
    app.project("hidden", Visibility::Private).await;
    app.push_image("admin", "hidden/app", "v1", b"layer").await;
    app.user("eve").await;
    app.project("own", Visibility::Private).await;
    app.member("own", "eve", Role::ProjectAdmin).await;
    app.idle().await;
    app
}

/// The answer with the names in it made equal.
fn essence(mut answer: Answer, name: &str) -> (StatusCode, String, String) {
    answer.headers.remove("x-request-id");
    let headers = format!("{:?}", answer.headers).replace(name, "NAME");
    (answer.status, headers, answer.text().replace(name, "NAME"))
}

/// Every request that reads or changes a repository, with `{}` for its name.
fn requests() -> Vec<(&'static str, String)> {
    let digest = oci::Digest::sha256(b"layer");
    let upload = "0123456789abcdef0123456789abcdef";
    vec![
        ("GET", "/v2/{}/tags/list".to_owned()),
        ("GET", "/v2/{}/manifests/v1".to_owned()),
        ("HEAD", "/v2/{}/manifests/v1".to_owned()),
        ("PUT", "/v2/{}/manifests/v1".to_owned()),
        ("DELETE", "/v2/{}/manifests/v1".to_owned()),
        ("GET", format!("/v2/{{}}/blobs/{digest}")),
        ("DELETE", format!("/v2/{{}}/blobs/{digest}")),
        ("POST", "/v2/{}/blobs/uploads/".to_owned()),
        ("GET", format!("/v2/{{}}/blobs/uploads/{upload}")),
        ("PATCH", format!("/v2/{{}}/blobs/uploads/{upload}")),
        ("PUT", format!("/v2/{{}}/blobs/uploads/{upload}?digest={digest}")),
        ("DELETE", format!("/v2/{{}}/blobs/uploads/{upload}")),
        ("GET", format!("/v2/{{}}/referrers/{digest}")),
    ]
}

#[tokio::test]
async fn a_hidden_repository_is_answered_as_one_that_does_not_exist() {
    let app = two_projects().await;
    for (method, path) in requests() {
        let hidden = app.ask(method, &path.replace("{}", "hidden/app")).by("eve").send().await;
        let absent = app.ask(method, &path.replace("{}", "absent/app")).by("eve").send().await;
        assert_eq!(hidden.status, StatusCode::NOT_FOUND, "{method} {path}: {}", hidden.text());
        assert_eq!(essence(hidden, "hidden"), essence(absent, "absent"), "{method} {path}");
    }
}

#[tokio::test]
async fn a_hidden_project_of_the_api_is_answered_as_one_that_does_not_exist() {
    let app = two_projects().await;
    for path in [
        "/api/v1/projects/{}",
        "/api/v1/projects/{}/members",
        "/api/v2.0/projects/{}",
        "/api/v2.0/projects/{}/members",
    ] {
        let hidden = app.ask("GET", &path.replace("{}", "hidden")).by("eve").send().await;
        let absent = app.ask("GET", &path.replace("{}", "absent")).by("eve").send().await;
        assert_eq!(hidden.status, StatusCode::NOT_FOUND, "{path}: {}", hidden.text());
        assert_eq!(essence(hidden, "hidden"), essence(absent, "absent"), "{path}");
    }
}

#[tokio::test]
async fn without_credentials_everything_is_the_same_challenge_for_its_scope() {
    let app = two_projects().await;
    for (method, path) in requests() {
        let hidden = app.ask(method, &path.replace("{}", "hidden/app")).send().await;
        let absent = app.ask(method, &path.replace("{}", "absent/app")).send().await;
        let challenge = hidden.header("www-authenticate");
        let wanted = "Bearer realm=\"http://registry.test/service/token\",service=\"bonded\",scope=\"repository:hidden/app:";
        assert!(challenge.starts_with(wanted), "{method} {path}: {challenge}");
        assert_eq!(hidden.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        assert_eq!(essence(hidden, "hidden"), essence(absent, "absent"), "{method} {path}");
    }
}

#[tokio::test]
async fn who_may_read_but_not_do_this_is_told_why_with_a_decision_id() {
    let app = two_projects().await;
    app.member("hidden", "eve", Role::Guest).await;
    let ask = app.ask("DELETE", "/v2/hidden/app/manifests/v1").by("eve");
    let answer = ask.header(http::HeaderName::from_static("x-request-id"), "decision-7").send().await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(
        answer.text(),
        r#"{"errors":[{"code":"DENIED","detail":{"decision_id":"decision-7"},"message":"you may read `hidden/app` but not delete from it"}]}"#
    );
}

#[tokio::test]
async fn a_token_too_narrow_is_told_the_scope_and_a_lack_of_own_rights_is_not() {
    let app = two_projects().await;
    let narrow = app.token("admin", "repository:hidden/app:pull").await;
    let answer = app.ask("POST", "/v2/hidden/app/blobs/uploads/").bearer(&narrow).send().await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        answer.header("www-authenticate"),
        "Bearer realm=\"http://registry.test/service/token\",service=\"bonded\",scope=\"repository:hidden/app:pull,push\",error=\"insufficient_scope\""
    );
    let none = app.token("eve", "repository:hidden/app:pull").await;
    app.ask("GET", "/v2/hidden/app/manifests/v1").bearer(&none).send().await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn pushing_to_a_taken_name_is_denied_only_to_who_may_create() {
    let app = two_projects().await;
    app.ask("POST", "/v2/hidden/new/blobs/uploads/").by("eve").send().await.expect(StatusCode::NOT_FOUND);
    app.system_role("eve", Role::ProjectCreator).await;
    let taken = app.ask("POST", "/v2/hidden/new/blobs/uploads/").by("eve").send().await;
    assert!(taken.expect(StatusCode::FORBIDDEN).text().contains("taken"));
    let made = app.ask("POST", "/v2/fresh/new/blobs/uploads/").by("admin").send().await;
    made.expect(StatusCode::ACCEPTED);
}

#[tokio::test]
async fn lists_show_what_the_caller_may_pull_and_nothing_else() {
    let app = two_projects().await;
    app.push_image("eve", "own/app", "v1", b"mine").await;
    app.push_image("admin", "library/base", "v1", b"public").await;
    let catalog = app.ask("GET", "/v2/_catalog").by("eve").send().await.expect(StatusCode::OK);
    assert_eq!(catalog.json()["repositories"], serde_json::json!(["library/base", "own/app"]));
    let projects = app.ask("GET", "/api/v1/projects").by("eve").send().await.expect(StatusCode::OK);
    let names: Vec<_> =
        projects.json().as_array().expect("a list").iter().map(|it| it["name"].clone()).collect();
    assert_eq!(
        (names, projects.header("x-total-count")),
        (vec!["library".into(), "own".into()], "2".to_owned())
    );
    app.idle().await;
}

#[tokio::test]
async fn a_member_of_another_project_cannot_be_reached_through_ones_own() {
    let app = two_projects().await;
    app.user("bob").await;
    app.member("hidden", "bob", Role::Guest).await;
    let members = app.get("/api/v1/projects/hidden/members").await.json();
    let bob =
        members.as_array().expect("a list").iter().find(|it| it["user"] == "bob").expect("bob")["id"].clone();
    for path in
        [format!("/api/v1/projects/own/members/{bob}"), format!("/api/v2.0/projects/own/members/{bob}")]
    {
        app.ask("DELETE", &path).by("eve").send().await.expect(StatusCode::NOT_FOUND);
    }
    assert_eq!(app.get("/api/v1/projects/hidden/members").await.json(), members);
}
