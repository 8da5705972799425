//! Who may do what is one truth: given, taken and signed on one replica, it holds on all.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use e2e::bonded::Server;
use e2e::cluster::{Cluster, Plan, Stores};
use e2e::http::{Body, Request, Response};
use e2e::image::Image;
use e2e::registry::OCI_MANIFEST;
use e2e::{Target, tools, wait};
use serde_json::{Value, json};

use crate::Outcome;

/// What is promised is 5 s; a busy machine gets more before the test calls it a failure.
const LIMIT: Duration = Duration::from_secs(30);

fn send_json(target: &Target, method: &str, path: &str, body: &Value) -> anyhow::Result<Response> {
    let body = body.to_string();
    let request = Request::new(method, path).header("Content-Type", "application/json");
    let answer = target.send(&request.body(Body::Bytes(body.as_bytes())))?;
    anyhow::ensure!(
        matches!(answer.status, 200..=204),
        "{method} {path}: {} {}",
        answer.status,
        answer.text()
    );
    Ok(answer)
}

const OLD: &str = "Correct-Horse-7";

/// A user made on one replica; its id.
fn user(admin: &Target, name: &str) -> anyhow::Result<i64> {
    let made = send_json(admin, "POST", "/api/v1/users", &json!({ "name": name, "password": OLD }))?;
    made.json()["id"].as_i64().context("an id")
}

/// Seconds until `path` is answered so on this replica for this user.
fn until_answered(target: &Target, path: &str, statuses: &[u16]) -> anyhow::Result<f64> {
    let start = Instant::now();
    wait::until(LIMIT, &format!("{statuses:?} for {path}"), || {
        target.fetch(path).ok().filter(|answer| statuses.contains(&answer.status))
    })?;
    Ok(start.elapsed().as_secs_f64())
}

#[test]
fn a_right_given_on_one_replica_holds_on_all_and_taken_is_gone_within_seconds() -> Outcome {
    let Some(cluster) = Cluster::start()? else { return Ok(()) };
    let (one, two, three) = (cluster.replica(0), cluster.replica(1), cluster.replica(2));
    send_json(&one, "POST", "/api/v1/projects", &json!({ "name": "team" }))?;
    user(&two, "alice")?;
    let image = Image::new(1, 1_000);
    image.push(&three, "team/app", "v1")?;
    let path = "/v2/team/app/manifests/v1";
    let on = |target: &Target| target.as_user("alice", OLD);
    for replica in [&one, &two, &three] {
        assert_eq!(on(replica).fetch(path)?.status, 404, "no right yet");
    }
    let add = json!({ "user": "alice", "role": "guest" });
    let member = send_json(&one, "POST", "/api/v1/projects/team/members", &add)?.json()["id"].clone();
    // What was given is never missed: a negative answer looks again first.
    for replica in [&two, &three, &one] {
        assert_eq!(on(replica).fetch(path)?.status, 200, "the right was given before");
        let push = on(replica).put_manifest("team/app", "v2", OCI_MANIFEST, &image.manifest)?;
        assert_eq!(push.status, 403, "a guest does not push");
    }
    let member = format!("/api/v1/projects/team/members/{member}");
    send_json(&two, "PATCH", &member, &json!({ "role": "developer" }))?;
    for replica in [&three, &one, &two] {
        let push = on(replica).put_manifest("team/app", "v2", OCI_MANIFEST, &image.manifest)?;
        assert_eq!(push.status, 201, "a developer pushes");
    }
    assert_eq!(three.send(&Request::new("DELETE", member))?.status, 204);
    let (first, second) =
        (until_answered(&on(&one), path, &[404])?, until_answered(&on(&two), path, &[404])?);
    assert_eq!(on(&three).fetch(path)?.status, 404, "the replica that took it away");
    tools::figure(&format!(
        "a right taken on one replica was gone on the others after {first:.1} and {second:.1} s"
    ));
    Ok(())
}

/// A token from one replica's token service.
fn token(target: &Target, query: &str) -> anyhow::Result<Value> {
    let answer = target.fetch(format!("/service/token?service=bonded&{query}"))?;
    anyhow::ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    Ok(answer.json())
}

fn with_token(target: &Target, token: &Value, path: &str) -> anyhow::Result<Response> {
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap_or_default());
    target.anonymous().send(&Request::new("GET", path).header("Authorization", bearer))
}

#[test]
fn a_token_of_one_replica_opens_all_and_a_lost_account_closes_all() -> Outcome {
    let Some(cluster) = Cluster::start()? else { return Ok(()) };
    let (one, two, three) = (cluster.replica(0), cluster.replica(1), cluster.replica(2));
    send_json(&one, "POST", "/api/v1/projects", &json!({ "name": "team" }))?;
    Image::new(1, 1_000).push(&one, "team/app", "v1")?;
    let (alice, bob) = (user(&one, "alice")?, user(&one, "bob")?);
    for name in ["alice", "bob"] {
        send_json(&one, "POST", "/api/v1/projects/team/members", &json!({ "user": name, "role": "guest" }))?;
    }
    let path = "/v2/team/app/manifests/v1";
    let scope = "scope=repository:team/app:pull&offline_token=true";
    let of_alice = token(&one.as_user("alice", OLD), scope)?;
    let of_bob = token(&two.as_user("bob", OLD), scope)?;
    for replica in [&one, &two, &three] {
        for token in [&of_alice, &of_bob] {
            let answer = with_token(replica, token, path)?;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
    // A refresh token is a row: any replica takes it.
    let refresh = of_alice["refresh_token"].as_str().context("a refresh token")?.to_owned();
    let form = format!(
        "grant_type=refresh_token&service=bonded&client_id=test&refresh_token={refresh}&scope=repository:team/app:pull"
    );
    let again = |target: &Target| {
        let post = Request::new("POST", "/service/token")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(Body::Bytes(form.as_bytes()));
        target.anonymous().send(&post)
    };
    let renewed = again(&three)?;
    assert_eq!(renewed.status, 200, "{}", renewed.text());
    assert_eq!(with_token(&two, &renewed.json(), path)?.status, 200);
    // Disabled on one, and a password changed on another: nothing made before works anywhere.
    send_json(&two, "PATCH", &format!("/api/v1/users/{alice}"), &json!({ "disabled": true }))?;
    send_json(&three, "PUT", &format!("/api/v1/users/{bob}/password"), &json!({ "new": "Another-Horse-8" }))?;
    let mut slowest = 0.0_f64;
    for replica in [&one, &two, &three] {
        let start = Instant::now();
        for token in [&of_alice, &of_bob] {
            wait::until(LIMIT, "401 for a token of a changed account", || {
                with_token(replica, token, path).ok().filter(|answer| answer.status == 401)
            })?;
        }
        until_answered(&replica.as_user("bob", OLD), path, &[401])?;
        until_answered(&replica.as_user("alice", OLD), path, &[401])?;
        slowest = slowest.max(start.elapsed().as_secs_f64());
        assert_ne!(again(replica)?.status, 200, "the refresh token of a disabled account");
        assert_eq!(replica.as_user("bob", "Another-Horse-8").fetch(path)?.status, 200);
    }
    tools::figure(&format!(
        "tokens and passwords of changed accounts were refused everywhere after {slowest:.1} s"
    ));
    Ok(())
}

#[test]
fn what_one_replica_made_the_others_show_at_once() -> Outcome {
    let Some(cluster) = Cluster::start()? else { return Ok(()) };
    for round in 0..5 {
        let (name, project) = (format!("user{round}"), format!("project{round}"));
        let id = user(&cluster.replica(round), &name)?;
        let made = cluster.replica(round + 1).fetch(format!("/api/v1/users/{id}"))?;
        assert_eq!(made.status, 200, "the user made on another replica: {}", made.text());
        send_json(&cluster.replica(round), "POST", "/api/v1/projects", &json!({ "name": project }))?;
        let made = cluster.replica(round + 1).fetch(format!("/api/v1/projects/{project}"))?;
        assert_eq!(made.status, 200, "the project made on another replica: {}", made.text());
        let add = json!({ "user": name, "role": "guest" });
        send_json(&cluster.replica(round + 2), "POST", &format!("/api/v1/projects/{project}/members"), &add)?;
    }
    Ok(())
}

#[test]
fn a_first_start_of_three_at_once_announces_the_one_password_that_works() -> Outcome {
    let Some(stores) = Stores::start()? else { return Ok(()) };
    let plan = Plan { unstated_password: true, ..Plan::default() };
    let cluster = Cluster::on(stores, 3, &plan)?;
    let announced: Vec<&Target> =
        cluster.servers.iter().map(Server::target).filter(|t| t.credentials.is_some()).collect();
    assert_eq!(announced.len(), 1, "one replica makes the password and says so");
    for server in &cluster.servers {
        let (user, password) = announced[0].credentials.clone().unwrap_or_default();
        let answer = server.target().as_user(&user, &password).fetch("/v2/")?;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    Ok(())
}
