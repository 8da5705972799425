//! An image of a registry that another program names: pulled with what it gave us, within its allowance, and no file
//! that its manifests do not name.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::BASE64;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use oci::{Digest, RepoName};
use tokio::runtime::{Handle, Runtime};
use upstream::{Allowance, Client, Guard, Options, Registry, RemoteImage, UpstreamError};
use url::Url;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const ALLOWANCE: Allowance = Allowance { time: Duration::from_secs(20), bytes: 1000 };

/// A registry with one image; what was asked of it, with the authorization.
struct Fake {
    base: Url,
    manifest: Digest,
    config: Digest,
    layer: Digest,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

/// `accepts` is the authorization that is accepted; `served` what is given as the layer.
fn fake(runtime: &Runtime, accepts: &'static str, served: &'static str) -> Fake {
    let (config, layer) = (Digest::sha256(b"{}"), Digest::sha256(b"layer"));
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2 },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": 5 }],
    })
    .to_string();
    let digest = Digest::sha256(manifest.as_bytes());
    let documents = Arc::new(HashMap::from([
        (format!("/v2/shop/app/manifests/{digest}"), manifest),
        (format!("/v2/shop/app/blobs/{config}"), "{}".to_owned()),
        (format!("/v2/shop/app/blobs/{layer}"), served.to_owned()),
    ]));
    let asked: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("listener");
    let base = format!("http://127.0.0.1:{}", listener.local_addr().expect("address").port());
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (documents, seen) = (Arc::clone(&documents), Arc::clone(&seen));
            let service = service_fn(move |request: Request<Incoming>| {
                let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
                let (path, own) = (request.uri().path().to_owned(), header.unwrap_or_default().to_owned());
                let mut answer = Response::new(Full::new(Bytes::new()));
                if own != accepts {
                    *answer.status_mut() = hyper::StatusCode::UNAUTHORIZED;
                    answer
                        .headers_mut()
                        .insert("www-authenticate", "Basic realm=\"x\"".parse().expect("value"));
                } else if let Some(document) = documents.get(&path) {
                    answer = Response::new(Full::new(Bytes::from(document.clone())));
                    answer.headers_mut().insert("content-type", MANIFEST.parse().expect("value"));
                } else {
                    *answer.status_mut() = hyper::StatusCode::NOT_FOUND;
                }
                seen.lock().expect("asked").push((path, own));
                async move { Ok::<_, Infallible>(answer) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    Fake { base: Url::parse(&base).expect("address"), manifest: digest, config, layer, asked }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime")
}

fn registry(fake: &Fake, guard: Guard, authorization: &str) -> Result<Registry, UpstreamError> {
    let client = Client::new(&Options { ca_pem: None, plain_http: true, guard }).expect("client");
    let name: RepoName = "shop/app".parse().expect("name");
    Registry::authorized(client, &fake.base, &name, fake.manifest, authorization)
}

fn open(
    handle: &Handle,
    fake: &Fake,
    authorization: &str,
    allowance: Allowance,
) -> Result<RemoteImage, UpstreamError> {
    let local = Guard::public().permit("127.0.0.0/8").expect("rule");
    RemoteImage::open(handle.clone(), registry(fake, local, authorization)?, allowance)
}

fn content(image: &RemoteImage, path: &str) -> Option<String> {
    let mut text = String::new();
    image.open_file(path).expect(path)?.read_to_string(&mut text).expect(path);
    Some(text)
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

#[test]
fn an_image_is_pulled_with_the_authorization_that_was_given() {
    let runtime = runtime();
    let basic = format!("Basic {}", BASE64.encode(b"robot:s3cret"));
    for (accepts, given) in
        [("Bearer t0ken", "Bearer t0ken".to_owned()), ("Basic cm9ib3Q6czNjcmV0", basic), ("", String::new())]
    {
        let fake = fake(&runtime, accepts, "layer");
        let image = open(runtime.handle(), &fake, &given, ALLOWANCE).expect(accepts);
        let index = content(&image, "index.json").expect("index");
        assert!(index.contains(&fake.manifest.to_string()), "{index}");
        assert_eq!(content(&image, &blob(&fake.config)).as_deref(), Some("{}"));
        assert_eq!(content(&image, &blob(&fake.layer)).as_deref(), Some("layer"));
        let before = fake.asked.lock().expect("asked").len();
        assert_eq!(content(&image, &blob(&fake.layer)).as_deref(), Some("layer"), "kept while it is open");
        assert_eq!(content(&image, &blob(&Digest::sha256(b"other"))), None, "named by no manifest");
        assert_eq!(content(&image, "../../etc/passwd"), None);
        assert_eq!(fake.asked.lock().expect("asked").len(), before);
    }
}

#[test]
fn what_is_not_accepted_or_not_what_it_says_is_an_error() {
    let runtime = runtime();
    let one = fake(&runtime, "Bearer t0ken", "other");
    for wrong in ["Bearer wrong", ""] {
        let refused = open(runtime.handle(), &one, wrong, ALLOWANCE);
        assert!(matches!(refused, Err(UpstreamError::Status { .. })), "{wrong}: {refused:?}");
    }
    for odd in ["Digest x", "t0ken", "Basic !"] {
        let refused = open(runtime.handle(), &one, odd, ALLOWANCE);
        assert!(matches!(refused, Err(UpstreamError::Authorization)), "{odd}: {refused:?}");
    }
    let image = open(runtime.handle(), &one, "Bearer t0ken", ALLOWANCE).expect("opened");
    let Err(error) = image.open_file(&blob(&one.layer)) else { panic!("content of another digest") };
    assert!(error.to_string().contains("has the digest"), "{error}");
}

#[test]
fn an_allowance_and_the_guard_hold() {
    let runtime = runtime();
    let one = fake(&runtime, "", "layer");
    let small = Allowance { bytes: 4, ..ALLOWANCE };
    let image = open(runtime.handle(), &one, "", small).expect("opened");
    assert_eq!(content(&image, &blob(&one.config)).as_deref(), Some("{}"));
    let Err(error) = image.open_file(&blob(&one.layer)) else { panic!("over the allowance") };
    assert!(error.to_string().contains("more than 4 bytes"), "{error}");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("listener");
    let base = format!("http://127.0.0.1:{}", silent.local_addr().expect("address").port());
    let mute = Fake { base: Url::parse(&base).expect("address"), ..fake(&runtime, "", "layer") };
    let late = Allowance { time: Duration::from_millis(20), ..ALLOWANCE };
    assert!(matches!(open(runtime.handle(), &mute, "", late), Err(UpstreamError::Time)));
    let before = one.asked.lock().expect("asked").len();
    let public = registry(&one, Guard::public(), "").expect("registry");
    let refused = RemoteImage::open(runtime.handle().clone(), public, ALLOWANCE);
    assert!(matches!(refused, Err(UpstreamError::Address { .. })), "{refused:?}");
    assert_eq!(one.asked.lock().expect("asked").len(), before);
}
