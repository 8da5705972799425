//! A proxy that cuts connections, for pushes that must survive a bad line.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Forwards to a server; the first connections that send more than a number of bytes are cut at that byte.
#[derive(Debug)]
pub struct CuttingProxy {
    addr: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    server: SocketAddr,
    after_bytes: usize,
    cuts_left: AtomicUsize,
    cuts_made: AtomicUsize,
    ended: AtomicBool,
}

impl CuttingProxy {
    /// Listens on a free port. `cuts` connections are cut after the client sent `after_bytes` on them.
    pub fn start(server: SocketAddr, after_bytes: usize, cuts: usize) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let addr = listener.local_addr()?;
        let state = Arc::new(State {
            server,
            after_bytes,
            cuts_left: AtomicUsize::new(cuts),
            cuts_made: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if shared.ended.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(shared.server)) else { continue };
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || forward(&shared, client, server));
            }
        });
        Ok(Self { addr, state })
    }

    /// `host:port`.
    pub fn host(&self) -> String {
        self.addr.to_string()
    }

    /// Connections cut so far.
    pub fn cuts(&self) -> usize {
        self.state.cuts_made.load(Ordering::Relaxed)
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        // Wakes the listener, so that its thread sees the end.
        let _ = TcpStream::connect(self.addr);
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
