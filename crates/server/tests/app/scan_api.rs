//! Scans as both APIs show them: asked for, stopped, reported, allowed, exported.

use std::path::Path;

use http::{HeaderName, StatusCode};
use policy::{Role, Visibility};

use serde_json::{Value, json};

use crate::test_app::{MANIFEST, TestApp};

const ADMIN: &str = "admin";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const HARBOR: &str = "/api/v2.0/projects/team/repositories/deep%252Fapp/artifacts/v1";
const NATIVE: &str = "/api/v1/projects/team/repositories/deep%2Fapp/artifacts/v1";
const REPORT: &str = "application/vnd.security.vulnerability.report; version=1.1";

/// A layer in which left-pad 1.2.0 is installed.
fn layer() -> Vec<u8> {
    let content = json!({ "name": "left-pad", "version": "1.2.0" }).to_string();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    archive
        .append_data(&mut header, "app/node_modules/left-pad/package.json", content.as_bytes())
        .expect("a file");
    archive.into_inner().expect("an archive")
}

fn feed(dir: &Path) -> String {
    let advisory = json!({
        "id": "GHSA-xxxx-yyyy-zzzz", "modified": "2024-01-01T00:00:00Z",
        "aliases": ["CVE-2024-0001"], "summary": "left-pad pads, \"right\"",
        "severity": [{ "type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N" }],
        "database_specific": { "severity": "HIGH" },
        "affected": [{ "package": { "ecosystem": "npm", "name": "left-pad" }, "ranges": [
            { "type": "SEMVER", "events": [{ "introduced": "0" }, { "fixed": "1.3.0" }] }] }],
    });
    let path = dir.join("npm.json");
    std::fs::write(&path, advisory.to_string()).expect("a feed");
    format!("npm={}", path.display())
}

/// A registry with one image that was not scanned yet; `mia` maintains, `guest` reads, `out` does neither.
async fn team(dir: &Path) -> TestApp {
    let feed = feed(dir);
    let app = TestApp::with(|config| {
        config.scan.feeds = vec![feed];
        config.server.data_dir = dir.join("data");
    })
    .await;
    app.project("team", Visibility::Private).await;
    for name in ["mia", "guest", "out"] {
        app.user(name).await;
    }
    app.member("team", "mia", Role::Maintainer).await;
    app.member("team", "guest", Role::Guest).await;
    let renewed = app.ask("POST", "/api/v1/system/advisories/renewals").by(ADMIN).send().await;
    renewed.expect(StatusCode::ACCEPTED);
    app.idle().await;
    let repo = "team/deep/app";
    let layer = layer();
    let digest = app.push_blob(ADMIN, repo, &layer).await;
    let config = json!({ "architecture": "amd64", "os": "linux", "config": { "User": "app" },
        "rootfs": { "type": "layers", "diff_ids": [digest] } });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "layers": [{ "mediaType": TAR, "digest": digest, "size": layer.len() }],
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": app.push_blob(ADMIN, repo, &config).await, "size": config.len() },
    });
    let path = format!("/v2/{repo}/manifests/v1");
    let ask = app.ask("PUT", &path).by(ADMIN).bytes(MANIFEST, manifest.to_string().into_bytes());
    ask.send().await.expect(StatusCode::CREATED);
    app.idle().await;
    app
}

async fn scanned(dir: &Path) -> TestApp {
    let app = team(dir).await;
    let path = format!("{HARBOR}/scan");
    app.ask("POST", &path).by("mia").send().await.expect(StatusCode::ACCEPTED);
    app.idle().await;
    app
}

async fn overview(app: &TestApp) -> Value {
    let path = format!("{HARBOR}?with_scan_overview=true&with_sbom_overview=true");
    app.ask("GET", &path).by("guest").send().await.expect(StatusCode::OK).json()
}

#[tokio::test]
async fn harbor_s_clients_scan_an_image_and_read_what_is_wrong_with_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = team(dir.path()).await;
    assert_eq!(overview(&app).await.get("scan_overview"), None, "never scanned is not clean");
    let (scan, vulnerabilities) = (format!("{HARBOR}/scan"), format!("{HARBOR}/additions/vulnerabilities"));
    assert_eq!(app.get(&vulnerabilities).await.expect(StatusCode::OK).json(), json!({}));
    app.ask("POST", &scan).by("guest").send().await.expect(StatusCode::FORBIDDEN);
    app.ask("POST", &scan).by("out").send().await.expect(StatusCode::NOT_FOUND);
    let wrong = app.ask("POST", &scan).by("mia").json(&json!({ "scan_type": "virus" })).send().await;
    wrong.expect(StatusCode::BAD_REQUEST);
    let asked = app.ask("POST", &scan).by("mia").json(&json!({ "scan_type": "vulnerability" })).send().await;
    asked.expect(StatusCode::ACCEPTED);
    let waiting = overview(&app).await["scan_overview"][REPORT].clone();
    assert_eq!((&waiting["scan_status"], &waiting["severity"]), (&json!("Pending"), &json!("Unknown")));
    app.idle().await;
    let shown = overview(&app).await;
    let known = &shown["scan_overview"][REPORT];
    assert_eq!((&known["scan_status"], &known["severity"]), (&json!("Success"), &json!("High")));
    assert_eq!(known["summary"], json!({ "total": 1, "fixable": 1, "summary": { "High": 1 } }));
    assert_eq!(shown["sbom_overview"]["scan_status"], "Success");
    let report = app.ask("GET", &vulnerabilities).by("guest").send().await.expect(StatusCode::OK).json();
    let found = &report[REPORT]["vulnerabilities"][0];
    assert_eq!((&found["package"], &found["fix_version"]), (&json!("left-pad"), &json!("1.3.0")));
    assert_eq!(found["preferred_cvss"]["score_v3"], 7.5);
    let old = "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0";
    let name = HeaderName::from_static("x-accept-vulnerabilities");
    let report = app.ask("GET", &vulnerabilities).by("guest").header(name, old).send().await.json();
    assert_eq!(report[old]["severity"], "High");
    let log = format!("{HARBOR}/scan/{}/log", known["report_id"].as_str().expect("an id"));
    let log = app.ask("GET", &log).by("guest").send().await.expect(StatusCode::OK);
    assert!(log.text().contains("1 vulnerabilities"), "{}", log.text());
    let bill = app.get(&format!("{HARBOR}/additions/sbom")).await.expect(StatusCode::OK).json();
    assert_eq!(bill["spdxVersion"], "SPDX-2.3");
    app.idle().await;
}

#[tokio::test]
async fn a_scan_that_waits_is_stopped_and_leaves_the_last_verdict() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanned(dir.path()).await;
    app.ask("POST", &format!("{NATIVE}/scan")).by("mia").send().await.expect(StatusCode::ACCEPTED);
    let shown = app.get(&format!("{NATIVE}/scan")).await.json();
    assert_eq!(
        (&shown["active"], &shown["images"][0]["verdict"]["vulnerabilities"]["high"]),
        (&json!("queued"), &json!(1))
    );
    let path = format!("{HARBOR}/scan/stop");
    app.ask("POST", &path).by("guest").send().await.expect(StatusCode::FORBIDDEN);
    app.ask("POST", &path).by("mia").send().await.expect(StatusCode::ACCEPTED);
    let shown = app.ask("GET", &format!("{NATIVE}/scan")).by("guest").send().await.json();
    assert_eq!((&shown["active"], &shown["images"][0]["status"]), (&Value::Null, &json!("succeeded")));
    let report = app.ask("GET", &format!("{NATIVE}/scan/report")).by("guest").send().await.json();
    assert_eq!(report["vulnerabilities"]["findings"][0]["package"], "left-pad", "{report}");
    let bill = app.get(&format!("{NATIVE}/sbom?form=cyclonedx-json@1.5")).await.expect(StatusCode::OK);
    assert_eq!(bill.header("content-type"), "application/vnd.cyclonedx+json");
    assert_eq!(bill.json()["specVersion"], "1.5");
    app.get(&format!("{NATIVE}/sbom?form=word")).await.expect(StatusCode::BAD_REQUEST);
    app.ask("GET", &format!("{NATIVE}/scan/log")).by("out").send().await.expect(StatusCode::NOT_FOUND);
    app.idle().await;
}

#[tokio::test]
async fn what_an_allow_list_names_counts_no_more() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanned(dir.path()).await;
    let project = "/api/v2.0/projects/team";
    let found = async || {
        let report = app.get(&format!("{HARBOR}/additions/vulnerabilities")).await.json();
        report[REPORT]["vulnerabilities"].as_array().expect("a list").len()
    };
    assert_eq!(found().await, 1);
    let change = json!({ "metadata": { "auto_scan": "true" },
        "cve_allowlist": { "items": [{ "cve_id": "CVE-2024-0001" }] } });
    app.ask("PUT", project).by("guest").json(&change).send().await.expect(StatusCode::FORBIDDEN);
    app.ask("PUT", project).by(ADMIN).json(&change).send().await.expect(StatusCode::OK);
    let shown = app.get(project).await.json();
    assert_eq!(shown["cve_allowlist"]["items"], json!([{ "cve_id": "CVE-2024-0001" }]));
    assert_eq!(shown["metadata"]["auto_scan"], "true");
    assert_eq!(found().await, 0);
    let reuse = json!({ "metadata": { "reuse_sys_cve_allowlist": "true" } });
    app.ask("PUT", project).by(ADMIN).json(&reuse).send().await.expect(StatusCode::OK);
    assert_eq!(found().await, 1);
    let list = "/api/v2.0/system/CVEAllowlist";
    let items = json!({ "items": [{ "cve_id": "GHSA-xxxx-yyyy-zzzz" }], "expires_at": null });
    app.ask("PUT", list).by("mia").json(&items).send().await.expect(StatusCode::FORBIDDEN);
    app.ask("PUT", list).by(ADMIN).json(&items).send().await.expect(StatusCode::OK);
    assert_eq!(app.get(list).await.json()["items"], items["items"]);
    assert_eq!(app.get("/api/v1/system/allow-list").await.json()["ids"], json!(["GHSA-xxxx-yyyy-zzzz"]));
    assert_eq!(found().await, 0);
    let native = app.ask("GET", "/api/v1/projects/team/scanning").by("guest").send().await.json();
    assert_eq!((&native["on_push"], &native["system_allow_list"]), (&json!(true), &json!(true)));
    app.idle().await;
}

#[tokio::test]
async fn everything_is_scanned_when_asked_and_by_schedule() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = team(dir.path()).await;
    let path = "/api/v2.0/system/scanAll/schedule";
    let none = app.get(path).await.expect(StatusCode::OK);
    assert_eq!(none.text(), "", "no schedule is an empty body");
    let at = |kind: &str, cron: &str| json!({ "schedule": { "type": kind, "cron": cron } });
    let send = async |method: &str, document: Value| {
        app.ask(method, path).by(ADMIN).json(&document).send().await.status
    };
    assert_eq!(send("POST", at("Daily", "0 0 0 * * *")).await, StatusCode::CREATED);
    assert_eq!(send("POST", at("Daily", "")).await, StatusCode::CONFLICT);
    assert_eq!(send("PUT", at("Custom", "0 30 3 * * *")).await, StatusCode::OK);
    let shown = app.get(path).await.json();
    assert_eq!(
        (&shown["schedule"]["type"], &shown["schedule"]["cron"]),
        (&json!("Custom"), &json!("0 30 3 * * *"))
    );
    assert_eq!(send("PUT", at("Custom", "30 3 * * *")).await, StatusCode::BAD_REQUEST);
    assert_eq!(send("PUT", at("None", "")).await, StatusCode::OK);
    assert_eq!(app.get(path).await.text(), "");
    assert_eq!(send("POST", at("Manual", "")).await, StatusCode::CREATED);
    let figures = "/api/v2.0/scans/all/metrics";
    assert_eq!(app.get(figures).await.json()["ongoing"], true);
    app.idle().await;
    let done = app.get(figures).await.json();
    assert_eq!((&done["ongoing"], &done["completed"], &done["total"]), (&json!(false), &json!(1), &json!(1)));
    assert_eq!(overview(&app).await["scan_overview"][REPORT]["severity"], "High");
    let asked = app.ask("POST", "/api/v1/system/scans").by(ADMIN).json(&json!({})).send().await;
    asked.expect(StatusCode::ACCEPTED);
    app.ask("POST", "/api/v2.0/system/scanAll/stop").by("mia").send().await.expect(StatusCode::FORBIDDEN);
    app.ask("POST", "/api/v2.0/system/scanAll/stop").by(ADMIN).send().await.expect(StatusCode::ACCEPTED);
    assert_eq!(app.get("/api/v1/system/scans").await.json()[0]["state"], "cancelled");
    let status = app.get("/api/v1/system/advisories").await.json();
    assert_eq!((&status["feeds"][0]["name"], &status["feeds"][0]["records"]), (&json!("npm"), &json!(1)));
    app.idle().await;
}

#[tokio::test]
async fn the_security_hub_and_its_export_hold_what_the_caller_may_see() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = scanned(dir.path()).await;
    app.runner.run_duties_once().await.expect("the index is kept");
    app.idle().await;
    let summary = "/api/v2.0/security/summary?with_dangerous_cve=true&with_dangerous_artifact=true";
    let own = app.ask("GET", summary).by("guest").send().await.expect(StatusCode::OK).json();
    assert_eq!((&own["high_cnt"], &own["scanned_cnt"]), (&json!(1), &json!(1)), "{own}");
    assert_eq!(own["fixable_cnt"], 1);
    assert_eq!(own["dangerous_artifacts"][0]["repository_name"], "team/deep/app");
    assert_eq!(own["dangerous_cves"][0]["package"], "left-pad");
    let none = app.ask("GET", summary).by("out").send().await.expect(StatusCode::OK).json();
    assert_eq!((&none["high_cnt"], &none["dangerous_artifacts"]), (&json!(0), &json!([])));
    let list = |q: &str| format!("/api/v2.0/security/vul?page=1&page_size=10&q={q}");
    let found = app.ask("GET", &list("severity=High")).by("guest").send().await.expect(StatusCode::OK);
    assert_eq!(
        (found.header("x-total-count").as_str(), found.json()[0]["package"].as_str()),
        ("1", Some("left-pad"))
    );
    assert_eq!(app.ask("GET", &list("package=zlib")).by("guest").send().await.json(), json!([]));
    assert_eq!(app.ask("GET", &list("")).by("out").send().await.json(), json!([]));

    let wanted = json!({ "job_name": "all", "projects": [], "repositories": "{deep/**}", "tags": "v*" });
    let asked = app.ask("POST", "/api/v2.0/export/cve").by("guest").json(&wanted).send().await;
    let id = asked.expect(StatusCode::OK).json()["id"].clone();
    let listed = app.ask("GET", "/api/v2.0/export/cve/executions").by("guest").send().await.json();
    assert_eq!((&listed["items"][0]["id"], &listed["items"][0]["status"]), (&id, &json!("Success")));
    let path = format!("/api/v2.0/export/cve/download/{id}");
    let csv = app.ask("GET", &path).by("guest").send().await.expect(StatusCode::OK);
    assert_eq!(csv.header("content-type"), "text/csv");
    let text = csv.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("RowId,Scanner,Repository,Artifact Digest,CVE,Package"), "{text}");
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[1].starts_with("1,Bonded,team/deep/app,sha256:"), "{text}");
    assert!(lines[1].contains(",left-pad,1.2.0,1.3.0,High,7.5,"), "{text}");
    app.ask("GET", &path).by("out").send().await.expect(StatusCode::NOT_FOUND);
    let native =
        app.ask("GET", "/api/v1/findings.csv?project=team&id=CVE-2024-0001").by("guest").send().await;
    assert_eq!(native.expect(StatusCode::OK).text().lines().count(), 2);
    let other = app.ask("GET", "/api/v1/findings.csv?id=CVE-1999-0001").by("guest").send().await;
    assert_eq!(other.text().lines().count(), 1);
    let hidden = app.ask("GET", "/api/v1/findings.csv?project=team").by("out").send().await;
    hidden.expect(StatusCode::NOT_FOUND);
    let all = app.ask("GET", "/api/v1/findings.csv").by("out").send().await.expect(StatusCode::OK);
    assert_eq!(all.text().lines().count(), 1);
    app.idle().await;
}
