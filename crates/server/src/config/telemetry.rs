//! `[telemetry]`: where traces go.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use super::types::Duration;

/// Where traces go.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// Traces by the OpenTelemetry protocol (HTTP, protobuf). Without an endpoint there are none.
    pub otlp: Otlp,
}

/// Traces by the OpenTelemetry protocol (HTTP, protobuf). Without an endpoint there are none.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Otlp {
    /// Address of the collector, such as `http://127.0.0.1:4318`; `/v1/traces` is appended to one without a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Headers of each export, `name=value` with commas between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Secret>,
    /// Share of the requests that are traced, from 0 to 1. A request whose `traceparent` says so is traced, or not, anyway.
    pub sample_ratio: f64,
    /// Name of this service in the traces.
    pub service_name: String,
    /// Time that an export may take. Traces that cannot be exported are dropped.
    pub timeout: Duration,
    /// PEM file of the certificate authorities to trust for the collector instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers: None,
            sample_ratio: 1.0,
            service_name: "bonded".to_owned(),
            timeout: Duration::from_secs(10),
            ca_file: None,
        }
    }
}
