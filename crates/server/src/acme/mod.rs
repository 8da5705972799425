//! Certificates from an authority that speaks ACME (RFC 8555), public or private, renewed without a restart.
//!
//! Account, certificate and the answers to challenges are sealed in the database, so replicas share them: one orders
//! (a lease; what it writes is fenced by the lease's term), all serve. Whichever replica the authority reaches looks
//! the answer up when it is asked, so nothing waits for anything to spread. A failed order keeps the lease for its
//! back-off: no replica tries again before, and the authority's limits are not used up. The failures in a row are counted
//! in the database, too, or each replica would begin anew with the shortest back-off.

mod certificate;
mod client;
mod order;
mod page;
mod vault;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use metadata::leases::{self, Held};
use metadata::{CommitError, Store, Timestamp};
use registry::Sealer;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::config::acme::Acme as Settings;
use crate::config::{Config, ExternalUrl};
use crate::http::tls::{ACME_ALPN, Challenges};
use crate::outbound::OutboundError;
use certificate::{Pair, PairError, back_off};
use order::Ordering;
use vault::{Vault, VaultError};

pub use certificate::Issued;

/// One replica orders at a time.
const LEASE: &str = "acme";

/// Longest order: two waits for the authority and what lies between.
const ORDER_TIME: Duration = Duration::from_mins(9);

/// More than an order takes, so that nobody else orders meanwhile. A replica that died holds up the others as long.
const LEASE_TIME: Duration = Duration::from_mins(10);

/// Failures this long ago count no more; longer than any back-off.
const FAILURES_COUNT_FOR: Duration = Duration::from_hours(24);

/// Why there is no (new) certificate.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// A setting cannot be used.
    #[error("{0}")]
    Settings(&'static str),
    /// There is no client.
    #[error(transparent)]
    Client(#[from] OutboundError),
    /// The authority does not answer, or answers no.
    #[error("the authority: {0}")]
    Authority(#[from] instant_acme::Error),
    /// It does not offer the challenge.
    #[error("the authority does not offer the challenge of tls.acme.challenge for {name}")]
    NoChallenge {
        /// The name to be proved.
        name: String,
    },
    /// The challenge failed.
    #[error("the authority is not convinced: {0}")]
    Refused(String),
    /// The order took too long.
    #[error("the order took longer than 9 minutes")]
    TooLong,
    /// No request could be made.
    #[error("no certificate request: {0}")]
    Request(#[from] rcgen::Error),
    /// What came is of no use.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// What is kept has another form.
    #[error("kept account or certificate: {0}")]
    Form(#[from] serde_json::Error),
    /// The database.
    #[error(transparent)]
    Vault(VaultError),
    /// The lease could not be taken.
    #[error("database: {0}")]
    Lease(#[from] CommitError),
}

fn alpn_name(domain: &str) -> String {
    format!("acme tls-alpn-01 {domain}")
}

fn http_name(token: &str) -> String {
    format!("acme http-01 {token}")
}

/// The names that the certificate shall have.
pub fn domains(config: &Config) -> Vec<String> {
    let mut names = config.tls.acme.domains.clone();
    if names.is_empty() {
        names.extend(config.server.external_url.as_ref().and_then(ExternalUrl::host));
    }
    names
}

/// Keeps the certificate of this process's listeners.
#[derive(Debug)]
pub struct Acme {
    settings: Settings,
    domains: Vec<String>,
    /// How often it is looked whether another replica has a new one.
    look: Duration,
    vault: Vault,
    issued: Arc<Issued>,
    owner: String,
}

/// What one look found.
struct Known {
    pair: Option<Pair>,
    since: Option<Timestamp>,
}

impl Acme {
    /// For the listeners that resolve their certificate from `issued`.
    pub fn new(config: &Config, store: Store, sealer: Arc<Sealer>, issued: Arc<Issued>) -> Self {
        Self {
            settings: config.tls.acme.clone(),
            domains: domains(config),
            look: config.tls.reload_interval.std().max(Duration::from_millis(10)),
            owner: format!("{:032x}", store.random().id128()),
            vault: Vault::new(store, sealer),
            issued,
        }
    }

    fn certificate_name(&self) -> String {
        format!("acme certificate {} {}", self.settings.directory, self.domains.join(" "))
    }

    fn failures_name(&self) -> String {
        format!("acme failures {} {}", self.settings.directory, self.domains.join(" "))
    }

    /// Follows the kept certificate and renews it, for ever.
    pub async fn keep(self: Arc<Self>) {
        let mut serving = None;
        loop {
            if let Err(error) = self.step(&mut serving).await {
                let domains = self.domains.join(" ");
                tracing::error!(%error, domains, "the certificate by ACME cannot be looked after");
            }
            tokio::time::sleep(self.look).await;
        }
    }

    /// Serves what is kept, and orders when it is due and nobody else does.
    async fn step(&self, serving: &mut Option<Timestamp>) -> Result<(), AcmeError> {
        let known = self.look(serving).await?;
        if !self.due(known.pair.as_ref())? {
            return Ok(());
        }
        let Some(held) = leases::take(&self.vault.store, LEASE, &self.owner, LEASE_TIME).await? else {
            return Ok(());
        };
        // Another replica may have been faster.
        if self.look(serving).await?.since != known.since {
            leases::give_back(&self.vault.store, &held).await?;
            return Ok(());
        }
        if let Err(error) = self.order(&held).await {
            let failures = self.failures().await?.saturating_add(1);
            let (next_try, domains) = (back_off(failures), self.domains.join(" "));
            tracing::error!(%error, domains, failures, ?next_try, "no new certificate by ACME");
            let until = self.vault.store.now().plus(FAILURES_COUNT_FOR);
            self.vault.put(&held, &self.failures_name(), &serde_json::to_vec(&failures)?, until).await?;
            leases::renew(&self.vault.store, &held, next_try).await?;
            return Ok(());
        }
        self.vault.forget(&held, &self.failures_name()).await?;
        leases::give_back(&self.vault.store, &held).await?;
        self.look(serving).await?;
        Ok(())
    }

    /// Orders in a row that failed, whichever replica made them.
    async fn failures(&self) -> Result<u32, AcmeError> {
        let kept = self.vault.get(&self.failures_name()).await?;
        Ok(kept.map(|(count, _)| serde_json::from_slice(&count)).transpose()?.unwrap_or(0))
    }

    /// Looks what is kept, and serves it if it is new.
    async fn look(&self, serving: &mut Option<Timestamp>) -> Result<Known, AcmeError> {
        let Some((kept, since)) = self.vault.get(&self.certificate_name()).await? else {
            return Ok(Known { pair: None, since: None });
        };
        let pair: Pair = serde_json::from_slice(&kept)?;
        if *serving != Some(since) {
            self.issued.install(&pair)?;
            let expires_at = pair.validity()?.1.to_jiff();
            tracing::info!(domains = self.domains.join(" "), %expires_at, "serving a certificate by ACME");
            *serving = Some(since);
        }
        Ok(Known { pair: Some(pair), since: Some(since) })
    }

    fn due(&self, pair: Option<&Pair>) -> Result<bool, AcmeError> {
        let Some(pair) = pair else { return Ok(true) };
        Ok(self.vault.store.now() >= pair.renew_at()?)
    }

    async fn order(&self, held: &Held) -> Result<(), AcmeError> {
        tracing::info!(domains = self.domains.join(" "), directory = self.settings.directory, "ordering");
        let ordering =
            Ordering { settings: &self.settings, domains: &self.domains, vault: &self.vault, held };
        let ordered = tokio::time::timeout(ORDER_TIME, ordering.run()).await;
        let pair = ordered.map_err(|_| AcmeError::TooLong)??;
        let kept = serde_json::to_vec(&pair)?;
        Ok(self.vault.put(held, &self.certificate_name(), &kept, pair.validity()?.1).await?)
    }
}

impl Challenges for Acme {
    fn handshake<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Option<Arc<ServerConfig>>> {
        Box::pin(async move {
            let answer = self.vault.answer(&alpn_name(name)).await?;
            let config = challenge_config(name, &answer);
            config.inspect_err(|error| tracing::warn!(%error, "an ACME challenge could not be answered")).ok()
        })
    }
}

/// RFC 8737: a self-signed certificate for the name, with the hash of the answer in a critical extension.
fn challenge_config(name: &str, answer: &str) -> Result<Arc<ServerConfig>, AcmeError> {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, answer.as_bytes());
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()])?;
    params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(digest.as_ref())];
    let certificate = params.self_signed(&key)?;
    let unfit = |error: rustls::Error| PairError::Use(error.to_string());
    let provider = Arc::new(default_provider());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = provider.key_provider.load_private_key(key).map_err(unfit)?;
    // Not `with_single_cert`: it reads the certificate and stops at the critical extension.
    let shown = SingleCertAndKey::from(CertifiedKey::new(vec![certificate.der().clone()], key));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![ACME_ALPN.to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use metadata::{ManualClock, Sqlite, SystemRandom};

    use super::*;

    #[tokio::test]
    async fn replicas_count_the_failures_of_an_authority_together() {
        let mut config = Config::default();
        // Nobody listens there.
        config.tls.acme.directory = "https://127.0.0.1:9/dir".to_owned();
        config.tls.acme.domains = vec!["r.example.com".to_owned()];
        let (engine, clock) = (Sqlite::memory().expect("a database"), Arc::new(ManualClock::default()));
        let replica = || {
            let store = Store::new(engine.clone(), clock.clone(), Arc::new(SystemRandom));
            Acme::new(&config, store, Arc::new(Sealer::new(&[7; 32]).expect("a sealer")), Arc::default())
        };
        let (one, two) = (replica(), replica());
        let mut counts = Vec::new();
        for minutes in [0, 1, 1, 1, 2, 2] {
            clock.advance(Duration::from_secs(minutes * 61));
            for replica in [&one, &two] {
                replica.step(&mut None).await.expect("a step");
            }
            counts.push(one.failures().await.expect("a count"));
        }
        // Back-offs of one, two and four minutes.
        assert_eq!(counts, [1, 2, 2, 3, 3, 4]);
    }
}
