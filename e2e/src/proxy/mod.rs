//! Proxies between a client and a server, each of which harms what passes in one way of its own.
//!
//! All are plain threads over blocking sockets: tests of asynchronous stores use them as well as tests of whole
//! servers. A proxy ends with its guard; connections under way end with their two sides.

mod balancer;
mod commit;
mod cutting;
mod http;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use balancer::Balancer;
pub use commit::{CommitCutter, Cut};
pub use cutting::CuttingProxy;
pub use http::{Fault, FaultyHttp};

/// A listening socket with a thread for each of its connections, until it is dropped.
#[derive(Debug)]
struct Listener {
    addr: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Listener {
    /// Listens on a free port.
    fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let (addr, ended) = (listener.local_addr()?, Arc::new(AtomicBool::new(false)));
        let (over, serve) = (Arc::clone(&ended), Arc::new(serve));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(client));
            }
        });
        Ok(Self { addr, ended })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the listener, so that its thread sees the end.
        let _ = TcpStream::connect(self.addr);
    }
}

/// Copies both ways until the server's side has ended; what the client still sends then is read and dropped, so that
/// it gets to read its answer.
fn relay(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let forth = std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        let mut taken = true;
        while let Ok(count @ 1..) = from_client.read(&mut buffer) {
            taken = taken && to_server.write_all(&buffer[..count]).is_ok();
        }
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let back = copy(server, client);
    let _ = client.shutdown(Shutdown::Write);
    let _ = forth.join();
    back
}

/// Copies one way to the end. (`io::copy` would splice, which hides a reset until all is sent.)
fn copy(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => to.write_all(&buffer[..count])?,
        }
    }
}

/// Reads a request's head: to its empty line, the end of the stream, or until nothing comes any more.
fn read_head(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (mut head, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    while head_end(&head).is_none() {
        match client.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => head.extend_from_slice(&buffer[..count]),
            // A head that never ends is for the server to judge.
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
            Err(e) => return Err(e),
        }
    }
    Ok(head)
}

/// Where the body begins.
fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// The request with `Connection: close`, so that each one comes on a connection of its own.
fn closing(request: &[u8]) -> Vec<u8> {
    let Some(line) = request.windows(2).position(|two| two == b"\r\n").map(|at| at + 2) else {
        return request.to_vec();
    };
    [&request[..line], b"Connection: close\r\n", &request[line..]].concat()
}
