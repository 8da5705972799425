//! Who may do what, as far as the protocol shows it: challenges, tokens, and the answers that tell nothing.

use e2e::http::{Body, Request, Response};
use e2e::image::Image;
use e2e::registry::{OCI_MANIFEST, sha256};
use e2e::{Target, tools};
use serde_json::json;

use crate::{Arena, Outcome, expect, refused};

/// The arena of our own server; `None` for a foreign registry, whose users we do not know.
fn own(name: &str) -> anyhow::Result<Option<Arena>> {
    if Arena::is_foreign() {
        tools::skipped(&format!("{name}: a foreign registry"));
        return Ok(None);
    }
    Arena::new(name).map(Some)
}

/// A user made through Harbor's API, whose form is fixed by its specification.
fn user(arena: &Arena, name: &str) -> anyhow::Result<Target> {
    let password = "Correct-Horse-7";
    let body = json!({
        "username": name, "password": password, "realname": name, "email": format!("{name}@example.org"),
    })
    .to_string();
    let post = Request::new("POST", "/api/v2.0/users")
        .header("Content-Type", "application/json")
        .body(Body::Bytes(body.as_bytes()));
    expect(arena.send(&post)?, &[201, 409])?;
    Ok(arena.target.as_user(name, password))
}

/// A project made by the administrator for `owner`, who becomes its administrator.
fn project(arena: &Arena, owner: &Target, name: &str, public: bool) -> Outcome {
    let body = json!({ "project_name": name, "metadata": { "public": public.to_string() } }).to_string();
    let post = Request::new("POST", "/api/v2.0/projects")
        .header("Content-Type", "application/json")
        .body(Body::Bytes(body.as_bytes()));
    expect(arena.send(&post)?, &[201])?;
    let user = owner.credentials.as_ref().map_or("", |(user, _)| user);
    let body = json!({ "role_id": 1, "member_user": { "username": user } }).to_string();
    let post = Request::new("POST", format!("/api/v2.0/projects/{name}/members"))
        .header("Content-Type", "application/json")
        .body(Body::Bytes(body.as_bytes()));
    expect(arena.send(&post)?, &[201, 409])?;
    Ok(())
}

/// Status, body and headers without what differs between any two answers.
fn essence(response: &Response) -> (u16, String, Vec<(String, String)>) {
    let unstable = ["date", "x-request-id"];
    let mut headers = response.headers.clone();
    headers.retain(|(name, _)| !unstable.contains(&name.as_str()));
    headers.sort();
    (response.status, response.text(), headers)
}

/// Parameters of a Bearer challenge.
fn challenge(response: &Response) -> (String, String, String) {
    let text = response.header("www-authenticate").unwrap_or_default();
    assert!(text.starts_with("Bearer "), "{text}");
    let parameter = |name: &str| {
        let (_, rest) = text.split_once(&format!("{name}=\"")).unwrap_or_default();
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    (parameter("realm"), parameter("service"), parameter("scope"))
}

fn path_of(realm: &str) -> String {
    let rest = realm.split_once("://").map_or(realm, |(_, rest)| rest);
    rest[rest.find('/').unwrap_or(0)..].to_owned()
}

fn token(target: &Target, realm: &str, query: &str) -> anyhow::Result<Response> {
    target.send(&Request::new("GET", format!("{}?{query}", path_of(realm))))
}

fn with_token(target: &Target, token: &str, request: Request<'_>) -> anyhow::Result<Response> {
    target.anonymous().send(&request.header("Authorization", format!("Bearer {token}")))
}

#[test]
fn without_credentials_the_base_is_401_with_a_bearer_challenge() -> Outcome {
    let Some(arena) = own("auth-base")? else { return Ok(()) };
    let answer = expect(arena.target.anonymous().fetch("/v2/")?, &[401])?;
    let (realm, service, _) = challenge(&answer);
    assert!(realm.ends_with("/service/token"), "{realm}");
    assert!(realm.contains(&arena.target.addr.to_string()), "{realm}");
    assert!(!service.is_empty());
    refused(answer, &[401], "UNAUTHORIZED")
}

#[test]
fn wrong_credentials_are_401_and_say_no_more() -> Outcome {
    let Some(arena) = own("auth-wrong")? else { return Ok(()) };
    let unknown = arena.target.as_user("nobody-of-this-name", "wrong").fetch("/v2/")?;
    let known = arena.target.as_user("admin", "wrong").fetch("/v2/")?;
    assert_eq!(unknown.status, 401);
    assert_eq!(essence(&unknown), essence(&known));
    for header in ["Basic", "Basic !!!", "Basic YWRtaW4=", "Bearer", "Bearer a.b.c", "Digest x"] {
        let request = Request::new("GET", "/v2/").header("Authorization", header);
        expect(arena.target.anonymous().send(&request)?, &[400, 401])?;
    }
    Ok(())
}

#[test]
fn the_challenge_of_a_repository_names_the_scope_and_its_token_opens_it() -> Outcome {
    let Some(arena) = own("auth-scope")? else { return Ok(()) };
    let image = Image::new(91, 100);
    image.push(&arena.target, &arena.repo, "v1")?;
    let path = arena.path("/manifests/v1");
    let answer = expect(arena.target.anonymous().fetch(path.clone())?, &[401])?;
    let (realm, service, scope) = challenge(&answer);
    assert_eq!(scope, "repository:auth-scope/repo:pull");
    let got = expect(token(&arena.target, &realm, &format!("service={service}&scope={scope}"))?, &[200])?;
    let text = got.json()["token"].as_str().unwrap_or_default().to_owned();
    assert!(!text.is_empty() && text.len() < 8192);
    assert!(got.json()["expires_in"].as_u64().is_some_and(|s| s >= 60), "{}", got.text());
    let pulled = expect(with_token(&arena.target, &text, Request::new("GET", path))?, &[200])?;
    assert!(pulled.body == image.manifest);

    let push = Request::new("POST", arena.path("/blobs/uploads/"));
    let refused = expect(with_token(&arena.target, &text, push)?, &[401])?;
    let text = refused.header("www-authenticate").unwrap_or_default();
    assert!(text.contains("insufficient_scope"), "{text}");
    assert!(challenge(&refused).2.contains("push"), "{text}");
    Ok(())
}

#[test]
fn several_scopes_and_the_oauth2_form_work() -> Outcome {
    let Some(arena) = own("auth-oauth2")? else { return Ok(()) };
    let image = Image::new(92, 100);
    image.push(&arena.target, "auth-oauth2/a", "v1")?;
    let answer = arena.target.anonymous().fetch("/v2/")?;
    let (realm, service, _) = challenge(&answer);
    let query = format!(
        "service={service}&scope=repository:auth-oauth2/a:pull&scope=repository:auth-oauth2/b:pull,push"
    );
    let got = expect(token(&arena.target, &realm, &query)?, &[200])?;
    let both = got.json()["token"].as_str().unwrap_or_default().to_owned();
    let mount = format!("/v2/auth-oauth2/b/blobs/uploads/?mount={}&from=auth-oauth2/a", sha256(&image.layer));
    expect(with_token(&arena.target, &both, Request::new("POST", mount))?, &[201])?;

    let (name, password) = arena.target.credentials.clone().unwrap_or_default();
    let form = format!(
        "grant_type=password&service={service}&client_id=test&access_type=offline&username={name}&password={}&scope={}",
        password.replace('+', "%2B").replace('&', "%26").replace('%', "%25"),
        "repository:auth-oauth2/a:pull"
    );
    let post = |form: &str| {
        let request = Request::new("POST", path_of(&realm))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(Body::Bytes(form.as_bytes()));
        arena.target.anonymous().send(&request)
    };
    let got = expect(post(&form)?, &[200])?.json();
    let access = got["access_token"].as_str().unwrap_or_default().to_owned();
    let refresh = got["refresh_token"].as_str().unwrap_or_default().to_owned();
    assert!(!access.is_empty() && !refresh.is_empty(), "{got}");
    expect(
        with_token(&arena.target, &access, Request::new("GET", "/v2/auth-oauth2/a/manifests/v1"))?,
        &[200],
    )?;
    let form = format!(
        "grant_type=refresh_token&service={service}&client_id=test&refresh_token={refresh}&scope=repository:auth-oauth2/a:pull"
    );
    let got = expect(post(&form)?, &[200])?.json();
    assert!(got["access_token"].as_str().is_some_and(|t| !t.is_empty()), "{got}");
    Ok(())
}

#[test]
fn odd_scopes_are_an_intersection_or_400_and_never_5xx() -> Outcome {
    let Some(arena) = own("auth-odd")? else { return Ok(()) };
    let (realm, service, _) = challenge(&arena.target.anonymous().fetch("/v2/")?);
    let many = (0..200).map(|n| format!("scope=repository:p{n}/x:pull")).collect::<Vec<_>>().join("&");
    for query in [
        "scope=repository:a/x:pull,push,*,delete".to_owned(),
        "scope=repository:../b/x:pull".to_owned(),
        "scope=repository(plugin):a/x:pull".to_owned(),
        "scope=registry:catalog:*".to_owned(),
        "scope=".to_owned(),
        "scope=repository:a/x:pull&scope=repository:a/x:pull".to_owned(),
        "scope=repository:h:5000/x:pull".to_owned(),
        "scope=%00%ff".to_owned(),
        format!("scope={}", "a".repeat(10_000)),
        many,
    ] {
        let answer = token(&arena.target, &realm, &format!("service={service}&{query}"))?;
        assert!(answer.status < 500, "{}: {}", &query[..query.len().min(60)], answer.status);
    }
    Ok(())
}

#[test]
fn who_may_not_read_gets_the_answer_of_a_name_that_does_not_exist() -> Outcome {
    let Some(arena) = own("auth-hide")? else { return Ok(()) };
    let alice = user(&arena, "alice-hide")?;
    let bob = user(&arena, "bob-hide")?;
    project(&arena, &alice, "auth-hide-a", false)?;
    let image = Image::new(93, 100);
    image.push(&alice, "auth-hide-a/x", "v1")?;
    let layer = sha256(&image.layer);
    for rest in [
        "/manifests/v1".to_owned(),
        "/tags/list".to_owned(),
        format!("/blobs/{layer}"),
        format!("/referrers/{layer}"),
    ] {
        for method in ["GET", "HEAD"] {
            let ask = |repo: &str| bob.send(&Request::new(method, format!("/v2/{repo}{rest}")));
            let (there, absent) = (ask("auth-hide-a/x")?, ask("auth-hide-b/x")?);
            assert_eq!(there.status, 404, "{method} {rest}: {}", there.text());
            let same = |r: &Response, name: &str| {
                let (status, body, headers) = essence(r);
                (status, body.replace(name, "NAME"), headers)
            };
            assert_eq!(same(&there, "auth-hide-a/x"), same(&absent, "auth-hide-b/x"), "{method} {rest}");
        }
        let anonymous = |repo: &str| arena.target.anonymous().fetch(format!("/v2/{repo}{rest}"));
        let (there, absent) = (anonymous("auth-hide-a/x")?, anonymous("auth-hide-b/x")?);
        assert_eq!((there.status, absent.status), (401, 401), "{rest}");
        assert_eq!(there.text(), absent.text());
    }
    let mount = format!("/v2/auth-hide-bob/y/blobs/uploads/?mount={layer}");
    for query in ["", "&from=auth-hide-a/x"] {
        let answer = bob.send(&Request::new("POST", format!("{mount}{query}")))?;
        assert_ne!(answer.status, 201, "a mount of what bob may not read");
    }
    let catalogue = expect(bob.fetch("/v2/_catalog")?, &[200])?;
    assert!(!catalogue.text().contains("auth-hide-a"), "{}", catalogue.text());
    Ok(())
}

#[test]
fn who_may_read_but_not_write_is_denied_with_a_reason() -> Outcome {
    let Some(arena) = own("auth-deny")? else { return Ok(()) };
    let alice = user(&arena, "alice-deny")?;
    let bob = user(&arena, "bob-deny")?;
    project(&arena, &alice, "auth-deny-public", true)?;
    let image = Image::new(94, 100);
    let digest = image.push(&alice, "auth-deny-public/x", "v1")?;
    expect(bob.fetch("/v2/auth-deny-public/x/manifests/v1")?, &[200])?;
    expect(arena.target.anonymous().fetch("/v2/auth-deny-public/x/manifests/v1")?, &[200])?;
    for (method, rest) in [
        ("POST", "/blobs/uploads/".to_owned()),
        ("DELETE", format!("/manifests/{digest}")),
        ("DELETE", "/manifests/v1".to_owned()),
    ] {
        let answer = bob.send(&Request::new(method, format!("/v2/auth-deny-public/x{rest}")))?;
        refused(answer, &[403], "DENIED")?;
    }
    let put = bob.put_manifest("auth-deny-public/x", "v2", OCI_MANIFEST, &image.manifest)?;
    refused(put, &[403], "DENIED")?;
    expect(alice.fetch("/v2/auth-deny-public/x/manifests/v1")?, &[200])?;
    Ok(())
}

#[test]
fn a_public_project_is_pulled_with_an_anonymous_token() -> Outcome {
    let Some(arena) = own("auth-anonymous")? else { return Ok(()) };
    project(&arena, &arena.target, "auth-anonymous-public", true)?;
    let image = Image::new(95, 100);
    image.push(&arena.target, "auth-anonymous-public/x", "v1")?;
    let (realm, service, _) = challenge(&arena.target.anonymous().fetch("/v2/")?);
    let query = format!("service={service}&scope=repository:auth-anonymous-public/x:pull,push");
    let got = expect(token(&arena.target.anonymous(), &realm, &query)?, &[200])?;
    let text = got.json()["token"].as_str().unwrap_or_default().to_owned();
    let pull = Request::new("GET", "/v2/auth-anonymous-public/x/manifests/v1");
    expect(with_token(&arena.target, &text, pull)?, &[200])?;
    let push = Request::new("POST", "/v2/auth-anonymous-public/x/blobs/uploads/");
    expect(with_token(&arena.target, &text, push)?, &[401, 403])?;
    Ok(())
}
