//! The official conformance suite, with everything switched on: on one server with files, and through the proxy on
//! three replicas. It runs where its program `conformance` is installed (docs/conformance.md says how).

use std::process::Command;
use std::time::Duration;

use e2e::bonded::{Options, Server};
use e2e::cluster::{Cluster, Plan, Stores};
use e2e::{Target, process, require, tools};

use crate::Outcome;

/// Everything that the suite can ask for.
const ON: &[(&str, &str)] = &[
    ("OCI_TLS", "disabled"),
    ("OCI_VERSION", "dev"),
    ("OCI_REPO1", "library/conformance-a"),
    ("OCI_REPO2", "library/conformance-b"),
    ("OCI_API_BLOBS_DIGEST_HEADER", "true"),
    ("OCI_API_BLOBS_UPLOAD_CANCEL", "true"),
    ("OCI_API_BLOBS_MOUNT_ANONYMOUS", "true"),
    ("OCI_API_MANIFESTS_DIGEST_HEADER", "true"),
    ("OCI_API_MANIFESTS_TAG_PARAM", "true"),
];

/// Sparse images are a setting of the server and of the suite.
const SPARSE: (&str, &str) = ("BONDED_PUSH__REQUIRE_BLOBS", "false");

#[test]
fn one_server_conforms() -> Outcome {
    require!("conformance");
    conforms(Server::start()?.target(), false, "one server")?;
    let environment = vec![(SPARSE.0.to_owned(), SPARSE.1.to_owned())];
    let sparse = Server::start_with(Options { environment, ..Options::default() })?;
    conforms(sparse.target(), true, "one server, sparse")
}

#[test]
fn three_replicas_conform() -> Outcome {
    require!("conformance");
    let Some(cluster) = Cluster::start()? else { return Ok(()) };
    conforms(&cluster.target(), false, "three replicas")?;
    drop(cluster);
    let Some(stores) = Stores::start()? else { return Ok(()) };
    let cluster = Cluster::on(stores, 3, &Plan::default().with(SPARSE.0, SPARSE.1))?;
    conforms(&cluster.target(), true, "three replicas, sparse")
}

/// Runs the suite: no test may fail, err or be skipped.
fn conforms(target: &Target, sparse: bool, name: &str) -> Outcome {
    let results = tempfile::tempdir()?;
    let (user, password) = target.credentials.clone().unwrap_or_default();
    let mut suite = Command::new(tools::find("conformance").unwrap_or_default());
    suite
        .envs(ON.iter().copied())
        .env("OCI_REGISTRY", target.addr.to_string())
        .env("OCI_USERNAME", user)
        .env("OCI_PASSWORD", password)
        .env("OCI_DATA_SPARSE", sparse.to_string())
        .env("OCI_RESULTS_DIR", results.path())
        .current_dir(results.path());
    let output = process::run_within(&mut suite, Duration::from_mins(5))?;
    let report = std::fs::read_to_string(results.path().join("junit.xml"))?;
    let head = report.lines().nth(1).unwrap_or_default();
    let number = |name: &str| -> Option<usize> {
        head.split_once(&format!(" {name}=\""))?.1.split_once('"')?.0.parse().ok()
    };
    let skipped = report.matches("<skipped").count();
    let sum = (number("failures"), number("errors"), skipped);
    let run = number("tests").unwrap_or(0);
    tools::figure(&format!("conformance, {name}: {run} run; failures, errors, skipped: {sum:?}"));
    anyhow::ensure!(
        sum == (Some(0), Some(0), 0) && run > 900,
        "{}",
        failed(&report).unwrap_or_else(|| output.stdout.clone())
    );
    Ok(())
}

/// What the report says of the first test that failed.
fn failed(report: &str) -> Option<String> {
    let (before, after) = report.split_once("<failure")?;
    let case = before.rfind("<testcase").map_or("", |at| &before[at..]);
    Some(format!("{case}<failure{}", after.chars().take(3000).collect::<String>()))
}
