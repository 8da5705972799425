//! Documents over TLS: trusted authorities only, never out of TLS again, never more than the bound, never in clear text
//! to another machine.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use oci::Digest;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, pki_types::PrivateKeyDer};
use upstream::{Client, Fetched, Options, UpstreamError};
use url::Url;

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut answer = Response::new(Full::new(Bytes::from_static(b"feed")));
    if request.uri().path() == "/down" {
        *answer.status_mut() = hyper::StatusCode::FOUND;
        answer.headers_mut().insert("location", "http://127.0.0.1:9/".parse().expect("value"));
    }
    Ok(answer)
}

/// A TLS server for `localhost`; its authority's certificate as PEM.
async fn server() -> (SocketAddr, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("key");
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("configuration");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let http = hyper::server::conn::http1::Builder::new();
                // A client that leaves early is no failure of the server.
                let _ = http.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
            });
        }
    });
    (address, made.cert.pem().into_bytes())
}

fn client(ca_pem: Option<Vec<u8>>) -> Client {
    Client::new(&Options { ca_pem, plain_http: false }).expect("client")
}

fn url(address: SocketAddr, path: &str) -> Url {
    Url::parse(&format!("https://localhost:{}{path}", address.port())).expect("address")
}

#[tokio::test]
async fn a_document_is_fetched_over_trusted_tls_only() {
    let (address, authority) = server().await;
    let mut body = Vec::new();
    let trusting = client(Some(authority));
    let fetched = trusting.fetch(&url(address, "/"), None, 4, &mut body).await.expect("fetched");
    assert_eq!(fetched, Fetched::Changed { validator: None, digest: Digest::sha256(b"feed") });
    assert_eq!(body, b"feed");
    let refused = client(None).fetch(&url(address, "/"), None, 4, &mut Vec::new()).await;
    assert!(matches!(refused, Err(UpstreamError::Connection { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_redirect_never_leaves_tls_and_a_bound_holds() {
    let (address, authority) = server().await;
    let client = client(Some(authority));
    let refused = client.fetch(&url(address, "/down"), None, 4, &mut Vec::new()).await;
    let Err(UpstreamError::Connection { source, .. }) = refused else { panic!("{refused:?}") };
    assert!(source.is_redirect(), "{source:?}");
    let refused = client.fetch(&url(address, "/"), None, 3, &mut Vec::new()).await;
    assert!(matches!(refused, Err(UpstreamError::TooLarge { limit: 3, .. })), "{refused:?}");
    let clear = Url::parse("http://feeds.invalid/x").expect("address");
    let refused = client.fetch(&clear, None, 3, &mut Vec::new()).await;
    assert!(matches!(refused, Err(UpstreamError::PlainHttp(_))), "{refused:?}");
}
