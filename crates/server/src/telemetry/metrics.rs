//! The metrics of the process, in the OpenMetrics text form.
//!
//! No label ever holds a name that a client chose: routes, methods, statuses and reasons are closed sets. Other parts
//! add theirs with [`Metrics::register`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use http::Method;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use registry::Registry as Bonded;
use workers::Figures;

use super::jobs::Jobs;
use super::process::Process;
use super::route::Route;
use super::storage::Storage;
use crate::http::Outcome;
use crate::http::meter::Cut;

/// Bounds of the request durations, in seconds: from a cached manifest to a large layer on a slow line.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "the names are the labels' values")]
enum Verb {
    GET,
    HEAD,
    POST,
    PUT,
    PATCH,
    DELETE,
    other,
}

impl Verb {
    fn of(method: &Method) -> Self {
        match *method {
            Method::GET => Self::GET,
            Method::HEAD => Self::HEAD,
            Method::POST => Self::POST,
            Method::PUT => Self::PUT,
            Method::PATCH => Self::PATCH,
            Method::DELETE => Self::DELETE,
            _ => Self::other,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: Route,
    method: Verb,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: Route,
    method: Verb,
}

/// Feeds are named by the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FeedLabels {
    feed: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CutLabels {
    reason: &'static str,
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    sent_bytes: Family<RouteLabels, Counter>,
    incomplete: Family<RouteLabels, Counter>,
    running: Gauge,
    connections: Gauge,
    accepted: Counter,
    cut: Family<CutLabels, Counter>,
    feeds: Family<FeedLabels, Gauge>,
    known_feeds: Mutex<BTreeSet<String>>,
}

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

impl Metrics {
    /// The metrics of a process of this version.
    pub fn new(version: &'static str) -> Self {
        let metrics = Self {
            registry: Mutex::default(),
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram as fn() -> Histogram),
            sent_bytes: Family::default(),
            incomplete: Family::default(),
            running: Gauge::default(),
            connections: Gauge::default(),
            accepted: Counter::default(),
            cut: Family::default(),
            feeds: Family::default(),
            known_feeds: Mutex::default(),
        };
        metrics.register(|all| {
            all.register_collector(Box::new(Process));
            all.register("bonded_build", "The build that runs", Info::new([("version", version)]));
            let help = "When a feed of advisories was last renewed or found unchanged, in Unix time";
            all.register("bonded_feed_renewed_timestamp_seconds", help, metrics.feeds.clone());
            metrics.register_http(all.sub_registry_with_prefix("bonded_http"));
        });
        metrics
    }

    fn register_http(&self, http: &mut Registry) {
        let help = "Requests by route, method and status; status 0: the client left before there was one";
        http.register("requests", help, self.requests.clone());
        let help = "From the end of the request's head to the end of the answer";
        http.register("request_duration_seconds", help, self.seconds.clone());
        http.register("response_bytes", "Bytes of answers' bodies", self.sent_bytes.clone());
        http.register("incomplete", "Answers that were not handed over whole", self.incomplete.clone());
        http.register("requests_running", "Requests that are being answered", self.running.clone());
        http.register("connections", "Open connections", self.connections.clone());
        http.register("connections_accepted", "Accepted connections", self.accepted.clone());
        http.register("connections_cut", "Connections that broke a rule", self.cut.clone());
    }

    /// Shows what a registry found damaged and deleted.
    pub fn watch_storage(&self, registry: Arc<Bonded>) {
        self.register(|all| all.register_collector(Box::new(Storage(registry))));
    }

    /// Shows what a runner did, and what waits.
    pub fn watch_jobs(&self, figures: Arc<Figures>) {
        self.register(|all| all.register_collector(Box::new(Jobs(figures))));
    }

    /// Notes when each feed of advisories was last found to be as it is here, in Unix time.
    pub fn note_feeds(&self, feeds: BTreeMap<String, i64>) {
        let mut known = self.known_feeds.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in known.extract_if(.., |feed| !feeds.contains_key(feed)) {
            self.feeds.remove(&FeedLabels { feed: gone });
        }
        for (feed, at) in feeds {
            known.insert(feed.clone());
            self.feeds.get_or_create(&FeedLabels { feed }).set(at);
        }
    }

    /// Adds metrics of another part.
    pub fn register<T>(&self, add: impl FnOnce(&mut Registry) -> T) -> T {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All of them as text.
    pub fn text(&self) -> String {
        let mut out = String::with_capacity(16 * 1024);
        if self.register(|all| encode(&mut out, all)).is_err() {
            tracing::error!("metrics cannot be written");
        }
        out
    }

    pub(super) fn connection_began(&self) {
        self.accepted.inc();
        self.connections.inc();
    }

    pub(super) fn connection_ended(&self, cut: Option<Cut>) {
        self.connections.dec();
        let Some(cut) = cut else { return };
        let reason = match cut {
            Cut::SlowHead => "slow_head",
            Cut::Idle => "idle",
            Cut::SlowSender => "slow_sender",
            Cut::SlowReader => "slow_reader",
        };
        self.cut.get_or_create(&CutLabels { reason }).inc();
    }

    pub(super) fn request_began(&self) {
        self.running.inc();
    }

    pub(super) fn request_ended(&self, route: Route, outcome: &Outcome<'_>) {
        self.running.dec();
        let method = Verb::of(outcome.method);
        let status = outcome.status.map_or(0, |status| status.as_u16());
        self.requests.get_or_create(&RequestLabels { route, method, status }).inc();
        let labels = RouteLabels { route, method };
        self.seconds.get_or_create(&labels).observe(outcome.duration.as_secs_f64());
        if outcome.sent_bytes > 0 {
            self.sent_bytes.get_or_create(&labels).inc_by(outcome.sent_bytes);
        }
        if !outcome.complete {
            self.incomplete.get_or_create(&labels).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use http::{HeaderMap, StatusCode, Uri};

    use super::*;
    use crate::http::ConnectionInfo;
    use crate::http::request_id::RequestIds;

    fn ask(metrics: &Metrics, path: &str, method: &str, status: StatusCode) {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        let uri: Uri = path.parse().expect("path");
        metrics.request_began();
        let outcome = Outcome {
            id: &RequestIds::new(0).of(&HeaderMap::new()),
            connection: &ConnectionInfo { peer: addr, local: addr, tls: None },
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            method: &Method::from_bytes(method.as_bytes()).expect("method"),
            uri: &uri,
            user_agent: None,
            status: Some(status),
            sent_bytes: 10,
            duration: Duration::from_millis(3),
            complete: true,
            span: &tracing::Span::none(),
        };
        metrics.request_ended(Route::of(uri.path()), &outcome);
    }

    #[test]
    fn the_number_of_series_does_not_grow_with_what_clients_ask_for() {
        let metrics = Metrics::new("0");
        for method in ["GET", "M0"] {
            ask(&metrics, "/v2/p/r/manifests/t", method, StatusCode::NOT_FOUND);
            ask(&metrics, "/x", method, StatusCode::NOT_FOUND);
        }
        let before = metrics.text().lines().count();
        for n in 0..2000 {
            ask(&metrics, &format!("/v2/p{n}/r{n}/manifests/t{n}"), "GET", StatusCode::NOT_FOUND);
            ask(&metrics, &format!("/x{n}"), &format!("M{n}"), StatusCode::NOT_FOUND);
        }
        assert_eq!(metrics.text().lines().count(), before);
    }

    #[test]
    fn the_text_names_build_process_and_requests() {
        let metrics = Metrics::new("1.2.3");
        ask(&metrics, "/v2/p/r/manifests/t", "GET", StatusCode::OK);
        let text = metrics.text();
        for line in [
            "bonded_build_info{version=\"1.2.3\"} 1",
            "bonded_http_requests_total{route=\"manifest\",method=\"GET\",status=\"200\"} 1",
            "bonded_http_request_duration_seconds_bucket{le=\"0.005\",route=\"manifest\",method=\"GET\"} 1",
            "bonded_http_response_bytes_total{route=\"manifest\",method=\"GET\"} 10",
            "bonded_http_requests_running 0",
            "process_resident_memory_bytes ",
            "process_cpu_seconds_total ",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
