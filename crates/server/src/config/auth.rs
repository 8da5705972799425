//! `[auth]`: tokens and passwords.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::Duration;

/// Tokens and passwords.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// Validity of the registry tokens that `/service/token` gives out.
    pub token_lifetime: Duration,
    /// Validity of the refresh tokens of the OAuth2 form.
    pub refresh_token_lifetime: Duration,
    /// Time after which a new token signing key is made; old ones stay valid until their tokens expired.
    pub key_rotation: Duration,
    /// Shortest password.
    pub password_min_length: u16,
    /// Passwords checked at the same time; further ones wait. 0: half of the cores.
    pub password_checks: u16,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            token_lifetime: Duration::from_secs(5 * 60),
            refresh_token_lifetime: Duration::from_secs(90 * 24 * 3600),
            key_rotation: Duration::from_secs(30 * 24 * 3600),
            password_min_length: 8,
            password_checks: 0,
        }
    }
}
