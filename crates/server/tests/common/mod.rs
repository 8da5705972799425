//! A server with small limits and a client that speaks raw bytes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use server::http::meter::Cut;
use server::http::{Limits, Listener, Observer, Outcome, Server, TrustedProxies};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// No test waits longer than this for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn limits() -> Limits {
    Limits {
        header_bytes: 4096,
        connections: 100,
        http2_streams: 10,
        header: Duration::from_millis(300),
        tls_handshake: Duration::from_millis(500),
        idle: Duration::from_millis(900),
        progress_window: Duration::from_millis(300),
        progress_floor_bytes: 1000,
    }
}

/// What the server reported.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) cuts: Mutex<Vec<Cut>>,
    pub(crate) outcomes: Mutex<Vec<(String, Option<u16>, bool)>>,
    open: AtomicUsize,
    changed: Notify,
}

impl Seen {
    /// Waits until the condition holds.
    pub(crate) async fn until(&self, holds: impl Fn(&Self) -> bool) {
        tokio::time::timeout(PATIENCE, async {
            loop {
                let changed = self.changed.notified();
                if holds(self) {
                    return;
                }
                changed.await;
            }
        })
        .await
        .expect("the server did not report it");
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(SeqCst)
    }
}

impl Observer for Seen {
    fn connected(&self) {
        self.open.fetch_add(1, SeqCst);
        self.changed.notify_waiters();
    }

    fn disconnected(&self, cut: Option<Cut>) {
        self.open.fetch_sub(1, SeqCst);
        self.cuts.lock().expect("lock").extend(cut);
        self.changed.notify_waiters();
    }

    fn began(&self) {}

    fn ended(&self, outcome: &Outcome<'_>) {
        let status = outcome.status.map(|status| status.as_u16());
        let seen = (outcome.uri.path().to_owned(), status, outcome.complete);
        self.outcomes.lock().expect("lock").push(seen);
        self.changed.notify_waiters();
    }
}

pub(crate) struct TestServer {
    pub(crate) addr: SocketAddr,
    pub(crate) server: Arc<Server>,
    pub(crate) seen: Arc<Seen>,
    pub(crate) accepting: JoinHandle<()>,
}

pub(crate) async fn start(
    app: Router,
    limits: Limits,
    dress: impl FnOnce(Listener) -> Listener,
) -> TestServer {
    let listener = dress(Listener::bind("127.0.0.1:0".parse().expect("addr")).await.expect("bind"));
    let addr = listener.local_addr().expect("addr");
    let seen = Arc::new(Seen::default());
    let server = Arc::new(Server::new(limits, Arc::<Seen>::clone(&seen), TrustedProxies::default(), 7));
    let accepting = tokio::spawn(Arc::clone(&server).serve(listener, app));
    TestServer { addr, server, seen, accepting }
}

impl TestServer {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.expect("connect")
    }

    /// Sends bytes and reads until the server closes.
    pub(crate) async fn exchange(&self, bytes: &[u8]) -> String {
        let mut socket = self.connect().await;
        socket.write_all(bytes).await.expect("write");
        read_to_end(&mut socket).await
    }
}

/// A port that nobody listens on at this moment.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("addr").port()
}

/// A program of others, if it is installed: in the tests' cache of built ones or on the path.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("TOOLS_DIR")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/bonded-tools")));
    let mut places: Vec<PathBuf> = cache.map(|cache| cache.join("bin")).into_iter().collect();
    places.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    places.into_iter().map(|place| place.join(name)).find(|path| path.is_file())
}

/// What comes until the server closes, or breaks, the connection.
pub(crate) async fn read_to_end(socket: &mut TcpStream) -> String {
    let mut out = Vec::new();
    let mut buf = vec![0; 65536];
    loop {
        match tokio::time::timeout(PATIENCE, socket.read(&mut buf)).await.expect("the server did not close") {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&out).into_owned(),
            Ok(n) => out.extend_from_slice(&buf[..n]),
        }
    }
}

/// Reads one answer with a `content-length` from a connection that stays open.
pub(crate) async fn read_answer(socket: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut out = Vec::new();
    let mut buf = vec![0; 4096];
    loop {
        let text = String::from_utf8_lossy(&out).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().expect("a length")) {
                return text;
            }
        }
        let n =
            tokio::time::timeout(PATIENCE, socket.read(&mut buf)).await.expect("no answer").expect("read");
        assert!(n > 0, "closed after {text:?}");
        out.extend_from_slice(&buf[..n]);
    }
}
