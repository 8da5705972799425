//! From the configuration to running listeners, and from a signal to their orderly end.
//!
//! The application is a router; this puts health and metrics beside it, binds what the configuration names, follows
//! the certificate, and on SIGTERM or SIGINT drains: not ready – wait `server.shutdown_delay` – stop accepting –
//! finish what runs, at most `server.shutdown_deadline`. A second signal ends at once.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use metadata::Store;
use registry::Sealer;
use tokio::signal::unix::{SignalKind, signal};

use crate::acme::Acme;
use crate::config::tls::Mode;
use crate::config::{Config, Listen};
use crate::http::tls::{Source, Tls, TlsError};
use crate::http::{Limits, Listener, Observer, Server, TrustedProxies};
use crate::telemetry::ops::{MetricsAccess, router};
use crate::telemetry::{Health, Metrics, Telemetry};

/// Why the process cannot face its network.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// An address cannot be listened on.
    #[error("cannot listen on {addr} ({key}): {source}")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// The key that names it.
        key: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// No certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] io::Error),
}

/// The listeners of a process, bound and not yet serving: clients that connect wait in the kernel's queue.
#[derive(Debug)]
pub struct Front {
    config: Arc<Config>,
    /// Readiness: add a check for everything that a request needs.
    pub health: Arc<Health>,
    /// Metrics: add those of other parts.
    pub metrics: Arc<Metrics>,
    listeners: Vec<Listener>,
    ops: Option<Listener>,
    tls: Option<Tls>,
    acme: Option<Arc<Acme>>,
}

async fn bind(listen: Listen, key: &'static str) -> Result<Listener, FrontError> {
    let addr = listen.addr();
    Listener::bind(addr).await.map_err(|source| FrontError::Bind { addr, key, source })
}

impl Front {
    /// Binds every address of the configuration and loads the certificate.
    pub async fn bind(config: Arc<Config>) -> Result<Self, FrontError> {
        let tls = Tls::from_config(&config)?;
        let main = bind(config.server.listen, "server.listen").await?.with_http2(config.server.http2);
        let listeners = match (&tls, config.tls.listen) {
            (None, _) => vec![main],
            (Some(tls), None) => vec![main.with_tls(Arc::clone(&tls.server))],
            (Some(tls), Some(listen)) => {
                vec![main, bind(listen, "tls.listen").await?.with_tls(Arc::clone(&tls.server))]
            }
        };
        let ops = match config.metrics.listen {
            Some(listen) => Some(bind(listen, "metrics.listen").await?),
            None => None,
        };
        let (health, metrics) =
            (Arc::new(Health::default()), Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"))));
        Ok(Self { config, health, metrics, listeners, ops, tls, acme: None })
    }

    /// Gets the certificate by ACME, if the configuration says so.
    #[must_use]
    pub fn with_store(mut self, store: &Store, sealer: &Arc<Sealer>) -> Self {
        if let Some(Tls { source: Source::Acme(issued), .. }) = &self.tls {
            let acme = Acme::new(&self.config, store.clone(), Arc::clone(sealer), Arc::clone(issued));
            self.acme = Some(Arc::new(acme));
        }
        self
    }

    /// The addresses of the registry, with the ports that were taken.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves the application until a signal comes, then drains; answers how many connections had to be cut.
    pub async fn serve(self, app: Router) -> Result<usize, FrontError> {
        let mut term = signal(SignalKind::terminate()).map_err(FrontError::Signals)?;
        let mut int = signal(SignalKind::interrupt()).map_err(FrontError::Signals)?;
        let (config, health) = (Arc::clone(&self.config), Arc::clone(&self.health));
        let server = self.start(app);
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        health.begin_shutdown();
        tracing::info!(delay = %config.server.shutdown_delay, deadline = %config.server.shutdown_deadline, "shutting down");
        let end = async {
            tokio::time::sleep(config.server.shutdown_delay.std()).await;
            server.drain(config.server.shutdown_deadline.std()).await
        };
        let cut = tokio::select! {
            cut = end => cut,
            _ = term.recv() => server.drain(std::time::Duration::ZERO).await,
            _ = int.recv() => server.drain(std::time::Duration::ZERO).await,
        };
        if cut > 0 {
            tracing::warn!(connections = cut, "connections cut at the end of the shutdown");
        }
        Ok(cut)
    }

    fn start(self, app: Router) -> Arc<Server> {
        let config = self.config;
        let observer = Arc::new(Telemetry::new(Arc::clone(&self.metrics), config.log.access));
        let proxies = TrustedProxies::new(config.server.trusted_proxies.clone(), config.server.forwarding);
        let limits = || Limits::from(&*config);
        // Of its own, so that clients who take all connections cannot keep probes and metrics from theirs.
        let (watch, trusted) = (Arc::clone(&observer) as Arc<dyn Observer>, proxies.clone());
        let aside = Arc::new(Server::new(limits(), watch, trusted, rand::random()));
        let server = Arc::new(Server::new(limits(), observer, proxies, rand::random()));
        let access = config.metrics.token.clone().map_or(MetricsAccess::Nobody, MetricsAccess::Token);
        let ops = |access| router(Arc::clone(&self.health), Arc::clone(&self.metrics), access);
        let mut app = app.merge(ops(access));
        if let Some(acme) = &self.acme {
            app = app.merge(Arc::clone(acme).router());
            tokio::spawn(Arc::clone(acme).keep());
        }
        for mut listener in self.listeners {
            if let Ok(addr) = listener.local_addr() {
                let tls = config.tls.mode != Mode::Off
                    && (config.tls.listen.is_none() || addr != config.server.listen.addr());
                tracing::info!(%addr, tls, "listening");
            }
            if let Some(acme) = &self.acme {
                listener = listener.with_challenges(Arc::<Acme>::clone(acme));
            }
            tokio::spawn(Arc::clone(&server).serve(listener, app.clone()));
        }
        if let Some(listener) = self.ops {
            tokio::spawn(aside.serve(listener, ops(MetricsAccess::Everybody)));
        }
        if let Some(Tls { source: Source::Files(certificate), .. }) = self.tls {
            tokio::spawn(certificate.follow(config.tls.reload_interval.std()));
        }
        server
    }
}
