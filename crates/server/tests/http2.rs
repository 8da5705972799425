//! HTTP/2: requests share a connection, but not their clients' sloth.

#[expect(dead_code, reason = "each test file uses its part of the harness")]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{any, get, post};
use futures_util::stream;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{Method, Request};
use server::http::Listener;
use server::http::meter::Cut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use common::{PATIENCE, TestServer, limits, start};

/// More than a client that grants no further window takes, in pieces as a blob has them.
const LARGE: usize = 1 << 20;
const PIECE: usize = 16 << 10;

/// Longer than it takes to judge a stream several times.
const LONG: Duration = Duration::from_secs(2);

fn large() -> Body {
    let piece = Bytes::from(vec![7_u8; PIECE]);
    let pieces = std::iter::repeat_n(piece, LARGE / PIECE);
    Body::from_stream(stream::iter(pieces.map(Ok::<_, std::io::Error>)))
}

fn app() -> Router {
    Router::new()
        .route("/large", get(|| async { large() }))
        .route(
            "/slow",
            get(|| async {
                tokio::time::sleep(LONG).await;
                "done"
            }),
        )
        .route("/upload", post(|body: Bytes| async move { body.len().to_string() }))
}

async fn serve() -> TestServer {
    start(app(), limits(), |listener: Listener| listener.with_http2(true)).await
}

async fn connect(server: &TestServer) -> SendRequest<Bytes> {
    connect_with(server, 2 * u32::try_from(LARGE).expect("small")).await
}

/// Connects; the client takes so much of all answers together.
async fn connect_with(server: &TestServer, window: u32) -> SendRequest<Bytes> {
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(window);
    let (client, connection) = builder.handshake(server.connect().await).await.expect("a handshake");
    // How the connection ends is seen by its streams.
    tokio::spawn(connection);
    client.ready().await.expect("ready")
}

fn ask(client: &mut SendRequest<Bytes>, method: Method, path: &str) -> (ResponseFuture, SendStream<Bytes>) {
    let request = Request::builder().method(method.clone()).uri(format!("http://a{path}")).body(());
    client.send_request(request.expect("a request"), method == Method::GET).expect("sent")
}

async fn read(answer: ResponseFuture) -> Result<Vec<u8>, h2::Error> {
    tokio::time::timeout(PATIENCE, async {
        let mut body = answer.await?.into_body();
        let mut content = Vec::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            content.extend_from_slice(&chunk);
        }
        Ok(content)
    })
    .await
    .expect("an answer in time")
}

#[tokio::test]
async fn an_answer_that_its_client_does_not_read_does_not_end_the_other_requests() {
    let server = serve().await;
    let mut client = connect(&server).await;
    let (neglected, _) = ask(&mut client, Method::GET, "/large");
    let neglected = neglected.await.expect("a head");
    // While the server works on one request, the other's client grants no window.
    let (slow, _) = ask(&mut client, Method::GET, "/slow");
    assert_eq!(read(slow).await.expect("not cut"), b"done");
    assert_eq!(server.seen.cuts.lock().expect("lock").as_slice(), []);
    // Alone, the neglected one ends the connection.
    server.seen.until(|seen| !seen.cuts.lock().expect("lock").is_empty()).await;
    assert_eq!(server.seen.cuts.lock().expect("lock").as_slice(), [Cut::SlowReader]);
    drop(neglected);
}

#[tokio::test]
async fn a_client_that_grants_the_connection_no_window_is_cut_with_all_its_requests() {
    let server = serve().await;
    let mut client = connect_with(&server, 65_535).await;
    let (neglected, _) = ask(&mut client, Method::GET, "/large");
    let neglected = neglected.await.expect("a head");
    // Its answer is never asked for: nothing of it could be sent.
    let (behind, _) = ask(&mut client, Method::GET, "/large");
    server.seen.until(|seen| !seen.cuts.lock().expect("lock").is_empty()).await;
    assert_eq!(server.seen.cuts.lock().expect("lock").as_slice(), [Cut::SlowReader]);
    drop((neglected, behind));
}

#[tokio::test]
async fn who_speaks_neither_protocol_is_not_answered_in_one_of_them() {
    let server = serve().await;
    for noise in ["INVALID CONNECTION PREFACE\r\n\r\n", "EHLO a mail server perhaps\r\n\r\n"] {
        assert_eq!(server.exchange(noise.as_bytes()).await, "");
    }
    let answer = server.exchange(b"GET /none HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let both = "POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer = server.exchange(both.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn an_upload_that_stalls_does_not_end_the_other_requests() {
    let server = serve().await;
    let mut client = connect(&server).await;
    let (stalled, mut body) = ask(&mut client, Method::POST, "/upload");
    body.send_data(Bytes::from_static(b"some"), false).expect("sent");
    let (slow, _) = ask(&mut client, Method::GET, "/slow");
    assert_eq!(read(slow).await.expect("not cut"), b"done");
    assert_eq!(server.seen.cuts.lock().expect("lock").as_slice(), []);
    read(stalled).await.expect_err("cut");
    assert_eq!(server.seen.cuts.lock().expect("lock").as_slice(), [Cut::SlowSender]);
}

#[tokio::test]
async fn requests_that_move_beside_each_other_are_all_answered() {
    let server = serve().await;
    let mut client = connect(&server).await;
    let (one, _) = ask(&mut client, Method::GET, "/large");
    let (two, _) = ask(&mut client, Method::GET, "/large");
    let (three, mut body) = ask(&mut client, Method::POST, "/upload");
    body.send_data(Bytes::from(vec![0; 50_000]), true).expect("sent");
    let (one, two, three) = tokio::join!(read(one), read(two), read(three));
    assert_eq!(one.expect("whole").len() + two.expect("whole").len(), 2 * LARGE);
    assert_eq!(three.expect("answered"), b"50000");
    assert_eq!(server.seen.cuts.lock().expect("lock").as_slice(), []);
}

#[tokio::test]
async fn an_idle_connection_ends_and_a_new_one_is_taken() {
    let server = serve().await;
    let mut client = connect(&server).await;
    let (answer, _) = ask(&mut client, Method::GET, "/large");
    assert_eq!(read(answer).await.expect("whole").len(), LARGE);
    server.seen.until(|seen| seen.open() == 0).await;
    assert_eq!(server.seen.cuts.lock().expect("lock").as_slice(), [Cut::Idle]);
    let mut client = connect(&server).await;
    let (answer, _) = ask(&mut client, Method::GET, "/large");
    assert_eq!(read(answer).await.expect("whole").len(), LARGE);
}

/// Raw frames, after the preface and empty SETTINGS.
struct Frames(Vec<u8>);

/// `:method: GET`, `:path: /`, `:scheme: http`, `:authority: a`, by HPACK.
const GET_ROOT: &[u8] = b"\x82\x84\x86\x01\x01a";
/// The same with `:method: POST`.
const POST_ROOT: &[u8] = b"\x83\x84\x86\x01\x01a";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

impl Frames {
    fn new() -> Self {
        let mut frames = Self(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec());
        frames.add(SETTINGS, 0, 0, &[]);
        frames
    }

    fn add(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        self.0.extend_from_slice(&length[1..]);
        self.0.extend_from_slice(&[kind, flags]);
        self.0.extend_from_slice(&stream.to_be_bytes());
        self.0.extend_from_slice(payload);
    }

    /// Sends them to a server whose handler of `/` never answers and reads no body; returns when the server has ended
    /// the connection. Answers how many requests began, and the reason that GOAWAY gave.
    async fn flood(self) -> (usize, Option<u32>) {
        let begun = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&begun);
        let handler = move |body: Body| {
            counted.fetch_add(1, SeqCst);
            async move {
                std::future::pending::<()>().await;
                drop(body);
            }
        };
        let app = Router::new().route("/", any(handler));
        let server = start(app, limits(), |listener: Listener| listener.with_http2(true)).await;
        let (mut reader, mut writer) = server.connect().await.into_split();
        // The server may have ended it before all is written.
        let sending = tokio::spawn(async move { drop(writer.write_all(&self.0).await) });
        let mut told = Vec::new();
        // The end may be a reset: what arrived before it counts.
        let read = tokio::time::timeout(PATIENCE, reader.read_to_end(&mut told)).await;
        drop(read.expect("the connection ends"));
        server.seen.until(|seen| seen.open() == 0).await;
        sending.await.expect("sent");
        (begun.load(SeqCst), reason(&told))
    }
}

/// The error code of the first GOAWAY frame.
fn reason(mut bytes: &[u8]) -> Option<u32> {
    loop {
        let (head, rest) = bytes.split_at_checked(9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (payload, after) = rest.split_at_checked(length)?;
        if head[3] == 7 {
            return Some(u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?));
        }
        bytes = after;
    }
}

/// RFC 9113 §7: `ENHANCE_YOUR_CALM`.
const CALM: Option<u32> = Some(11);

#[tokio::test]
async fn requests_that_are_reset_at_once_end_the_connection_before_they_pile_up() {
    let mut frames = Frames::new();
    for stream in (1..20_000).step_by(2) {
        frames.add(HEADERS, END_STREAM | END_HEADERS, stream, GET_ROOT);
        frames.add(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    }
    let (begun, _) = frames.flood().await;
    assert!(begun < 5000, "{begun} handlers");
}

#[tokio::test]
async fn headers_that_never_end_are_cut_off() {
    let mut frames = Frames::new();
    frames.add(HEADERS, END_STREAM, 1, GET_ROOT);
    for _ in 0..100_000 {
        frames.add(CONTINUATION, 0, 1, &[]);
    }
    assert_eq!(frames.flood().await, (0, CALM));
}

#[tokio::test]
async fn empty_pieces_of_a_body_that_never_ends_are_cut_off() {
    let mut frames = Frames::new();
    frames.add(HEADERS, END_HEADERS, 1, POST_ROOT);
    for _ in 0..100_000 {
        frames.add(DATA, 0, 1, &[]);
    }
    // The request may not even have begun by then.
    assert_eq!(frames.flood().await.1, CALM);
}
