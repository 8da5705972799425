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

/// A scan of the project whose report is read back.
struct Scan {
    dir: tempfile::TempDir,
}

impl Scan {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("directory");
        project(dir.path());
        Self { dir }
    }

    /// A file beside the project.
    fn file(&self, name: &str, content: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).expect("file");
        text(&path)
    }

    fn run(&self, source: &str, format: &str, rest: &[&str]) -> (String, String) {
        let out = self.dir.path().join("out");
        let (source, target) = (text(&self.dir.path().join(source)), text(&out));
        let mut all = vec!["scan", source.as_str(), "-f", format, "-o", target.as_str()];
        all.extend_from_slice(rest);
        let ended = bonded(&all);
        (ended, std::fs::read_to_string(&out).expect("report"))
    }

    fn json(&self, source: &str, rest: &[&str]) -> (String, serde_json::Value) {
        let (ended, report) = self.run(source, "json", rest);
        (ended, serde_json::from_str(&report).expect("JSON"))
    }

    fn feeds(&self) -> String {
        text(&self.dir.path().join("feeds"))
    }
}

#[test]
fn rules_excuse_findings_of_every_section_and_are_shown() {
    let scan = Scan::new();
    let miner = oci::Digest::sha256(b"miner").hex();
    scan.file("app/miner", "miner");
    let malware = scan.file("malware", &format!("# list\n\nsha256:{miner} Evil.Miner\n"));
    let feeds = scan.feeds();
    let every = |ignore: &str, rest: &[&str]| {
        let scanners = "vuln,secret,misconfig,license";
        let mut all = vec!["--db", &feeds, "--scanners", scanners, "--malware", &malware];
        all.extend(["--fail-on", "low", "--ignorefile", ignore]);
        all.extend_from_slice(rest);
        scan.run("app", "table", &all)
    };
    let (ended, table) = every(&scan.file("none", ""), &[]);
    assert_eq!(ended, code(1));
    assert!(table.contains("known malware `Evil.Miner`") && !table.contains("suppressed"), "{table}");
    let dockerfile = "DS-0001\nDS-0002\nAVD-DS-0026\nDS010\nBD-DF-010\nBD-DF-001\nBD-DF-002\nBD-DF-026\n";
    let all = format!("CVE-2024-0001\naws-access-key-id\nAGPL-3.0\nEvil.Miner # a sample\n{dockerfile}");
    let (ended, table) = every(&scan.file("all", &all), &[]);
    assert_eq!(ended, code(0), "{table}");
    assert!(table.contains("suppressed (--show-suppressed lists them)"), "{table}");
    let (_, table) = every(&scan.file("all", &all), &["--show-suppressed"]);
    assert!(table.contains("Evil.Miner") && table.contains("a sample"), "{table}");
    let yaml = "malware:\n  - id: Evil.Miner\n    paths: [elsewhere/*]\n    statement: not here\n";
    let (ended, _) = every(&scan.file("rules.yaml", yaml), &["--show-suppressed"]);
    assert_eq!(ended, code(1));

    let ignore = scan.file("all", &all);
    let (_, report) = scan.json("app", &["--scanners", "secret,misconfig", "--ignorefile", &ignore]);
    assert_eq!(report["secrets"][0]["suppressed"][0]["source"], ignore.as_str());
    assert!(report["misconfigurations"].as_array().expect("list").iter().all(|f| !f["suppressed"].is_null()));
}

#[test]
fn statements_excuse_by_trust_and_unfixed_ones_can_be_left_out() {
    let scan = Scan::new();
    let unfixed = r#"{"id":"GHSA-aaaa-bbbb-cccc","modified":"2024-01-01T00:00:00Z","aliases":["CVE-2024-0002"],
        "affected":[{"package":{"ecosystem":"npm","name":"left-pad"},
        "ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}"#;
    scan.file("feeds/unfixed.json", unfixed);
    let statement = |status: &str, day: &str| {
        format!(
            r#"{{"@context":"https://openvex.dev/ns/v0.2.0","@id":"{status}","author":"x","timestamp":"{day}T00:00:00Z","statements":[
            {{"vulnerability":{{"name":"CVE-2024-0001"}},"products":[{{"@id":"pkg:npm/left-pad@1.2.0"}}],"status":"{status}",
            "justification":"component_not_present","action_statement":"update"}}]}}"#
        )
    };
    let no = scan.file("no.vex.json", &statement("not_affected", "2026-06-01"));
    let yes = scan.file("yes.vex.json", &statement("affected", "2026-01-01"));
    let feeds = scan.feeds();
    let counting = |rest: &[&str]| -> Vec<String> {
        let mut all = vec!["--db", &feeds, "--scanners", "vuln"];
        all.extend_from_slice(rest);
        let (ended, report) = scan.json("app", &all);
        assert_eq!(ended, code(0));
        let all = report["vulnerabilities"]["findings"].as_array().expect("findings").clone();
        let open = all.iter().filter(|finding| finding["suppressed"].is_null());
        open.map(|finding| finding["id"].as_str().expect("text").to_owned()).collect()
    };
    assert_eq!(counting(&[]), ["CVE-2024-0001", "CVE-2024-0002"]);
    assert_eq!(counting(&["--ignore-unfixed"]), ["CVE-2024-0001"]);
    assert_eq!(counting(&["--vex", &no]), ["CVE-2024-0002"]);
    assert_eq!(counting(&["--vex", &no, "--vex", &yes]).len(), 2, "the last one is trusted most");
    assert_eq!(counting(&["--vex", &yes, "--vex", &no]).len(), 1);
}

#[test]
fn secret_rules_of_ones_own_are_added() {
    let scan = Scan::new();
    scan.file("app/own.conf", "ticket = TCK-482910573621\n");
    let rules = "[[rule]]\nid = \"own-ticket\"\ntitle = \"ticket\"\nseverity = \"low\"\nkeywords = [\"TCK-\"]\n\
        regex = '''(?P<secret>TCK-[0-9]{12})'''\n";
    let rules = scan.file("rules.toml", rules);
    let ids = |rest: &[&str]| {
        let mut all = vec!["--scanners", "secret"];
        all.extend_from_slice(rest);
        let (_, report) = scan.json("app", &all);
        report["secrets"].as_array().expect("list").iter().map(|it| it["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&[]), ["aws-access-key-id"]);
    assert_eq!(ids(&["--secret-rules", &rules]), ["aws-access-key-id", "own-ticket"]);
    let other = "[[rule]]\nid = \"aws-access-key-id\"\ntitle = \"other\"\nseverity = \"low\"\nkeywords = [\"never\"]\n\
        regex = \"(?P<secret>never)\"\n";
    assert_eq!(ids(&["--secret-rules", &scan.file("other.toml", other)]), Vec::<String>::new());
}

/// A `docker save` archive of layers, each a list of files, and a history that ends the base after the first.
fn image(layers: &[&[(&str, &str)]]) -> Vec<u8> {
    let tar = |files: &[(&str, Vec<u8>)]| {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, body) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(body.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, body.as_slice()).expect("append");
        }
        builder.into_inner().expect("tar")
    };
    let layers: Vec<Vec<u8>> = layers
        .iter()
        .map(|files| {
            tar(&files.iter().map(|(name, body)| (*name, body.as_bytes().to_vec())).collect::<Vec<_>>())
        })
        .collect();
    let ids: Vec<String> = layers.iter().map(|layer| oci::Digest::sha256(layer).to_string()).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {}, "rootfs": { "type": "layers", "diff_ids": ids },
        "history": [
            { "created_by": "/bin/sh -c #(nop) ADD file:abc in / " },
            { "created_by": "/bin/sh -c #(nop)  CMD [\"bash\"]", "empty_layer": true },
            { "created_by": "RUN /bin/sh -c apt-get install apppkg # buildkit" },
        ],
    });
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let manifest =
        serde_json::json!([{ "Config": "config.json", "RepoTags": ["team/app:1"], "Layers": names }]);
    let mut files: Vec<(&str, Vec<u8>)> = names.iter().map(String::as_str).zip(layers).collect();
    files.push(("config.json", config.to_string().into_bytes()));
    files.push(("manifest.json", manifest.to_string().into_bytes()));
    tar(&files)
}

#[test]
fn another_base_is_compared_with_what_is_of_the_present_one() {
    let scan = Scan::new();
    let release = ("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
    let package = |name: &str, version: &str| {
        format!("Package: {name}\nStatus: install ok installed\nVersion: {version}\nArchitecture: amd64\n")
    };
    let (old, new, own) = (package("basepkg", "1.0"), package("basepkg", "2.0"), package("apppkg", "1.0"));
    let at = |name: &'static str| ["var/lib/dpkg/status.d", name].join("/");
    let (base, app) = (at("basepkg"), at("apppkg"));
    let write =
        |name: &str, bytes: Vec<u8>| std::fs::write(scan.dir.path().join(name), bytes).expect("image");
    write("image.tar", image(&[&[release, (&base, &old)], &[(&app, &own)]]));
    write("other.tar", image(&[&[release, (&base, &new)]]));
    for (id, name) in [("CVE-2024-1001", "basepkg"), ("CVE-2024-1002", "apppkg")] {
        let advisory = serde_json::json!({ "id": id, "modified": "2024-01-01T00:00:00Z", "affected": [{
            "package": { "ecosystem": "Debian:12", "name": name },
            "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": "2.0" }] }] }] });
        scan.file(&format!("feeds/{name}.json"), &advisory.to_string());
    }
    let (feeds, other) = (scan.feeds(), text(&scan.dir.path().join("other.tar")));
    let compare = ["--db", &feeds, "--scanners", "vuln", "--compare-base", &other];
    let (ended, report) = scan.json("image.tar", &compare);
    assert_eq!((ended, report["vulnerabilities"]["findings"].as_array().map(Vec::len)), (code(0), Some(2)));
    let advice = &report["base"];
    assert_eq!(advice["removed"], serde_json::json!(["CVE-2024-1001 basepkg"]), "{advice}");
    assert_eq!((&advice["added"], &advice["layers"]), (&serde_json::json!([]), &1.into()));
    let (_, table) = scan.run("image.tar", "table", &compare);
    assert!(table.contains("this base removes 1 findings"), "{table}");

    write("other.tar", image(&[&[("etc/os-release", "ID=debian\nVERSION_ID=\"7\"\n"), (&base, &new)]]));
    let (ended, _) = scan.json("image.tar", &compare);
    assert_eq!(ended, code(3), "a base that no feed speaks of is none without findings");
}

#[test]
fn a_language_without_a_feed_is_not_clean() {
    let scan = Scan::new();
    std::fs::remove_file(scan.dir.path().join("feeds/npm.json")).expect("feed");
    let debian = r#"{"id":"CVE-2024-0009","modified":"2024-01-01T00:00:00Z","affected":[{"package":
        {"ecosystem":"Debian:12","name":"x"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}]}]}"#;
    scan.file("feeds/debian.json", debian);
    let feeds = scan.feeds();
    let (ended, report) = scan.json("app", &["--db", &feeds, "--scanners", "vuln"]);
    assert_eq!(ended, code(3));
    let message = "1 packages of npm cannot be judged: no feed speaks of this ecosystem";
    assert_eq!(report["vulnerabilities"]["problems"][0]["message"], message);
}

#[test]
fn a_database_goes_to_another_site_as_one_file_that_is_checked() {
    let scan = Scan::new();
    let place = |name: &str| text(&scan.dir.path().join(name));
    let (db, bundle, other) = (place("db"), place("bundle"), place("other"));
    let feed = place("feeds/npm.json");
    assert_eq!(bonded(&["advisories", "build", "--db", &db, &feed]), code(0));
    assert_eq!(bonded(&["advisories", "export", "--db", &db, &bundle]), code(0));
    assert_eq!(bonded(&["advisories", "import", "--db", &other, &bundle]), code(0));
    assert_eq!(std::fs::read(&other).expect("database"), std::fs::read(&db).expect("database"));
    assert_eq!(
        scan.run("app", "json", &["--db", &other, "--scanners", "vuln", "--fail-on", "high"]).0,
        code(1)
    );

    let mut damaged = std::fs::read(&bundle).expect("bundle");
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&bundle, damaged).expect("bundle");
    assert_eq!(bonded(&["advisories", "import", "--db", &other, &bundle]), code(2));
    assert_eq!(
        std::fs::read(&other).expect("database"),
        std::fs::read(&db).expect("database"),
        "the former one stays"
    );
}
