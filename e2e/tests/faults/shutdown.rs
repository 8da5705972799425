//! A polite end: what is under way is finished, what comes later is refused, and the end is soon.

use std::io::{self, BufRead as _, BufReader, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;
use e2e::bonded::Server;
use e2e::http::Request;
use e2e::image::noise;
use e2e::registry::{sha256, with_query};
use e2e::wait;

use crate::Outcome;

/// Takes the first bytes, tells, and waits for leave to take the rest.
struct Gate {
    bytes: Vec<u8>,
    begun: Option<mpsc::Sender<()>>,
    leave: mpsc::Receiver<()>,
}

impl Write for Gate {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(piece);
        if let Some(begun) = self.begun.take() {
            // The other side is the test itself; if it is gone there is nobody to wait for.
            let _ = begun.send(());
            let _ = self.leave.recv_timeout(Duration::from_secs(30));
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_download_under_way_at_sigterm_is_finished() -> Outcome {
    let mut server = Server::start()?;
    // More than the socket buffers of both sides hold.
    let bytes = noise(1, 48 * 1024 * 1024);
    let digest = server.target().push_blob("end/app", &bytes)?;
    let target = server.target().clone();
    let (begun, has_begun) = mpsc::channel();
    let (leave, may_go_on) = mpsc::channel();
    let transfer = std::thread::spawn(move || -> io::Result<(bool, String)> {
        let mut gate = Gate { bytes: Vec::new(), begun: Some(begun), leave: may_go_on };
        let get = Request::new("GET", format!("/v2/end/app/blobs/{digest}"));
        let answer = target.connect().send_to(&get, &mut gate)?;
        Ok((answer.complete, sha256(&gate.bytes)))
    });
    has_begun.recv_timeout(Duration::from_secs(30))?;
    let id = server.id().unwrap_or_default().to_string();
    e2e::process::succeed(std::process::Command::new("kill").args(["-TERM", &id]), Duration::from_secs(5))?;
    leave.send(())?;
    let (complete, got) = transfer.join().map_err(|_| anyhow::anyhow!("the transfer panicked"))??;
    assert!(complete && got == sha256(&bytes), "the transfer was cut");
    assert!(server.stop(Duration::from_secs(30))?, "it ended with an error");
    Ok(())
}

#[test]
fn an_upload_under_way_at_sigterm_is_finished_and_kept() -> Outcome {
    let mut server = Server::start()?;
    let bytes = noise(2, 6_000_000);
    let (head, tail) = bytes.split_at(2_000_000);
    let digest = sha256(&bytes);
    let opened = server.target().send(&Request::new("POST", "/v2/end/upload/blobs/uploads/"))?;
    let at = with_query(&opened.location().context("no Location")?, &format!("digest={digest}"));
    let mut line = TcpStream::connect(server.target().addr)?;
    line.set_read_timeout(Some(Duration::from_secs(30)))?;
    let authorization = server.target().basic().unwrap_or_default();
    let request = format!(
        "PUT {at} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    line.write_all(request.as_bytes())?;
    line.write_all(head)?;
    // It is taking the body: what it has is on its disk.
    wait::until(Duration::from_secs(30), "the first bytes of the upload", || {
        (server.bytes_below("blobs") >= 1_000_000).then_some(())
    })?;
    let id = server.id().unwrap_or_default().to_string();
    e2e::process::succeed(std::process::Command::new("kill").args(["-TERM", &id]), Duration::from_secs(5))?;
    wait::until(Duration::from_secs(30), "the end of accepting", || {
        TcpStream::connect(server.target().addr).is_err().then_some(())
    })?;
    line.write_all(tail)?;
    let mut answer = String::new();
    BufReader::new(&line).read_line(&mut answer)?;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer:?}");
    drop(line);
    assert!(server.stop(Duration::from_secs(30))?, "it ended with an error");
    server.restart()?;
    let kept = server.target().fetch(format!("/v2/end/upload/blobs/{digest}"))?;
    assert!(kept.status == 200 && kept.body == bytes, "{} {}", kept.status, kept.body.len());
    Ok(())
}

#[test]
fn an_idle_server_ends_at_once_and_starts_again() -> Outcome {
    let mut server = Server::start()?;
    let digest = server.target().push_blob("end/idle", b"kept")?;
    // A connection that is kept open and silent does not hold the end up.
    let mut kept = server.target().connect();
    kept.send(&Request::new("GET", "/v2/"))?;
    assert!(server.stop(Duration::from_secs(10))?, "it ended with an error");
    server.restart()?;
    let answer = server.target().fetch(format!("/v2/end/idle/blobs/{digest}"))?;
    assert_eq!(answer.body, b"kept");
    Ok(())
}
