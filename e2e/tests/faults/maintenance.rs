//! Maintenance from the host: it works on the registry that is there, on its own storage, or says what to do.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use e2e::bonded::{Options, Server, binary};
use e2e::http::Request;
use e2e::image::Image;
use e2e::process::{self, Output};
use e2e::wait;
use serde_json::Value;

use crate::Outcome;

/// At most, on a busy machine.
const LIMIT: Duration = Duration::from_mins(2);

fn run(arguments: &[&str], data: &Path) -> anyhow::Result<Output> {
    let mut command = Command::new(binary()?);
    command.args(arguments).arg("--data-dir").arg(data);
    process::run_within(&mut command, LIMIT)
}

#[test]
fn a_wrong_storage_path_is_refused_and_damages_nothing() -> Outcome {
    let mut server = Server::start()?;
    let images: Vec<Image> = (0..5).map(|n| Image::new(500 + n, 10_000)).collect();
    for (n, image) in images.iter().enumerate() {
        image.push(server.target(), "kept/app", &format!("t{n}"))?;
    }
    assert!(server.stop(Duration::from_secs(30))?);
    let empty = server.scratch().join("empty");
    std::fs::create_dir(&empty)?;
    let wrong = [("BONDED_STORAGE__FS__PATH", empty.to_str().unwrap_or_default())];
    for work in [&["serve", "--listen", "127.0.0.1:0"][..], &["fsck", "--repair"], &["gc"]] {
        let refused = server.maintain(work, &wrong)?;
        assert!(!refused.status.success(), "{work:?}: {}", refused.stdout);
        assert!(refused.stderr.contains("storage settings and mounts"), "{work:?}: {}", refused.stderr);
    }
    let clean = server.maintain(&["fsck", "--read", "--orphan-age", "0s"], &[])?;
    assert!(clean.status.success(), "{}{}", clean.stdout, clean.stderr);
    server.restart()?;
    for image in &images {
        let layer = e2e::registry::sha256(&image.layer);
        let got = server.target().fetch(format!("/v2/kept/app/blobs/{layer}"))?;
        assert!(got.status == 200 && got.body == image.layer, "{}", got.status);
    }
    Ok(())
}

#[test]
fn a_mistyped_directory_is_refused_and_not_made() -> Outcome {
    let scratch = tempfile::tempdir()?;
    let typo = scratch.path().join("typo");
    for work in [&["fsck"][..], &["gc"], &["audit", "verify"], &["admin", "reset-password"], &["rebuild"]] {
        let refused = run(work, &typo)?;
        assert!(!refused.status.success(), "{work:?}: {}", refused.stdout);
        assert!(
            refused.stderr.contains("typo") && refused.stderr.contains("--data-dir"),
            "{}",
            refused.stderr
        );
        assert!(!typo.exists(), "{work:?} made it");
    }
    // Blobs without a checkpoint: nothing to rebuild from, and the next try finds it as it was.
    std::fs::create_dir_all(typo.join("blobs"))?;
    for (flag, why) in [("--partial", "master key"), ("--without-secrets", "no checkpoint")] {
        let refused = run(&["rebuild", flag], &typo)?;
        assert!(!refused.status.success() && refused.stderr.contains(why), "{}", refused.stderr);
        let left: Vec<_> = std::fs::read_dir(&typo)?.flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["blobs"], "{flag}");
    }
    Ok(())
}

#[test]
fn a_command_beside_a_running_server_says_what_to_do() -> Outcome {
    let server = Server::start()?;
    let refused = server.maintain(&["gc", "--dry-run"], &[])?;
    assert!(!refused.status.success());
    assert!(refused.stderr.contains("POST /api/v1/system/collections"), "{}", refused.stderr);
    Ok(())
}

#[test]
fn a_password_that_was_reset_opens_the_registry_and_the_former_one_and_its_tokens_do_not() -> Outcome {
    let mut server = Server::start()?;
    let (name, former) = server.target().credentials.clone().context("an administrator")?;
    let form = format!(
        "grant_type=password&service=bonded&client_id=test&access_type=offline&username={name}&password={former}&scope="
    );
    let token = Request::new("POST", "/service/token")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(e2e::http::Body::Bytes(form.as_bytes()));
    let token = server.target().anonymous().send(&token)?.json();
    let access = token["access_token"].as_str().context("a token")?.to_owned();
    let status = |server: &Server, password: &str| -> anyhow::Result<u16> {
        Ok(server.target().as_user("admin", password).fetch("/v2/")?.status)
    };
    let with_token = |server: &Server| -> anyhow::Result<u16> {
        let ask = Request::new("GET", "/v2/").header("Authorization", format!("Bearer {access}"));
        Ok(server.target().anonymous().send(&ask)?.status)
    };
    assert_eq!((status(&server, &former)?, with_token(&server)?), (200, 200));

    assert!(server.stop(LIMIT)?);
    let done = server.maintain(&["admin", "reset-password"], &[])?;
    assert!(done.status.success(), "{}", done.stderr);
    let random = done.stdout.trim().to_owned();
    assert!(random.len() >= 20 && !random.contains(char::is_whitespace), "it prints nothing else: {random}");
    assert!(!done.stderr.contains(&random), "{}", done.stderr);
    server.restart()?;
    assert_eq!((status(&server, &random)?, status(&server, &former)?, with_token(&server)?), (200, 401, 401));

    assert!(server.stop(LIMIT)?);
    // One that is refused, a user that is not there, and one that is stated.
    let variable = "BONDED_ADMIN_PASSWORD";
    for (user, stated) in [("admin", "x"), ("nobody", "Another-Horse-9")] {
        let refused = server.maintain(&["admin", "reset-password", user], &[(variable, stated)])?;
        assert!(!refused.status.success(), "{user} {stated}: {}", refused.stdout);
    }
    let done = server.maintain(&["admin", "reset-password", "admin"], &[(variable, "Another-Horse-9")])?;
    assert!(done.status.success(), "{}", done.stderr);
    server.restart()?;
    assert_eq!((status(&server, "Another-Horse-9")?, status(&server, &random)?), (200, 401));
    Ok(())
}

#[test]
fn a_log_of_json_is_one_object_a_line_from_the_first_start_to_the_end() -> Outcome {
    let environment = [("BONDED_LOG__FORMAT", "json"), ("BONDED_LOG__LEVEL", "debug")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let mut server = Server::start_with(Options { environment, ..Options::default() })?;
    let password = server.target().credentials.clone().context("an administrator")?.1;
    let image = Image::new(9, 10_000);
    image.push(server.target(), "logged/app", "v1")?;
    // What a client says stands within a string, whatever it is.
    let odd = Request::new("GET", "/v2/logged/app/manifests/%22%0a%7b?token=secret-in-a-query")
        .header("User-Agent", "quote\" brace} back\\slash")
        .header("X-Request-Id", "0123456789abcdef");
    server.target().send(&odd)?;
    let log = server.scratch().join("log");
    let text = wait::until(LIMIT, "the line of the last request", || {
        let text = std::fs::read_to_string(&log).ok()?;
        text.contains("back").then_some(text)
    })?;
    assert!(!text.contains(&password) && !text.contains("secret-in-a-query"), "a secret is in the log");
    assert!(server.stop(LIMIT)?);
    let text = std::fs::read_to_string(&log)?;
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}")))
        .collect::<Result<_, _>>()?;
    for line in &lines {
        for name in ["timestamp", "level", "target", "message"] {
            assert!(line[name].as_str().is_some_and(|text| !text.is_empty()), "{name} of {line}");
        }
    }
    let requests: Vec<&Value> = lines.iter().filter(|line| line["target"] == "access").collect();
    for line in &requests {
        let texts = ["method", "path", "client", "request_id"];
        assert!(texts.iter().all(|name| line[name].as_str().is_some_and(|text| !text.is_empty())), "{line}");
        assert!(["status", "bytes", "micros"].iter().all(|name| line[name].is_u64()), "{line}");
        assert!(line["complete"].is_boolean(), "{line}");
    }
    let put = requests.iter().find(|line| line["path"] == "/v2/logged/app/manifests/v1");
    let put = put.context("the push of the manifest is not in the log")?;
    assert_eq!((&put["method"], &put["status"]), (&"PUT".into(), &201.into()), "{put}");
    let odd = requests.last().context("no request")?;
    assert_eq!(odd["user_agent"], "quote\" brace} back\\slash", "{odd}");
    assert!(lines.iter().any(|line| line["message"].as_str().is_some_and(|m| m.contains("first start"))));
    Ok(())
}
