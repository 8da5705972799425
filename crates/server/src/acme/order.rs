//! One order at the authority: account, challenges, certificate.

use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, ExternalAccountKey, Identifier,
    NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use metadata::Timestamp;
use metadata::leases::Held;

use super::certificate::{Pair, PairError};
use super::client::Client;
use super::vault::{Vault, VaultError};
use super::{AcmeError, alpn_name, http_name};
use crate::config::acme::{Acme as Settings, Challenge};

/// How long the authority may take to look, and again to issue.
const PATIENCE: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).timeout(Duration::from_mins(2));

/// The account is kept for ever.
const FOR_EVER: Timestamp = Timestamp::from_micros(i64::MAX);

/// Everything an order needs.
pub(super) struct Ordering<'a> {
    pub(super) settings: &'a Settings,
    pub(super) domains: &'a [String],
    pub(super) vault: &'a Vault,
    pub(super) held: &'a Held,
}

impl Ordering<'_> {
    /// Orders a certificate, with a fresh key.
    pub(super) async fn run(&self) -> Result<Pair, AcmeError> {
        let account = self.account().await?;
        let identifiers: Vec<Identifier> = self
            .domains
            .iter()
            .map(|name| name.parse().map_or_else(|_| Identifier::Dns(name.clone()), Identifier::Ip))
            .collect();
        let mut order = match account.new_order(&NewOrder::new(&identifiers)).await {
            Err(instant_acme::Error::Api(problem))
                if problem.r#type.as_deref().is_some_and(|it| it.ends_with(":accountDoesNotExist")) =>
            {
                self.vault.forget(self.held, &self.account_name()).await?;
                return Err(instant_acme::Error::Api(problem).into());
            }
            answer => answer?,
        };
        self.prove(&mut order).await?;
        let key = rcgen::KeyPair::generate()?;
        let mut params = rcgen::CertificateParams::new(self.domains.to_vec())?;
        // The authority decides on the subject; the names are what counts.
        params.distinguished_name = rcgen::DistinguishedName::new();
        order.finalize_csr(params.serialize_request(&key)?.der()).await?;
        let pair = Pair { chain: order.poll_certificate(&PATIENCE).await?, key: key.serialize_pem() };
        // What cannot be used must not take the place of what can.
        pair.certified().map_err(|error: PairError| AcmeError::Pair(error))?;
        Ok(pair)
    }

    fn account_name(&self) -> String {
        format!("acme account {}", self.settings.directory)
    }

    /// The account that the replicas share, made at the first order.
    async fn account(&self) -> Result<Account, AcmeError> {
        let client = || Client::new(self.settings.ca_file.as_deref()).map(|client| Box::new(client) as _);
        let builder = Account::builder_with_http(client()?);
        if let Some((kept, _)) = self.vault.get(&self.account_name()).await? {
            let credentials: AccountCredentials = serde_json::from_slice(&kept)?;
            return Ok(builder.from_credentials(credentials).await?);
        }
        let contact: Vec<String> = self
            .settings
            .contact
            .iter()
            .map(|address| if address.contains(':') { address.clone() } else { format!("mailto:{address}") })
            .collect();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let wanted = NewAccount {
            contact: &contact,
            terms_of_service_agreed: self.settings.accept_terms,
            only_return_existing: false,
        };
        let external = self.external_account()?;
        let made = builder.create(&wanted, self.settings.directory.clone(), external.as_ref()).await;
        let (account, credentials) = made?;
        let kept = serde_json::to_vec(&credentials)?;
        self.vault.put(self.held, &self.account_name(), &kept, FOR_EVER).await?;
        Ok(account)
    }

    fn external_account(&self) -> Result<Option<ExternalAccountKey>, AcmeError> {
        let (Some(id), Some(key)) = (&self.settings.eab_key_id, &self.settings.eab_hmac_key) else {
            return Ok(None);
        };
        let text = key.expose().trim_end_matches('=');
        let key = data_encoding::BASE64URL_NOPAD
            .decode(text.as_bytes())
            .map_err(|_| AcmeError::Settings("tls.acme.eab_hmac_key is not base64url"))?;
        Ok(Some(ExternalAccountKey::new(id.clone(), &key)))
    }

    /// Answers every challenge and waits for the authority to look.
    async fn prove(&self, order: &mut Order) -> Result<(), AcmeError> {
        let kind = match self.settings.challenge {
            Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Challenge::Http01 => ChallengeType::Http01,
        };
        let mut all = order.authorizations();
        while let Some(authorization) = all.next().await {
            let mut authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Pending => {}
                AuthorizationStatus::Valid => continue,
                _ => return Err(AcmeError::Refused("an authorization is not pending".to_owned())),
            }
            let name = authorization.identifier().to_string();
            let Some(mut challenge) = authorization.challenge(kind.clone()) else {
                return Err(AcmeError::NoChallenge { name });
            };
            let answer = challenge.key_authorization();
            let kept = match self.settings.challenge {
                Challenge::TlsAlpn01 => alpn_name(&name),
                Challenge::Http01 => http_name(&challenge.token),
            };
            self.vault.put_answer(self.held, &kept, answer.as_str()).await?;
            challenge.set_ready().await?;
        }
        match order.poll_ready(&PATIENCE).await? {
            OrderStatus::Ready | OrderStatus::Valid => Ok(()),
            status => Err(AcmeError::Refused(refusal(order).await.unwrap_or_else(|| format!("{status:?}")))),
        }
    }
}

/// What the authority says about the challenge that failed.
async fn refusal(order: &mut Order) -> Option<String> {
    let mut all = order.authorizations();
    while let Some(Ok(mut authorization)) = all.next().await {
        let name = authorization.identifier().to_string();
        let Ok(state) = authorization.refresh().await else { continue };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return Some(format!("{name}: {problem}"));
        }
    }
    None
}

impl From<VaultError> for AcmeError {
    fn from(error: VaultError) -> Self {
        Self::Vault(error)
    }
}
