//! A proxy that cuts connections, for pushes that must survive a bad line.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Listener;

/// Forwards to a server; the first connections that send more than a number of bytes are cut at that byte.
#[derive(Debug)]
pub struct CuttingProxy {
    listener: Listener,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    server: SocketAddr,
    after_bytes: usize,
    cuts_left: AtomicUsize,
    cuts_made: AtomicUsize,
}

impl CuttingProxy {
    /// Listens on a free port. `cuts` connections are cut after the client sent `after_bytes` on them.
    pub fn start(server: SocketAddr, after_bytes: usize, cuts: usize) -> anyhow::Result<Self> {
        let state = Arc::new(State {
            server,
            after_bytes,
            cuts_left: AtomicUsize::new(cuts),
            cuts_made: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        let listener = Listener::start(move |client| {
            if let Ok(server) = TcpStream::connect(shared.server) {
                forward(&shared, client, server);
            }
        })?;
        Ok(Self { listener, state })
    }

    /// `host:port`.
    pub fn host(&self) -> String {
        self.listener.addr.to_string()
    }

    /// Connections cut so far.
    pub fn cuts(&self) -> usize {
        self.state.cuts_made.load(Ordering::Relaxed)
    }
}

fn forward(state: &State, client: TcpStream, server: TcpStream) {
    let (Ok(mut from_server), Ok(mut to_client)) = (server.try_clone(), client.try_clone()) else { return };
    let back = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Write);
    });
    let _ = pump(state, &client, &server);
    let _ = server.shutdown(Shutdown::Write);
    let _ = back.join();
}

/// Client to server, until the end or the cut.
fn pump(state: &State, mut client: &TcpStream, mut server: &TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut sent = 0;
    loop {
        let count = client.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        sent += count;
        server.write_all(&buffer[..count])?;
        if sent > state.after_bytes && take_cut(state) {
            client.shutdown(Shutdown::Both)?;
            return server.shutdown(Shutdown::Both);
        }
    }
}

fn take_cut(state: &State) -> bool {
    let taken = state.cuts_left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    if taken.is_ok() {
        state.cuts_made.fetch_add(1, Ordering::Relaxed);
    }
    taken.is_ok()
}
