//! TLS for a listener: certificates from files that may change, or a self-signed one made at the first start.
//!
//! Files are looked at by modification time, size and inode, not watched: Kubernetes swaps a symbolic link above the
//! mounted files, which watches on files miss. A pair that does not load keeps the old one in use, with an error in
//! the log, so that a half-written renewal never takes the registry down. Needs rustls' process-wide provider to be
//! installed (`main` does).

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::acme::Issued;
use crate::config::tls::Mode;
use crate::config::{Config, ExternalUrl};

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file holds no PEM of the expected kind.
    #[error("{}: no {what} in PEM form: {source}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
        /// What the parser says.
        source: rustls_pki_types::pem::Error,
    },
    /// The certificate and the key do not belong together, or are of no use.
    #[error("{}: certificate and key do not go together: {source}", path.display())]
    Pair {
        /// The certificate's file.
        path: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// The authorities for client certificates are of no use.
    #[error("{}: {message}", path.display())]
    ClientAuthorities {
        /// Their file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// A self-signed certificate cannot be made.
    #[error("cannot make a self-signed certificate: {0}")]
    SelfSigned(#[from] rcgen::Error),
    /// rustls refuses the set-up.
    #[error("tls: {0}")]
    Rustls(#[from] rustls::Error),
}

/// What identifies a version of the two files.
type Stamp = [(i64, i64, u64, u64); 2];

/// A certificate that follows its files.
#[derive(Debug)]
pub struct Certificate {
    cert_file: PathBuf,
    key_file: PathBuf,
    current: ArcSwap<CertifiedKey>,
    seen: Mutex<Stamp>,
}

impl Certificate {
    /// Loads the pair.
    pub fn load(cert_file: PathBuf, key_file: PathBuf) -> Result<Arc<Self>, TlsError> {
        let stamp = stamp(&cert_file, &key_file)?;
        let pair = read_pair(&cert_file, &key_file)?;
        let current = ArcSwap::from_pointee(pair);
        Ok(Arc::new(Self { cert_file, key_file, current, seen: Mutex::new(stamp) }))
    }

    /// Loads the pair again if a file changed; `Ok(true)` if there is a new one. On an error the old one stays.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let stamp = stamp(&self.cert_file, &self.key_file)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == stamp {
            return Ok(false);
        }
        let pair = read_pair(&self.cert_file, &self.key_file)?;
        self.current.store(Arc::new(pair));
        *seen = stamp;
        Ok(true)
    }

    /// Follows the files for ever.
    pub async fn follow(self: Arc<Self>, every: std::time::Duration) {
        let mut failed = false;
        loop {
            tokio::time::sleep(every.max(std::time::Duration::from_millis(10))).await;
            let this = Arc::clone(&self);
            let reloaded = tokio::task::spawn_blocking(move || this.reload()).await;
            match reloaded {
                Ok(Ok(true)) => {
                    tracing::info!(cert_file = %self.cert_file.display(), "TLS certificate reloaded");
                }
                Ok(Err(ref error)) if !failed => {
                    tracing::error!(%error, "TLS certificate not reloaded, the old one stays");
                }
                _ => {}
            }
            failed = matches!(reloaded, Ok(Err(_)));
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn stamp(cert_file: &Path, key_file: &Path) -> Result<Stamp, TlsError> {
    let of = |path: &Path| -> Result<_, TlsError> {
        let meta = fs::metadata(path).map_err(|source| TlsError::File { path: path.to_owned(), source })?;
        Ok((meta.mtime(), meta.mtime_nsec(), meta.len(), meta.ino()))
    };
    Ok([of(cert_file)?, of(key_file)?])
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| match source {
        rustls_pki_types::pem::Error::Io(source) => TlsError::File { path: path.to_owned(), source },
        source => TlsError::Pem { path: path.to_owned(), what: "certificate", source },
    };
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)?;
    if found.is_empty() {
        return Err(wrong(rustls_pki_types::pem::Error::NoItemsFound));
    }
    Ok(found)
}

fn read_pair(cert_file: &Path, key_file: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(cert_file)?;
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|source| match source {
        rustls_pki_types::pem::Error::Io(source) => TlsError::File { path: key_file.to_owned(), source },
        source => TlsError::Pem { path: key_file.to_owned(), what: "private key", source },
    })?;
    let pair_error = |source| TlsError::Pair { path: cert_file.to_owned(), source };
    CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider()).map_err(pair_error)
}

/// The protocol by which an ACME authority asks (RFC 8737).
pub const ACME_ALPN: &[u8] = b"acme-tls/1";

/// Answers authorities that ask by a handshake.
pub trait Challenges: std::fmt::Debug + Send + Sync {
    /// How to answer for this name, if it is being proved.
    fn handshake<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Option<Arc<ServerConfig>>>;
}

/// Where the certificate comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// From files, to be followed.
    Files(Arc<Certificate>),
    /// From an authority; somebody has to put it there.
    Acme(Arc<Issued>),
}

/// TLS of a listener.
#[derive(Debug, Clone)]
pub struct Tls {
    /// rustls' form.
    pub server: Arc<ServerConfig>,
    /// The certificate.
    pub source: Source,
}

impl Tls {
    /// The TLS that the configuration asks for, if any.
    pub fn from_config(config: &Config) -> Result<Option<Self>, TlsError> {
        let tls = &config.tls;
        let source = match tls.mode {
            Mode::Off => return Ok(None),
            Mode::Files => Source::Files(Certificate::load(
                tls.cert_file.clone().unwrap_or_default(),
                tls.key_file.clone().unwrap_or_default(),
            )?),
            Mode::SelfSigned => {
                let (cert_file, key_file) = self_signed(config)?;
                Source::Files(Certificate::load(cert_file, key_file)?)
            }
            Mode::Acme => Source::Acme(Arc::default()),
        };
        let resolver: Arc<dyn ResolvesServerCert> = match &source {
            Source::Files(certificate) => Arc::<Certificate>::clone(certificate),
            Source::Acme(issued) => Arc::<Issued>::clone(issued),
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match &tls.client_ca_file {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let wrong = |message: String| TlsError::ClientAuthorities { path: path.clone(), message };
                let mut roots = RootCertStore::empty();
                for authority in certificates(path)? {
                    roots.add(authority).map_err(|error| wrong(error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier =
                    if tls.client_cert_required { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| wrong(error.to_string()))?)
            }
        };
        let mut server = builder.with_cert_resolver(resolver);
        server.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        let http2 = config.server.http2.then(|| b"h2".to_vec());
        server.alpn_protocols = http2.into_iter().chain([b"http/1.1".to_vec()]).collect();
        Ok(Some(Self { server: Arc::new(server), source }))
    }
}

/// The files of the self-signed certificate; made anew when the names changed.
fn self_signed(config: &Config) -> Result<(PathBuf, PathBuf), TlsError> {
    let dir = config.server.data_dir.join("tls");
    let [cert_file, key_file, names_file] =
        ["self-signed.pem", "self-signed.key", "self-signed.names"].map(|name| dir.join(name));
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let external = config.server.external_url.as_ref().and_then(ExternalUrl::host);
    names.extend(external.into_iter().chain(config.tls.self_signed_names.iter().cloned()));
    names.sort();
    names.dedup();
    let listed = names.join("\n");
    if fs::read_to_string(&names_file).is_ok_and(|kept| kept == listed)
        && cert_file.exists()
        && key_file.exists()
    {
        return Ok((cert_file, key_file));
    }
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(names)?.self_signed(&key)?;
    fs::create_dir_all(&dir).map_err(|source| TlsError::File { path: dir.clone(), source })?;
    for (path, content, mode) in [
        (&key_file, key.serialize_pem(), 0o600),
        (&cert_file, certificate.pem(), 0o644),
        (&names_file, listed, 0o644),
    ] {
        write_new(path, &content, mode).map_err(|source| TlsError::File { path: path.clone(), source })?;
    }
    tracing::info!(cert_file = %cert_file.display(), "made a self-signed certificate");
    Ok((cert_file, key_file))
}

/// Writes a file whole or not at all, with its mode from its first byte on.
fn write_new(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let _ = fs::remove_file(&fresh);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    io::Write::write_all(&mut file, content.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}
