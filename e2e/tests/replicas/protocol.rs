//! The protocol table through the proxy: no client can tell three replicas from one. One claim is left out: it is about
//! several requests on one connection, and the proxy ends a connection after each.

use std::process::Command;
use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::{environment, process, tools};

use crate::Outcome;

#[test]
fn the_protocol_table_holds_through_three_replicas() -> Outcome {
    let Some(cluster) = Cluster::start()? else { return Ok(()) };
    let target = cluster.target();
    let (user, password) = target.credentials.clone().unwrap_or_default();
    let mut table = Command::new("cargo");
    table
        .args(["test", "--quiet", "--workspace", "--test", "protocol", "--no-fail-fast"])
        .args(["--", "--skip", "pipelined_requests"])
        .env("BONDED_E2E_TARGET", format!("{},{user},{password},bonded", target.addr))
        .current_dir(environment::workspace_root());
    let output = process::run_within(&mut table, Duration::from_mins(10))?;
    let sum = output.stdout.lines().rfind(|line| line.starts_with("test result:")).unwrap_or_default();
    tools::figure(&format!("protocol table through three replicas on {}: {sum}", cluster.stores.s3.kind()));
    assert!(output.status.success(), "{}\n{}", output.stdout, output.stderr);
    Ok(())
}
