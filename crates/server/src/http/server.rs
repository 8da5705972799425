//! Accepts connections, bounds their number, and drains them at the end.
//!
//! Shutdown in order: the caller turns readiness off and waits for load balancers; [`Shutdown::close`] ends accepting
//! and asks each connection to end after its present answer (idle ones end at once, HTTP/2 says GOAWAY); what still
//! runs after the deadline is cut. A transfer that was acknowledged is never among these; one that was not fails
//! visibly at the client.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Protocol, Protocols};
use super::context::{ConnectionInfo, TlsInfo};
use super::limits::Limits;
use super::meter::{Judge, Meter};
use super::origin::TrustedProxies;
use super::request_id::RequestIds;
use super::sendfile::FileRanges;
use super::service::{App, Edge, Observer, Shared};
use super::tls::{ACME_ALPN, Challenges};
use super::transport::{Stream, Transport};

/// Pause after a failed accept: a process out of descriptors must not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket that is listened on.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    tls: Option<Handshake>,
    http2: bool,
}

/// How a listener agrees on encryption.
#[derive(Debug, Clone)]
struct Handshake {
    config: Arc<ServerConfig>,
    challenges: Option<Arc<dyn Challenges>>,
}

impl Handshake {
    /// Shakes hands with a client; `None` if it was an authority that wanted only that.
    async fn accept(self, socket: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
        let Some(challenges) = self.challenges else {
            return TlsAcceptor::from(self.config).accept(socket).await.map(Some);
        };
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), socket).await?;
        let (name, asked) = {
            let hello = hello.client_hello();
            let asked = hello.alpn().is_some_and(|mut offered| offered.any(|it| it == ACME_ALPN));
            (hello.server_name().map(str::to_owned), asked)
        };
        if !asked {
            return hello.into_stream(self.config).await.map(Some);
        }
        if let Some(config) = challenges.handshake(name.as_deref().unwrap_or_default()).await {
            hello.into_stream(config).await?.shutdown().await?;
        }
        Ok(None)
    }
}

impl Listener {
    /// Listens in clear text, HTTP/1.1 only. Needs a tokio runtime.
    pub async fn bind(addr: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(addr).await?, tls: None, http2: false })
    }

    /// Speaks TLS; its protocols are those of the configuration's ALPN list.
    #[must_use]
    pub fn with_tls(mut self, config: Arc<ServerConfig>) -> Self {
        self.tls = Some(Handshake { config, challenges: None });
        self
    }

    /// Answers authorities that ask by a handshake, where TLS is spoken.
    #[must_use]
    pub fn with_challenges(mut self, challenges: Arc<dyn Challenges>) -> Self {
        self.tls = self.tls.map(|tls| Handshake { challenges: Some(challenges), ..tls });
        self
    }

    /// Takes HTTP/2 by prior knowledge in clear text.
    #[must_use]
    pub const fn with_http2(mut self, http2: bool) -> Self {
        self.http2 = http2;
        self
    }

    /// Where it listens, with the port that was taken.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Ends a server; clones are the same switch.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    closing: CancellationToken,
    cutting: CancellationToken,
}

impl Shutdown {
    /// Ends accepting, and connections after their present answer.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// Resolves when the end has begun.
    pub async fn closed(&self) {
        self.closing.cancelled().await;
    }
}

/// A server of one application or several, on any number of listeners.
#[derive(Debug)]
pub struct Server {
    limits: Limits,
    protocols: Protocols,
    shared: Arc<Shared>,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    shutdown: Shutdown,
}

impl Server {
    /// A server with these limits; `seed` makes its request ids differ from another process's.
    pub fn new(limits: Limits, observer: Arc<dyn Observer>, proxies: TrustedProxies, seed: u64) -> Self {
        Self {
            protocols: Protocols::new(&limits),
            shared: Arc::new(Shared { observer, ids: RequestIds::new(seed), proxies }),
            slots: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
            tasks: TaskTracker::new(),
            shutdown: Shutdown::default(),
            limits,
        }
    }

    /// The switch that ends it.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Accepts connections until the shutdown. Those accepted go on; see [`Server::drain`].
    pub async fn serve<S: App>(self: Arc<Self>, listener: Listener, app: S) {
        let ended = self.shutdown.closing.clone();
        let accepting = async {
            loop {
                // The semaphore is never closed.
                let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { return };
                match listener.socket.accept().await {
                    Ok((socket, peer)) => {
                        let (server, app, tls) = (Arc::clone(&self), app.clone(), listener.tls.clone());
                        let http2 = listener.http2;
                        self.tasks.spawn(async move {
                            server.connection(socket, peer, tls, http2, app).await;
                            drop(slot);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            () = ended.cancelled() => {}
        }
    }

    /// Waits until all connections have ended, at most so long, then cuts the rest; answers how many were cut.
    pub async fn drain(&self, deadline: Duration) -> usize {
        self.shutdown.close();
        self.tasks.close();
        if timeout(deadline, self.tasks.wait()).await.is_ok() {
            return 0;
        }
        let cut = self.tasks.len();
        self.shutdown.cutting.cancel();
        self.tasks.wait().await;
        cut
    }

    async fn connection<S: App>(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        tls: Option<Handshake>,
        http2: bool,
        app: S,
    ) {
        self.shared.observer.connected();
        let run = self.run_connection(socket, peer, tls, http2, app);
        let cut = tokio::select! {
            cut = run => cut,
            () = self.shutdown.cutting.cancelled() => None,
        };
        if let Some(cut) = cut {
            tracing::debug!(?cut, %peer, "connection cut");
        }
        self.shared.observer.disconnected(cut);
    }

    async fn run_connection<S: App>(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        tls: Option<Handshake>,
        http2: bool,
        app: S,
    ) -> Option<super::meter::Cut> {
        // Nagle's algorithm and delayed acknowledgements together cost 40 ms for each small answer.
        let local = socket.set_nodelay(true).and_then(|()| socket.local_addr()).ok()?;
        let (stream, tls, protocol) = match tls {
            None => (Stream::Plain(socket), None, if http2 { Protocol::Either } else { Protocol::Http1 }),
            Some(handshake) => {
                let stream = match timeout(self.limits.tls_handshake, handshake.accept(socket)).await {
                    Ok(Ok(Some(stream))) => stream,
                    Ok(Ok(None)) => return None,
                    Ok(Err(error)) => {
                        tracing::debug!(%error, %peer, "TLS handshake failed");
                        return None;
                    }
                    Err(_) => return Some(super::meter::Cut::SlowHead),
                };
                let session = stream.get_ref().1;
                let protocol =
                    if session.alpn_protocol() == Some(b"h2") { Protocol::Http2 } else { Protocol::Http1 };
                let certificates = session.peer_certificates().unwrap_or_default();
                let info = TlsInfo {
                    server_name: session.server_name().map(str::to_owned),
                    client_certificates: certificates.to_vec(),
                };
                (Stream::Tls(Box::new(stream)), Some(info), protocol)
            }
        };
        let meter = Arc::new(Meter::new());
        let files = matches!(stream, Stream::Plain(_)).then(Arc::<FileRanges>::default);
        let service = Edge {
            inner: app,
            shared: Arc::clone(&self.shared),
            connection: Arc::new(ConnectionInfo { peer, local, tls }),
            meter: Arc::clone(&meter),
            files: files.clone(),
        };
        let transport = Transport::new(stream, files, Arc::clone(&meter), self.limits.header_bytes)
            .with_protocol(protocol);
        let judge = Judge::new(&self.limits);
        self.protocols.drive(protocol, transport, meter, service, judge, &self.shutdown.closing).await
    }
}
