//! A proxy before an HTTP/1.1 service (S3) that answers, cuts, slows or swallows the requests it is told to.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Listener, closing, copy, head_end, read_head};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It passes.
    Nothing,
    /// It is answered with this status and an error document, and never arrives.
    Status(u16),
    /// It is answered 200 with an error document, and never arrives (S3, `CompleteMultipartUpload`).
    ErrorIn200,
    /// It arrives, and the connection is cut instead of the answer.
    CutAnswer,
    /// The connection is reset when its body has begun; it arrives in part.
    ResetBody,
    /// The answer's body ends after so many bytes, under its full `Content-Length`.
    Truncate(usize),
    /// It is read and never answered.
    Hang,
    /// The answer comes in pieces of so many bytes, one each 10 ms.
    Slow(usize),
}

type Judge = dyn FnMut(&str) -> Fault + Send;

/// The proxy. Each request comes on a connection of its own.
pub struct FaultyHttp {
    listener: Listener,
    judge: Arc<Mutex<Box<Judge>>>,
}

impl std::fmt::Debug for FaultyHttp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FaultyHttp").field(&self.listener).finish()
    }
}

impl FaultyHttp {
    /// Listens on a free port and lets everything pass.
    pub fn start(server: SocketAddr) -> anyhow::Result<Self> {
        let judge: Arc<Mutex<Box<Judge>>> = Arc::new(Mutex::new(Box::new(|_: &str| Fault::Nothing)));
        let shared = Arc::clone(&judge);
        let listener = Listener::start(move |client| {
            // A side that went away is for the other one to notice.
            let _ = serve(client, server, &shared);
        })?;
        Ok(Self { listener, judge })
    }

    /// Where clients connect.
    pub fn port(&self) -> u16 {
        self.listener.addr.port()
    }

    /// From now on `judge` decides; it sees lines such as `PUT /bucket/key?partNumber=1`.
    pub fn judge(&self, judge: impl FnMut(&str) -> Fault + Send + 'static) {
        *self.judge.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(judge);
    }

    /// Harms the next `times` requests whose line begins and goes on so.
    pub fn harm_next(&self, times: usize, method: &'static str, mark: &'static str, fault: Fault) {
        let mut left = times;
        self.judge(move |line| {
            let harmed = left > 0 && line.starts_with(method) && line.contains(mark);
            left -= usize::from(harmed);
            if harmed { fault } else { Fault::Nothing }
        });
    }

    /// Everything passes again.
    pub fn heal(&self) {
        self.judge(|_| Fault::Nothing);
    }
}

/// An answer with an S3 error document.
fn document(status: &str, code: &str) -> Vec<u8> {
    let body =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>injected</Message></Error>");
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    (head + &body).into_bytes()
}

/// One request.
fn serve(mut client: TcpStream, server: SocketAddr, judge: &Mutex<Box<Judge>>) -> io::Result<()> {
    let mut request = read_head(&mut client)?;
    let Some(body_at) = head_end(&request) else { return Ok(()) };
    let head = String::from_utf8_lossy(&request[..body_at]).into_owned();
    let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let fault = judge.lock().unwrap_or_else(PoisonError::into_inner)(&line);
    let length: usize = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
        .unwrap_or(0);
    let wanted = body_at + if fault == Fault::ResetBody { length / 2 } else { length };
    let mut buffer = vec![0; 64 * 1024];
    while request.len() < wanted {
        match client.read(&mut buffer)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&buffer[..count]),
        }
    }
    match fault {
        Fault::Status(503) => return client.write_all(&document("503 Slow Down", "SlowDown")),
        Fault::Status(status) => {
            return client.write_all(&document(&format!("{status} Injected"), "InternalError"));
        }
        Fault::ErrorIn200 => return client.write_all(&document("200 OK", "InternalError")),
        Fault::Hang => {
            // Until the client goes away.
            while let Ok(1..) = client.read(&mut buffer) {}
            return Ok(());
        }
        // Unread bytes make the close a reset.
        Fault::ResetBody => return client.shutdown(Shutdown::Both),
        Fault::Nothing | Fault::CutAnswer | Fault::Truncate(_) | Fault::Slow(_) => {}
    }
    let mut server = TcpStream::connect(server)?;
    server.write_all(&closing(&request))?;
    answer(&client, &mut server, fault)?;
    client.shutdown(Shutdown::Both)
}

fn answer(mut client: &TcpStream, server: &mut TcpStream, fault: Fault) -> io::Result<()> {
    if fault == Fault::Nothing {
        return copy(server, client);
    }
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    match fault {
        Fault::CutAnswer => Ok(()),
        Fault::Truncate(bytes) => {
            answer.truncate(head_end(&answer).unwrap_or(0) + bytes);
            client.write_all(&answer)
        }
        Fault::Slow(bytes) => {
            for piece in answer.chunks(bytes.max(1)) {
                client.write_all(piece)?;
                slowness();
            }
            Ok(())
        }
        _ => client.write_all(&answer),
    }
}

#[expect(clippy::disallowed_methods, reason = "being slow is what this fault is")]
fn slowness() {
    std::thread::sleep(Duration::from_millis(10));
}
