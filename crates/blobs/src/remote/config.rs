//! Where a remote store is, and how its clients are made.
//!
//! Limits are set here once: connections open within 10 s; a transfer must keep a minimal rate (see `Remote::patient`)
//! instead of ending by a fixed time, so that multi-gigabyte blobs pass and a dead server does not hold a request.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::multipart::MultipartStore;
use object_store::signer::Signer;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};
use secrecy::{ExposeSecret as _, SecretString};

use super::{LEAST_RATE, Parts, RemoteBlobs, writer};
use crate::{BlobError, Budget};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The usual [`S3Config::stall`].
const STALL: Duration = Duration::from_secs(30);

/// An S3 bucket, or a part of one.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// The bucket.
    pub bucket: String,
    /// Put before all keys, without slashes at its ends; may be empty.
    pub prefix: String,
    /// The region; many other implementations take any.
    pub region: String,
    /// `https://host[:port]` of another implementation than AWS.
    pub endpoint: Option<String>,
    /// Whether the bucket is part of the host name; else of the path.
    pub virtual_hosted: bool,
    /// Without them the environment's own identity is used (instance, web identity).
    pub credentials: Option<S3Credentials>,
    /// Whether an `http://` endpoint is accepted.
    pub allow_http: bool,
    /// Certificates of a private CA in PEM, trusted besides the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// How long a request may stand still.
    pub stall: Duration,
}

/// An access key.
#[derive(Clone, Debug)]
pub struct S3Credentials {
    /// Its name.
    pub key_id: String,
    /// Its secret.
    pub secret: SecretString,
    /// The token that belongs to temporary ones.
    pub session_token: Option<SecretString>,
}

/// An Azure Blob Storage container.
#[derive(Clone, Debug)]
pub struct AzureConfig {
    /// The storage account.
    pub account: String,
    /// The container.
    pub container: String,
    /// As in [`S3Config::prefix`].
    pub prefix: String,
    /// The account's key; without it the instance's identity is used.
    pub access_key: Option<SecretString>,
    /// `https://host[:port]/account` of an emulator.
    pub endpoint: Option<String>,
    /// Whether an `http://` endpoint is accepted.
    pub allow_http: bool,
    /// As in [`S3Config::ca_pem`].
    pub ca_pem: Option<Vec<u8>>,
    /// As in [`S3Config::stall`].
    pub stall: Duration,
}

/// What a service can, and how patient one is with it.
pub(super) struct Service {
    /// Makes addresses, where the service has them.
    pub(super) signer: Option<Arc<dyn Signer>>,
    /// For what the library has no call for.
    pub(super) http: Option<reqwest::Client>,
    /// How long a request may stand still.
    pub(super) stall: Duration,
}

impl Default for Service {
    fn default() -> Self {
        Self { signer: None, http: None, stall: STALL }
    }
}

fn unfit(error: impl std::fmt::Display) -> BlobError {
    BlobError::Unfit(format!("blob storage cannot be configured: {error}"))
}

/// Bounded retries with exponential back-off and jitter.
fn retries() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        base: 2.0,
    };
    RetryConfig { backoff, max_retries: 6, retry_timeout: Duration::from_mins(1) }
}

fn client(allow_http: bool, ca_pem: Option<&[u8]>, stall: Duration) -> Result<ClientOptions, BlobError> {
    // The client counts the sending of a part as silence, too.
    let silence = stall + Duration::from_secs(writer::LEAST_PART_BYTES / LEAST_RATE);
    let mut options = ClientOptions::new()
        .with_allow_http(allow_http)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(silence)
        .with_timeout_disabled()
        .with_pool_idle_timeout(Duration::from_secs(30));
    if let Some(pem) = ca_pem {
        for certificate in Certificate::from_pem_bundle(pem).map_err(unfit)? {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

/// The client for what the library has no call for.
fn plain_client(ca_pem: Option<&[u8]>, stall: Duration) -> Result<reqwest::Client, BlobError> {
    let mut builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(stall).no_proxy();
    if let Some(pem) = ca_pem {
        for certificate in reqwest::Certificate::from_pem_bundle(pem).map_err(unfit)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(unfit)
}

impl RemoteBlobs {
    /// A store in an S3 bucket. `budget` is the process's upload memory. Does not connect; `probe` does.
    pub fn s3(config: &S3Config, budget: Budget) -> Result<Self, BlobError> {
        let mut builder = match &config.credentials {
            Some(S3Credentials { key_id, secret, session_token }) => {
                let builder = AmazonS3Builder::new()
                    .with_access_key_id(key_id)
                    .with_secret_access_key(secret.expose_secret());
                match session_token {
                    Some(token) => builder.with_token(token.expose_secret()),
                    None => builder,
                }
            }
            None => AmazonS3Builder::from_env(),
        };
        builder = builder
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_allow_http(config.allow_http)
            .with_virtual_hosted_style_request(config.virtual_hosted)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_unsigned_payload(true)
            .with_client_options(client(config.allow_http, config.ca_pem.as_deref(), config.stall)?)
            .with_retry(retries());
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let store = Arc::new(builder.build().map_err(unfit)?);
        let http = Some(plain_client(config.ca_pem.as_deref(), config.stall)?);
        let service = Service { signer: Some(store.clone()), http, stall: config.stall };
        Ok(Self::of("S3", &store, service, &config.prefix, budget))
    }

    /// A store in an Azure container. Blocks that were never committed vanish there by themselves after a week.
    pub fn azure(config: &AzureConfig, budget: Budget) -> Result<Self, BlobError> {
        let mut builder = MicrosoftAzureBuilder::new()
            .with_account(&config.account)
            .with_container_name(&config.container)
            .with_allow_http(config.allow_http)
            .with_client_options(client(config.allow_http, config.ca_pem.as_deref(), config.stall)?)
            .with_retry(retries());
        if let Some(key) = &config.access_key {
            builder = builder.with_access_key(key.expose_secret());
        }
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        let store = Arc::new(builder.build().map_err(unfit)?);
        let service = Service { signer: Some(store.clone()), http: None, stall: config.stall };
        Ok(Self::of("Azure", &store, service, &config.prefix, budget))
    }

    pub(super) fn of<S: ObjectStore + MultipartStore>(
        kind: &'static str,
        store: &Arc<S>,
        service: Service,
        prefix: &str,
        budget: Budget,
    ) -> Self {
        Self::from_parts(Parts {
            kind,
            objects: Arc::clone(store) as Arc<dyn ObjectStore>,
            multipart: Arc::clone(store) as Arc<dyn MultipartStore>,
            signer: service.signer,
            http: service.http,
            prefix: prefix.trim_matches('/').to_owned(),
            budget,
            stall: service.stall,
        })
    }
}
