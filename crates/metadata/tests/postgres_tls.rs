//! PostgreSQL over TLS, under a private authority.

mod support;

use metadata::Postgres;
use metadata::postgres::PostgresOptions;
use support::Server;

#[tokio::test(flavor = "multi_thread")]
async fn the_authorities_of_the_options_are_trusted_beside_the_systems() {
    let Some(mut server) = Server::start() else { return };
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let cert =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ca_file = dir.path().join("ca.pem");
    std::fs::write(&ca_file, ca.pem()).unwrap();
    let plain = server.database("encrypted").await;
    server.encrypt(&cert.pem(), &key.serialize_pem()).await;

    let url = plain.replace("127.0.0.1", "localhost") + "?sslmode=verify-full";
    let with = |ca_file| PostgresOptions { ca_file, ..PostgresOptions::default() };
    Postgres::connect(&url, with(Some(ca_file.clone()))).await.unwrap();
    let stranger = Postgres::connect(&url, with(None)).await.unwrap_err().to_string();
    assert!(!stranger.is_empty());
    let named = Postgres::connect(&format!("{url}&sslrootcert={}", ca_file.display()), with(None)).await;
    named.unwrap();
    let missing = Postgres::connect(&url, with(Some("/none.pem".into()))).await.unwrap_err().to_string();
    assert!(missing.contains("/none.pem"), "{missing}");
}
