//! From a URL to a pool of connections.
//!
//! `sslmode` is `disable`, `require` or `verify-full` (the last two are one: a certificate is always verified, by the
//! system's roots and those of the options, or only those of `sslrootcert`). Without it, TLS is required unless the
//! server is on this machine.

use crate::error::StoreError;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{CancelToken, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use url::Url;

/// How the pool behaves.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Connections of this process, at most.
    pub connections: usize,
    /// A new connection must stand within this time.
    pub connect_timeout: Duration,
    /// Reads and commits are answered within this time, at the latest with `Unavailable`.
    pub deadline: Duration,
    /// Scans are answered within this time.
    pub scan_deadline: Duration,
    /// PEM file of authorities to trust for the server beside the system's; `sslrootcert` of the URL alone wins.
    pub ca_file: Option<PathBuf>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            connections: 16,
            connect_timeout: Duration::from_secs(2),
            deadline: Duration::from_millis(4500),
            scan_deadline: Duration::from_secs(30),
            ca_file: None,
        }
    }
}

/// The parsed URL.
pub(super) struct Target {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

impl Target {
    /// Parses `postgres://user:password@host/database?sslmode=…`.
    pub(super) fn parse(url: &str, ca_file: Option<&Path>) -> Result<Self, StoreError> {
        // The URL holds a password: it is never part of a message.
        let bad = |what: &str| StoreError::inconsistent(format!("database url: {what}"));
        let mut parsed = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        let mut mode = None;
        let mut roots = Roots { system: true, file: ca_file.map(Path::to_owned) };
        let mut rest = Vec::new();
        for (key, value) in parsed.query_pairs() {
            match &*key {
                "sslmode" => mode = Some(value.into_owned()),
                "sslrootcert" => {
                    roots = Roots { system: false, file: Some(PathBuf::from(&*value)) };
                }
                _ => rest.push((key.into_owned(), value.into_owned())),
            }
        }
        parsed.set_query(None);
        if !rest.is_empty() {
            parsed.query_pairs_mut().extend_pairs(rest);
        }
        let mut config: Config = parsed.as_str().parse().map_err(|error: tokio_postgres::Error| {
            bad(&std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string))
        })?;
        let local = config.get_hosts().iter().all(|host| match host {
            Host::Unix(_) => true,
            Host::Tcp(name) => matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1"),
        });
        let verified = match mode.as_deref() {
            None => !local,
            Some("disable") => false,
            Some("require" | "verify-ca" | "verify-full") => true,
            Some(_) => return Err(bad("sslmode is disable, require or verify-full")),
        };
        config.ssl_mode(if verified { SslMode::Require } else { SslMode::Disable });
        config.application_name("bonded");
        config.keepalives_idle(Duration::from_secs(15));
        config.tcp_user_timeout(Duration::from_secs(10));
        Ok(Self { config, tls: if verified { Some(connector(&roots)?) } else { None } })
    }

    /// A pool whose sessions give up on what takes too long.
    pub(super) fn pool(&self, options: &PostgresOptions) -> Result<Pool, StoreError> {
        let mut config = self.config.clone();
        let own = config.get_options().unwrap_or_default().to_owned();
        config.options(format!(
            "-c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout=10000 \
             -c default_transaction_isolation=read\\ committed {own}",
            options.scan_deadline.as_millis(),
            options.deadline.as_millis(),
        ));
        config.connect_timeout(options.connect_timeout);
        self.build(config, options)
    }

    /// What cancels statements of its sessions.
    pub(super) fn canceller(&self) -> Canceller {
        Canceller(self.tls.clone())
    }

    /// A pool of one connection for migrations, which may take their time.
    pub(super) fn patient(&self) -> Result<Pool, StoreError> {
        let options = PostgresOptions {
            connections: 1,
            connect_timeout: Duration::from_secs(10),
            ..PostgresOptions::default()
        };
        self.build(self.config.clone(), &options)
    }

    fn build(&self, config: Config, options: &PostgresOptions) -> Result<Pool, StoreError> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match &self.tls {
            Some(tls) => Manager::from_config(config, tls.clone(), recycling),
            None => Manager::from_config(config, NoTls, recycling),
        };
        Pool::builder(manager)
            .max_size(options.connections)
            .timeouts(Timeouts {
                wait: Some(options.deadline),
                create: Some(options.connect_timeout),
                recycle: Some(options.connect_timeout),
            })
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::inconsistent(format!("pool: {error}")))
    }
}

/// Cancels statements, over TLS where the sessions have it.
#[derive(Clone)]
pub(super) struct Canceller(Option<MakeRustlsConnect>);

impl std::fmt::Debug for Canceller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Canceller").finish_non_exhaustive()
    }
}

impl Canceller {
    pub(super) async fn cancel(&self, token: &CancelToken) -> Result<(), tokio_postgres::Error> {
        match &self.0 {
            Some(tls) => token.cancel_query(tls.clone()).await,
            None => token.cancel_query(NoTls).await,
        }
    }
}

/// Whom to trust.
struct Roots {
    system: bool,
    file: Option<PathBuf>,
}

fn connector(trusted: &Roots) -> Result<MakeRustlsConnect, StoreError> {
    let bad = |what: String| StoreError::inconsistent(format!("database tls: {what}"));
    let mut roots = rustls::RootCertStore::empty();
    if trusted.system {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if let Some(path) = &trusted.file {
        let failed = |error: String| bad(format!("{}: {error}", path.display()));
        let certificates = CertificateDer::pem_file_iter(path).map_err(|e| failed(e.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|e| failed(e.to_string()))?;
            roots.add(certificate).map_err(|e| failed(e.to_string()))?;
        }
    }
    if roots.is_empty() {
        return Err(bad("no root certificate; name a file with database.ca_file".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> Result<SslMode, String> {
        Target::parse(url, None).map(|target| target.config.get_ssl_mode()).map_err(|error| error.to_string())
    }

    #[test]
    fn tls_is_required_unless_the_server_is_local_or_the_url_says_no() {
        assert_eq!(mode("postgres://bonded@127.0.0.1:5433/bonded"), Ok(SslMode::Disable));
        assert_eq!(mode("postgres://bonded@localhost/bonded"), Ok(SslMode::Disable));
        assert_eq!(mode("postgres://b@db.example/b?sslmode=disable&connect_timeout=3"), Ok(SslMode::Disable));
        let remote = mode("postgres://b@db.example/b");
        assert!(
            matches!(&remote, Ok(SslMode::Require)) || remote.unwrap_err().contains("no root certificate")
        );
        assert!(mode("postgres://b@db.example/b?sslmode=prefer").unwrap_err().contains("sslmode is"));
        assert!(
            mode("postgres://b@h/b?sslmode=require&sslrootcert=/none.pem").unwrap_err().contains("/none.pem")
        );
    }

    #[test]
    fn a_message_never_holds_the_password() {
        for url in ["postgres://b:hunter2@host:port/b", "postgres://b:hunter2@h/b?nonsense=1"] {
            let error = mode(url).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
