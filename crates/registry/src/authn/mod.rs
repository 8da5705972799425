//! Authentication: from an `Authorization` header to a `Principal`.
//!
//! Basic and Bearer, both by keyed-hash caches so that a request costs no password hash and no signature: passwords
//! are remembered for seconds, tokens to their expiry, and either only as long as the principal's epoch stands in the
//! access facts.

pub mod keys;
pub mod password;
pub mod seal;
pub mod throttle;
pub mod token;

pub use keys::KeyRing;
pub use seal::Sealer;
pub use token::{TokenAnswer, parse_scopes};

use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use metadata::Store;
use metadata::model::PrincipalId;
use moka::future::Cache;
use sha2::Sha256;

use crate::access::Access;
use crate::caller::{Caller, Principal, SCANNER, ScopeEntry};
use crate::error::Error;
use crate::notes::{Note, Notes};
use crate::settings::Settings;

/// Longest `Authorization` header read, in bytes.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;

/// The user name with which an access token is the password, for clients that know Basic only. No account can have it.
pub const TOKEN_USER: &str = "$oauthtoken";

type CacheKey = [u8; 32];

#[derive(Clone, Debug)]
struct KnownToken {
    principal: Option<PrincipalId>,
    /// It was given to a scanner.
    scanner: bool,
    epoch: i64,
    expires_at_secs: i64,
    scope: Arc<[ScopeEntry]>,
}

/// Turns credentials into principals.
pub struct Authenticator {
    store: Store,
    access: Arc<Access>,
    keys: KeyRing,
    notes: Arc<Notes>,
    settings: Settings,
    cache_key: [u8; 32],
    passwords: Cache<CacheKey, (PrincipalId, i64)>,
    tokens: Cache<CacheKey, KnownToken>,
    throttle: throttle::Throttle,
    hashing: tokio::sync::Semaphore,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

impl Authenticator {
    /// An authenticator; makes the first signing key if there is none.
    pub async fn open(
        store: Store,
        access: Arc<Access>,
        sealer: Arc<Sealer>,
        notes: Arc<Notes>,
        settings: Settings,
    ) -> Result<Self, Error> {
        let keys = KeyRing::open(store.clone(), sealer, settings.key_rotation, settings.token_ttl).await?;
        let mut cache_key = [0; 32];
        store.random().fill(&mut cache_key);
        Ok(Self {
            keys,
            passwords: Cache::builder().max_capacity(10_000).time_to_live(settings.password_cache).build(),
            tokens: Cache::builder().max_capacity(100_000).time_to_live(settings.token_ttl).build(),
            throttle: throttle::Throttle::new(),
            hashing: tokio::sync::Semaphore::new(settings.password_checks.max(1)),
            store,
            access,
            notes,
            settings,
            cache_key,
        })
    }

    /// The keys that sign tokens.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// The caller of a request with this `Authorization` header from this address.
    pub async fn authenticate(&self, header: Option<&[u8]>, address: &str) -> Result<Principal, Error> {
        let Some(header) = header else { return Ok(Principal::anonymous()) };
        if header.len() > MAX_HEADER_BYTES {
            return Err(Error::InvalidCredentials);
        }
        let key = self.cache_key(header);
        let text = std::str::from_utf8(header).map_err(|_| Error::InvalidCredentials)?;
        let (scheme, value) = text.split_once(' ').ok_or(Error::InvalidCredentials)?;
        if scheme.eq_ignore_ascii_case("bearer") {
            self.bearer(key, value.trim()).await
        } else if scheme.eq_ignore_ascii_case("basic") {
            self.basic(key, value.trim(), address).await
        } else {
            Err(Error::InvalidCredentials)
        }
    }

    fn cache_key(&self, content: &[u8]) -> CacheKey {
        Hmac::<Sha256>::new_from_slice(&self.cache_key)
            .map(|mut mac| {
                mac.update(content);
                mac.finalize().into_bytes().into()
            })
            .unwrap_or_default()
    }

    async fn bearer(&self, key: CacheKey, token: &str) -> Result<Principal, Error> {
        let known = match self.tokens.get(&key).await {
            Some(known) => known,
            None => {
                let known = self.verify_token(token).await?;
                self.tokens.insert(key, known.clone()).await;
                known
            }
        };
        if known.expires_at_secs + token::LEEWAY_SECS < self.store.now().secs() {
            return Err(Error::InvalidCredentials);
        }
        let Some(id) = known.principal else {
            let name = if known.scanner { SCANNER.into() } else { Principal::anonymous().name };
            return Ok(Principal { name, scope: Some(known.scope), ..Principal::anonymous() });
        };
        let name = self.live_name(id, known.epoch).await?;
        Ok(Principal { id: Some(id), name, scope: Some(known.scope), address: None })
    }

    async fn basic(&self, key: CacheKey, encoded: &str, address: &str) -> Result<Principal, Error> {
        if let Some((id, epoch)) = self.passwords.get(&key).await {
            if let Ok(name) = self.live_name(id, epoch).await {
                return Ok(Principal { id: Some(id), name, scope: None, address: None });
            }
            // What was remembered is over; it must not stand for what the password is worth now.
            self.passwords.invalidate(&key).await;
        }
        let decoded =
            data_encoding::BASE64.decode(encoded.as_bytes()).map_err(|_| Error::InvalidCredentials)?;
        let decoded = String::from_utf8(decoded).map_err(|_| Error::InvalidCredentials)?;
        let (name, secret) = decoded.split_once(':').ok_or(Error::InvalidCredentials)?;
        if name == TOKEN_USER {
            return self.bearer(self.cache_key(secret.as_bytes()), secret).await;
        }
        let verified = self.passwords.try_get_with(key, self.verify_password(name, secret, address)).await;
        let (id, epoch) = verified.map_err(|error| match error.as_ref() {
            Error::TooManyAttempts { retry_after } => Error::TooManyAttempts { retry_after: *retry_after },
            Error::Unavailable => Error::Unavailable,
            Error::Internal(what) => Error::Internal(what.clone()),
            _ => Error::InvalidCredentials,
        })?;
        let name = self.live_name(id, epoch).await?;
        Ok(Principal { id: Some(id), name, scope: None, address: None })
    }

    /// Checks name and password, and says whose they are and at which epoch.
    pub async fn verify_password(
        &self,
        name: &str,
        secret: &str,
        address: &str,
    ) -> Result<(PrincipalId, i64), Error> {
        if secret.is_empty() || secret.len() > password::MAX_BYTES || name.len() > 255 {
            return Err(Error::InvalidCredentials);
        }
        self.throttle.check(name, address, self.store.now())?;
        let mut fact = self.access.facts().principal_named(name).cloned();
        let usable = fact.as_ref().is_some_and(|fact| !fact.row.disabled && fact.row.password.is_some());
        if !usable && self.access.refresh(self.access.facts().generation()).await? {
            fact = self.access.facts().principal_named(name).cloned();
        }
        let turn = self.hashing.acquire().await.map_err(|_| Error::Unavailable)?;
        // Many guesses may have waited for their turn together.
        self.throttle.check(name, address, self.store.now())?;
        let mut good = matches(fact.as_deref(), secret).await?;
        if !good && self.access.refresh(self.access.facts().generation()).await? {
            fact = self.access.facts().principal_named(name).cloned();
            good = matches(fact.as_deref(), secret).await?;
        }
        match fact {
            Some(fact) if good && !fact.row.disabled => {
                drop(turn);
                self.throttle.forget(name, address);
                self.note_login(Some(fact.row.id), &fact.name, address, "done").await?;
                Ok((fact.row.id, fact.row.epoch))
            }
            _ => {
                self.throttle.note_failure(name, address, self.store.now());
                drop(turn);
                self.note_login(None, name, address, "denied").await?;
                Err(Error::InvalidCredentials)
            }
        }
    }

    /// Records that a password was given and whether it was right.
    async fn note_login(
        &self,
        id: Option<PrincipalId>,
        name: &str,
        address: &str,
        outcome: &'static str,
    ) -> Result<(), Error> {
        let principal = Principal { id, name: name.into(), scope: None, address: address.parse().ok() };
        let address = Some(address.to_owned()).filter(|address| !address.is_empty());
        let caller = Caller { principal, address, request_id: None };
        let note = Note { action: "login", project: None, target: "password", outcome };
        Ok(self.notes.note(&caller, note).await?)
    }

    /// Hashes a new password on the blocking pool.
    pub async fn hash_password(&self, secret: &str) -> Result<String, Error> {
        password::check_strength(secret, self.settings.password_min_chars)?;
        let secret = secret.to_owned();
        let _turn = self.hashing.acquire().await.map_err(|_| Error::Unavailable)?;
        tokio::task::spawn_blocking(move || password::hash(&secret))
            .await
            .map_err(|error| Error::Internal(error.to_string()))?
    }

    /// The name of a principal that is still what it was when the credential was made.
    async fn live_name(&self, id: PrincipalId, epoch: i64) -> Result<Arc<str>, Error> {
        let facts = self.access.facts();
        let live = |facts: &crate::access::Facts| {
            let fact = facts.principal(id)?;
            (fact.row.epoch == epoch && !fact.row.disabled).then(|| fact.name.clone())
        };
        if let Some(name) = live(&facts) {
            return Ok(name);
        }
        self.access.refresh(facts.generation()).await?;
        live(&self.access.facts()).ok_or(Error::InvalidCredentials)
    }
}

/// Compares on the blocking pool. An unknown name costs as much as a known one.
async fn matches(fact: Option<&crate::access::PrincipalFact>, secret: &str) -> Result<bool, Error> {
    let hash = fact.and_then(|fact| fact.row.password.clone());
    let secret = secret.to_owned();
    tokio::task::spawn_blocking(move || password::verify(hash.as_deref(), &secret))
        .await
        .map_err(|error| Error::Internal(error.to_string()))
}
