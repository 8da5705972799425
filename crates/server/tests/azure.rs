//! The program on Azure Blob Storage, by its configuration: Microsoft's emulator stands for the service.

#[expect(dead_code, reason = "each test file uses its part of the harness")]
mod common;

use std::process::Stdio;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::StatusCode;
use tokio::process::{Child, Command};

use common::{free_port, tool};

/// No test waits longer, on however slow a machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// The emulator's published account and key.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const PASSWORD: &str = "a long password of the test";

async fn until_answered(url: &str) -> reqwest::Response {
    let asked = tokio::time::timeout(PATIENCE, async {
        loop {
            match reqwest::get(url).await {
                Ok(answer) if !answer.status().is_server_error() => return answer,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    asked.await.expect("an answer in time")
}

fn quietly(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.kill_on_drop(true).spawn().expect("it starts")
}

/// Makes the container, which the adapter does not do ("Authorize with Shared Key").
async fn make_container(endpoint: &str) {
    let url = format!("{endpoint}/registry?restype=container");
    // The server's own time.
    let date = until_answered(&url).await.headers()["date"].to_str().expect("text").to_owned();
    let text = format!(
        "PUT{}x-ms-date:{date}\nx-ms-version:2021-08-06\n/{ACCOUNT}/{ACCOUNT}/registry\nrestype:container",
        "\n".repeat(12)
    );
    let key = data_encoding::BASE64.decode(KEY.as_bytes()).expect("base64");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).expect("a key");
    mac.update(text.as_bytes());
    let signature = data_encoding::BASE64.encode(&mac.finalize().into_bytes());
    let put =
        reqwest::Client::new().put(&url).header("x-ms-date", &date).header("x-ms-version", "2021-08-06");
    let put = put.header("Content-Length", "0");
    let put = put.header("Authorization", format!("SharedKey {ACCOUNT}:{signature}"));
    assert_eq!(put.send().await.expect("sent").status(), StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_lies_in_the_container_and_is_pulled_from_it() {
    let Some(program) = tool("azurite-blob") else {
        println!("skipped: azurite-blob is not installed");
        return;
    };
    let dir = tempfile::tempdir().expect("dir");
    let (azure, port) = (free_port(), free_port());
    let flags = ["--blobHost", "127.0.0.1", "--skipApiVersionCheck", "--silent", "--disableTelemetry"];
    let mut emulator = Command::new(program);
    emulator.args(flags).args(["--blobPort", &azure.to_string(), "--location"]).arg(dir.path().join("azure"));
    let _emulator = quietly(&mut emulator);
    let endpoint = format!("http://127.0.0.1:{azure}/{ACCOUNT}");
    make_container(&endpoint).await;

    let url = format!("http://127.0.0.1:{port}");
    let mut bonded = Command::new(env!("CARGO_BIN_EXE_bonded"));
    bonded
        .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(dir.path().join("data"));
    for (key, value) in [
        ("BONDED_ADMIN_PASSWORD", PASSWORD),
        ("BONDED_STORAGE__BACKEND", "azure"),
        ("BONDED_STORAGE__AZURE__ACCOUNT", ACCOUNT),
        ("BONDED_STORAGE__AZURE__CONTAINER", "registry"),
        ("BONDED_STORAGE__AZURE__PREFIX", "some/folder"),
        ("BONDED_STORAGE__AZURE__ACCESS_KEY", KEY),
        ("BONDED_STORAGE__AZURE__ENDPOINT", &endpoint),
        ("BONDED_STORAGE__AZURE__ALLOW_HTTP", "true"),
        ("BONDED_STORAGE__AZURE__REDIRECT", "true"),
    ] {
        bonded.env(key, value);
    }
    let _bonded = quietly(&mut bonded);
    until_answered(&format!("{url}/readyz")).await;

    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let digest = oci::Digest::sha256(&content);
    let no_redirects = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
    let http = no_redirects.expect("a client");
    let push = http.post(format!("{url}/v2/library/x/blobs/uploads/?digest={digest}"));
    let pushed = push.basic_auth("admin", Some(PASSWORD)).body(content.clone()).send().await.expect("sent");
    assert_eq!(pushed.status(), StatusCode::CREATED);
    let pull = http.get(format!("{url}/v2/library/x/blobs/{digest}")).basic_auth("admin", Some(PASSWORD));
    let redirected = pull.send().await.expect("sent");
    assert_eq!(redirected.status(), StatusCode::TEMPORARY_REDIRECT);
    let location = redirected.headers()["location"].to_str().expect("text");
    assert!(location.starts_with(&format!("{endpoint}/registry/some/folder/blobs/")), "{location}");
    let pulled = http.get(location).send().await.expect("sent").bytes().await.expect("whole");
    assert_eq!(pulled, content);
}
