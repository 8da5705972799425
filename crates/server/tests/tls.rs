//! TLS over real sockets: protocols by ALPN, client certificates, certificates that change while the server runs.

#[expect(dead_code, reason = "each test file uses its part of the harness")]
mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use server::config::{Config, Flag, Sources};
use server::http::RequestContext;
use server::http::tls::{Certificate, Source, Tls};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use common::{TestServer, limits, read_answer, start};

/// The configuration of a data directory with these keys.
fn config(dir: &Path, keys: &[(&'static str, &str)]) -> Config {
    let mut flags = vec![Flag { name: "test", key: "server.data_dir", value: dir.display().to_string() }];
    flags.extend(keys.iter().map(|(key, value)| Flag { name: "test", key, value: (*value).to_owned() }));
    Config::load(&Sources { flags, ..Sources::default() }).expect("a valid configuration")
}

fn app() -> Router {
    let who = |Extension(it): Extension<RequestContext>| async move {
        let tls = it.connection.tls.as_ref().expect("tls");
        format!("{} {}", tls.server_name.as_deref().unwrap_or("-"), tls.client_certificates.len())
    };
    Router::new().route("/who", get(who))
}

/// The certificate in files.
fn files(tls: &Tls) -> Arc<Certificate> {
    let Source::Files(certificate) = &tls.source else { unreachable!("no test here uses ACME") };
    Arc::clone(certificate)
}

async fn server(config: &Config) -> (TestServer, Tls) {
    let tls = Tls::from_config(config).expect("a certificate").expect("TLS is on");
    let rustls = Arc::clone(&tls.server);
    (start(app(), limits(), |listener| listener.with_tls(rustls)).await, tls)
}

struct Client<'a> {
    trusts: &'a Path,
    alpn: &'a [&'a str],
    identity: Option<(&'a Path, &'a Path)>,
}

impl Client<'_> {
    async fn connect(&self, server: &TestServer) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_file_iter(self.trusts).expect("a file") {
            roots.add(authority.expect("a certificate")).expect("an authority");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = builder.with_root_certificates(roots);
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain =
                    CertificateDer::pem_file_iter(cert).expect("file").map(|der| der.expect("certificate"));
                let key = PrivateKeyDer::from_pem_file(key).expect("a key");
                builder.with_client_auth_cert(chain.collect(), key).expect("an identity")
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("localhost").expect("name");
        TlsConnector::from(Arc::new(config)).connect(name, server.connect().await).await
    }

    async fn get(&self, server: &TestServer) -> std::io::Result<String> {
        let mut stream = self.connect(server).await?;
        stream.write_all(b"GET /who HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        let mut probe = [0; 1];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut probe).await?;
        Ok(read_answer(&mut stream).await)
    }
}

fn make_pair(dir: &Path, name: &str, signer: Option<&rcgen::CertifiedIssuer<'_, rcgen::KeyPair>>) {
    let key = rcgen::KeyPair::generate().expect("key");
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("params");
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let cert = match signer {
        Some(issuer) => params.signed_by(&key, issuer).expect("signed"),
        None => params.self_signed(&key).expect("signed"),
    };
    fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).expect("write");
    fs::write(dir.join(format!("{name}.pem")), cert.pem()).expect("write");
}

fn make_authority(dir: &Path) -> rcgen::CertifiedIssuer<'static, rcgen::KeyPair> {
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("params");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer =
        rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().expect("key")).expect("ca");
    fs::write(dir.join("ca.pem"), issuer.pem()).expect("write");
    issuer
}

#[tokio::test]
async fn a_self_signed_certificate_is_made_once_with_a_private_key_file() {
    let dir = tempfile::tempdir().expect("dir");
    let config =
        config(dir.path(), &[("tls.mode", "self-signed"), ("server.external_url", "https://r.example:8443")]);
    let (server, _) = server(&config).await;
    let cert = dir.path().join("tls/self-signed.pem");
    let answer = Client { trusts: &cert, alpn: &[], identity: None }.get(&server).await.expect("an answer");
    assert!(
        answer.contains("strict-transport-security: max-age=") && answer.ends_with("localhost 0"),
        "{answer}"
    );

    let key = fs::metadata(dir.path().join("tls/self-signed.key")).expect("key");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
    let made = fs::read(&cert).expect("cert");
    Tls::from_config(&config).expect("again");
    assert_eq!(fs::read(&cert).expect("cert"), made, "a restart keeps it");
}

#[tokio::test]
async fn alpn_offers_http2_only_when_it_is_switched_on() {
    let dir = tempfile::tempdir().expect("dir");
    for (http2, agreed) in [("false", "http/1.1"), ("true", "h2")] {
        let config = config(dir.path(), &[("tls.mode", "self-signed"), ("server.http2", http2)]);
        let (server, _) = server(&config).await;
        let cert = dir.path().join("tls/self-signed.pem");
        let client = Client { trusts: &cert, alpn: &["h2", "http/1.1"], identity: None };
        let stream = client.connect(&server).await.expect("a session");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(agreed.as_bytes()));
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let dir = tempfile::tempdir().expect("dir");
    let at = |name: &str| dir.path().join(name);
    make_pair(dir.path(), "a", None);
    make_pair(dir.path(), "b", None);
    let put = |name: &str, with_key: bool| {
        fs::copy(at(&format!("{name}.pem")), at("live.pem")).expect("copy");
        if with_key {
            fs::copy(at(&format!("{name}.key")), at("live.key")).expect("copy");
        }
    };
    put("a", true);
    let (cert, key) = (at("live.pem"), at("live.key"));
    let (cert, key) = (cert.to_str().expect("path"), key.to_str().expect("path"));
    let config = config(dir.path(), &[("tls.mode", "files"), ("tls.cert_file", cert), ("tls.key_file", key)]);
    let (server, tls) = server(&config).await;
    let (a, b) = (at("a.pem"), at("b.pem"));
    let trusts = |trusts| Client { trusts, alpn: &[], identity: None };
    assert!(trusts(&a).get(&server).await.is_ok() && trusts(&b).get(&server).await.is_err());
    assert!(!files(&tls).reload().expect("unchanged"));

    put("b", false);
    let error = files(&tls).reload().expect_err("a certificate without its key").to_string();
    assert!(error.contains("do not go together"), "{error}");
    assert!(trusts(&a).get(&server).await.is_ok(), "the old pair stays");

    put("b", true);
    let following = tokio::spawn(files(&tls).follow(Duration::from_millis(10)));
    tokio::time::timeout(common::PATIENCE, async {
        while trusts(&b).get(&server).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the new pair is used");
    following.abort();
}

#[tokio::test]
async fn client_certificates_of_the_configured_authority_are_shown_to_handlers() {
    let dir = tempfile::tempdir().expect("dir");
    let at = |name: &str| dir.path().join(name);
    let issuer = make_authority(dir.path());
    make_pair(dir.path(), "server", Some(&issuer));
    make_pair(dir.path(), "client", Some(&issuer));
    make_pair(dir.path(), "stranger", None);
    let [cert, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| at(name).display().to_string());
    let keys = [
        ("tls.mode", "files"),
        ("tls.cert_file", &cert),
        ("tls.key_file", &key),
        ("tls.client_ca_file", &ca),
    ];
    let (optional, _) = server(&config(dir.path(), &keys)).await;
    let trusts = at("ca.pem");
    let (client, client_key) = (at("client.pem"), at("client.key"));
    let (stranger, stranger_key) = (at("stranger.pem"), at("stranger.key"));
    let with = |identity| Client { trusts: &trusts, alpn: &[], identity };
    let own = Some((client.as_path(), client_key.as_path()));
    assert!(with(own).get(&optional).await.expect("an answer").ends_with("localhost 1"));
    assert!(with(None).get(&optional).await.expect("an answer").ends_with("localhost 0"));
    assert!(with(Some((&stranger, &stranger_key))).get(&optional).await.is_err());

    let required: Vec<_> = keys.into_iter().chain([("tls.client_cert_required", "true")]).collect();
    let (required, _) = server(&config(dir.path(), &required)).await;
    assert!(with(None).get(&required).await.is_err());
    assert!(with(own).get(&required).await.is_ok());
}

#[test]
fn a_missing_or_foreign_file_is_named() {
    let dir = tempfile::tempdir().expect("dir");
    let at = |name: &str| dir.path().join(name).display().to_string();
    make_pair(dir.path(), "a", None);
    let refusal = |cert: &str, key: &str| {
        let keys = [("tls.mode", "files"), ("tls.cert_file", &*at(cert)), ("tls.key_file", &*at(key))];
        Tls::from_config(&config(dir.path(), &keys)).expect_err("refused").to_string()
    };
    assert_eq!(
        refusal("no.pem", "a.key"),
        format!("{}: No such file or directory (os error 2)", at("no.pem"))
    );
    assert!(refusal("a.key", "a.key").starts_with(&format!("{}: no certificate in PEM form", at("a.key"))));
    assert!(refusal("a.pem", "a.pem").starts_with(&format!("{}: no private key in PEM form", at("a.pem"))));
}
