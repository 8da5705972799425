//! Traces of the real program, at a collector that decodes what it is sent.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::process::{Child, Command};

/// No test waits longer, on however slow a machine.
const PATIENCE: Duration = Duration::from_mins(2);

const PASSWORD: &str = "a long password of the test";
const TRACED: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const UNTRACED: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00f067aa0ba902b7";

/// What arrived.
#[derive(Debug, Default)]
struct Collected {
    spans: Vec<Span>,
    services: Vec<String>,
    keys: Vec<String>,
}

type Collector = Arc<Mutex<Collected>>;

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    let mut all = collector.lock().expect("lock");
    all.keys.extend(headers.get("x-key").map(|key| key.to_str().expect("text").to_owned()));
    for resource in request.resource_spans {
        let attributes = resource.resource.into_iter().flat_map(|resource| resource.attributes);
        all.services
            .extend(attributes.filter(|it| it.key == "service.name").map(|it| format!("{:?}", it.value)));
        all.spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
    StatusCode::OK
}

async fn collector() -> (Collector, String) {
    let collector = Collector::default();
    let app = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&collector));
    let listener = server::http::Listener::bind("127.0.0.1:0".parse().expect("addr")).await.expect("bind");
    let endpoint = format!("http://{}", listener.local_addr().expect("addr"));
    let server = server::http::Server::new(
        server::http::Limits::from(&server::config::Config::default()),
        Arc::new(Nobody),
        server::http::TrustedProxies::default(),
        1,
    );
    tokio::spawn(Arc::new(server).serve(listener, app));
    (collector, endpoint)
}

struct Nobody;

impl server::http::Observer for Nobody {
    fn began(&self) {}
    fn ended(&self, _: &server::http::Outcome<'_>) {}
}

/// The program, with its traces sent there.
struct Bonded {
    child: Child,
    url: String,
}

impl Bonded {
    async fn start(dir: &Path, endpoint: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("addr").port();
        let child = Command::new(env!("CARGO_BIN_EXE_bonded"))
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
            .arg(dir)
            .env("BONDED_ADMIN_PASSWORD", PASSWORD)
            .env("BONDED_METRICS__TOKEN", "metrics")
            .env("BONDED_TELEMETRY__OTLP__ENDPOINT", endpoint)
            .env("BONDED_TELEMETRY__OTLP__HEADERS", "x-key=a=b")
            .env("BONDED_TELEMETRY__OTLP__TIMEOUT", "5s")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("bonded starts");
        let bonded = Self { child, url: format!("http://127.0.0.1:{port}") };
        until("ready", async || {
            bonded.get("/readyz", None).await.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await;
        bonded
    }

    async fn get(&self, path: &str, trace: Option<&str>) -> reqwest::Result<reqwest::Response> {
        let request = reqwest::Client::new().get(format!("{}{path}", self.url));
        let request = request.basic_auth("admin", Some(PASSWORD));
        match trace {
            Some(trace) => request.header("traceparent", trace).send().await,
            None => request.send().await,
        }
    }

    /// Pushes a small blob.
    async fn push(&self, trace: &str) {
        let content = b"some bytes";
        let digest = oci::Digest::sha256(content);
        let url = format!("{}/v2/library/x/blobs/uploads/?digest={digest}", self.url);
        let request = reqwest::Client::new().post(url).basic_auth("admin", Some(PASSWORD));
        let answer = request.header("traceparent", trace).body(content.to_vec()).send().await.expect("sent");
        assert_eq!(answer.status(), StatusCode::CREATED);
    }

    async fn stop(mut self) {
        let pid = self.child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
        let term = rustix::process::Signal::TERM;
        rustix::process::kill_process(pid.expect("it runs"), term).expect("signalled");
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends");
        assert!(ended.expect("waited for").success());
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

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_commits_blobs_and_jobs_are_traced_and_the_caller_s_trace_goes_on() {
    let dir = tempfile::tempdir().expect("dir");
    let (collector, endpoint) = collector().await;
    let bonded = Bonded::start(dir.path(), &endpoint).await;
    // The runner looks for jobs once a second: a process that is told to end before has run none.
    until("a job ended", async || {
        collector.lock().expect("lock").spans.iter().any(|span| span.name == "job")
    })
    .await;
    bonded.push(&format!("00-{TRACED}-{PARENT}-01")).await;
    bonded.get("/v2/_catalog", Some(&format!("00-{UNTRACED}-{PARENT}-00"))).await.expect("an answer");
    // The end of the process brings what still waits.
    bonded.stop().await;
    let all = collector.lock().expect("lock");
    let of = |trace: &str| all.spans.iter().filter(|span| hex(&span.trace_id) == trace).collect::<Vec<_>>();
    let names = || all.spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>();

    let traced = of(TRACED);
    let request = traced.iter().find(|span| span.name == "POST upload").expect("the request");
    assert_eq!(hex(&request.parent_span_id), PARENT);
    let attribute = |key: &str| {
        let found = request.attributes.iter().find(|attribute| attribute.key == key);
        format!("{:?}", found.and_then(|attribute| attribute.value.clone()).and_then(|value| value.value))
    };
    assert!(attribute("http.response.status_code").contains("201"), "{request:?}");
    assert!(attribute("url.path").contains("/v2/library/x/blobs/uploads/"), "{request:?}");
    assert!(!format!("{:?}", all.spans).contains("sha256:"), "a query is shown");
    for name in ["blob.finish", "store.commit"] {
        let child = traced.iter().find(|span| span.name == name);
        let child = child.unwrap_or_else(|| panic!("no {name} among {traced:?}"));
        assert!(child.start_time_unix_nano >= request.start_time_unix_nano, "{child:?}");
        assert!(traced.iter().any(|span| span.span_id == child.parent_span_id), "{child:?} hangs in the air");
    }
    assert_eq!(of(UNTRACED), Vec::<&Span>::new(), "the caller did not want it");
    assert!(!names().iter().any(|name| name.contains("ops")), "readiness is traced: {:?}", names());
    assert!(all.services.iter().all(|service| service.contains("\"bonded\"")), "{:?}", all.services);
    assert!(!all.keys.is_empty() && all.keys.iter().all(|key| key == "a=b"), "{:?}", all.keys);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_collector_everything_goes_on_and_the_loss_is_counted() {
    let dir = tempfile::tempdir().expect("dir");
    // Nobody listens there.
    let bonded = Bonded::start(dir.path(), "http://127.0.0.1:9").await;
    bonded.push(&format!("00-{TRACED}-{PARENT}-01")).await;
    until("the loss is counted", async || {
        let request = reqwest::Client::new().get(format!("{}/metrics", bonded.url)).bearer_auth("metrics");
        let text = request.send().await.expect("sent").text().await.expect("text");
        let value = text.lines().find_map(|line| line.strip_prefix("bonded_traces_failed_exports_total "));
        value.expect("the metric").parse::<u64>().expect("a number") > 0
    })
    .await;
    assert_eq!(bonded.get("/v2/", None).await.expect("an answer").status(), StatusCode::OK);
    bonded.stop().await;
}
