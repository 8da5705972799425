//! A scanner adapter over real HTTP: what is sent to it, how it is waited for, and what each of its refusals becomes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use upstream::adapter::wire::{
    self, Artifact, Capability, CapabilityKind, EnabledCapability, Metadata, RegistryAccess, SbomMediaTypes,
    ScanRequest,
};
use upstream::adapter::{Adapter, AdapterError, Authorization, Document, Patience, Progress, Wanted, check};
use upstream::{Credentials, Guard, Options, UpstreamError};
use url::Url;

/// One answer: status, headers, body.
#[derive(Clone, Debug)]
struct Answer(u16, Vec<(&'static str, String)>, String);

/// What was asked: method, path with query, headers, body.
#[derive(Clone, Debug)]
struct Asked {
    what: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

/// An adapter that gives the answers that it was told, in their order; the last one for ever.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Script {
    async fn serve(answers: Vec<Answer>) -> (Self, Url) {
        let script = Self { answers: Arc::new(Mutex::new(answers.into())), asked: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let url = format!("http://127.0.0.1:{}", listener.local_addr().expect("address").port());
        let serving = script.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let script = serving.clone();
                let service = service_fn(move |request| {
                    let script = script.clone();
                    async move { Ok::<_, Infallible>(script.answer(request).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        (script, Url::parse(&url).expect("address"))
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.expect("body").to_bytes();
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
            .collect();
        let body = String::from_utf8_lossy(&body).into_owned();
        self.asked.lock().expect("asked").push(Asked {
            what: format!("{} {}", head.method, head.uri),
            headers,
            body,
        });
        let Answer(status, headers, body) = {
            let mut answers = self.answers.lock().expect("answers");
            let last = answers.len() == 1;
            if last { answers.front().cloned() } else { answers.pop_front() }.expect("an answer")
        };
        let mut answer = Response::new(Full::new(Bytes::from(body)));
        *answer.status_mut() = status.try_into().expect("status");
        for (name, value) in headers {
            answer.headers_mut().insert(name, value.parse().expect("value"));
        }
        answer
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("asked").clone()
    }
}

fn of_type(media_type: &str) -> Vec<(&'static str, String)> {
    vec![("content-type", media_type.to_owned())]
}

fn later(seconds: &str) -> Answer {
    // As Trivy's adapter: the place to ask again is the place that was asked.
    let location = ("location", "/api/v1/scan/42/report".to_owned());
    Answer(302, vec![("refresh-after", seconds.to_owned()), location], String::new())
}

fn accepted() -> Answer {
    Answer(202, of_type(wire::SCAN_RESPONSE), r#"{"id":"42"}"#.into())
}

fn error(status: u16, message: &str) -> Answer {
    Answer(status, of_type(wire::ERROR), format!(r#"{{"error":{{"message":"{message}"}}}}"#))
}

fn report() -> Answer {
    Answer(200, of_type(wire::VULNERABILITY_REPORT), r#"{"vulnerabilities":[]}"#.into())
}

fn options() -> Options {
    let guard = Guard::public().permit("127.0.0.0/8").expect("rule");
    Options { ca_pem: None, plain_http: true, guard }
}

fn adapter(url: &Url) -> Adapter {
    let own = Credentials { user: "bonded".into(), password: "s3cret".into() };
    Adapter::new(&options(), url, Authorization::Basic(own)).expect("adapter")
}

const PATIENCE: Patience = Patience {
    first: Duration::from_millis(1),
    interval: Duration::from_millis(10),
    longest: Duration::from_millis(20),
    total: Duration::from_secs(20),
};

const REPORT: Wanted<'_> =
    Wanted { media_type: wire::VULNERABILITY_REPORT, sbom_media_type: None, limit: 1000 };

fn request() -> ScanRequest {
    ScanRequest {
        registry: RegistryAccess {
            url: "https://registry.example".into(),
            authorization: "Basic cm9ib3Q6eA==".into(),
        },
        artifact: Artifact {
            repository: "shop/app".into(),
            digest: format!("sha256:{}", "2".repeat(64)),
            tag: String::new(),
            mime_type: "application/vnd.oci.image.manifest.v1+json".into(),
        },
        enabled_capabilities: Vec::new(),
    }
}

async fn scanned(answers: Vec<Answer>) -> (Result<Vec<Document>, AdapterError>, Vec<Asked>) {
    let (script, url) = Script::serve(answers).await;
    let result = adapter(&url).scan(&request(), &[REPORT], &PATIENCE).await;
    (result, script.asked())
}

#[tokio::test]
async fn a_scan_is_requested_once_and_its_report_asked_for_until_it_is_there() {
    let (result, asked) = scanned(vec![accepted(), later("0"), later("3600"), later("soon"), report()]).await;
    let documents = result.expect("scanned");
    assert_eq!(documents[0].bytes, br#"{"vulnerabilities":[]}"#);
    let what: Vec<&str> = asked.iter().map(|asked| asked.what.as_str()).collect();
    assert_eq!(what[0], "POST /api/v1/scan");
    assert_eq!(what[1..], ["GET /api/v1/scan/42/report"; 4], "an hour is not waited for");
    assert_eq!(asked[0].header("content-type"), wire::SCAN_REQUEST_1_0);
    assert!(asked.iter().all(|asked| asked.header("authorization") == "Basic Ym9uZGVkOnMzY3JldA=="));
    assert_eq!(asked[1].header("accept"), wire::VULNERABILITY_REPORT);
    let sent: serde_json::Value = serde_json::from_str(&asked[0].body).expect("JSON");
    assert_eq!(sent["registry"]["authorization"], "Basic cm9ib3Q6eA==");
    assert_eq!(sent["artifact"]["repository"], "shop/app");
    assert!(sent.get("enabled_capabilities").is_none());
    let shown = format!("{:?} {:?}", request(), adapter(&Url::parse("http://127.0.0.1").expect("address")));
    assert!(!shown.contains("cm9ib3Q6eA") && !shown.contains("s3cret"), "{shown}");
}

#[tokio::test]
async fn an_sbom_is_asked_for_in_its_form_after_the_vulnerabilities() {
    let sbom = Answer(200, of_type(wire::SBOM_REPORT), r#"{"sbom":{}}"#.into());
    let (script, url) = Script::serve(vec![accepted(), report(), later("0"), sbom]).await;
    let spdx = "application/spdx+json";
    let mut request = request();
    let parameters = Some(SbomMediaTypes { sbom_media_types: vec![spdx.into()] });
    request.enabled_capabilities = vec![
        EnabledCapability { kind: CapabilityKind::Vulnerability, ..EnabledCapability::default() },
        EnabledCapability { kind: CapabilityKind::Sbom, parameters, ..EnabledCapability::default() },
    ];
    let wanted = [REPORT, Wanted { media_type: wire::SBOM_REPORT, sbom_media_type: Some(spdx), limit: 1000 }];
    let documents = adapter(&url).scan(&request, &wanted, &PATIENCE).await.expect("scanned");
    assert_eq!(documents.len(), 2);
    let asked = script.asked();
    assert_eq!(asked[0].header("content-type"), wire::SCAN_REQUEST);
    assert!(asked[0].body.contains(r#""sbom_media_types":["application/spdx+json"]"#), "{}", asked[0].body);
    assert_eq!(asked[3].what, "GET /api/v1/scan/42/report?sbom_media_type=application%2Fspdx%2Bjson");
}

#[tokio::test]
async fn every_refusal_says_what_to_do_and_none_is_an_empty_report() {
    for (answers, expected) in [
        (vec![error(401, "no")], "correct those of its registration"),
        (vec![error(422, "missing artifact.digest")], "missing artifact.digest"),
        (vec![error(501, "no helm charts")], "no helm charts; choose another scanner"),
        (vec![error(500, "queue is full")], "(500 Internal Server Error): queue is full"),
        (vec![Answer(202, Vec::new(), r#"{"id":""}"#.into())], "without a usable id"),
        (vec![Answer(202, Vec::new(), r#"{"id":".."}"#.into())], "without a usable id"),
        (vec![Answer(202, Vec::new(), "<html>".into())], "is not what it should be"),
        (vec![accepted(), error(404, "")], "has lost the scan"),
        (vec![accepted(), later("0"), error(500, "unable to\\npull")], "unable to pull; its own log"),
        (vec![accepted(), Answer(500, Vec::new(), "x".into())], "it only says 500"),
        (vec![accepted(), Answer(503, Vec::new(), String::new())], "503"),
        (vec![accepted(), Answer(200, of_type("text/html"), "<html>".into())], "`text/html`"),
        (
            vec![accepted(), Answer(200, of_type(wire::VULNERABILITY_REPORT), "x".repeat(1001))],
            "more than 1000 bytes",
        ),
        (vec![accepted(), Answer(200, Vec::new(), "y".repeat(2000))], "more than 1000 bytes"),
    ] {
        let (result, asked) = scanned(answers.clone()).await;
        let text = result.expect_err("refused").to_string();
        assert!(text.contains(expected), "{answers:?}: {text}");
        assert_eq!(asked.iter().filter(|asked| asked.what.starts_with("POST")).count(), 1, "{answers:?}");
    }
}

#[tokio::test]
async fn an_adapter_that_restarts_is_asked_again() {
    let down = || Answer(503, Vec::new(), String::new());
    let (result, asked) = scanned(vec![accepted(), down(), down(), later("0"), down(), report()]).await;
    assert_eq!(result.expect("scanned").len(), 1);
    assert_eq!(asked.len(), 6);
    let (result, asked) = scanned(vec![accepted(), down()]).await;
    assert!(matches!(result, Err(AdapterError::Upstream(UpstreamError::Status { .. }))), "{result:?}");
    assert_eq!(asked.len(), 6, "five times, not for ever");
}

#[tokio::test]
async fn a_scan_that_never_ends_ends_with_patience() {
    let (_, url) = Script::serve(vec![accepted(), later("0")]).await;
    let patience = Patience { total: Duration::from_millis(100), ..PATIENCE };
    let result = adapter(&url).scan(&request(), &[REPORT], &patience).await;
    assert!(matches!(result, Err(AdapterError::TimeOver { .. })), "{result:?}");
}

#[tokio::test]
async fn what_the_guard_forbids_is_never_asked() {
    let (script, url) = Script::serve(vec![accepted(), report()]).await;
    let public = Options { guard: Guard::public(), ..options() };
    let guarded = Adapter::new(&public, &url, Authorization::Bearer("t0ken".into())).expect("adapter");
    for result in [guarded.accept(&request()).await.err(), guarded.metadata().await.err()] {
        let refused = matches!(result, Some(AdapterError::Upstream(UpstreamError::Address { .. })));
        assert!(refused, "{result:?}");
    }
    let beyond = Url::parse("http://scanner.example:8080").expect("address");
    let secure = Options { plain_http: false, ..options() };
    let plain = Adapter::new(&secure, &beyond, Authorization::None).expect("adapter").metadata().await;
    assert!(matches!(plain, Err(AdapterError::Upstream(UpstreamError::PlainHttp(_)))), "{plain:?}");
    assert!(script.asked().is_empty(), "{:?}", script.asked());
    let mail = Url::parse("mailto:x@example.org").expect("address");
    assert!(matches!(Adapter::new(&secure, &mail, Authorization::None), Err(AdapterError::Base(_))));
}

#[tokio::test]
async fn a_redirect_is_no_way_to_another_host() {
    let elsewhere = vec![("location", "http://169.254.169.254/latest/meta-data".to_owned())];
    let (script, url) = Script::serve(vec![Answer(302, elsewhere, String::new())]).await;
    let progress = adapter(&url).report("42", &REPORT).await.expect("later");
    assert_eq!(progress, Progress::Later(None));
    assert_eq!(script.asked().len(), 1);
}

#[tokio::test]
async fn an_id_is_one_segment_of_the_path_whatever_it_is() {
    let (script, url) = Script::serve(vec![report()]).await;
    let base = url.join("/trivy/api/v1/").expect("address");
    adapter(&base).report("a/../../b?c#d", &REPORT).await.expect("ready");
    assert_eq!(script.asked()[0].what, "GET /trivy/api/v1/scan/a%2F..%2F..%2Fb%3Fc%23d/report");
}

#[tokio::test]
async fn metadata_tells_what_a_scanner_can_do() {
    let document = r#"{"scanner":{"name":"Trivy","vendor":"Aqua Security","version":"0.66.0"},
      "capabilities":[
        {"consumes_mime_types":["application/vnd.oci.image.manifest.v1+json"],"produces_mime_types":["application/vnd.security.vulnerability.report;version=1.1"]},
        {"type":"sbom","consumes_mime_types":["application/vnd.oci.image.manifest.v1+json"],"produces_mime_types":["application/vnd.security.sbom.report+json; version=1.0"],"additional_attributes":{"sbom_media_types":["application/spdx+json"]}},
        {"type":"dreams","consumes_mime_types":["x"],"produces_mime_types":["y"]}],
      "properties":{"harbor.scanner-adapter/vulnerability-database-updated-at":"2026-11-19T06:00:00Z"}}"#;
    let (script, url) = Script::serve(vec![
        Answer(503, Vec::new(), String::new()),
        Answer(200, of_type(wire::METADATA), document.into()),
    ])
    .await;
    let metadata = adapter(&url).metadata().await.expect("metadata");
    assert_eq!(script.asked().len(), 2, "it may just be starting");
    assert_eq!(metadata.database_updated(), Some("2026-11-19T06:00:00Z"));
    let image = "application/vnd.oci.image.manifest.v1+json";
    let both = [wire::VULNERABILITY_REPORT_1_0, wire::VULNERABILITY_REPORT];
    assert_eq!(
        metadata.produces(CapabilityKind::Vulnerability, image, &both),
        Some(wire::VULNERABILITY_REPORT)
    );
    assert_eq!(metadata.produces(CapabilityKind::Sbom, image, &[wire::SBOM_REPORT]), Some(wire::SBOM_REPORT));
    assert_eq!(metadata.produces(CapabilityKind::Vulnerability, "application/vnd.cncf.helm", &both), None);
    assert_eq!(metadata.capabilities[2].kind, CapabilityKind::Other);
    check(&metadata, "here").expect("can be registered");
    let useless = Metadata { capabilities: vec![Capability::default()], ..metadata };
    assert!(check(&useless, "here").expect_err("useless").to_string().contains("choose another scanner"));
    let (_, url) =
        Script::serve(vec![Answer(200, Vec::new(), r#"{"scanner":{"name":"x"},"capabilities":[]}"#.into())])
            .await;
    assert!(adapter(&url).metadata().await.is_err(), "a scanner has a name, a vendor and a version");
}
