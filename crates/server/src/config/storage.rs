//! `[storage]`: where blobs lie.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use super::types::Duration;

/// The kinds of blob storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Files below a directory.
    #[default]
    Fs,
    /// A bucket of an S3 service.
    S3,
    /// A container of Azure Blob Storage.
    Azure,
}

/// Where blobs lie.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// Which of the sections below is used.
    pub backend: Backend,
    /// Files below a directory.
    pub fs: Fs,
    /// A bucket of an S3 service.
    pub s3: S3,
    /// A container of Azure Blob Storage.
    pub azure: Azure,
}

/// Files below a directory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fs {
    /// The directory. Unset: `blobs` in `server.data_dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

/// A bucket of an S3 service.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct S3 {
    /// Name of the bucket; needed.
    pub bucket: String,
    /// Region of the bucket.
    pub region: String,
    /// Address of the service. Unset: Amazon's of the region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Folder inside the bucket, without slashes at its ends. Empty: the bucket itself.
    pub prefix: String,
    /// Access key. Unset: the machine's own identity (instance or pod).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// Secret of the access key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<Secret>,
    /// Session token of temporary credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_token: Option<Secret>,
    /// Whether the bucket is part of the path (most services) rather than of the host name (Amazon).
    pub path_style: bool,
    /// Whether an `http://` endpoint is accepted.
    pub allow_http: bool,
    /// PEM file of certificate authorities to trust for the endpoint beside the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Whether pulls are redirected to presigned addresses of the service instead of passing through Bonded.
    pub redirect: bool,
    /// How long such an address is valid.
    pub redirect_lifetime: Duration,
    /// Time that one request to the service may make no progress.
    pub stall_timeout: Duration,
}

impl Default for S3 {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            region: "us-east-1".to_owned(),
            endpoint: None,
            prefix: String::new(),
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            path_style: false,
            allow_http: false,
            ca_file: None,
            redirect: false,
            redirect_lifetime: Duration::from_secs(20 * 60),
            stall_timeout: Duration::from_secs(30),
        }
    }
}

/// A container of Azure Blob Storage.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Azure {
    /// Name of the storage account; needed.
    pub account: String,
    /// Name of the container; needed.
    pub container: String,
    /// Folder inside the container, without slashes at its ends. Empty: the container itself.
    pub prefix: String,
    /// Key of the account. Unset: the machine's own identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key: Option<Secret>,
    /// Address of the service, with the account where it is part of the path. Unset: Azure's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Whether an `http://` endpoint is accepted.
    pub allow_http: bool,
    /// PEM file of certificate authorities to trust for the endpoint beside the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Whether pulls are redirected to presigned addresses of the service instead of passing through Bonded.
    pub redirect: bool,
    /// How long such an address is valid.
    pub redirect_lifetime: Duration,
    /// Time that one request to the service may make no progress.
    pub stall_timeout: Duration,
}

impl Default for Azure {
    fn default() -> Self {
        Self {
            account: String::new(),
            container: String::new(),
            prefix: String::new(),
            access_key: None,
            endpoint: None,
            allow_http: false,
            ca_file: None,
            redirect: false,
            redirect_lifetime: Duration::from_secs(20 * 60),
            stall_timeout: Duration::from_secs(30),
        }
    }
}

impl Storage {
    /// How long a presigned address is valid, if pulls are redirected to one.
    pub fn redirect(&self) -> Option<Duration> {
        let (redirect, lifetime) = match self.backend {
            Backend::Fs => return None,
            Backend::S3 => (self.s3.redirect, self.s3.redirect_lifetime),
            Backend::Azure => (self.azure.redirect, self.azure.redirect_lifetime),
        };
        redirect.then_some(lifetime)
    }
}
