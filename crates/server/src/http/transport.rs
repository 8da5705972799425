//! The bytes of one connection: plain or TLS, counted, and watched for their framing.
//!
//! What the watcher refuses never reaches hyper: this transport writes the refusal itself and then looks closed.
//! When a connection ends while the client still sends – a push refused in the middle of a layer – the rest is read
//! and thrown away for a moment ("lingering close"): closing with unread bytes would make the kernel reset the
//! connection, and the client would lose the answer that it has not read yet.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;

use super::connection::Protocol;
use super::framing::{Framing, Refusal};
use super::meter::{Direction, Meter, Waiter};
use super::sendfile::FileRanges;

/// How long and how much is read and thrown away at most after our end was closed.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 64 << 20);

/// What one connection may send from files before others have their turn: to the runtime, a call that moves megabytes
/// is as cheap as one that moves a line.
const STREAK_BYTES: usize = 8 << 20;

/// The socket.
#[derive(Debug)]
pub enum Stream {
    /// Clear text.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Forwards a call to whichever stream it is.
macro_rules! each {
    ($stream:expr, $method:ident ( $($arg:expr),* )) => {
        match $stream {
            Stream::Plain(io) => Pin::new(io).$method($($arg),*),
            Stream::Tls(io) => Pin::new(io.as_mut()).$method($($arg),*),
        }
    };
}

#[derive(Debug)]
enum State {
    Open,
    /// Writes the refusal; so many bytes are out.
    Refusing(&'static [u8], usize),
    /// Refused: to hyper the connection looks closed.
    Refused,
}

#[derive(Debug)]
struct Linger {
    until: Pin<Box<Sleep>>,
    left: usize,
}

/// One connection's bytes.
#[derive(Debug)]
pub struct Transport {
    stream: Stream,
    files: Option<Arc<FileRanges>>,
    /// Bytes sent from files since the thread was last given to others.
    streak_bytes: usize,
    framing: Framing,
    writing: Waiter,
    state: State,
    linger: Option<Linger>,
    protocol: Protocol,
}

impl Transport {
    /// A transport over a fresh connection; heads may have `max_head` bytes.
    /// What `files` knows is sent by the kernel.
    pub const fn new(
        stream: Stream,
        files: Option<Arc<FileRanges>>,
        meter: Arc<Meter>,
        max_head: usize,
    ) -> Self {
        let writing = Waiter::new(meter, Direction::Out);
        let framing = Framing::new(max_head);
        let (state, protocol) = (State::Open, Protocol::Http1);
        Self { stream, files, streak_bytes: 0, framing, writing, state, linger: None, protocol }
    }

    /// What the client may speak, if not only HTTP/1.1.
    #[must_use]
    pub const fn with_protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    fn note_read(&mut self, bytes: &[u8]) -> bool {
        let watched = self.framing.feed(bytes);
        self.writing.meter().head_open(self.framing.in_head());
        let Err(refusal) = watched else { return true };
        tracing::debug!(?refusal, "connection refused");
        let unknown = refusal == Refusal::OtherProtocol && self.protocol != Protocol::Http1;
        self.state = if unknown || self.writing.meter().busy() {
            // An answer is under way on this connection: writing ours into it would be the confusion itself. To who
            // does not speak HTTP/1 it would be noise (RFC 9113 §3.4: an invalid preface ends the connection).
            State::Refused
        } else {
            State::Refusing(answer(refusal), 0)
        };
        false
    }

    /// Whether what is to be written answers something that is neither HTTP/1 nor HTTP/2: hyper takes it for the former
    /// as soon as it is not the latter, and says 400 before the watcher has seen a whole head.
    fn answers_noise(&mut self) -> bool {
        let noise = self.protocol == Protocol::Either && !self.framing.understood();
        if noise {
            self.state = State::Refused;
        }
        noise
    }

    fn poll_refuse(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let State::Refusing(text, sent) = &mut self.state {
            let rest = text.get(*sent..).unwrap_or_default();
            if rest.is_empty() {
                ready!(each!(&mut self.stream, poll_flush(cx)))?;
                self.state = State::Refused;
            } else {
                *sent += ready!(each!(&mut self.stream, poll_write(cx, rest)))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends from a file, if the first of what is to be sent lies in one.
    fn poll_files(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Option<Poll<io::Result<usize>>> {
        let (Some(files), Stream::Plain(socket)) = (&self.files, &self.stream) else { return None };
        if self.streak_bytes > STREAK_BYTES {
            self.streak_bytes = 0;
            cx.waker().wake_by_ref();
            return Some(Poll::Pending);
        }
        let written = files.poll_write(socket, bufs, cx)?;
        match &written {
            Poll::Ready(Ok(bytes)) => self.streak_bytes += bytes,
            _ => self.streak_bytes = 0,
        }
        Some(written)
    }

    fn note_write(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => self.writing.wait(),
            Poll::Ready(result) => {
                self.writing.go_on();
                if let Ok(bytes) = result {
                    self.writing.meter().moved(Direction::Out, *bytes);
                }
            }
        }
        written
    }
}

/// A whole HTTP/1.1 answer to what could not be read as a request.
const fn answer(refusal: Refusal) -> &'static [u8] {
    match refusal {
        Refusal::BadRequest(_) | Refusal::OtherProtocol => {
            b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 18\r\ncontent-type: text/plain\r\n\r\nmalformed request\n"
        }
        Refusal::HeadTooLarge => {
            b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 18\r\ncontent-type: text/plain\r\n\r\nheaders too large\n"
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if matches!(this.state, State::Open) {
            let before = buf.filled().len();
            ready!(each!(&mut this.stream, poll_read(cx, buf)))?;
            let bytes = buf.filled().get(before..).unwrap_or_default();
            if bytes.is_empty() || this.note_read(bytes) {
                return Poll::Ready(Ok(()));
            }
            buf.set_filled(before);
        }
        this.poll_refuse(cx)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.answers_noise() {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = each!(&mut this.stream, poll_write(cx, buf));
        this.note_write(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.answers_noise() {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let written = match this.poll_files(cx, bufs) {
            Some(written) => written,
            None => each!(&mut this.stream, poll_write_vectored(cx, bufs)),
        };
        this.note_write(written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(io) => io.is_write_vectored(),
            Stream::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut self.get_mut().stream, poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(each!(&mut this.stream, poll_shutdown(cx)))?;
            if matches!(this.state, State::Open) && !this.framing.in_body() {
                return Poll::Ready(Ok(()));
            }
        }
        let linger = this.linger.get_or_insert_with(|| Linger {
            until: Box::pin(sleep_until(Instant::now() + LINGER.0)),
            left: LINGER.1,
        });
        let mut bin = [0_u8; 16 * 1024];
        loop {
            if linger.until.as_mut().poll(cx).is_ready() || linger.left == 0 {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut bin);
            match ready!(each!(&mut this.stream, poll_read(cx, &mut buf))) {
                Ok(()) if !buf.filled().is_empty() => {
                    linger.left = linger.left.saturating_sub(buf.filled().len());
                }
                // The client closed, or the connection broke: nothing is left to lose.
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}
