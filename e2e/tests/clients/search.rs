//! `bonded search` against the real server: what was pushed and scanned is found, in every form and with its exit code.

use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use e2e::bonded::{self, Options, Server};
use e2e::process::{self, Output};
use e2e::wait;
use serde_json::{Value, json};

use crate::{LIMIT, Outcome, push_package};

/// From a push to an answer that has it: scanned, and taken into the index.
const INDEXED: Duration = Duration::from_mins(2);

fn search(server: &Server, args: &[&str]) -> anyhow::Result<Output> {
    let (user, password) = server.target().credentials.as_ref().context("an administrator")?;
    let file = server.scratch().join("auth.json");
    let entry = json!({ "username": user, "password": password });
    std::fs::write(&file, json!({ "auths": { (server.host()): entry } }).to_string())?;
    let mut command = Command::new(bonded::binary()?);
    command.arg("search").args(args).arg("--server").arg(server.host()).arg("--auth-file").arg(file);
    process::run_within(&mut command, LIMIT)
}

#[test]
fn images_are_found_from_the_command_line() -> Outcome {
    let environment = vec![("BONDED_SCAN__ON_PUSH".to_owned(), "true".to_owned())];
    let server = Server::start_with(Options { environment, ..Options::default() })?;
    let body = json!({ "name": "team", "visibility": "private" }).to_string();
    let create = e2e::http::Request::new("POST", "/api/v1/projects")
        .header("Content-Type", "application/json")
        .body(e2e::http::Body::Bytes(body.as_bytes()));
    let made = server.target().send(&create)?;
    anyhow::ensure!(made.status == 201, "{} {}", made.status, made.text());
    let old = push_package(&server, "team/app", "v1", "1.2.0")?;
    push_package(&server, "team/app", "v2", "1.3.0")?;
    wait::until(INDEXED, "the index has both images", || {
        let found = search(&server, &["left-pad", "--format", "json"]).ok()?;
        let answer: Value = serde_json::from_str(&found.stdout).ok()?;
        (answer["total"] == 2).then_some(())
    })?;

    let found = search(&server, &["left-pad < 1.3.0"])?;
    assert_eq!(found.status.code(), Some(0), "{}", found.stderr);
    let short = &old[..19];
    assert!(found.stdout.contains(&format!("team/app:v1  {short}  left-pad 1.2.0")), "{}", found.stdout);
    assert!(found.stdout.ends_with("1 image\n"), "{}", found.stdout);
    let csv = search(&server, &["left-pad < 1.3.0", "--format", "csv", "--fail-if-found"])?;
    assert_eq!((csv.status.code(), csv.stdout.lines().count()), (Some(1), 2), "{}", csv.stdout);
    assert!(csv.stdout.contains(&format!("team/app,v1,{old},left-pad,1.2.0")), "{}", csv.stdout);
    let none = search(&server, &["right-pad", "--fail-if-found"])?;
    assert_eq!((none.status.code(), none.stdout.as_str()), (Some(0), "0 images\n"));
    let some = search(&server, &["left-pad", "--limit", "1"])?;
    assert_eq!(some.status.code(), Some(3), "{}", some.stderr);
    let wrong = search(&server, &["< 1.0"])?;
    assert_eq!(wrong.status.code(), Some(2));
    assert!(wrong.stderr.contains("not a question"), "{}", wrong.stderr);
    Ok(())
}
