//! What hangs beside an image: VEX documents that excuse findings where a project believes them, and bills of materials
//! wherever clients put them.

use data_encoding::BASE64;
use http::StatusCode;
use oci::Digest;
use registry::admin::ADMIN;
use serde_json::{Value, json};

use crate::scan::{left_pad, push, put, scanning};
use crate::test_app::TestApp;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OPENVEX: &str = "application/vnd.openvex+json";

/// A manifest of one blob, as `oras attach` and cosign make them.
async fn manifest(app: &TestApp, repo: &str, (kind, document): (&str, &[u8])) -> Value {
    let blob = app.push_blob(ADMIN, repo, document).await;
    app.push_blob(ADMIN, repo, b"{}").await;
    json!({
        "schemaVersion": 2, "mediaType": IMAGE,
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::sha256(b"{}"), "size": 2 },
        "layers": [{ "mediaType": kind, "digest": blob, "size": document.len() }],
    })
}

/// Attaches a document to an image; the digest of the manifest that holds it.
async fn attach(app: &TestApp, repo: &str, image: &Digest, (kind, document): (&str, &[u8])) -> Digest {
    let mut made = manifest(app, repo, (kind, document)).await;
    let size = app.get(&format!("/v2/{repo}/manifests/{image}")).await.header("content-length");
    made["artifactType"] = json!(kind);
    made["subject"] =
        json!({ "mediaType": IMAGE, "digest": image, "size": size.parse::<u64>().expect("a number") });
    let own = Digest::sha256(made.to_string().as_bytes()).to_string();
    put(app, repo, &own, IMAGE, &made).await
}

fn openvex(id: &str, status: &str, product: &str) -> Vec<u8> {
    let document = json!({
        "@context": "https://openvex.dev/ns/v0.2.0", "@id": id, "author": "the team",
        "timestamp": "2026-01-01T00:00:00Z", "version": 1,
        "statements": [{ "vulnerability": { "name": "CVE-2024-0001" }, "products": [{ "@id": product }],
            "status": status, "justification": "vulnerable_code_not_in_execute_path" }],
    });
    document.to_string().into_bytes()
}

async fn believe(app: &TestApp, vex: bool) {
    let ask = app.ask("PUT", "/api/v1/projects/team/scanning").by(ADMIN).json(&json!({ "vex": vex }));
    ask.send().await.expect(StatusCode::NO_CONTENT);
    app.idle().await;
}

fn path(repo: &str, digest: &Digest, rest: &str) -> String {
    format!("/api/v1/projects/team/repositories/{repo}/artifacts/{digest}/scan{rest}")
}

/// Status, high vulnerabilities that count, and findings that do not.
async fn verdict(app: &TestApp, repo: &str, digest: &Digest) -> (String, u64, u64) {
    let scan = app.get(&path(repo, digest, "")).await.expect(StatusCode::OK).json();
    let image = &scan["images"][0];
    let (status, verdict) = (image["status"].as_str().expect("a status"), &image["verdict"]);
    let high = verdict["vulnerabilities"]["high"].as_u64().expect("a number");
    (status.to_owned(), high, verdict["suppressed"].as_u64().expect("a number"))
}

fn said(status: &str, high: u64, suppressed: u64) -> (String, u64, u64) {
    (status.to_owned(), high, suppressed)
}

#[tokio::test]
async fn vex_excuses_where_a_project_believes_it_and_as_long_as_it_hangs_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    let digest = push(&app, "team/app", "v1", &[left_pad("1.2.0")]).await;
    push(&app, "team/other", "v1", &[left_pad("1.2.0")]).await;
    let vex = openvex("vex-1", "not_affected", "pkg:npm/left-pad");
    let attached = attach(&app, "team/app", &digest, (OPENVEX, &vex)).await;
    app.idle().await;
    assert_eq!(verdict(&app, "app", &digest).await, said("succeeded", 1, 0), "nobody said that it counts");

    believe(&app, true).await;
    assert_eq!(verdict(&app, "app", &digest).await, said("succeeded", 0, 1));
    assert_eq!(verdict(&app, "other", &digest).await, said("succeeded", 1, 0), "it does not hang there");
    let report = app.get(&path("app", &digest, "/report")).await.expect(StatusCode::OK).json();
    let finding = &report["vulnerabilities"]["findings"][0];
    assert_eq!(finding["id"], "CVE-2024-0001", "shown, not dropped: {report}");
    assert_eq!(finding["suppressed"][0]["kind"], "vex");
    assert_eq!(finding["suppressed"][0]["source"], "vex-1 (the team)");

    // A later document decides.
    let later = openvex("vex-2", "affected", "pkg:npm/left-pad");
    app.advance(std::time::Duration::from_secs(1)).await;
    let second = attach(&app, "team/app", &digest, (OPENVEX, &later)).await;
    app.idle().await;
    assert_eq!(verdict(&app, "app", &digest).await, said("succeeded", 1, 0));
    for (gone, left) in [(second, said("succeeded", 0, 1)), (attached, said("succeeded", 1, 0))] {
        let path = format!("/v2/team/app/manifests/{gone}");
        app.ask("DELETE", &path).by(ADMIN).send().await.expect(StatusCode::ACCEPTED);
        app.idle().await;
        assert_eq!(verdict(&app, "app", &digest).await, left);
    }
    attach(&app, "team/app", &digest, (OPENVEX, b"{")).await;
    app.idle().await;
    assert_eq!(verdict(&app, "app", &digest).await, said("incomplete", 1, 0), "unread, it excuses nothing");
    believe(&app, false).await;
    assert_eq!(verdict(&app, "app", &digest).await, said("succeeded", 1, 0));
}

#[tokio::test]
async fn vex_in_an_attestation_about_the_image_itself_counts_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    believe(&app, true).await;
    let digest = push(&app, "team/app", "v1", &[left_pad("1.2.0")]).await;
    let product = format!("pkg:oci/app@{digest}?repository_url=registry.example/team/app");
    let vex: Value = serde_json::from_slice(&openvex("vex-1", "fixed", &product)).expect("JSON");
    let statement = json!({ "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://openvex.dev/ns/v0.2.0", "subject": [], "predicate": vex });
    let envelope = json!({ "payloadType": "application/vnd.in-toto+json",
        "payload": BASE64.encode(statement.to_string().as_bytes()), "signatures": [] });
    let kind = "application/vnd.dsse.envelope.v1+json";
    let made = manifest(&app, "team/app", (kind, envelope.to_string().as_bytes())).await;
    put(&app, "team/app", &format!("sha256-{}.att", digest.hex()), IMAGE, &made).await;
    app.idle().await;
    assert_eq!(verdict(&app, "app", &digest).await, said("succeeded", 0, 1), "it came before the scan");

    // A statement about another image that was hung here says nothing of this one.
    let other = json!([{ "name": "x", "digest": { "sha256": Digest::sha256(b"another").hex() } }]);
    let statement = json!({ "predicateType": "https://openvex.dev/ns/v0.2.0", "subject": other,
        "predicate": serde_json::from_slice::<Value>(&openvex("vex-2", "fixed", "pkg:npm/left-pad")).expect("JSON") });
    let kind = "application/vnd.in-toto+json";
    let made = manifest(&app, "team/app", (kind, statement.to_string().as_bytes())).await;
    put(&app, "team/app", &format!("sha256-{}.att", digest.hex()), IMAGE, &made).await;
    app.idle().await;
    assert_eq!(verdict(&app, "app", &digest).await, said("incomplete", 1, 0));
}

/// What is judged anew one by one, instead of by the index, when advisories change.
#[tokio::test]
async fn signatures_do_not_make_an_image_one_that_others_speak_of() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    let bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let note = "dev.sigstore.bundle.predicateType";
    for (number, (kind, annotations, expected)) in [
        (bundle, json!({ note: "https://sigstore.dev/cosign/sign/v1" }), false),
        ("application/vnd.dev.cosign.artifact.sig.v1+json", json!({}), false),
        ("application/spdx+json", json!({}), false),
        (bundle, json!({ note: "https://openvex.dev/ns/v0.2.0" }), true),
        (bundle, json!({ note: "https://cosign.sigstore.dev/attestation/vuln/v1" }), true),
        (bundle, json!({}), true),
        ("application/vnd.dsse.envelope.v1+json", json!({}), true),
        ("application/vnd.OpenVEX+json", json!({}), true),
        ("application/sarif+json", json!({}), true),
    ]
    .into_iter()
    .enumerate()
    {
        let tag = format!("v{number}");
        let image = push(&app, "team/app", &tag, &[crate::scan::layer(&[("etc/motd", &tag)])]).await;
        let mut made = manifest(&app, "team/app", (kind, b"{}")).await;
        let size = app.get(&format!("/v2/team/app/manifests/{image}")).await.body.len();
        made["artifactType"] = json!(kind);
        made["annotations"] = annotations.clone();
        made["subject"] = json!({ "mediaType": IMAGE, "digest": image, "size": size });
        let own = Digest::sha256(made.to_string().as_bytes()).to_string();
        put(&app, "team/app", &own, IMAGE, &made).await;
        let spoken = app.registry.store().with_scanners([&image]).await.expect("an answer");
        assert_eq!(spoken.contains(&image), expected, "{kind} {annotations}");
    }
    app.idle().await;
}

#[tokio::test]
async fn vex_that_is_there_before_the_scan_counts_with_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    believe(&app, true).await;
    let digest = push(&app, "team/app", "v1", &[left_pad("1.2.0")]).await;
    let vex = openvex("vex-1", "not_affected", "pkg:npm/left-pad");
    attach(&app, "team/app", &digest, (OPENVEX, &vex)).await;
    app.idle().await;
    assert_eq!(verdict(&app, "app", &digest).await, said("succeeded", 0, 1));
    // New advisories do not bring the finding back.
    crate::scan::feed(dir.path(), "1.4.0", "CRITICAL");
    crate::scan::refresh(&app).await;
    assert_eq!(verdict(&app, "app", &digest).await, said("succeeded", 0, 1));
}

/// CycloneDX's list with the package that the feed speaks of.
fn bill() -> Vec<u8> {
    let document = json!({ "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": [
        { "type": "library", "name": "left-pad", "version": "1.2.0", "purl": "pkg:npm/left-pad@1.2.0" }] });
    document.to_string().into_bytes()
}

#[tokio::test]
async fn bills_of_others_are_judged_wherever_they_hang() {
    let kind = "application/vnd.cyclonedx+json";
    let statement = json!({ "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://cyclonedx.org/bom", "subject": [],
        "predicate": serde_json::from_slice::<Value>(&bill()).expect("JSON") });
    let payload = BASE64.encode(statement.to_string().as_bytes());
    let envelope =
        json!({ "payloadType": "application/vnd.in-toto+json", "payload": payload, "signatures": [] });
    for place in ["referrer", ".sbom", ".att", "BuildKit"] {
        let dir = tempfile::tempdir().expect("a directory");
        let app = scanning(dir.path()).await;
        let digest = push(&app, "team/app", "v1", &[crate::scan::layer(&[("etc/motd", "hello")])]).await;
        app.idle().await;
        let report = async || app.get(&path("app", &digest, "/report")).await.expect(StatusCode::OK).json();
        assert_eq!(report().await["vulnerabilities"]["findings"], json!([]), "{place}");
        match place {
            "referrer" => {
                attach(&app, "team/app", &digest, (kind, &bill())).await;
            }
            ".sbom" => {
                let made = manifest(&app, "team/app", (kind, &bill())).await;
                put(&app, "team/app", &format!("sha256-{}.sbom", digest.hex()), IMAGE, &made).await;
            }
            ".att" => {
                let kind = "application/vnd.dsse.envelope.v1+json";
                let made = manifest(&app, "team/app", (kind, envelope.to_string().as_bytes())).await;
                put(&app, "team/app", &format!("sha256-{}.att", digest.hex()), IMAGE, &made).await;
            }
            _ => {
                let kind = "application/vnd.in-toto+json";
                let made = manifest(&app, "team/app", (kind, statement.to_string().as_bytes())).await;
                let attestation = Digest::sha256(made.to_string().as_bytes());
                put(&app, "team/app", &attestation.to_string(), IMAGE, &made).await;
                let size =
                    app.get(&format!("/v2/team/app/manifests/{digest}")).await.header("content-length");
                let size: u64 = size.parse().expect("a number");
                let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [
                    { "mediaType": IMAGE, "digest": digest, "size": size,
                      "platform": { "os": "linux", "architecture": "amd64" } },
                    { "mediaType": IMAGE, "digest": attestation, "size": made.to_string().len(),
                      "platform": { "os": "unknown", "architecture": "unknown" },
                      "annotations": { "vnd.docker.reference.type": "attestation-manifest",
                        "vnd.docker.reference.digest": digest } }] });
                put(&app, "team/app", "multi", INDEX, &index).await;
            }
        }
        app.idle().await;
        let report = report().await;
        assert_eq!(report["vulnerabilities"]["findings"][0]["package"], "left-pad", "{place}: {report}");
    }
}

#[tokio::test]
async fn bills_and_vex_are_uploaded_replaced_and_taken_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanning(dir.path()).await;
    let digest = push(&app, "team/app", "v1", &[crate::scan::layer(&[("etc/motd", "hello")])]).await;
    app.idle().await;
    believe(&app, true).await;
    let send = async |method: &str, name: &str, document: Vec<u8>| {
        let path = path("app", &digest, &format!("/results/{name}"));
        let answer = app.ask(method, &path).by(ADMIN).bytes("application/json", document).send().await;
        app.idle().await;
        answer
    };
    let findings = async || {
        let report = app.get(&path("app", &digest, "/report")).await.expect(StatusCode::OK).json();
        report["vulnerabilities"]["findings"].clone()
    };
    send("PUT", "bill", bill()).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(findings().await[0]["package"], "left-pad");
    let excuse = |status: &str| openvex("vex", status, "pkg:npm/left-pad@1.2.0");
    send("PUT", "vex", excuse("affected")).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(findings().await[0]["suppressed"], Value::Null);
    send("PUT", "vex", excuse("fixed")).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(findings().await[0]["suppressed"][0]["kind"], "vex");
    send("DELETE", "vex", Vec::new()).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(findings().await[0]["suppressed"], Value::Null);
    send("DELETE", "bill", Vec::new()).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(findings().await, json!([]));
    send("PUT", "bill", b"hello".to_vec()).await.expect(StatusCode::BAD_REQUEST);
    let refused = send("PUT", "vex", br#"{"@context":"x","statements":[{"status":"?"}]}"#.to_vec()).await;
    refused.expect(StatusCode::BAD_REQUEST);
}
