//! What is shipped to run the program – the Helm chart, the systemd unit – goes with the program: its own
//! `config check` takes what the chart renders, and the unit names what there is.

#[expect(dead_code, reason = "each test file uses its part of the harness")]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::tool;

const PROGRAM: &str = env!("CARGO_BIN_EXE_bonded");

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(path)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The chart, rendered with these values.
fn render(helm: &Path, dir: &Path, values: &str) -> Output {
    let file = dir.join("values.yaml");
    fs::write(&file, values).expect("written");
    // A helm that was built without its version takes an old one of Kubernetes for granted.
    let mut command = Command::new(helm);
    command.args(["template", "r", "--kube-version", "1.31.0", "--values"]).arg(&file);
    command.arg(shipped("helm/bonded")).output().expect("helm runs")
}

/// The configuration in the rendered chart.
fn configuration(rendered: &str) -> String {
    let lines = rendered.lines().skip_while(|line| line.trim() != "bonded.toml: |").skip(1);
    let lines = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
    lines.fold(String::new(), |text, line| text + line.trim() + "\n")
}

const MANY: &str = r#"
replicas: 3
secretEnv: [bonded]
tlsSecret: certificate
ingress: { enabled: true, host: registry.example.com, tlsSecret: front, trustedProxies: [10.244.0.0/16] }
config:
  server: { worker_threads: 4, roles: [api, jobs] }
  limits: { connections: 1000000 }
  storage: { backend: s3, s3: { bucket: images, endpoint: "https://s3.example.com" } }
  telemetry: { otlp: { endpoint: "http://collector:4318", sample_ratio: 0.05 } }
"#;

const AZURE: &str = r#"
replicas: 2
secretEnv: [bonded]
config:
  storage: { backend: azure, azure: { account: a, container: c } }
  tls: { mode: acme, acme: { directory: "https://ca.example.com/dir", accept_terms: true, domains: [r.example.com] } }
"#;

#[test]
fn what_the_chart_renders_is_a_valid_configuration() {
    let Some(helm) = tool("helm") else {
        println!("skipped: helm is not installed");
        return;
    };
    let dir = tempfile::tempdir().expect("dir");
    let linted = Command::new(&helm).arg("lint").arg(shipped("helm/bonded")).output().expect("helm runs");
    assert!(linted.status.success(), "{}", said(&linted));
    for values in ["", MANY, AZURE] {
        let rendered = render(&helm, dir.path(), values);
        assert!(rendered.status.success(), "{values}: {}", said(&rendered));
        let text = String::from_utf8_lossy(&rendered.stdout);
        assert!(!text.contains("readOnlyRootFilesystem: true") || text.contains("mountPath: /tmp"), "{text}");
        let toml = configuration(&text);
        let file = dir.path().join("bonded.toml");
        fs::write(&file, &toml).expect("written");
        let checked = Command::new(PROGRAM).args(["config", "check", "--config"]).arg(&file).output();
        let checked = checked.expect("bonded runs");
        assert!(checked.status.success() && toml.contains("/data"), "{}\n{toml}", said(&checked));
    }
}

#[test]
fn the_chart_knows_what_its_port_speaks_and_whose_headers_count() {
    let Some(helm) = tool("helm") else {
        println!("skipped: helm is not installed");
        return;
    };
    let dir = tempfile::tempdir().expect("dir");
    let rendered = |values: &str| said(&render(&helm, dir.path(), values));
    let ingress = "ingress: { enabled: true, host: r.example.com";
    let clear = rendered(&format!("{ingress}, trustedProxies: [10.244.0.0/16] }}"));
    assert!(clear.contains("port: 80") && clear.contains("appProtocol: http\n"), "{clear}");
    assert!(clear.contains(r#"trusted_proxies = ["10.244.0.0/16"]"#), "{clear}");
    assert!(!clear.contains("backend-protocol"), "{clear}");
    assert!(
        clear.contains("startupProbe") && clear.matches("port: ops, scheme: HTTP").count() == 3,
        "{clear}"
    );
    let tls = rendered(&format!("tlsSecret: certificate\n{ingress}, trustedProxies: [10.244.0.0/16] }}"));
    assert!(tls.contains("port: 443") && tls.contains("appProtocol: https\n"), "{tls}");
    assert!(tls.contains("nginx.ingress.kubernetes.io/backend-protocol: HTTPS"), "{tls}");
    let apart = rendered("tlsSecret: certificate\nconfig: { tls: { listen: ':5443' } }");
    assert!(apart.contains("port: 80") && apart.contains("appProtocol: http\n"), "{apart}");
    let refused = render(&helm, dir.path(), &format!("{ingress} }}"));
    assert!(!refused.status.success() && said(&refused).contains("trustedProxies"), "{}", said(&refused));
}

#[test]
fn the_chart_refuses_replicas_that_share_nothing() {
    let Some(helm) = tool("helm") else {
        println!("skipped: helm is not installed");
        return;
    };
    let dir = tempfile::tempdir().expect("dir");
    let refused = render(&helm, dir.path(), "replicas: 2");
    assert!(!refused.status.success() && said(&refused).contains("BONDED_MASTER_KEY"), "{}", said(&refused));
}

#[test]
fn systemd_takes_the_unit() {
    let Some(analyze) = tool("systemd-analyze") else {
        println!("skipped: systemd-analyze is not installed");
        return;
    };
    let dir = tempfile::tempdir().expect("dir");
    let unit = fs::read_to_string(shipped("systemd/bonded.service")).expect("the unit");
    let file = dir.path().join("bonded.service");
    fs::write(&file, unit.replace("/usr/local/bin/bonded", PROGRAM)).expect("written");
    let verified = Command::new(analyze).args(["verify", "--man=no"]).arg(&file).output().expect("it runs");
    assert!(verified.status.success() && said(&verified).is_empty(), "{}", said(&verified));
}
