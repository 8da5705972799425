//! Watches the framing of HTTP/1 on the wire, and refuses what two parsers might read differently.
//!
//! Why beside hyper: request smuggling lives in the gap between the proxy in front and the parser behind. hyper reads
//! `Content-Length` beside `Transfer-Encoding` as chunked and hides that both were there, and takes bare line feeds.
//! Here such a request never reaches hyper: it is answered 400 and the connection ends (RFC 9112 §6.1, §2.2, §5.2).
//! The watcher follows every byte – head, body by length, chunks – so it knows where each head begins; bodies are
//! skipped, not copied, and a head that arrives in one piece is not copied either. An HTTP/2 preface ends the watch.

use memchr::{memchr, memchr_iter, memmem};

/// Why the connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Malformed or ambiguous framing: 400.
    BadRequest(&'static str),
    /// Not HTTP/1: 400, or no answer where other protocols are spoken too and nobody knows which one this is.
    OtherProtocol,
    /// A head larger than allowed: 431.
    HeadTooLarge,
}

/// How far the present message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In front of, or in, a head.
    Head,
    /// In a body with so many bytes left.
    Length(u64),
    /// In a chunked body.
    Chunked(Chunk),
    /// HTTP/2: not watched here.
    Http2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    Size {
        digits: u8,
        value: u64,
    },
    Extension(u64),
    SizeEnd(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// In the trailer section; `true` at the start of a line.
    Trailer(bool),
    TrailerLf,
    LastLf,
}

/// Bytes that chunk extensions and trailers of one message may have together.
const MAX_CHUNK_OVERHEAD: u32 = 16 * 1024;

/// Empty lines that are passed over in front of a request.
const MAX_EMPTY_LINES: u8 = 4;

/// The watcher of one connection.
#[derive(Debug)]
pub struct Framing {
    state: State,
    /// What has arrived of a head that did not come in one piece.
    partial: Vec<u8>,
    overhead: u32,
    empty_lines: u8,
    understood: bool,
    max_head: usize,
}

impl Framing {
    /// A watcher at the start of a connection; heads may have `max_head` bytes.
    pub const fn new(max_head: usize) -> Self {
        Self {
            state: State::Head,
            partial: Vec::new(),
            overhead: 0,
            empty_lines: 0,
            understood: false,
            max_head,
        }
    }

    /// Whether a head was ever taken: the client speaks one of our protocols.
    pub const fn understood(&self) -> bool {
        self.understood
    }

    /// Whether a head has begun and not ended.
    pub const fn in_head(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Whether the last head's body has not ended.
    pub const fn in_body(&self) -> bool {
        matches!(self.state, State::Length(_) | State::Chunked(_))
    }

    /// Takes note of the next bytes from the wire.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Http2 => return Ok(()),
                State::Head => self.head(bytes)?,
                State::Length(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    self.state = Self::after(left - taken as u64);
                    bytes.get(taken..).unwrap_or_default()
                }
                State::Chunked(chunk) => self.chunked(chunk, bytes)?,
            };
        }
        Ok(())
    }

    const fn after(left: u64) -> State {
        if left == 0 { State::Head } else { State::Length(left) }
    }

    fn head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Refusal> {
        // RFC 9112 §2.2: an empty line before the request line is passed over.
        let rest = match self.partial.as_slice() {
            b"" => bytes.strip_prefix(b"\r\n"),
            b"\r" => bytes.strip_prefix(b"\n"),
            _ => None,
        };
        if let Some(rest) = rest {
            self.partial.clear();
            self.empty_lines += 1;
            let few = self.empty_lines <= MAX_EMPTY_LINES;
            return if few { Ok(rest) } else { Err(Refusal::BadRequest("too many empty lines")) };
        }
        if self.partial.is_empty() {
            if let Some(end) = memmem::find(bytes, b"\r\n\r\n") {
                let (head, rest) = bytes.split_at(end + 4);
                self.finish_head(head)?;
                return Ok(rest);
            }
            self.partial.extend_from_slice(bytes);
            return self.check_partial(0).map(|()| &bytes[..0]);
        }
        // The end may lie across the seam: look from three bytes before it.
        let seam = self.partial.len();
        let room = (self.max_head + 1).saturating_sub(seam).min(bytes.len());
        self.partial.extend_from_slice(bytes.get(..room).unwrap_or_default());
        let from = seam.saturating_sub(3);
        let found = memmem::find(self.partial.get(from..).unwrap_or_default(), b"\r\n\r\n");
        let Some(end) = found.map(|at| from + at + 4) else {
            return self.check_partial(seam).map(|()| &bytes[..0]);
        };
        let mut head = std::mem::take(&mut self.partial);
        head.truncate(end);
        self.finish_head(&head)?;
        // The buffer is kept for the next head that comes in pieces.
        head.clear();
        self.partial = head;
        Ok(bytes.get(end - seam..).unwrap_or_default())
    }

    /// Checks the beginning of a head, of which the bytes before `from` were seen before.
    fn check_partial(&self, from: usize) -> Result<(), Refusal> {
        if self.partial.len() > self.max_head {
            return Err(Refusal::HeadTooLarge);
        }
        // hyper takes "\n\n" and "\n\r\n" for the end of a head; here it never ends, so it is refused as soon as it is
        // seen.
        let new = self.partial.get(from..).unwrap_or_default();
        let before = |at: usize| (from + at).checked_sub(1).and_then(|at| self.partial.get(at));
        if memchr_iter(b'\n', new).any(|at| before(at) != Some(&b'\r')) {
            return Err(Refusal::BadRequest("a line ends without a carriage return"));
        }
        Ok(())
    }

    fn finish_head(&mut self, head: &[u8]) -> Result<(), Refusal> {
        if head.len() > self.max_head {
            return Err(Refusal::HeadTooLarge);
        }
        self.overhead = 0;
        self.empty_lines = 0;
        self.state = read_head(head)?;
        self.understood = true;
        Ok(())
    }

    fn chunked<'a>(&mut self, chunk: Chunk, bytes: &'a [u8]) -> Result<&'a [u8], Refusal> {
        if let Chunk::Data(left) = chunk {
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            let left = left - taken as u64;
            self.state = State::Chunked(if left == 0 { Chunk::DataCr } else { Chunk::Data(left) });
            return Ok(bytes.get(taken..).unwrap_or_default());
        }
        let Some((&byte, rest)) = bytes.split_first() else { return Ok(bytes) };
        if matches!(chunk, Chunk::Extension(_) | Chunk::Trailer(_)) {
            self.overhead += 1;
            if self.overhead > MAX_CHUNK_OVERHEAD {
                return Err(Refusal::BadRequest("chunk extensions or trailers too long"));
            }
        }
        self.state = match next_chunk_state(chunk, byte) {
            Step::Next(next) => State::Chunked(next),
            Step::End => State::Head,
            Step::Malformed => return Err(Refusal::BadRequest("malformed chunk")),
        };
        Ok(rest)
    }
}

/// What a byte of a chunked body's frame leads to.
enum Step {
    Next(Chunk),
    End,
    Malformed,
}

fn next_chunk_state(chunk: Chunk, byte: u8) -> Step {
    let next = match (chunk, byte) {
        (Chunk::Size { digits, value }, _) if digits < 16 && byte.is_ascii_hexdigit() => {
            let digit = (byte as char).to_digit(16).map_or(0, u64::from);
            Chunk::Size { digits: digits + 1, value: (value << 4) | digit }
        }
        (Chunk::Size { digits: 1.., value } | Chunk::Extension(value), b'\r') => Chunk::SizeEnd(value),
        (Chunk::Size { digits: 1.., value }, b';') => Chunk::Extension(value),
        (Chunk::Extension(value), _) if byte != b'\n' => Chunk::Extension(value),
        (Chunk::SizeEnd(0) | Chunk::TrailerLf, b'\n') => Chunk::Trailer(true),
        (Chunk::SizeEnd(value), b'\n') => Chunk::Data(value),
        (Chunk::DataCr, b'\r') => Chunk::DataLf,
        (Chunk::DataLf, b'\n') => Chunk::Size { digits: 0, value: 0 },
        (Chunk::Trailer(true), b'\r') => Chunk::LastLf,
        (Chunk::Trailer(_), b'\r') => Chunk::TrailerLf,
        (Chunk::Trailer(_), _) if byte != b'\n' => Chunk::Trailer(false),
        (Chunk::LastLf, b'\n') => return Step::End,
        _ => return Step::Malformed,
    };
    Step::Next(next)
}

#[derive(Default)]
struct Seen {
    length: Option<u64>,
    chunked: bool,
    hosts: u8,
}

/// What follows a head, which ends with an empty line.
fn read_head(head: &[u8]) -> Result<State, Refusal> {
    // Exactly so: what only begins like the preface is not HTTP/2 to hyper either.
    if head == b"PRI * HTTP/2.0\r\n\r\n" {
        return Ok(State::Http2);
    }
    let mut rest = head;
    let request_line = line(&mut rest)?;
    let http11 = match request_line {
        [.., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'] => true,
        [.., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'] => false,
        _ => return Err(Refusal::OtherProtocol),
    };
    if request_line.starts_with(b"CONNECT ") {
        return Err(Refusal::BadRequest("this is no proxy"));
    }
    let mut seen = Seen::default();
    loop {
        match line(&mut rest)? {
            [] => break,
            field => read_field(field, http11, &mut seen)?,
        }
    }
    match (seen.chunked, seen.length) {
        (true, Some(_)) => Err(Refusal::BadRequest("both Content-Length and Transfer-Encoding")),
        _ if seen.hosts > 1 || (http11 && seen.hosts == 0) => {
            Err(Refusal::BadRequest("not exactly one Host"))
        }
        (true, None) => Ok(State::Chunked(Chunk::Size { digits: 0, value: 0 })),
        (false, length) => Ok(Framing::after(length.unwrap_or(0))),
    }
}

fn read_field(field: &[u8], http11: bool, seen: &mut Seen) -> Result<(), Refusal> {
    let colon = memchr(b':', field).ok_or(Refusal::BadRequest("a header without a colon"))?;
    let (name, value) = field.split_at(colon);
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
        return Err(Refusal::BadRequest("white space in or in front of a header's name"));
    }
    if name.eq_ignore_ascii_case(b"content-length") {
        let digits = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
        let length = length.ok_or(Refusal::BadRequest("Content-Length is not one number"))?;
        if seen.length.replace(length).is_some() {
            return Err(Refusal::BadRequest("more than one Content-Length"));
        }
    } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
        if seen.chunked || !http11 || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Refusal::BadRequest("Transfer-Encoding is not one `chunked`"));
        }
        seen.chunked = true;
    } else if name.eq_ignore_ascii_case(b"host") {
        seen.hosts = seen.hosts.saturating_add(1);
    }
    Ok(())
}

/// Takes the next line; its end must be CR LF, and no CR may stand elsewhere.
fn line<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Refusal> {
    let bare = Refusal::BadRequest("a line ends without carriage return and line feed");
    let end = memchr(b'\n', rest).ok_or(bare)?;
    let (line, after) = rest.split_at(end);
    *rest = after.get(1..).unwrap_or_default();
    let line = line.strip_suffix(b"\r").ok_or(bare)?;
    if memchr(b'\r', line).is_some() || memchr(0, line).is_some() {
        return Err(bare);
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn feed(bytes: &[u8]) -> Result<Framing, Refusal> {
        let mut framing = Framing::new(1024);
        framing.feed(bytes).map(|()| framing)
    }

    /// Requests that two parsers may read differently, or that no client sends.
    const SMUGGLED: &[&str] = &[
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/0.9\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\nHost: a\r\n\r\nSM\r\n\r\n",
        "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000005\r\nhello\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: a\nY\r\n\r\n",
        "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\nHost: a\n\n",
    ];

    const PLAIN: &[&str] = &[
        "GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET /v2/ HTTP/1.1\r\nhost:a\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "PATCH / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0A;x=\"y\"\r\n0123456789\r\n0\r\nX: y\r\n\r\n\
         GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ];

    #[test]
    fn what_two_parsers_may_read_differently_is_refused() {
        for request in SMUGGLED {
            let refused =
                matches!(feed(request.as_bytes()), Err(Refusal::BadRequest(_) | Refusal::OtherProtocol));
            assert!(refused, "taken: {request:?}");
        }
    }

    #[test]
    fn ordinary_requests_are_followed_to_their_end() {
        for request in PLAIN {
            let framing = feed(request.as_bytes()).expect(request);
            assert!(!framing.in_head() && !framing.in_body(), "{request:?}");
        }
        assert!(
            feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell").expect("body").in_body()
        );
        assert!(feed(b"GET / HT").expect("head").in_head());
        assert!(feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0").is_ok());
    }

    #[test]
    fn a_line_of_one_letter_is_no_empty_line_wherever_it_is_cut() {
        let request = b"X\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for cut in 0..request.len() {
            let (first, second) = request.split_at(cut);
            let mut framing = Framing::new(1024);
            let refused = framing.feed(first).and_then(|()| framing.feed(second));
            assert_eq!(refused, Err(Refusal::OtherProtocol), "cut at {cut}");
        }
    }

    #[test]
    fn a_head_over_the_limit_is_refused_in_one_piece_or_many() {
        let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(1000));
        assert_eq!(feed(long.as_bytes()).err(), Some(Refusal::HeadTooLarge));
        let mut framing = Framing::new(1024);
        let refused = long.bytes().map(|byte| framing.feed(&[byte])).find_map(Result::err);
        assert_eq!(refused, Some(Refusal::HeadTooLarge));
        assert!(framing.partial.len() <= 1025);
    }

    proptest! {
        #[test]
        fn the_outcome_does_not_depend_on_how_the_bytes_arrive(
            which in 0..SMUGGLED.len() + PLAIN.len(),
            cuts in proptest::collection::vec(1_usize..20, 1..40),
        ) {
            let text = SMUGGLED.iter().chain(PLAIN).nth(which).expect("in range").as_bytes();
            let mut framing = Framing::new(1024);
            let mut rest = text;
            let mut refused = false;
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                refused |= framing.feed(piece).is_err();
                rest = after;
                if rest.is_empty() || refused { break; }
            }
            prop_assert_eq!(refused, which < SMUGGLED.len(), "{:?}", String::from_utf8_lossy(text));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = feed(&bytes);
        }
    }
}
