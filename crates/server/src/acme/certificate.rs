//! The issued certificate: how it is kept, when it is due, and how listeners come by it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use metadata::Timestamp;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

/// A chain and its key, as PEM.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Pair {
    pub(super) chain: String,
    pub(super) key: String,
}

/// The pair is of no use.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// No PEM.
    #[error("the issued certificate is no PEM: {0}")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// Not what it should be.
    #[error("the issued certificate cannot be used: {0}")]
    Use(String),
}

impl Pair {
    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, PairError> {
        Ok(CertificateDer::pem_slice_iter(self.chain.as_bytes()).collect::<Result<_, _>>()?)
    }

    /// As rustls uses it.
    pub(super) fn certified(&self) -> Result<CertifiedKey, PairError> {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())?;
        CertifiedKey::from_der(self.chain()?, key, &rustls::crypto::aws_lc_rs::default_provider())
            .map_err(|error| PairError::Use(error.to_string()))
    }

    /// Begin and end of its validity.
    pub(super) fn validity(&self) -> Result<(Timestamp, Timestamp), PairError> {
        let chain = self.chain()?;
        let leaf = chain.first().ok_or_else(|| PairError::Use("the chain is empty".to_owned()))?;
        let (_, leaf) =
            x509_parser::parse_x509_certificate(leaf).map_err(|error| PairError::Use(error.to_string()))?;
        let validity = leaf.validity();
        let at = |time: &x509_parser::time::ASN1Time| Timestamp::from_secs(time.timestamp());
        Ok((at(&validity.not_before), at(&validity.not_after)))
    }

    /// When to renew it: when a third of its life is left.
    pub(super) fn renew_at(&self) -> Result<Timestamp, PairError> {
        let (from, until) = self.validity()?;
        Ok(until.minus(until.since(from) / 3))
    }
}

/// The certificate of this process's listeners; none until there is one.
#[derive(Debug, Default)]
pub struct Issued {
    current: ArcSwapOption<CertifiedKey>,
}

impl Issued {
    pub(super) fn install(&self, pair: &Pair) -> Result<(), PairError> {
        self.current.store(Some(Arc::new(pair.certified()?)));
        Ok(())
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.current.load().is_some()
    }
}

impl ResolvesServerCert for Issued {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load_full()
    }
}

/// How long to wait after so many failures in a row: authorities limit failed orders by the hour.
pub(super) fn back_off(failures: u32) -> Duration {
    Duration::from_mins(1 << failures.saturating_sub(1).min(6)).min(Duration::from_hours(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_due_when_a_third_of_its_life_is_left() {
        let key = rcgen::KeyPair::generate().expect("key");
        let mut params = rcgen::CertificateParams::new(vec!["a".to_owned()]).expect("params");
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 3, 31);
        let chain = params.self_signed(&key).expect("signed").pem();
        let pair = Pair { chain, key: key.serialize_pem() };
        let day = |number: i64| Timestamp::from_secs(1_767_225_600 + number * 86_400);
        assert_eq!(pair.validity().expect("validity"), (day(0), day(89)));
        assert_eq!(pair.renew_at().expect("due").secs(), day(89).secs() - 89 * 86_400 / 3);
        assert!(pair.certified().is_ok());
        assert!(Pair { chain: String::new(), ..pair }.validity().is_err());
    }

    #[test]
    fn failures_are_repeated_ever_more_slowly_up_to_an_hour() {
        let minutes: Vec<u64> = (1..=8).map(|failures| back_off(failures).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
