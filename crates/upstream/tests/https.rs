//! Documents over TLS: trusted authorities only, never out of TLS again, never more than the bound, never in clear text
//! to another machine, never to an address that the guard does not permit.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use oci::Digest;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, pki_types::PrivateKeyDer};
use upstream::{Client, Fetched, Guard, Options, UpstreamError};
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
    Client::new(&Options { ca_pem, plain_http: false, guard: Guard::anywhere() }).expect("client")
}

/// A server in clear text on this machine that redirects `/to/HOST` there; counts what it is asked.
async fn redirector() -> (u16, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let port = listener.local_addr().expect("address").port();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            let answer = service_fn(move |request: Request<Incoming>| {
                count.fetch_add(1, Ordering::SeqCst);
                async move {
                    let mut answer = Response::new(Full::new(Bytes::from_static(b"feed")));
                    if let Some(host) = request.uri().path().strip_prefix("/to/") {
                        *answer.status_mut() = hyper::StatusCode::FOUND;
                        let place = format!("http://{host}:{port}/").parse().expect("value");
                        answer.headers_mut().insert("location", place);
                    }
                    Ok::<_, Infallible>(answer)
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer),
            );
        }
    });
    (port, asked)
}

#[tokio::test]
async fn a_guard_holds_for_names_addresses_and_redirects() {
    let (port, asked) = redirector().await;
    let ask = async |guard: Guard, path: &str| {
        let client = Client::new(&Options { ca_pem: None, plain_http: true, guard }).expect("client");
        let url =
            Url::parse(&format!("http://{}", path.replacen('/', &format!(":{port}/"), 1))).expect("address");
        client.fetch(&url, None, 4, &mut Vec::new()).await
    };
    let host = || Guard::public().permit("localhost").expect("rule");
    let network =
        || Guard::public().permit("127.0.0.0/8").and_then(|guard| guard.permit("::1")).expect("rule");

    for path in ["localhost/", "127.0.0.1/", "[::1]/", "[::ffff:127.0.0.1]/", "2130706433/"] {
        let refused = ask(Guard::public(), path).await;
        assert!(matches!(refused, Err(UpstreamError::Address { .. })), "{path}: {refused:?}");
    }
    let refused = ask(host(), "127.0.0.1/").await;
    assert!(matches!(refused, Err(UpstreamError::Address { .. })), "a name permits no address: {refused:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nothing was sent");

    assert!(ask(host(), "localhost/").await.is_ok());
    assert!(ask(network(), "127.0.0.1/to/localhost").await.is_ok());
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    for target in ["127.0.0.1", "169.254.169.254", "[::1]"] {
        let refused = ask(host(), &format!("localhost/to/{target}")).await;
        assert!(matches!(refused, Err(UpstreamError::Address { .. })), "redirect to {target}: {refused:?}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 6, "redirects were answered, not followed");
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
