//! A layer of 2 GiB, both ways, with the server's memory watched.

use std::io::{self, Write};

use e2e::bonded::Server;
use e2e::http::{Body, Request};
use e2e::image::noise;
use e2e::registry::with_query;
use e2e::{require, tools};
use sha2::{Digest as _, Sha256};

use crate::{Desk, Outcome};

const TWO_GIB: u64 = 2 * 1024 * 1024 * 1024;
/// Room that nothing of these tests needs: what others on the machine write meanwhile.
const SPARE: u64 = 512 * 1024 * 1024;

/// Hashes what it is given.
struct Hashing(Sha256);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The most memory the process ever had, in MiB.
fn peak_mib(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or_default() / 1024
}

#[test]
fn a_layer_of_2_gib_is_pushed_and_pulled_in_little_memory() -> Outcome {
    if let Some(why) = tools::missing(&[], false).or_else(|| tools::lack_of_space(TWO_GIB + SPARE)) {
        tools::skipped(&format!("a layer of 2 GiB: {why}"));
        return Ok(());
    }
    let server = Server::start()?;
    let piece = noise(41, 8 * 1024 * 1024);
    let mut hash = Sha256::new();
    (0..TWO_GIB / piece.len() as u64).for_each(|_| hash.update(&piece));
    let digest = format!("sha256:{}", data_encoding::HEXLOWER.encode(&hash.finalize()));

    let mut connection = server.target().connect();
    let opened = connection.send(&Request::new("POST", "/v2/large/app/blobs/uploads/"))?;
    let at = with_query(&opened.location().unwrap_or_default(), &format!("digest={digest}"));
    let put = Request::new("PUT", at)
        .header("Content-Type", "application/octet-stream")
        .body(Body::Repeat(&piece, TWO_GIB));
    let start = std::time::Instant::now();
    let done = connection.send(&put)?;
    assert_eq!(done.status, 201, "{}", done.text());
    let pushed = start.elapsed();

    let start = std::time::Instant::now();
    let mut sink = Hashing(Sha256::new());
    let got = connection.send_to(&Request::new("GET", format!("/v2/large/app/blobs/{digest}")), &mut sink)?;
    assert!(got.complete && got.body_bytes == TWO_GIB, "{} bytes", got.body_bytes);
    assert_eq!(format!("sha256:{}", data_encoding::HEXLOWER.encode(&sink.0.finalize())), digest);
    let peak = peak_mib(server.id().unwrap_or_default());
    tools::figure(&format!(
        "2 GiB: pushed in {:.1} s, pulled in {:.1} s, the server's memory at most {peak} MiB",
        pushed.as_secs_f64(),
        start.elapsed().as_secs_f64()
    ));
    assert!(peak < 256, "{peak} MiB");
    Ok(())
}

#[test]
fn oras_pushes_and_pulls_a_file_of_2_gib() -> Outcome {
    require!("oras");
    // One copy is the server's, one the client's.
    if let Some(why) = tools::lack_of_space(2 * TWO_GIB + SPARE) {
        tools::skipped(&format!("oras with 2 GiB: {why}"));
        return Ok(());
    }
    let desk = Desk::new()?;
    let host = desk.host();
    let file = std::fs::File::create(desk.path("large.bin"))?;
    file.set_len(TWO_GIB)?;
    desk.run("oras", &["login", "--plain-http", "-u", desk.user(), "-p", desk.password(), &host])?;
    let artifact = format!("{host}/large/file:v1");
    desk.run("oras", &["push", "--plain-http", &artifact, "large.bin:application/vnd.example.data"])?;
    desk.run("oras", &["pull", "--plain-http", &artifact, "-o", "pulled"])?;
    assert_eq!(std::fs::metadata(desk.path("pulled/large.bin"))?.len(), TWO_GIB);
    Ok(())
}
