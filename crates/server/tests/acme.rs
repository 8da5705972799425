//! Certificates by ACME against a real authority: pebble, Let's Encrypt's own for tests.
#![expect(clippy::print_stdout, reason = "a test says what it skips")]

#[expect(dead_code, reason = "each test file uses its part of the harness")]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use metadata::{Clock, ManualClock, Sqlite, Store, SystemClock, SystemRandom};
use registry::Sealer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use server::acme::{Acme, Issued};
use server::config::{Config, Flag, Sources};
use server::http::Listener;
use server::http::tls::{Source, Tls};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use common::{TestServer, free_port, limits, start, tool};

/// No test waits longer for the authority, on however slow a machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// An authority of its own directory and keys.
struct Pebble {
    child: Option<Child>,
    program: PathBuf,
    dir: tempfile::TempDir,
    api: u16,
    management: u16,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Pebble {
    /// One that is not started yet; `None` (and a line) when it is not installed.
    fn new() -> Option<Self> {
        let Some(program) = tool("pebble") else {
            println!("skipped: pebble is not installed");
            return None;
        };
        // What a test that fails wants to show; the first test sets it up for all.
        let _ = tracing_subscriber::fmt().with_test_writer().try_init();
        let dir = tempfile::tempdir().expect("dir");
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("params");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().expect("key"));
        let ca = ca.expect("an authority");
        let key = rcgen::KeyPair::generate().expect("key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let cert =
            rcgen::CertificateParams::new(names).expect("params").signed_by(&key, &ca).expect("signed");
        for (name, content) in
            [("ca.pem", ca.pem()), ("cert.pem", cert.pem()), ("key.pem", key.serialize_pem())]
        {
            fs::write(dir.path().join(name), content).expect("written");
        }
        Some(Self { child: None, program, dir, api: free_port(), management: free_port() })
    }

    fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Starts it; it will ask at these ports for answers to its challenges.
    async fn start(&mut self, http_port: u16, tls_port: u16) {
        let at = |name: &str| self.dir.path().join(name).display().to_string();
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.api),
            "managementListenAddress": format!("127.0.0.1:{}", self.management),
            "certificate": at("cert.pem"),
            "privateKey": at("key.pem"),
            "httpPort": http_port,
            "tlsPort": tls_port,
            "retryAfter": { "authz": 1, "order": 1 },
            "keyAlgorithm": "ecdsa",
            "profiles": { "default": { "description": "default", "validityPeriod": 7_776_000 } },
        }});
        fs::write(at("pebble.json"), config.to_string()).expect("written");
        let log = fs::File::create(at("log")).expect("a log");
        let child = Command::new(&self.program)
            .args(["-config", &at("pebble.json")])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_AUTHZREUSE", "0")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("pebble starts"));
        until("pebble answers", async || self.http().get(self.url("dir")).send().await.is_ok()).await;
    }

    fn http(&self) -> reqwest::Client {
        server::outbound::client(Some(&self.ca_file()), PATIENCE).expect("a client")
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}/{path}", self.api)
    }

    /// The root under which it issues.
    async fn root(&self) -> CertificateDer<'static> {
        let url = format!("https://localhost:{}/roots/0", self.management);
        let pem = self.http().get(url).send().await.expect("an answer").text().await.expect("a root");
        CertificateDer::from_pem_slice(pem.as_bytes()).expect("a root")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(waited.await.is_ok(), "not within {PATIENCE:?}: {what}");
}

fn config(pebble: &Pebble, dir: &Path, more: &[(&'static str, &str)]) -> Config {
    let keys = [
        ("server.data_dir", dir.display().to_string()),
        ("tls.mode", "acme".to_owned()),
        ("tls.reload_interval", "50ms".to_owned()),
        ("tls.acme.directory", pebble.url("dir")),
        ("tls.acme.accept_terms", "true".to_owned()),
        ("tls.acme.contact", "ops@example.com".to_owned()),
        ("tls.acme.domains", "localhost".to_owned()),
        ("tls.acme.ca_file", pebble.ca_file().display().to_string()),
    ];
    let more = more.iter().map(|(key, value)| (*key, (*value).to_owned()));
    let flags = keys.into_iter().chain(more).map(|(key, value)| Flag { name: "test", key, value }).collect();
    Config::load(&Sources { flags, ..Sources::default() }).expect("a configuration")
}

fn store(engine: &Arc<Sqlite>, clock: Arc<dyn Clock>) -> Store {
    Store::new(Arc::<Sqlite>::clone(engine), clock, Arc::new(SystemRandom))
}

fn sealer() -> Arc<Sealer> {
    Arc::new(Sealer::new(&[7; 32]).expect("a sealer"))
}

/// A replica: its listener, and what keeps its certificate.
struct Replica {
    server: TestServer,
    acme: Arc<Acme>,
    issued: Arc<Issued>,
}

impl Replica {
    async fn new(config: &Config, store: Store) -> Self {
        let tls = Tls::from_config(config).expect("TLS").expect("TLS is on");
        let Source::Acme(issued) = tls.source else { unreachable!("the mode is acme") };
        let acme = Arc::new(Acme::new(config, store, sealer(), Arc::clone(&issued)));
        let (challenges, rustls) = (Arc::<Acme>::clone(&acme), tls.server);
        let dress = |listener: Listener| listener.with_tls(rustls).with_challenges(challenges);
        let mut limits = limits();
        limits.tls_handshake = PATIENCE;
        let server = start(Router::new().route("/", get(|| async { "here" })), limits, dress).await;
        Self { server, acme, issued }
    }

    fn keep(&self) -> JoinHandle<()> {
        tokio::spawn(Arc::clone(&self.acme).keep())
    }

    /// The certificate that a client is shown who trusts only this root.
    async fn shown(&self, root: &CertificateDer<'static>) -> std::io::Result<Vec<u8>> {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, self.server.connect().await).await?;
        Ok(stream.get_ref().1.peer_certificates().expect("a chain")[0].to_vec())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_ordered_once_served_by_every_replica_and_renewed_in_time() {
    let Some(mut pebble) = Pebble::new() else { return };
    let dir = tempfile::tempdir().expect("dir");
    let config = config(&pebble, dir.path(), &[]);
    let engine = Sqlite::memory().expect("a database");
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let one = Replica::new(&config, store(&engine, clock.clone())).await;
    let two = Replica::new(&config, store(&engine, clock.clone())).await;
    // The first orders, and the authority asks the second: the answer is shared.
    pebble.start(free_port(), two.server.addr.port()).await;
    let first = one.keep();
    until("the first certificate", async || one.issued.is_there()).await;
    let second = two.keep();
    until("the second replica has it", async || two.issued.is_there()).await;
    let root = pebble.root().await;
    let shown = one.shown(&root).await.expect("a trusted certificate");
    assert_eq!(two.shown(&root).await.expect("a trusted certificate"), shown);

    // When two thirds of its life are over there is a new one, for both.
    clock.advance(Duration::from_hours(61 * 24));
    for replica in [&one, &two] {
        until("the renewal", async || replica.shown(&root).await.expect("trusted") != shown).await;
    }
    assert_eq!(one.shown(&root).await.expect("trusted"), two.shown(&root).await.expect("trusted"));
    let log = pebble.log();
    assert_eq!(log.matches("There are now 1 accounts in memory").count(), 1, "one account:\n{log}");
    assert_eq!(log.matches("Issued certificate serial").count(), 2, "two orders:\n{log}");
    first.abort();
    second.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_proved_by_a_page_in_clear_text() {
    let Some(mut pebble) = Pebble::new() else { return };
    let dir = tempfile::tempdir().expect("dir");
    let more = [("tls.acme.challenge", "http-01"), ("tls.listen", "127.0.0.1:0")];
    let config = config(&pebble, dir.path(), &more);
    let engine = Sqlite::memory().expect("a database");
    let replica = Replica::new(&config, store(&engine, Arc::new(SystemClock))).await;
    let page = start(Arc::clone(&replica.acme).router(), limits(), |listener| listener).await;
    pebble.start(page.addr.port(), free_port()).await;
    let keeping = replica.keep();
    until("a certificate", async || replica.issued.is_there()).await;
    replica.shown(&pebble.root().await).await.expect("a trusted certificate");
    let stranger = page.exchange(b"GET /.well-known/acme-challenge/x HTTP/1.0\r\n\r\n").await;
    assert!(stranger.starts_with("HTTP/1.0 404"), "{stranger}");
    keeping.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_refusal_no_replica_asks_again_at_once() {
    let Some(mut pebble) = Pebble::new() else { return };
    let dir = tempfile::tempdir().expect("dir");
    let config = config(&pebble, dir.path(), &[]);
    let engine = Sqlite::memory().expect("a database");
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let one = Replica::new(&config, store(&engine, clock.clone())).await;
    let two = Replica::new(&config, store(&engine, clock.clone())).await;
    // Nobody answers where the authority asks.
    pebble.start(free_port(), free_port()).await;
    let keeping = [one.keep(), two.keep()];
    let orders = || pebble.log().matches("Added order").count();
    let refused = || pebble.log().matches("set INVALID by completed challenge").count();
    until("a refusal", async || refused() == 1).await;
    // Both replicas look every 50 ms: long enough for many more orders.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(orders(), 1, "{}", pebble.log());
    clock.advance(Duration::from_secs(90));
    until("the next try", async || orders() == 2).await;
    assert!(!one.issued.is_there() && !two.issued.is_there());
    for task in keeping {
        task.abort();
    }
}
