//! Runs one connection to its end: hyper's own, a broken rule, or the shutdown.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::limits::Limits;
use super::meter::{Cut, Judge, Meter};
use super::service::ResponseBody;
use super::transport::Transport;

/// The protocols that a connection may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only: agreed on by ALPN.
    Http2,
    /// Whichever the client begins with.
    Either,
}

/// hyper's connections, set up once for a listener.
#[derive(Debug, Clone)]
pub struct Protocols {
    http1: auto::Builder<TokioExecutor>,
    http2: auto::Builder<TokioExecutor>,
    either: auto::Builder<TokioExecutor>,
}

/// HTTP/2 flow-control windows: a stream can keep a gigabit link with 8 ms of latency busy.
const HTTP2_STREAM_WINDOW: u32 = 1 << 20;
const HTTP2_CONNECTION_WINDOW: u32 = 4 << 20;

/// Bytes read at once from an HTTP/1 connection. Left alone the buffer grows to 400 KiB, and an upload holds several
/// until they are hashed and written.
const HTTP1_READ_BYTES: usize = 128 * 1024;

impl Protocols {
    /// Connections with these limits.
    pub fn new(limits: &Limits) -> Self {
        let mut either = auto::Builder::new(TokioExecutor::new());
        // The header deadline is ours (`meter`): hyper's would also count the rest between two requests.
        either
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_buf_size(HTTP1_READ_BYTES.max(limits.header_bytes))
            .keep_alive(true);
        either
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.http2_streams)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(HTTP2_STREAM_WINDOW)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
            .max_send_buf_size(1 << 20)
            .keep_alive_interval(Some(Duration::from_secs(30)))
            .keep_alive_timeout(Duration::from_secs(20));
        Self { http1: either.clone().http1_only(), http2: either.clone().http2_only(), either }
    }

    const fn of(&self, protocol: Protocol) -> &auto::Builder<TokioExecutor> {
        match protocol {
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
            Protocol::Either => &self.either,
        }
    }

    /// Runs a connection; answers why it was cut, if it was.
    pub async fn drive<S>(
        &self,
        protocol: Protocol,
        transport: Transport,
        meter: Arc<Meter>,
        service: S,
        mut judge: Judge,
        closing: &CancellationToken,
    ) -> Option<Cut>
    where
        S: Service<Request<Incoming>, Response = Response<ResponseBody<Body>>> + Send + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        S::Future: Send + 'static,
    {
        let mut connection = pin!(self.of(protocol).serve_connection(TokioIo::new(transport), service));
        let mut closed = pin!(closing.cancelled());
        let mut asked_to_close = false;
        let mut alarm = pin!(sleep_until(judge.next(&meter)));
        let mut alarm_at = alarm.deadline();
        poll_fn(|cx| {
            if !asked_to_close && closed.as_mut().poll(cx).is_ready() {
                asked_to_close = true;
                connection.as_mut().graceful_shutdown();
            }
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                if let Err(error) = ended {
                    tracing::debug!(error = error.as_ref() as &dyn std::error::Error, "connection ended");
                }
                return Poll::Ready(None);
            }
            loop {
                let next = judge.next(&meter);
                // An alarm that is too early costs one look; moving it with each request would cost more.
                if next < alarm_at {
                    reset(alarm.as_mut(), &mut alarm_at, next);
                }
                if alarm.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                if let Some(cut) = judge.judge(&meter) {
                    return Poll::Ready(Some(cut));
                }
                // Never in the past: a millisecond's rounding must not become a busy loop.
                let later = Instant::now() + Duration::from_millis(1);
                let next = judge.next(&meter).max(later);
                reset(alarm.as_mut(), &mut alarm_at, next);
            }
        })
        .await
    }
}

fn reset(alarm: Pin<&mut tokio::time::Sleep>, alarm_at: &mut Instant, to: Instant) {
    *alarm_at = to;
    alarm.reset(to);
}
