//! A TCP proxy before PostgreSQL that cuts a connection at a chosen moment of its COMMIT.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// When the connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server gets everything before COMMIT, not COMMIT.
    BeforeCommit,
    /// The server gets COMMIT; its answer never arrives.
    AfterCommit,
    /// The server gets COMMIT, and the client some of the answers.
    WithinAnswers,
}

/// The proxy; cuts as often as it was told to.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    left: Arc<AtomicI64>,
    pub(crate) cuts: Arc<AtomicUsize>,
}

const COMMIT: &[u8] = b"COMMIT\0";

impl Proxy {
    pub(crate) async fn start(server: u16, cut: Cut) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (left, cuts) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicUsize::new(0)));
        let (own_left, own_cuts) = (left.clone(), cuts.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
                tokio::spawn(relay(client, server, cut, own_left.clone(), own_cuts.clone()));
            }
        });
        Self { port, left, cuts }
    }

    /// Cuts the next `count` connections that commit.
    pub(crate) fn cut_next(&self, count: i64) {
        self.left.store(count, Ordering::SeqCst);
    }
}

async fn relay(
    mut client: TcpStream,
    mut server: TcpStream,
    cut: Cut,
    left: Arc<AtomicI64>,
    cuts: Arc<AtomicUsize>,
) {
    let (mut from_client, mut from_server) = (vec![0; 1 << 20], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let Ok(count @ 1..) = read else { return };
                let chunk = &from_client[..count];
                let commit = chunk.windows(COMMIT.len()).position(|window| window == COMMIT);
                let at = commit.filter(|_| left.fetch_sub(1, Ordering::SeqCst) > 0);
                let Some(at) = at else {
                    if server.write_all(chunk).await.is_err() { return }
                    continue;
                };
                cuts.fetch_add(1, Ordering::SeqCst);
                if cut == Cut::BeforeCommit {
                    // Five bytes before the text: the type and the length of the message.
                    let _ = server.write_all(&chunk[..at - 5]).await;
                    return;
                }
                let _ = server.write_all(chunk).await;
                // The server has read COMMIT when it answers.
                let answered = server.read(&mut from_server).await.unwrap_or(0);
                if cut == Cut::WithinAnswers {
                    let _ = client.write_all(&from_server[..answered / 2]).await;
                }
                return;
            }
            read = server.read(&mut from_server) => {
                let Ok(count @ 1..) = read else { return };
                if client.write_all(&from_server[..count]).await.is_err() { return }
            }
        }
    }
}
