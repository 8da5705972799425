//! A proxy before PostgreSQL that cuts a connection at a chosen moment of its COMMIT.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use super::Listener;

/// When the connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server gets everything before COMMIT, not COMMIT.
    BeforeCommit,
    /// The server gets COMMIT; its answer never arrives.
    AfterCommit,
    /// The server gets COMMIT, and the client some of the answers.
    WithinAnswers,
}

const COMMIT: &[u8] = b"COMMIT\0";

/// The proxy; cuts as often as it was told to.
#[derive(Debug)]
pub struct CommitCutter {
    listener: Listener,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    server: SocketAddr,
    cut: Cut,
    left: AtomicI64,
    made: AtomicUsize,
}

impl CommitCutter {
    /// Listens on a free port.
    pub fn start(server: SocketAddr, cut: Cut) -> anyhow::Result<Self> {
        let state = Arc::new(State { server, cut, left: AtomicI64::new(0), made: AtomicUsize::new(0) });
        let shared = Arc::clone(&state);
        let listener = Listener::start(move |client| {
            if let Ok(server) = TcpStream::connect(shared.server) {
                // A side that went away is for the other one to notice.
                let _ = serve(&shared, &client, &server);
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.shutdown(Shutdown::Both);
            }
        })?;
        Ok(Self { listener, state })
    }

    /// Where clients connect.
    pub fn port(&self) -> u16 {
        self.listener.addr.port()
    }

    /// Cuts the next `count` connections that commit.
    pub fn cut_next(&self, count: i64) {
        self.state.left.store(count, Ordering::SeqCst);
    }

    /// Connections cut so far.
    pub fn cuts(&self) -> usize {
        self.state.made.load(Ordering::SeqCst)
    }
}

fn serve(state: &State, mut client: &TcpStream, mut server: &TcpStream) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let answers = Answers::start(client, server)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = client.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let chunk = &buffer[..count];
        let commit = chunk.windows(COMMIT.len()).position(|window| window == COMMIT);
        let Some(at) = commit.filter(|_| state.left.fetch_sub(1, Ordering::SeqCst) > 0) else {
            server.write_all(chunk)?;
            continue;
        };
        state.made.fetch_add(1, Ordering::SeqCst);
        return match state.cut {
            // Five bytes before the text: the type and the length of the message.
            Cut::BeforeCommit => server.write_all(&chunk[..at - 5]),
            Cut::AfterCommit => answers.hold(0, || server.write_all(chunk)),
            Cut::WithinAnswers => answers.hold(2, || server.write_all(chunk)),
        };
    }
}

/// What the server says, passed on by a thread until it is held.
struct Answers {
    /// The share of an answer that passes: all, a half (2), nothing (0).
    share: Arc<AtomicUsize>,
    came: std::sync::mpsc::Receiver<()>,
}

const ALL: usize = 1;

impl Answers {
    fn start(client: &TcpStream, server: &TcpStream) -> std::io::Result<Self> {
        let (mut client, mut server) = (client.try_clone()?, server.try_clone()?);
        let share = Arc::new(AtomicUsize::new(ALL));
        let (note, came) = std::sync::mpsc::channel();
        let shared = Arc::clone(&share);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(count @ 1..) = server.read(&mut buffer) {
                let share = shared.load(Ordering::SeqCst);
                let passes = count.checked_div(share).unwrap_or(0);
                if client.write_all(&buffer[..passes]).is_err() {
                    return;
                }
                if share != ALL {
                    // Nobody waits for a second one.
                    let _ = note.send(());
                    return;
                }
            }
            let _ = client.shutdown(Shutdown::Both);
        });
        Ok(Self { share, came })
    }

    /// Does `send`, and returns when its answer has come (or the server went away): it has read COMMIT by then.
    fn hold(&self, share: usize, send: impl FnOnce() -> std::io::Result<()>) -> std::io::Result<()> {
        self.share.store(share, Ordering::SeqCst);
        send()?;
        let _ = self.came.recv();
        Ok(())
    }
}
