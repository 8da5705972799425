//! The list of vulnerabilities of everything that a caller may see: complete, paged, cut to the caller.

use std::collections::BTreeSet;
use std::path::Path;

use http::StatusCode;
use oci::Digest;
use policy::{Role, Visibility};
use serde_json::{Value, json};

use crate::scan::{layer, push, refresh};
use crate::test_app::{Answer, TestApp};

const ADMIN: &str = "admin";
const RARE: &str = "CVE-2024-0500";

/// A feed with one advisory; the number is that of its CVE.
fn feed(dir: &Path, number: u32, package: &str, severity: &str) -> String {
    let vector = match severity {
        "LOW" => "CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N",
        _ => "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N",
    };
    let advisory = json!({
        "id": format!("GHSA-aaaa-bbbb-{number:04}"), "modified": "2024-01-01T00:00:00Z",
        "aliases": [format!("CVE-2024-{number:04}")], "summary": format!("{package} pads"),
        "severity": [{ "type": "CVSS_V3", "score": vector }],
        "database_specific": { "severity": severity },
        "affected": [{ "package": { "ecosystem": "npm", "name": package }, "ranges": [
            { "type": "SEMVER", "events": [{ "introduced": "0" }, { "fixed": "2.0.0" }] }] }],
    });
    let path = dir.join(format!("feed-{number}.json"));
    std::fs::write(&path, advisory.to_string()).expect("a feed");
    format!("npm-{number}={}", path.display())
}

fn installed(package: &str, version: &str) -> Vec<u8> {
    let content = json!({ "name": package, "version": version }).to_string();
    layer(&[(&format!("app/node_modules/{package}/package.json"), &content)])
}

/// Four images with three bad vulnerabilities each and a harmless one in two repositories, all seen by `guest`; one bad
/// image that nobody but the administrator sees.
async fn estate(dir: &Path) -> (TestApp, Digest) {
    let mut feeds: Vec<String> = (1..4).map(|number| feed(dir, number, "bad-pad", "HIGH")).collect();
    feeds.push(feed(dir, 500, "rare-pad", "LOW"));
    let app = TestApp::with(|config| {
        config.scan.on_push = true;
        config.scan.feeds = feeds;
        config.server.data_dir = dir.join("data");
    })
    .await;
    app.user("guest").await;
    app.user("out").await;
    for project in ["team", "other", "secret"] {
        app.project(project, Visibility::Private).await;
    }
    for project in ["team", "other"] {
        app.member(project, "guest", Role::Guest).await;
    }
    refresh(&app).await;
    for at in 0..4 {
        push(&app, &format!("team/app{at}"), "v1", &[installed("bad-pad", &format!("1.0.{at}"))]).await;
    }
    let rare = push(&app, "team/deep/rare", "v1", &[installed("rare-pad", "1.0.0")]).await;
    assert_eq!(push(&app, "other/rare", "v1", &[installed("rare-pad", "1.0.0")]).await, rare);
    push(&app, "secret/app", "v1", &[installed("bad-pad", "1.9.0")]).await;
    app.idle().await;
    app.runner.run_duties_once().await.expect("the index is kept");
    app.idle().await;
    (app, rare)
}

async fn page(app: &TestApp, user: &str, query: &str) -> Answer {
    app.ask("GET", &format!("/api/v2.0/security/vul?{query}")).by(user).send().await
}

/// The rows of a first page, and the total.
async fn list(app: &TestApp, user: &str, q: &str) -> (Vec<Value>, String) {
    let answer = page(app, user, &format!("page_size=100&q={q}")).await.expect(StatusCode::OK);
    (answer.json().as_array().expect("rows").clone(), answer.header("x-total-count"))
}

async fn project_id(app: &TestApp, name: &str) -> Value {
    app.get(&format!("/api/v2.0/projects/{name}")).await.expect(StatusCode::OK).json()["project_id"].clone()
}

async fn allow(app: &TestApp, project: &str, id: &str) {
    let change = json!({ "cve_allowlist": { "items": [{ "cve_id": id }] } });
    let path = format!("/api/v2.0/projects/{project}");
    app.ask("PUT", &path).by(ADMIN).json(&change).send().await.expect(StatusCode::OK);
}

#[tokio::test]
async fn the_security_hub_lists_all_of_what_the_caller_may_see_page_by_page() {
    let dir = tempfile::tempdir().expect("a directory");
    let (app, rare) = estate(dir.path()).await;
    let first = page(&app, "guest", "page=1&page_size=10").await.expect(StatusCode::OK);
    let second = page(&app, "guest", "page=2&page_size=10").await.expect(StatusCode::OK);
    for answer in [&first, &second] {
        assert_eq!(answer.header("x-total-count"), "13");
    }
    assert!(first.header("link").contains("rel=\"next\""), "{}", first.header("link"));
    assert!(!second.header("link").contains("rel=\"next\""), "{}", second.header("link"));
    let mut rows = first.json().as_array().expect("rows").clone();
    rows.extend(second.json().as_array().expect("rows").clone());
    assert_eq!((first.json().as_array().map(Vec::len), rows.len()), (Some(10), 13));
    let different: BTreeSet<(String, String)> =
        rows.iter().map(|row| (row["digest"].to_string(), row["cve_id"].to_string())).collect();
    assert_eq!(different.len(), 13);
    assert!(rows.iter().all(|row| row["repository_name"] != "secret/app"), "{rows:?}");
    let last = &rows[12];
    assert_eq!((&last["cve_id"], &last["severity"]), (&json!(RARE), &json!("Low")), "the least bad is last");
    assert_eq!((&last["digest"], &last["package"]), (&json!(rare), &json!("rare-pad")));
    assert_eq!((&last["cvss_v3_score"], &last["desc"]), (&json!(1.6), &json!("rare-pad pads")));
    assert_eq!((&last["version"], &last["fixed_version"]), (&json!("1.0.0"), &json!("2.0.0")));
    let summary = "/api/v2.0/security/summary?with_dangerous_cve=true";
    let summary = app.ask("GET", summary).by("guest").send().await.expect(StatusCode::OK).json();
    assert_eq!(summary["total_vuls"], 13);
    let shown = summary["dangerous_cves"].as_array().expect("a list").iter();
    let shown: Vec<&str> = shown.filter_map(|cve| cve["cve_id"].as_str()).collect();
    assert_eq!(shown, ["CVE-2024-0001", "CVE-2024-0002", "CVE-2024-0003", RARE]);

    assert_eq!(list(&app, ADMIN, "").await.1, "16");
    assert_eq!(list(&app, "out", "").await, (Vec::new(), "0".to_owned()));
    assert_eq!(list(&app, "out", "cve_id=CVE-2024-0001").await, (Vec::new(), "0".to_owned()));
    let tuned = page(&app, "guest", "tune_count=true&page_size=1").await.expect(StatusCode::OK);
    assert_eq!(tuned.header("x-total-count"), "13");
}

#[tokio::test]
async fn the_security_hub_is_narrowed_by_every_term() {
    let dir = tempfile::tempdir().expect("a directory");
    let (app, rare) = estate(dir.path()).await;
    let (team, other) = (project_id(&app, "team").await, project_id(&app, "other").await);
    let secret = project_id(&app, "secret").await;
    for (q, expected) in [
        (format!("cve_id={RARE}"), 1),
        ("cve_id=GHSA-aaaa-bbbb-0500".to_owned(), 1),
        ("cve_id=CVE-2024-0002".to_owned(), 4),
        ("cve_id=CVE-2024-9999".to_owned(), 0),
        ("package=rare-pad".to_owned(), 1),
        ("package=are-pad".to_owned(), 0),
        ("package=~are-".to_owned(), 1),
        ("package=~pad".to_owned(), 13),
        ("severity=Low".to_owned(), 1),
        ("severity=high".to_owned(), 12),
        ("severity=Critical".to_owned(), 0),
        ("repository_name=team/app2".to_owned(), 3),
        ("repository_name=team/app".to_owned(), 0),
        ("repository_name=~team/app".to_owned(), 12),
        ("repository_name=~rare".to_owned(), 1),
        ("repository_name=secret/app".to_owned(), 0),
        (format!("digest={rare}"), 1),
        (format!("project_id={team}"), 13),
        (format!("project_id={other}"), 1),
        (format!("project_id={secret}"), 0),
        (format!("project_id={team},cve_id=CVE-2024-0002,repository_name=~app1"), 1),
        (format!("cve_id={RARE},severity=High"), 0),
        (format!("digest={rare},package=bad-pad"), 0),
    ] {
        let (rows, total) = list(&app, "guest", &q).await;
        assert_eq!((rows.len(), total), (expected, expected.to_string()), "{q}: {rows:?}");
    }
    let (rows, _) = list(&app, "guest", &format!("project_id={other}")).await;
    assert_eq!(rows[0]["repository_name"], "other/rare");
    for q in ["cve_id=~CVE-2024", "severity=Bad", "digest=sha256:0", "project_id=team", "tag=v1"] {
        page(&app, "guest", &format!("q={q}")).await.expect(StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn the_security_hub_leaves_out_what_every_project_with_the_image_allows() {
    let dir = tempfile::tempdir().expect("a directory");
    let (app, _) = estate(dir.path()).await;
    let by_id = format!("cve_id={RARE}");
    assert_eq!(list(&app, "guest", &by_id).await.0[0]["repository_name"], "other/rare");
    allow(&app, "other", "GHSA-aaaa-bbbb-0500").await;
    let (rows, total) = list(&app, "guest", &by_id).await;
    assert_eq!((&rows[0]["repository_name"], total.as_str()), (&json!("team/deep/rare"), "1"));
    let other = project_id(&app, "other").await;
    for q in [format!("project_id={other}"), "repository_name=other/rare".to_owned()] {
        assert_eq!(list(&app, "guest", &q).await, (Vec::new(), "0".to_owned()), "{q}");
    }
    allow(&app, "team", RARE).await;
    for q in [by_id.as_str(), "package=rare-pad", "severity=Low"] {
        assert_eq!(list(&app, "guest", q).await, (Vec::new(), "0".to_owned()), "{q}");
    }
    assert_eq!(list(&app, "guest", "").await.1, "12");
    allow(&app, "team", "CVE-2024-0002").await;
    let (rows, total) = list(&app, "guest", "").await;
    assert_eq!((rows.len(), total.as_str()), (9, "9"), "without the second, and with the rare one again");
    assert!(rows.iter().all(|row| row["cve_id"] != "CVE-2024-0002"), "{rows:?}");
}
