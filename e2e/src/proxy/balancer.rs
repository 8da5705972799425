//! A round-robin proxy before several replicas.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{Listener, closing, read_head, relay};

/// A head that stands still for so long is passed on as it is.
const HEAD_PATIENCE: Duration = Duration::from_secs(2);

/// Hands each *request* to the next replica: no client gets the same one twice in a row, which is harder than what a
/// real load balancer does. A replica that does not listen is passed over.
#[derive(Debug)]
pub struct Balancer(Listener);

impl Balancer {
    /// Listens on a free port.
    pub fn start(replicas: Vec<SocketAddr>) -> anyhow::Result<Self> {
        let turn = Arc::new(AtomicUsize::new(0));
        let serve = move |client| {
            // A side that went away is for the other one to notice.
            let _ = serve(client, &replicas, &turn);
        };
        Ok(Self(Listener::start(serve)?))
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr
    }
}

fn serve(mut client: TcpStream, replicas: &[SocketAddr], turn: &AtomicUsize) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    client.set_read_timeout(Some(HEAD_PATIENCE))?;
    let head = read_head(&mut client)?;
    client.set_read_timeout(None)?;
    if head.is_empty() {
        return Ok(());
    }
    let first = turn.fetch_add(1, Ordering::Relaxed);
    let living = (0..replicas.len()).find_map(|n| {
        let replica = replicas.get((first + n) % replicas.len())?;
        TcpStream::connect(replica).ok()
    });
    let Some(mut server) = living else { return Ok(()) };
    server.set_nodelay(true)?;
    server.write_all(&closing(&head))?;
    relay(&client, &server)
}
