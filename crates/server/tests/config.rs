//! The configuration as a user meets it: layers, messages, schema, reference.
//!
//! Golden files are compared with what the code makes; `UPDATE_GOLDEN=1 cargo test --workspace --test config` writes them anew.

#[path = "common/golden.rs"]
mod golden;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use golden::golden;
use server::config::{Config, Flag, Role, Sources};

fn sources(
    toml: &str,
    env: &[(&str, &str)],
    flags: &[(&'static str, &'static str, &str)],
) -> (tempfile::TempDir, Sources) {
    let dir = tempfile::tempdir().expect("dir");
    let file = dir.path().join("bonded.toml");
    fs::write(&file, toml).expect("write");
    let env = env.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))).collect();
    let flags =
        flags.iter().map(|(name, key, value)| Flag { name, key, value: (*value).to_owned() }).collect();
    (dir, Sources { file: Some(file), env, flags })
}

fn load(toml: &str, env: &[(&str, &str)], flags: &[(&'static str, &'static str, &str)]) -> Config {
    let (_dir, sources) = sources(toml, env, flags);
    Config::load(&sources).expect("a valid configuration")
}

fn refusal(toml: &str, env: &[(&str, &str)], flags: &[(&'static str, &'static str, &str)]) -> String {
    let (dir, sources) = sources(toml, env, flags);
    let error = Config::load(&sources).expect_err("a refused configuration").to_string();
    assert!(!error.contains('\n'), "more than one line: {error}");
    error.replace(&format!("{}/", dir.path().display()), "")
}

#[test]
fn without_anything_the_defaults_of_the_interface_table_hold() {
    let config = Config::load(&Sources::default()).expect("defaults");
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:5000");
    assert_eq!(config.server.data_dir, PathBuf::from("./bonded-data"));
    assert_eq!(config.limits.manifest.bytes(), 4 << 20);
    assert_eq!(config.limits.header.bytes(), 16 << 10);
    assert_eq!(config.timeouts.header.to_string(), "10s");
    assert!(
        config.server.has_role(Role::Api)
            && config.server.has_role(Role::Jobs)
            && config.server.has_role(Role::Ui)
    );
    assert!(config.push.create_projects_on_push && !config.push.require_children);
    assert_eq!(config.warnings(), []);
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let toml =
        "[server]\nlisten = \"127.0.0.1:1\"\ndata_dir = \"/from/file\"\n[limits]\nmanifest = \"8MiB\"\n";
    let env = [
        ("BONDED_SERVER__LISTEN", "127.0.0.1:2"),
        ("BONDED_SERVER__DATA_DIR", "/from/env"),
        ("BONDED_SERVER__ROLES", "api, jobs"),
        ("BONDED_SERVER__HTTP2", "true"),
        ("BONDED_STORAGE__S3__SECRET_ACCESS_KEY", "12345"),
        ("BONDED_ADMIN_PASSWORD", "not a key"),
        ("BONDED_SERVICE_PORT", "tcp://10.0.0.1:5000"),
    ];
    let config = load(toml, &env, &[("--listen", "server.listen", "127.0.0.1:3")]);
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:3");
    assert_eq!(config.server.data_dir, PathBuf::from("/from/env"));
    assert_eq!(config.limits.manifest.to_string(), "8MiB");
    assert_eq!(config.server.roles, [Role::Api, Role::Jobs]);
    assert!(config.server.http2);
    assert_eq!(
        config.storage.s3.secret_access_key.expect("set").expose(),
        "12345",
        "a password of digits stays text"
    );
}

type Env<'a> = &'a [(&'a str, &'a str)];

#[test]
fn a_wrong_configuration_is_one_line_with_place_key_and_advice() {
    let table: &[(&str, Env<'_>, &str)] = &[
        (
            "[server]\nlistn = \"x\"",
            &[],
            "bonded.toml:2: unknown key `server.listn`; did you mean `server.listen`?",
        ),
        ("[serverr]\nlisten = \"x\"", &[], "bonded.toml:1: unknown key `serverr`; did you mean `server`?"),
        (
            "[storage]\nbucket = \"x\"",
            &[],
            "bonded.toml:2: unknown key `storage.bucket`; did you mean `storage.s3.bucket`?",
        ),
        (
            "\n[gc]\ngrace = \"soon\"",
            &[],
            "bonded.toml:3: `gc.grace`: `soon` is not a duration: write a number with a unit",
        ),
        ("[limits]\nmanifest = \"4MB4\"", &[], "bonded.toml:2: `limits.manifest`: `4MB4` is not a size"),
        (
            "[server]\nroles = [\"api\", \"web\"]",
            &[],
            "bonded.toml:2: `server.roles[1]`: unknown variant `web`",
        ),
        ("[server\n", &[], "bonded.toml:1: "),
        (
            "[server]\nhttp2 = 1",
            &[],
            "bonded.toml:2: `server.http2`: invalid type: integer `1`, expected a boolean",
        ),
        (
            "",
            &[("BONDED_SERVER__LISTEM", "x")],
            "environment variable BONDED_SERVER__LISTEM: unknown key `server.listem`; did you mean `server.listen`?",
        ),
        (
            "",
            &[("BONDED_SERVER__LISTEN", "5000")],
            "environment variable BONDED_SERVER__LISTEN: `server.listen`: `5000` is not an address",
        ),
        (
            "",
            &[("BONDED_SERVER__HTTP2", "yes")],
            "environment variable BONDED_SERVER__HTTP2: `server.http2`: expected true or false",
        ),
        (
            "[storage]\nbackend = \"s3\"",
            &[],
            "bonded.toml:1: `storage.s3.bucket`: is needed by storage.backend = \"s3\"",
        ),
        ("[tls]\nmode = \"files\"", &[], "bonded.toml:1: `tls.cert_file`: is needed by tls.mode = \"files\""),
        (
            "[database]\nurl = \"mysql://u:canary@h/d\"",
            &[],
            "bonded.toml:2: `database.url`: must begin with postgres://",
        ),
        (
            "[metrics]\ntoken = \"file:/nonexistent\"",
            &[],
            "bonded.toml:2: `metrics.token`: cannot read the secret from /nonexistent",
        ),
    ];
    for (toml, env, expected) in table {
        let message = refusal(toml, env, &[]);
        assert!(message.starts_with(expected), "expected {expected}\n     got {message}");
        assert!(!message.contains("canary"), "{message}");
    }
    let message = refusal("", &[], &[("--roles", "server.roles", "")]);
    assert_eq!(message, "flag --roles: `server.roles`: needs one of api, jobs, ui");
}

#[test]
fn what_a_choice_needs_is_named() {
    let table: &[(&str, Env<'_>, &str)] = &[
        (
            "[tls]\nmode = \"acme\"\n[tls.acme]\ndirectory = \"https://ca/dir\"\ndomains = [\"a.example\"]",
            &[],
            "bonded.toml:3: `tls.acme.accept_terms`: must be true",
        ),
        (
            "[tls]\nmode = \"acme\"\n[tls.acme]\ndirectory = \"https://ca/dir\"\naccept_terms = true",
            &[],
            "bonded.toml:3: `tls.acme.domains`: is needed by tls.mode = \"acme\"",
        ),
        (
            "[tls]\nmode = \"acme\"\n[tls.acme]\ndirectory = \"https://ca/dir\"\naccept_terms = true\n\
             challenge = \"http-01\"\ndomains = [\"a.example\"]",
            &[],
            "bonded.toml:6: `tls.acme.challenge`: \"http-01\" needs tls.listen",
        ),
        (
            "[storage]\nbackend = \"azure\"\n[storage.azure]\naccount = \"a\"",
            &[],
            "bonded.toml:3: `storage.azure.container`: is needed by storage.backend = \"azure\"",
        ),
        (
            "",
            &[("BONDED_TELEMETRY__OTLP__SAMPLE_RATIO", "1.5")],
            "environment variable BONDED_TELEMETRY__OTLP__SAMPLE_RATIO: `telemetry.otlp.sample_ratio`: must lie between 0 and 1",
        ),
    ];
    for (toml, env, expected) in table {
        let message = refusal(toml, env, &[]);
        assert!(message.starts_with(expected), "expected {expected}\n     got {message}");
    }
}

#[test]
fn limits_and_times_with_which_nothing_works_are_refused() {
    let table: &[(&str, Env<'_>, &str)] = &[
        (
            "[limits]\nmanifest = \"0B\"",
            &[],
            "bonded.toml:2: `limits.manifest`: must be more than 0: with it every push is refused",
        ),
        (
            "[push]\nupload_expiry = \"0s\"",
            &[],
            "bonded.toml:2: `push.upload_expiry`: must be longer than no time",
        ),
        (
            "[limits]\nuploads_per_principal = 0",
            &[],
            "bonded.toml:2: `limits.uploads_per_principal`: must be more than 0",
        ),
    ];
    for (toml, env, expected) in table {
        let message = refusal(toml, env, &[]);
        assert!(message.starts_with(expected), "expected {expected}\n     got {message}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let sources = Sources { file: Some("/nonexistent/bonded.toml".into()), ..Sources::default() };
    let message = Config::load(&sources).expect_err("missing").to_string();
    assert_eq!(
        message,
        "cannot read the configuration file /nonexistent/bonded.toml: No such file or directory (os error 2)"
    );
}

#[test]
fn what_is_shown_has_no_secret_and_loads_again() {
    let toml = "[database]\nurl = \"postgres://bonded:canary-1@db/bonded\"\n[metrics]\ntoken = \"canary-2\"\n\
                [storage.s3]\nsecret_access_key = \"canary-3\"\nsession_token = \"canary-4\"\n\
                [storage.azure]\naccess_key = \"canary-5\"\n[tls.acme]\neab_key_id = \"k\"\neab_hmac_key = \"canary-6\"\n\
                [telemetry.otlp]\nheaders = \"a=canary-7\"\n";
    let config = load(toml, &[], &[]);
    let shown = config.to_toml().expect("toml");
    assert!(!shown.contains("canary") && !format!("{config:?}").contains("canary"), "{shown}");
    assert_eq!(shown.matches("(hidden)").count(), 7, "{shown}");
    let defaults = Config::default().to_toml().expect("toml");
    assert_eq!(load(&defaults, &[], &[]).to_toml().expect("toml"), defaults);
}

#[test]
fn warnings_name_what_is_valid_but_hardly_meant() {
    let config = load("[server]\nlisten = \":5000\"\ntrusted_proxies = [\"0.0.0.0/0\"]", &[], &[]);
    let keys: Vec<_> = config.warnings().into_iter().map(|warning| warning.key).collect();
    assert_eq!(keys, ["server.external_url", "server.trusted_proxies", "tls.mode"]);
}

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

#[test]
fn the_published_schema_is_the_code_s() {
    let made = serde_json::to_string_pretty(&Config::schema()).expect("json") + "\n";
    golden(docs("config.schema.json"), &made);
}

#[test]
fn the_reference_of_keys_is_the_code_s() {
    let path = docs("configuration.md");
    let text = fs::read_to_string(&path).expect("docs/configuration.md");
    let (begin, end) = ("<!-- keys: generated -->\n", "<!-- end of keys -->");
    let (before, rest) = text.split_once(begin).expect("the begin marker");
    let (_, after) = rest.split_once(end).expect("the end marker");
    golden(&path, &format!("{before}{begin}\n{}{end}{after}", server::config::reference::markdown()));
}
