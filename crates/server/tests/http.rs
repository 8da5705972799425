//! The HTTP server against clients that misbehave, over real sockets.

#[expect(dead_code, reason = "each test file uses its part of the harness")]
mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Extension;
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::stream;
use server::body::ExactBody;
use server::http::meter::Cut;
use server::http::{Limits, RequestContext};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use common::{TestServer, limits, read_answer, read_to_end, start};

fn app() -> Router {
    Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route(
            "/who",
            get(|Extension(it): Extension<RequestContext>| async move { it.id.as_str().to_owned() }),
        )
        .route("/sink", post(|body: Bytes| async move { body.len().to_string() }))
        .route("/refuse", post(|| async { (http::StatusCode::UNAUTHORIZED, "no") }))
        .route("/panic", get(panics))
        .route("/late", post(late))
        .route("/short", get(|| async { Body::new(ExactBody::new(chunks(200), 201 * CHUNK)) }))
        .route("/big", get(|| async { Body::new(ExactBody::new(chunks(1024), 1024 * CHUNK)) }))
}

#[expect(clippy::panic, reason = "the test is about it")]
async fn panics() -> &'static str {
    panic!("on purpose")
}

const CHUNK: u64 = 64 * 1024;
static CHUNK_OF_SEVENS: &[u8] = &[7; 64 * 1024];

fn chunks(count: usize) -> impl stream::Stream<Item = Result<Bytes, std::io::Error>> {
    stream::iter((0..count).map(|_| Ok(CHUNK_OF_SEVENS.into())))
}

/// Takes three windows before it looks at the body: slow is the server, not the client.
async fn late(body: Body) -> String {
    tokio::time::sleep(Duration::from_millis(900)).await;
    axum::body::to_bytes(body, 1 << 20).await.expect("a whole body").len().to_string()
}

async fn server() -> TestServer {
    start(app(), limits(), |listener| listener).await
}

#[tokio::test]
async fn an_ordinary_request_is_answered_with_id_and_security_header_and_the_connection_stays() {
    let server = server().await;
    let mut socket = server.connect().await;
    for id in ["", "X-Request-Id: build-42\r\n", "X-Request-Id: not sane\r\n"] {
        socket
            .write_all(format!("GET /who HTTP/1.1\r\nHost: a\r\n{id}\r\n").as_bytes())
            .await
            .expect("write");
        let answer = read_answer(&mut socket).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("x-content-type-options: nosniff"), "{answer}");
        let body = answer.rsplit("\r\n\r\n").next().expect("body");
        assert!(answer.contains(&format!("x-request-id: {body}\r\n")), "{answer}");
        assert_eq!(body == "build-42", id.contains("build-42"), "{answer}");
    }
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_at_the_header_deadline() {
    let server = server().await;
    for (begin, drip) in
        [("", false), ("GET /hello HTTP/1.1\r\nHost: a\r\n", false), ("GET /hello HTTP/1.1\r\n", true)]
    {
        let began = Instant::now();
        let (mut read, mut write) = server.connect().await.into_split();
        write.write_all(begin.as_bytes()).await.expect("write");
        let dripping = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(50));
            while drip && write.write_all(b"X: y\r\n").await.is_ok() {
                tick.tick().await;
            }
            (!drip).then_some(write)
        });
        let mut buf = [0; 100];
        let end =
            tokio::time::timeout(common::PATIENCE, tokio::io::AsyncReadExt::read(&mut read, &mut buf)).await;
        assert!(matches!(end, Ok(Ok(0) | Err(_))), "{end:?}");
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(300) && took < Duration::from_secs(5),
            "{begin:?} took {took:?}"
        );
        drop(dripping.await);
    }
    server.seen.until(|seen| seen.cuts.lock().expect("lock").as_slice() == [Cut::SlowHead; 3]).await;
}

#[tokio::test]
async fn a_connection_may_rest_longer_than_a_head_may_take_but_not_for_ever() {
    let server = server().await;
    let mut socket = server.connect().await;
    let began = Instant::now();
    socket.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    read_answer(&mut socket).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    socket.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    read_answer(&mut socket).await;
    assert_eq!(read_to_end(&mut socket).await, "");
    assert!(began.elapsed() >= Duration::from_millis(1400), "{:?}", began.elapsed());
    server.seen.until(|seen| seen.cuts.lock().expect("lock").as_slice() == [Cut::Idle]).await;
}

#[tokio::test]
async fn a_slow_body_that_progresses_is_taken_and_one_that_stalls_is_cut() {
    let server = server().await;
    let mut slow = server.connect().await;
    slow.write_all(b"POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 6000\r\n\r\n").await.expect("write");
    // 4,000 bytes a second for five windows, against a floor of 1,000.
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..30 {
        tick.tick().await;
        slow.write_all(&[b'x'; 200]).await.expect("write");
    }
    assert!(read_answer(&mut slow).await.ends_with("6000"));

    let began = Instant::now();
    let mut stalled = server.connect().await;
    stalled
        .write_all(b"POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 6000\r\n\r\nxxxx")
        .await
        .expect("write");
    assert_eq!(read_to_end(&mut stalled).await, "");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
    server.seen.until(|seen| seen.cuts.lock().expect("lock").as_slice() == [Cut::SlowSender]).await;
    let outcomes = server.seen.outcomes.lock().expect("lock").clone();
    assert_eq!(outcomes.last(), Some(&("/sink".to_owned(), None, false)));
}

#[tokio::test]
async fn a_body_below_the_floor_is_cut_although_it_never_falls_silent() {
    let server = server().await;
    let (mut read, mut write) = server.connect().await.into_split();
    write.write_all(b"POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 6000\r\n\r\n").await.expect("write");
    let dripping = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while write.write_all(b"x").await.is_ok() {
            tick.tick().await;
        }
    });
    let mut buf = [0; 100];
    let end =
        tokio::time::timeout(common::PATIENCE, tokio::io::AsyncReadExt::read(&mut read, &mut buf)).await;
    assert!(matches!(end, Ok(Ok(0) | Err(_))), "{end:?}");
    server.seen.until(|seen| seen.cuts.lock().expect("lock").as_slice() == [Cut::SlowSender]).await;
    dripping.await.expect("drip");
}

#[tokio::test]
async fn a_reader_that_stalls_is_cut_and_one_that_is_slow_is_not() {
    let server = server().await;
    let mut stalled = server.connect().await;
    stalled.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    server.seen.until(|seen| seen.cuts.lock().expect("lock").as_slice() == [Cut::SlowReader]).await;
    let outcomes = server.seen.outcomes.lock().expect("lock").clone();
    assert_eq!(outcomes.as_slice(), [("/big".to_owned(), Some(200), false)]);

    let mut slow = server.connect().await;
    slow.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("write");
    let mut got = 0;
    let mut buf = vec![0; 4 << 20];
    // 64 MiB in pieces of at most 4 MiB, with pauses shorter than a window: longer than many windows in all.
    loop {
        let n = tokio::io::AsyncReadExt::read(&mut slow, &mut buf).await.expect("read");
        if n == 0 {
            break;
        }
        got += n as u64;
        if got < 16 << 20 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert!(got > 1024 * CHUNK, "{got}");
}

#[tokio::test]
async fn a_slow_server_does_not_blame_its_client() {
    let server = server().await;
    let answer = server
        .exchange(b"POST /late HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
        .await;
    assert!(answer.ends_with("\r\n\r\n5"), "{answer}");
    assert!(server.seen.cuts.lock().expect("lock").is_empty());
}

#[tokio::test]
async fn a_body_that_breaks_off_never_looks_complete() {
    let server = server().await;
    let answer = server.exchange(b"GET /short HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("content-length: 13172736"), "{head}");
    assert!(body.len() < 13_172_736, "{}", body.len());
    server.seen.until(|seen| !seen.outcomes.lock().expect("lock").is_empty()).await;
    assert_eq!(
        server.seen.outcomes.lock().expect("lock").as_slice(),
        [("/short".to_owned(), Some(200), false)]
    );
}

#[tokio::test]
async fn a_panic_ends_one_request_with_a_500_that_names_it() {
    let server = server().await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /panic HTTP/1.1\r\nHost: a\r\nX-Request-Id: id-1\r\n\r\n").await.expect("write");
    let answer = read_answer(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("x-request-id: id-1"), "{answer}");
    assert!(
        answer.contains(r#""detail":{"request_id":"id-1"}"#) && !answer.contains("on purpose"),
        "{answer}"
    );
    socket.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    assert!(read_answer(&mut socket).await.ends_with("hello"));
}

#[tokio::test]
async fn ambiguous_framing_is_answered_400_and_the_connection_ends() {
    let server = server().await;
    for head in [
        "Host: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Host: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n",
        "Host: a\r\nTransfer-Encoding: xchunked\r\n",
        "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Host: a\r\nTransfer-Encoding : chunked\r\n",
        "Host: a\r\nX: y\r\n folded\r\n",
        "Host: a\nContent-Length: 4\r\n",
        "Host: a\r\nHost: b\r\n",
        "",
    ] {
        let smuggled = "0\r\n\r\nGET /who HTTP/1.1\r\nHost: a\r\n\r\n";
        let answer = server.exchange(format!("POST /sink HTTP/1.1\r\n{head}\r\n{smuggled}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head:?}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{head:?}: {answer:?}");
    }
    for line in ["GET /hello", "GET /hello HTTP/0.9", "CONNECT a:1 HTTP/1.1", "GET http://b/hello HTTP/1.1"] {
        let answer =
            server.exchange(format!("{line}\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{line:?}: {answer:?}");
    }
    let answer =
        server.exchange(b"GET http://a/hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("hello"), "an absolute target of the same host is a request: {answer}");
    assert!(server.seen.outcomes.lock().expect("lock").iter().all(|(path, ..)| path == "/hello"));
}

#[tokio::test]
async fn an_upgrade_to_http2_in_clear_text_is_passed_over() {
    let server = server().await;
    let upgrade = b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    let answer = server.exchange(upgrade).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn a_head_over_the_limit_is_answered_431() {
    let server = server().await;
    let long = "a".repeat(5000);
    let answer =
        server.exchange(format!("GET /hello HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let endless = "a".repeat(1 << 20);
    let answer = server.exchange(format!("GET /{endless}").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn an_early_refusal_reaches_a_client_that_is_still_sending() {
    let server = server().await;
    for _ in 0..20 {
        let mut socket = server.connect().await;
        let body = 8 << 20;
        let head = format!("POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: {body}\r\n\r\n");
        socket.write_all(head.as_bytes()).await.expect("write");
        // As Go's client does: all of the body first, then the answer.
        socket.write_all(&vec![0; body]).await.expect("the server must not reset while the client sends");
        let answer = read_to_end(&mut socket).await;
        assert!(answer.starts_with("HTTP/1.1 401") && answer.ends_with("no"), "{answer}");
    }
}

#[tokio::test]
async fn connections_over_the_limit_wait_until_another_one_ends() {
    let server = start(app(), Limits { connections: 2, ..limits() }, |listener| listener).await;
    let (mut first, second, mut third) =
        (server.connect().await, server.connect().await, server.connect().await);
    server.seen.until(|seen| seen.open() == 2).await;
    let request = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
    third.write_all(request).await.expect("write");
    first.write_all(request).await.expect("write");
    assert!(read_answer(&mut first).await.ends_with("hello"));
    assert_eq!(server.seen.open(), 2);
    drop(second);
    assert!(read_answer(&mut third).await.ends_with("hello"));
}

#[tokio::test]
async fn shutdown_finishes_the_running_transfer_and_closes_resting_connections() {
    let (reached, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (at, wait) = (Arc::clone(&reached), Arc::clone(&go_on));
    let slow = move || {
        let (at, wait) = (Arc::clone(&at), Arc::clone(&wait));
        async move {
            let rest = stream::once(async move {
                at.notify_one();
                wait.notified().await;
                Ok::<_, std::io::Error>(Bytes::from_static(b"world"))
            });
            let all = futures_util::StreamExt::chain(stream::iter([Ok(Bytes::from_static(b"hello "))]), rest);
            Body::new(ExactBody::new(all, 11))
        }
    };
    let server = start(app().route("/slow", get(slow)), limits(), |listener| listener).await;
    let (mut resting, mut running) = (server.connect().await, server.connect().await);
    resting.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    read_answer(&mut resting).await;
    running.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    reached.notified().await;

    let draining = tokio::spawn({
        let server = Arc::clone(&server.server);
        async move { server.drain(Duration::from_secs(10)).await }
    });
    assert_eq!(read_to_end(&mut resting).await, "");
    server.accepting.await.expect("accepting ends");
    assert!(tokio::net::TcpStream::connect(server.addr).await.is_err(), "the listener is closed");
    assert!(!draining.is_finished());
    go_on.notify_one();
    let answer = read_to_end(&mut running).await;
    assert!(answer.ends_with("\r\n\r\nhello world"), "{answer}");
    assert_eq!(draining.await.expect("drain"), 0);
}

#[tokio::test]
async fn shutdown_cuts_what_outlasts_its_deadline() {
    let server = start(app(), Limits { progress_floor_bytes: 0, ..limits() }, |listener| listener).await;
    let mut running = server.connect().await;
    running.write_all(b"POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nx").await.expect("write");
    server.seen.until(|seen| seen.open() == 1).await;
    assert_eq!(server.server.drain(Duration::from_millis(100)).await, 1);
    assert_eq!(read_to_end(&mut running).await, "");
}
