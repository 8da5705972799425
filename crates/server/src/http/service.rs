//! What happens around each request: its identity, its bodies' progress, panics, headers, and the report at its end.
//!
//! Why not a stack of middleware: every layer that boxes a future or a body costs a microsecond on requests that take
//! twenty. This is one hand-written future around the inner service and one body around its answer. The end of a
//! request is the end of its answer's body, or the moment when hyper drops it unfinished – the only place where a cut
//! transfer can be told from a whole one.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tracing::Span;

use super::context::{ConnectionInfo, RequestContext};
use super::meter::{Cut, Direction, Meter, Stream, Waiter};
use super::origin::TrustedProxies;
use super::request_id::{RequestId, RequestIds, X_REQUEST_ID};
use super::sendfile::FileRanges;

/// How a request ended.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// The request's name.
    pub id: &'a RequestId,
    /// Its connection.
    pub connection: &'a ConnectionInfo,
    /// The client, behind trusted proxies too.
    pub client: IpAddr,
    /// Its method.
    pub method: &'a Method,
    /// Its address. Never log the query: clients put secrets there.
    pub uri: &'a Uri,
    /// `User-Agent`, if it is text.
    pub user_agent: Option<&'a str>,
    /// The answer's status; unset if the client left before there was one.
    pub status: Option<StatusCode>,
    /// Bytes of the answer's body that were handed to the connection.
    pub sent_bytes: u64,
    /// From the end of the request's head to the end of the answer's body.
    pub duration: Duration,
    /// Whether the answer was handed over whole.
    pub complete: bool,
    /// Its span, as the observer made it.
    pub span: &'a Span,
}

/// Is told of every request.
pub trait Observer: Send + Sync + 'static {
    /// A connection was accepted.
    fn connected(&self) {}
    /// A connection ended; by a broken rule, if one is named. Called once for each that was accepted.
    fn disconnected(&self, cut: Option<Cut>) {
        let _ = cut;
    }
    /// A request began.
    fn began(&self);
    /// The span in which it is answered.
    fn span(&self, method: &Method, uri: &Uri, headers: &HeaderMap, id: &RequestId) -> Span {
        let _ = (method, uri, headers, id);
        Span::none()
    }
    /// A request ended. Called once for each that began; must not block.
    fn ended(&self, outcome: &Outcome<'_>);
}

/// What all requests of a server share.
pub struct Shared {
    /// Is told of every request.
    pub observer: Arc<dyn Observer>,
    /// Names them.
    pub ids: RequestIds,
    /// Whose word about the client counts.
    pub proxies: TrustedProxies,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("ids", &self.ids).finish_non_exhaustive()
    }
}

/// The service of one connection around the application's.
#[derive(Debug)]
pub struct Edge<S> {
    /// The application.
    pub inner: S,
    /// What all requests share.
    pub shared: Arc<Shared>,
    /// This connection.
    pub connection: Arc<ConnectionInfo>,
    /// Its counters.
    pub meter: Arc<Meter>,
    /// What its transport sends from files.
    pub files: Option<Arc<FileRanges>>,
}

/// An application: a router, or anything that answers like one.
pub trait App:
    tower_service::Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> App for S where
    S: tower_service::Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// One request from its head to the end of its answer; reports when it is dropped.
struct Record {
    shared: Arc<Shared>,
    meter: Arc<Meter>,
    stream: Option<Arc<Stream>>,
    context: RequestContext,
    method: Method,
    uri: Uri,
    user_agent: Option<HeaderValue>,
    began: Instant,
    status: Option<StatusCode>,
    sent_bytes: u64,
    complete: bool,
    span: Span,
}

impl Drop for Record {
    fn drop(&mut self) {
        self.shared.observer.ended(&Outcome {
            id: &self.context.id,
            connection: &self.context.connection,
            client: self.context.client,
            method: &self.method,
            uri: &self.uri,
            user_agent: self.user_agent.as_ref().and_then(|value| value.to_str().ok()),
            status: self.status,
            sent_bytes: self.sent_bytes,
            duration: self.began.elapsed(),
            complete: self.complete,
            span: &self.span,
        });
        if let Some(stream) = &self.stream {
            self.meter.close_stream(stream);
        }
        self.meter.end_request();
    }
}

impl<S: App> hyper::service::Service<Request<Incoming>> for Edge<S> {
    type Response = Response<ResponseBody<Body>>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Answering<S::Future> {
        self.meter.begin_request();
        self.shared.observer.began();
        let (mut parts, incoming) = request.into_parts();
        let context = RequestContext {
            id: self.shared.ids.of(&parts.headers),
            connection: Arc::clone(&self.connection),
            client: self.shared.proxies.client(&self.connection, &parts.headers),
            files: self.files.clone(),
        };
        let span = self.shared.observer.span(&parts.method, &parts.uri, &parts.headers, &context.id);
        let stream = (parts.version == Version::HTTP_2).then(|| self.meter.open_stream());
        let record = Record {
            shared: Arc::clone(&self.shared),
            meter: Arc::clone(&self.meter),
            stream: stream.clone(),
            context: context.clone(),
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            user_agent: parts.headers.get(header::USER_AGENT).cloned(),
            began: Instant::now(),
            status: None,
            sent_bytes: 0,
            complete: false,
            span,
        };
        // RFC 9112 §3.2.2: an absolute-form target is taken, but not one that names another host than the header.
        let host = parts.headers.get(header::HOST);
        let contradicts = match (parts.uri.authority(), host) {
            (Some(authority), Some(host)) => {
                !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes())
            }
            _ => false,
        };
        if contradicts {
            return Answering { inner: Inner::Refused, record: Some(record) };
        }
        parts.extensions.insert(context);
        let body = if incoming.is_end_stream() {
            Body::empty()
        } else {
            Body::new(RequestBody {
                inner: incoming,
                waiter: Waiter::new(Arc::clone(&self.meter), Direction::In).of(stream),
            })
        };
        let future = self.inner.clone().call(Request::from_parts(parts, body));
        Answering { inner: Inner::Running { future }, record: Some(record) }
    }
}

pin_project_lite::pin_project! {
    #[project = InnerProjection]
    enum Inner<F> {
        Running { #[pin] future: F },
        Refused,
    }
}

pin_project_lite::pin_project! {
    /// The answer to one request.
    pub struct Answering<F> {
        #[pin]
        inner: Inner<F>,
        record: Option<Record>,
    }
}

impl<F> Future for Answering<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<Response<ResponseBody<Body>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _in_span = this.record.as_ref().map(|record| record.span.clone().entered());
        let answer = match this.inner.project() {
            InnerProjection::Refused => plain(StatusCode::BAD_REQUEST, "the target names another host\n"),
            // The application's state is behind locks that poison or rows that roll back: a panic ends one request.
            InnerProjection::Running { future } => match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
                Ok(polled) => match ready!(polled) {
                    Ok(answer) => answer,
                    Err(never) => match never {},
                },
                Err(_) => panicked(this.record.as_ref()),
            },
        };
        let Some(record) = this.record.take() else { return Poll::Pending };
        Poll::Ready(Ok(finish(answer, record)))
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// A 5xx names the request and nothing else.
fn panicked(record: Option<&Record>) -> Response<Body> {
    let id = record.map_or("", |record| record.context.id.as_str());
    tracing::error!(request_id = id, "a request's handler panicked");
    let body = format!(
        r#"{{"errors":[{{"code":"UNKNOWN","message":"internal error","detail":{{"request_id":"{id}"}}}}]}}"#
    );
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn finish(answer: Response<Body>, mut record: Record) -> Response<ResponseBody<Body>> {
    let (mut parts, body) = answer.into_parts();
    parts.headers.insert(X_REQUEST_ID, record.context.id.header());
    parts.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if record.context.connection.tls.is_some() {
        let value = HeaderValue::from_static("max-age=31536000");
        parts.headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
    record.status = Some(parts.status);
    let without_body = record.method == Method::HEAD
        || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    record.complete = without_body || body.is_end_stream();
    let mut reading = Waiter::new(Arc::clone(&record.meter), Direction::Out).of(record.stream.clone());
    if record.stream.is_some() && !record.complete {
        // Over HTTP/2 a body is not even asked for before the client grants the connection a window.
        reading.wait();
    }
    Response::from_parts(parts, ResponseBody { inner: body, reading, record })
}

pin_project_lite::pin_project! {
    /// The body of an answer; waits for its reader between a chunk and the next question, reports at its end.
    pub struct ResponseBody<B> {
        #[pin]
        inner: B,
        reading: Waiter,
        record: Record,
    }
}

impl<B: HttpBody<Data = Bytes>> HttpBody for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        this.reading.go_on();
        let in_span = this.record.span.enter();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        drop(in_span);
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                this.record.sent_bytes += bytes as u64;
                this.reading.handed(bytes);
                this.record.complete = this.inner.is_end_stream();
                if !this.record.complete {
                    this.reading.wait();
                }
            }
            Some(Err(_)) => {}
            None => this.record.complete = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of a request; counts what arrives and for how long nothing does.
struct RequestBody {
    inner: Incoming,
    waiter: Waiter,
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Pending => self.waiter.wait(),
            Poll::Ready(frame) => {
                self.waiter.go_on();
                if let Some(Ok(frame)) = frame {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    self.waiter.moved(bytes);
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
