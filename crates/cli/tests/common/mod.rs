//! What the tests of the command line share: running it, and a web server that answers as a test says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use clap::Parser;

#[derive(Debug, Parser)]
struct Bonded {
    #[command(subcommand)]
    command: cli::Command,
}

/// Runs a command line; `ExitCode` can only be compared by its text.
pub(crate) fn bonded(arguments: &[&str]) -> String {
    let parsed = Bonded::try_parse_from(std::iter::once("bonded").chain(arguments.iter().copied()));
    format!("{:?}", cli::run(parsed.expect("a valid command line").command))
}

pub(crate) fn code(number: u8) -> String {
    format!("{:?}", ExitCode::from(number))
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// A request as a test's answers need it.
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
}

/// Status, headers, body.
pub(crate) type Answer = (u16, Vec<(String, String)>, Vec<u8>);

/// A web server on this machine; it ends with the process.
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Web {
    pub(crate) fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
        let address = listener.local_addr().expect("address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                std::thread::spawn(move || serve(&stream, &*answer, &log));
            }
        });
        Self { address, asked }
    }

    /// Paths that were asked for so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("log").clone()
    }
}

fn serve(stream: &TcpStream, answer: &dyn Fn(&Asked) -> Answer, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(path) = lines.next().and_then(|line| Some(line.split(' ').nth(1)?.to_owned())) else { return };
    let pair = |line: String| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers = lines.take_while(|line| !line.is_empty()).filter_map(pair).collect();
    log.lock().expect("log").push(path.clone());
    let (status, headers, body) = answer(&Asked { path, headers });
    let mut head = vec![format!("HTTP/1.1 {status} x"), "connection: close".to_owned()];
    if status != 304 {
        head.push(format!("content-length: {}", body.len()));
    }
    head.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
    let head = head.join("\r\n") + "\r\n\r\n";
    let mut stream = stream;
    // The other side may have gone, which is its own business.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}
