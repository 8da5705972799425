//! A blocking HTTP/1.1 client that does exactly what it is told.
//!
//! The suites must send what well-behaved libraries refuse to: a body shorter than declared, a header twice, a path
//! left as it is; and they must see what libraries hide: a body cut before its declared end. So requests are written
//! as given and a short body is reported ([`Response::complete`]), not turned into an error.

use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Headers of an answer, at most.
const MAX_HEADERS: usize = 64;
/// Bytes of an answer's head, at most.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// How long a read or write may stand still.
const STALL: Duration = Duration::from_mins(1);

/// What follows the head of a request.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// No body and no `Content-Length`.
    None,
    /// These bytes with their `Content-Length`.
    Bytes(&'a [u8]),
    /// These bytes in chunked encoding, pieces of the given size.
    Chunked(&'a [u8], usize),
    /// A `Content-Length` of so many bytes, but only these are sent and then the connection is closed.
    Cut(u64, &'a [u8]),
    /// A repeated piece until so many bytes are sent, with their `Content-Length`.
    Repeat(&'a [u8], u64),
}

/// A request, written as it stands.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The request target, not escaped or normalised.
    pub target: String,
    /// Header lines in this order, beside `Host`, `Authorization` and the body's own.
    pub headers: Vec<(&'a str, String)>,
    /// The body.
    pub body: Body<'a>,
}

impl<'a> Request<'a> {
    /// A request without headers and body.
    pub fn new(method: &'a str, target: impl Into<String>) -> Self {
        Self { method, target: target.into(), headers: Vec::new(), body: Body::None }
    }

    /// With one more header line.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: Body<'a>) -> Self {
        self.body = body;
        self
    }
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as received, empty if it went to a sink.
    pub body: Vec<u8>,
    /// Bytes of the body.
    pub body_bytes: u64,
    /// Whether the body ended where its head said.
    pub complete: bool,
}

impl Response {
    /// The first header of that lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The body as text, lossily.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, `Null` if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The first error code of an OCI error body, empty if there is none.
    pub fn error_code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The header `Location` without scheme and authority, whichever form the server chose.
    pub fn location(&self) -> Option<String> {
        let location = self.header("location")?;
        let Some((_, rest)) = location.split_once("://") else { return Some(location.to_owned()) };
        Some(rest.find('/').map_or_else(|| "/".to_owned(), |n| rest[n..].to_owned()))
    }
}

/// One connection at a time to one server; opened when needed, kept while the server keeps it.
#[derive(Debug)]
pub struct Connection {
    addr: SocketAddr,
    host: String,
    authorization: Option<String>,
    stream: Option<BufReader<TcpStream>>,
}

impl Connection {
    /// Nothing is opened yet. `authorization` is sent with every request that brings none itself.
    pub fn new(addr: SocketAddr, authorization: Option<String>) -> Self {
        Self { addr, host: addr.to_string(), authorization, stream: None }
    }

    /// Sends the request and reads the answer into memory.
    pub fn send(&mut self, request: &Request<'_>) -> io::Result<Response> {
        let mut body = Vec::new();
        let mut response = self.send_to(request, &mut body)?;
        response.body = body;
        Ok(response)
    }

    /// Sends the request and writes the answer's body to `sink`. A kept connection that turns out closed before one
    /// byte of the answer came is opened anew, once.
    pub fn send_to(&mut self, request: &Request<'_>, sink: &mut dyn Write) -> io::Result<Response> {
        let kept = self.stream.is_some();
        match self.exchange(request, sink) {
            Err(e) if kept && is_stale(&e) => {
                self.stream = None;
                self.exchange(request, sink)
            }
            other => other,
        }
    }

    fn exchange(&mut self, request: &Request<'_>, sink: &mut dyn Write) -> io::Result<Response> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => BufReader::with_capacity(64 * 1024, open(self.addr)?),
        };
        let sent = self.write_request(stream.get_mut(), request);
        if matches!(request.body, Body::Cut(..)) {
            stream.get_ref().shutdown(Shutdown::Both)?;
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the body was cut on purpose"));
        }
        // A server may answer and close before it has read the whole body: then the answer is what counts.
        let (mut response, length) = match read_head(&mut stream) {
            Ok(head) => head,
            Err(e) => return Err(sent.err().unwrap_or(e)),
        };
        let bodiless = request.method == "HEAD" || matches!(response.status, 100..=199 | 204 | 304);
        let framing = if bodiless { Framing::Length(0) } else { length };
        (response.body_bytes, response.complete) = read_body(&mut stream, framing, sink)?;
        let closes = response.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
        if sent.is_ok() && response.complete && !closes && !matches!(framing, Framing::ToEnd) {
            self.stream = Some(stream);
        }
        Ok(response)
    }

    fn write_request(&self, stream: &mut TcpStream, request: &Request<'_>) -> io::Result<()> {
        use std::fmt::Write as _;
        let has = |name: &str| request.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
        let mut line = |name: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = write!(head, "{name}: {value}\r\n");
        };
        if !has("host") {
            line("Host", &self.host);
        }
        if let Some(authorization) = self.authorization.as_deref().filter(|_| !has("authorization")) {
            line("Authorization", authorization);
        }
        for (name, value) in request.headers.iter().filter(|(_, value)| !value.is_empty()) {
            line(name, value);
        }
        match request.body {
            Body::None if matches!(request.method, "POST" | "PUT" | "PATCH") => line("Content-Length", "0"),
            Body::None => {}
            Body::Bytes(bytes) => line("Content-Length", &bytes.len().to_string()),
            Body::Chunked(..) => line("Transfer-Encoding", "chunked"),
            Body::Cut(declared, _) | Body::Repeat(_, declared) => {
                line("Content-Length", &declared.to_string());
            }
        }
        head.push_str("\r\n");
        write_body(stream, head.into_bytes(), request.body)
    }
}

fn open(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, STALL)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STALL))?;
    stream.set_write_timeout(Some(STALL))?;
    Ok(stream)
}

fn is_stale(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof
    )
}

fn write_body(stream: &mut TcpStream, mut head: Vec<u8>, body: Body<'_>) -> io::Result<()> {
    match body {
        Body::None => stream.write_all(&head),
        Body::Bytes(bytes) | Body::Cut(_, bytes) => {
            if bytes.len() < 16 * 1024 {
                head.extend_from_slice(bytes);
                return stream.write_all(&head);
            }
            stream.write_all(&head)?;
            stream.write_all(bytes)
        }
        Body::Chunked(bytes, size) => {
            stream.write_all(&head)?;
            for piece in bytes.chunks(size.max(1)) {
                let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
                chunk.extend_from_slice(piece);
                chunk.extend_from_slice(b"\r\n");
                stream.write_all(&chunk)?;
            }
            stream.write_all(b"0\r\n\r\n")
        }
        Body::Repeat(piece, total) => {
            stream.write_all(&head)?;
            let mut left = total;
            while left > 0 {
                let now = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
                stream.write_all(&piece[..now])?;
                left -= now as u64;
            }
            Ok(())
        }
    }
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy)]
enum Framing {
    Length(u64),
    Chunked,
    ToEnd,
}

fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<(Response, Framing)> {
    loop {
        let head = read_head_bytes(stream)?;
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        parsed.parse(&head).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
        let status = parsed.code.unwrap_or_default();
        if status == 100 {
            continue;
        }
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers: Vec<(String, String)> =
            parsed.headers.iter().map(|h| (h.name.to_ascii_lowercase(), text(h.value))).collect();
        let response = Response { status, headers, ..Response::default() };
        let framing = if response.header("transfer-encoding").is_some_and(|v| v.contains("chunked")) {
            Framing::Chunked
        } else if let Some(length) = response.header("content-length").and_then(|v| v.trim().parse().ok()) {
            Framing::Length(length)
        } else {
            Framing::ToEnd
        };
        return Ok((response, framing));
    }
}

fn read_head_bytes(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(1024);
    loop {
        let before = head.len();
        stream.by_ref().take(MAX_HEAD_BYTES as u64).read_until(b'\n', &mut head)?;
        if head.len() == before {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed before an answer"));
        }
        if head.ends_with(b"\r\n\r\n") {
            return Ok(head);
        }
        if head.len() > MAX_HEAD_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the head of the answer is too long"));
        }
    }
}

/// Bytes read, and whether the body was whole.
fn read_body(
    stream: &mut BufReader<TcpStream>,
    framing: Framing,
    sink: &mut dyn Write,
) -> io::Result<(u64, bool)> {
    match framing {
        Framing::Length(length) => {
            let got = copy(stream, length, sink)?;
            Ok((got, got == length))
        }
        Framing::ToEnd => Ok((copy(stream, u64::MAX, sink)?, true)),
        Framing::Chunked => {
            let mut total = 0;
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line)? == 0 {
                    return Ok((total, false));
                }
                let digits = line.trim().split(';').next().unwrap_or_default();
                let Ok(size) = u64::from_str_radix(digits, 16) else { return Ok((total, false)) };
                let got = copy(stream, size, sink)?;
                total += got;
                let mut end = String::new();
                if got < size || stream.read_line(&mut end)? == 0 {
                    return Ok((total, false));
                }
                if size == 0 {
                    return Ok((total, true));
                }
            }
        }
    }
}

/// Copies up to `length` bytes; a connection that breaks off ends the copy without an error.
fn copy(stream: &mut BufReader<TcpStream>, length: u64, sink: &mut dyn Write) -> io::Result<u64> {
    let mut left = length;
    while left > 0 {
        let now = match stream.fill_buf() {
            Ok([]) => break,
            Ok(bytes) => {
                let now = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                sink.write_all(&bytes[..now])?;
                now
            }
            Err(e) if is_stale(&e) => break,
            Err(e) => return Err(e),
        };
        stream.consume(now);
        left -= now as u64;
    }
    Ok(length - left)
}
