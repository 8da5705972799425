//! cosign on what Bonded signed, and Bonded on what cosign signed.

use std::sync::Arc;
use std::time::Duration;

use e2e::bonded::{Options, Server};
use e2e::http::Request;
use e2e::{require, wait};
use serde_json::{Value, json};

use crate::{Desk, Outcome, push_package, text};

const REPO: &str = "library/attested";
/// From a push, or an attestation, to a verdict that knows it.
const JUDGED: Duration = Duration::from_mins(1);

fn scan(server: &Server, digest: &str, part: &str) -> anyhow::Result<Value> {
    let path = format!("/api/v1/projects/library/repositories/attested/artifacts/{digest}/scan{part}");
    Ok(server.target().send(&Request::new("GET", path))?.json())
}

#[test]
fn attestations_are_verified_by_cosign_and_those_of_cosign_are_read() -> Outcome {
    require!("cosign", "openssl");
    let home = tempfile::Builder::new().prefix("bonded-home-").tempdir()?;
    let key = home.path().join("key.pem");
    let environment = [
        ("BONDED_SCAN__ON_PUSH", "true"),
        ("BONDED_SCAN__SBOM", "spdx-json,cyclonedx-json"),
        ("BONDED_SCAN__ATTEST_KEY_FILE", text(&key)),
    ];
    let curve = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "key.pem"];
    let made = e2e::process::succeed(
        std::process::Command::new("openssl").current_dir(home.path()).args(curve),
        crate::LIMIT,
    );
    made?;
    let environment = environment.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let server = Arc::new(Server::start_with(Options { environment, ..Options::default() })?);
    let desk = Desk { server: Arc::clone(&server), home };
    desk.run("openssl", &["pkey", "-in", "key.pem", "-pubout", "-out", "key.pub"])?;
    desk.run("cosign", &["generate-key-pair", "--output-key-prefix", "other"])?;
    let digest = push_package(&server, REPO, "v1", "1.2.0")?;
    let image = format!("{}/{REPO}@{digest}", desk.host());
    wait::until(JUDGED, "the bills of materials are attached", || {
        let list = Request::new("GET", format!("/v2/{REPO}/referrers/{digest}"));
        let listed = server.target().send(&list).ok()?.json();
        (listed["manifests"].as_array()?.len() == 4).then_some(())
    })?;

    let access = [
        "--registry-username",
        desk.user(),
        "--registry-password",
        desk.password(),
        "--allow-insecure-registry",
    ];
    let verify = |key: &str, kind: &str| {
        let asked = ["verify-attestation", "--key", key, "--type", kind, "--insecure-ignore-tlog", &image];
        desk.attempt("cosign", &[&asked[..], &access].concat())
    };
    for kind in ["spdxjson", "cyclonedx"] {
        let (verified, said) = verify("key.pub", kind)?;
        assert!(
            verified && said.contains("signatures were verified against the specified public key"),
            "{said}"
        );
        let (verified, said) = verify("other.pub", kind)?;
        assert!(!verified, "another key does not verify it: {said}");
    }

    let finding = json!({
        "VulnerabilityID": "CVE-2099-0001", "PkgName": "left-pad", "InstalledVersion": "1.2.0", "Severity": "CRITICAL",
    });
    let result = json!({
        "SchemaVersion": 2, "ArtifactName": "attested", "ArtifactType": "container_image",
        "Metadata": { "RepoDigests": [image] },
        "Results": [{ "Target": "app", "Class": "lang-pkgs", "Type": "node-pkg", "Vulnerabilities": [finding] }],
    });
    let predicate = json!({
        "invocation": { "parameters": null, "uri": "", "event_id": "", "builder.id": "" },
        "scanner": {
            "uri": "pkg:github/aquasecurity/trivy@0.74.0", "version": "0.74.0", "db": {}, "result": result,
        },
        "metadata": { "scanStartedOn": "2026-12-01T00:00:00Z", "scanFinishedOn": "2026-12-01T00:00:01Z" },
    });
    std::fs::write(desk.path("scan.json"), predicate.to_string())?;
    let attest = ["attest", "-y", "--key", "other.key", "--type", "vuln", "--predicate", "scan.json"];
    let local = ["--tlog-upload=false", "--use-signing-config=false", &image];
    desk.run("cosign", &[&attest[..], &local, &access].concat())?;
    wait::until(JUDGED, "what cosign attested is counted", || {
        let verdict = scan(&server, &digest, "").ok()?;
        (verdict["images"][0]["verdict"]["vulnerabilities"]["critical"] == 1).then_some(())
    })?;
    let findings = scan(&server, &digest, "/findings")?;
    assert_eq!(findings["findings"][0]["id"], "CVE-2099-0001", "{findings}");
    assert_eq!(findings["findings"][0]["said"][0]["by"], "attached:Trivy", "{findings}");
    Ok(())
}
