//! `bonded scan` as a person uses it: a directory with a vulnerable package, a secret and a bad Dockerfile.

#[expect(dead_code, reason = "this suite needs no web server")]
mod common;

use std::path::Path;

use common::{bonded, code, text};

fn project(dir: &Path) {
    std::fs::create_dir_all(dir.join("feeds")).expect("directory");
    std::fs::create_dir_all(dir.join("app")).expect("directory");
    let lock = r#"{"name":"app","version":"1.0.0","lockfileVersion":3,"packages":{"":{"name":"app"},
        "node_modules/left-pad":{"version":"1.2.0","license":"AGPL-3.0-only"}}}"#;
    std::fs::write(dir.join("app/package-lock.json"), lock).expect("lock file");
    let key = format!("aws_key = AKIA{}\n", "QYLPMN5HHHFPZAM2");
    std::fs::write(dir.join("app/settings.conf"), key).expect("file");
    std::fs::write(dir.join("app/Dockerfile"), "FROM debian\nRUN sudo make\n").expect("file");
    let advisory = r#"{"id":"GHSA-xxxx-yyyy-zzzz","modified":"2024-01-01T00:00:00Z","aliases":["CVE-2024-0001"],
        "summary":"left-pad pads right","database_specific":{"severity":"HIGH"},
        "affected":[{"package":{"ecosystem":"npm","name":"left-pad"},
        "ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.3.0"}]}]}]}"#;
    std::fs::write(dir.join("feeds/npm.json"), advisory).expect("feed");
}

#[test]
fn every_scanner_finds_its_own_and_every_form_says_it() {
    let dir = tempfile::tempdir().expect("directory");
    project(dir.path());
    let (app, feeds, out) = (dir.path().join("app"), dir.path().join("feeds"), dir.path().join("out"));
    for format in ["table", "json", "sarif", "junit", "cyclonedx"] {
        let scanners = "vuln,secret,misconfig,license";
        let (app, feeds, target) = (text(&app), text(&feeds), text(&out));
        let args = ["scan", &app, "--db", &feeds, "--scanners", scanners, "-f", format, "-o", &target];
        assert_eq!(bonded(&args), code(0), "{format}");
        let report = std::fs::read_to_string(&out).expect("report");
        assert!(report.contains("CVE-2024-0001"), "{format}: {report}");
        if format != "cyclonedx" {
            for id in ["aws-access-key-id", "BD-DF-001", "BD-DF-010", "AGPL-3.0-only"] {
                assert!(report.contains(id), "{format}: {id} is missing in {report}");
            }
            assert!(!report.contains("QYLPMN5HHHFPZAM2"), "{format} shows the secret");
        }
    }
}

#[test]
fn thresholds_and_missing_databases_have_their_exit_codes() {
    let dir = tempfile::tempdir().expect("directory");
    project(dir.path());
    let (app, feeds) = (text(&dir.path().join("app")), text(&dir.path().join("feeds")));
    let out = text(&dir.path().join("out"));
    let scan = |rest: &[&str]| {
        let mut all = vec!["scan", app.as_str(), "-o", out.as_str()];
        all.extend_from_slice(rest);
        bonded(&all)
    };
    assert_eq!(scan(&["--scanners", "vuln", "--db", &feeds, "--fail-on", "high"]), code(1));
    assert_eq!(scan(&["--scanners", "vuln", "--db", &feeds, "--fail-on", "critical"]), code(0));
    assert_eq!(scan(&["--scanners", "secret", "--fail-on", "critical"]), code(1));
    assert_eq!(scan(&["--scanners", "vuln"]), code(2));
    let ignore = dir.path().join("ignore");
    std::fs::write(&ignore, "CVE-2024-0001\n").expect("file");
    let ignored = ["--scanners", "vuln", "--db", &feeds, "--fail-on", "low", "--ignorefile", &text(&ignore)];
    assert_eq!(scan(&ignored), code(0));
}

#[test]
fn outdated_packages_are_named_by_a_list_of_newest_versions() {
    let dir = tempfile::tempdir().expect("directory");
    project(dir.path());
    let (app, feeds) = (text(&dir.path().join("app")), text(&dir.path().join("feeds")));
    let out = dir.path().join("out");
    let target = text(&out);
    let scan =
        || bonded(&["scan", &app, "--db", &feeds, "--scanners", "outdated", "-f", "json", "-o", &target]);
    assert_eq!(scan(), code(2), "no feed says what is newest");
    std::fs::write(dir.path().join("feeds/newest.purls"), "pkg:npm/left-pad@2.0.1\n").expect("feed");
    assert_eq!(scan(), code(0));
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&out).expect("report")).expect("JSON");
    let found = &report["outdated"]["findings"][0];
    assert_eq!((&found["newest"], &found["behind"]), (&"2.0.1".into(), &"major".into()));
    assert!(report["vulnerabilities"].is_null(), "not asked for");
}

#[test]
fn old_feeds_are_warned_of_and_make_a_scan_incomplete_where_a_bound_is_set() {
    let dir = tempfile::tempdir().expect("directory");
    project(dir.path());
    let feed = dir.path().join("feeds/npm.json");
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_hours(24 * 365 * 50);
    let file = std::fs::File::options().write(true).open(&feed).expect("feed");
    file.set_modified(long_ago).expect("time");
    let (app, feeds) = (text(&dir.path().join("app")), text(&dir.path().join("feeds")));
    let out = dir.path().join("out");
    let target = text(&out);
    let scan = |rest: &[&str]| {
        let mut all = vec!["scan", &app, "--db", &feeds, "--scanners", "vuln", "-f", "json", "-o", &target];
        all.extend_from_slice(rest);
        let ended = bonded(&all);
        let report: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&out).expect("report")).expect("JSON");
        (ended, report["stale_feeds"].as_array().map_or(0, Vec::len))
    };
    assert_eq!(scan(&[]), (code(0), 1), "a warning");
    assert_eq!(scan(&["--max-feed-age", "30d"]), (code(3), 1), "incomplete");
    assert_eq!(scan(&["--max-feed-age", "30d", "--allow-incomplete"]), (code(0), 1));
    assert_eq!(scan(&["--max-feed-age", "none"]), (code(0), 0));

    let db = text(&dir.path().join("db"));
    assert_eq!(bonded(&["advisories", "build", "--db", &db, &text(&feed)]), code(0));
    assert_eq!(bonded(&["advisories", "status", "--db", &db]), code(0));
    let bytes = std::fs::read(&db).expect("database");
    let mut update = vuln::db::Update::of(&vuln::db::Db::open(&bytes).expect("database"));
    assert!(update.confirm("npm", "2020-01-01T00:00:00Z"));
    std::fs::write(&db, update.finish()).expect("database");
    assert_eq!(bonded(&["advisories", "status", "--db", &db]), code(1), "an alarm");
    assert_eq!(bonded(&["advisories", "status", "--db", &db, "--max-age", "none"]), code(0));
    assert_eq!(bonded(&["advisories", "info", "--db", &db, "--json"]), code(1));
}

#[test]
fn a_chart_is_judged_by_what_it_deploys() {
    let dir = tempfile::tempdir().expect("directory");
    let write = |path: &str, text: &str| {
        let path = dir.path().join("app").join(path);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        std::fs::write(path, text).expect("file");
    };
    write("Chart.yaml", "name: demo\nversion: 1.0.0\n");
    write("values.yaml", "privileged: true\nhostNetwork: false\n");
    write(
        "templates/_helpers.tpl",
        "{{ define \"demo.security\" }}privileged: {{ .Values.privileged }}{{ end }}",
    );
    write(
        "templates/pod.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: {{ .Chart.Name }}}\nspec:\n  {{- if .Values.hostNetwork }}\n  hostNetwork: true\n  \
         {{- end }}\n  containers:\n    - name: c\n      image: nginx:1\n      securityContext: {{- include \"demo.security\" . | nindent 8 }}\n",
    );
    let (app, out) = (text(&dir.path().join("app")), dir.path().join("out"));
    let target = text(&out);
    let scan = || bonded(&["scan", &app, "--scanners", "misconfig", "-f", "json", "-o", &target]);
    assert_eq!(scan(), code(0));
    let report = std::fs::read_to_string(&out).expect("report");
    assert!(
        report.contains("BD-K8S-001") && report.contains("templates/pod.yaml"),
        "privileged by a value: {report}"
    );
    assert!(!report.contains("BD-K8S-003"), "what a condition leaves out is not there: {report}");

    write("templates/host.yaml", "host: {{ required \"a host is needed\" .Values.host }}\n");
    assert_eq!(scan(), code(3), "not judged is not clean");
    assert!(std::fs::read_to_string(&out).expect("report").contains("a host is needed"));
}
