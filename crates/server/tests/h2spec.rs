//! The HTTP/2 conformance suite (h2spec, strict) against this server, in clear text and over TLS.
//!
//! The page that it asks for has a body, and reads the request's: some cases need either.
#![expect(clippy::print_stdout, reason = "a test says what it skips, and its figures")]

#[expect(dead_code, reason = "each test file uses its part of the harness")]
mod common;

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::any;
use server::config::{Config, Flag, Sources};
use server::http::tls::Tls;
use server::http::{Limits, Listener};

use common::{limits, start, tool};

/// Seconds that a case may take; a whole run takes less than one.
const CASE_SECONDS: &str = "20";

async fn run(how: &str, arguments: &[&str], dress: impl FnOnce(Listener) -> Listener) {
    let Some(program) = tool("h2spec") else {
        println!("skipped: h2spec is not installed ({how})");
        return;
    };
    let page = |body: Bytes| async move { format!("{} bytes", body.len()) };
    let app = Router::new().route("/", any(page));
    let patient = Limits {
        header: Duration::from_mins(1),
        idle: Duration::from_mins(2),
        progress_window: Duration::from_mins(1),
        tls_handshake: Duration::from_mins(1),
        header_bytes: 16 * 1024,
        ..limits()
    };
    let server = start(app, patient, dress).await;
    let port = server.addr.port().to_string();
    let output = tokio::process::Command::new(program)
        .args(["-h", "127.0.0.1", "-p", &port, "--strict", "-o", CASE_SECONDS])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("h2spec runs");
    let report = String::from_utf8_lossy(&output.stdout);
    let sum = report.lines().last().unwrap_or_default();
    assert!(
        output.status.success() && sum.ends_with("0 skipped, 0 failed") && !sum.starts_with("0 "),
        "{how}: {}",
        report.split_once("Failures:").map_or(&*report, |(_, failures)| failures)
    );
    println!("figure: h2spec --strict, {how}: {sum}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes_in_clear_text() {
    run("in clear text", &[], |listener| listener.with_http2(true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes_over_tls() {
    let dir = tempfile::tempdir().expect("dir");
    let flags = [
        ("server.data_dir", dir.path().display().to_string()),
        ("server.http2", "true".to_owned()),
        ("tls.mode", "self-signed".to_owned()),
    ];
    let flags = flags.map(|(key, value)| Flag { name: "test", key, value }).into();
    let config = Config::load(&Sources { flags, ..Sources::default() }).expect("a configuration");
    let tls = Tls::from_config(&config).expect("a certificate").expect("TLS is on");
    run("over TLS", &["-t", "-k"], |listener| listener.with_tls(Arc::clone(&tls.server))).await;
}
