//! What sections demand of each other, and what is valid but probably not meant.

use std::fmt;
use std::net::IpAddr;

use super::Config;
use super::storage::Backend;
use super::tls::Mode;

/// Something valid that is probably not meant; said once at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The key that would change it.
    pub key: &'static str,
    /// What follows from its value.
    pub message: &'static str,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

impl Config {
    /// The first key whose value cannot go with another one, and why.
    pub(super) fn contradiction(&self) -> Option<(&'static str, String)> {
        let s3 = &self.storage.s3;
        let on_s3 = self.storage.backend == Backend::S3;
        let files = self.tls.mode == Mode::Files;
        let rules: [(bool, &'static str, &str); 17] = [
            (self.server.roles.is_empty(), "server.roles", "needs one of api, jobs, ui"),
            (on_s3 && s3.bucket.is_empty(), "storage.s3.bucket", "is needed by storage.backend = \"s3\""),
            (
                on_s3 && s3.access_key_id.is_some() != s3.secret_access_key.is_some(),
                "storage.s3.access_key_id",
                "goes only together with storage.s3.secret_access_key",
            ),
            (
                on_s3
                    && !s3.allow_http
                    && s3.endpoint.as_deref().is_some_and(|url| url.starts_with("http://")),
                "storage.s3.endpoint",
                "is not encrypted: use https:// or set storage.s3.allow_http = true",
            ),
            (files && self.tls.cert_file.is_none(), "tls.cert_file", "is needed by tls.mode = \"files\""),
            (files && self.tls.key_file.is_none(), "tls.key_file", "is needed by tls.mode = \"files\""),
            (
                self.tls.mode == Mode::Off && self.tls.listen.is_some(),
                "tls.listen",
                "needs a certificate: set tls.mode to \"files\" or \"self-signed\"",
            ),
            (
                self.tls.client_cert_required && self.tls.client_ca_file.is_none(),
                "tls.client_cert_required",
                "needs tls.client_ca_file",
            ),
            (self.timeouts.header.is_zero(), "timeouts.header", "must be longer than no time"),
            (self.timeouts.idle.is_zero(), "timeouts.idle", "must be longer than no time"),
            (
                self.timeouts.progress_window.is_zero(),
                "timeouts.progress_window",
                "must be longer than no time",
            ),
            (
                !(1..=3600).contains(&self.checkpoint.interval.std().as_secs()),
                "checkpoint.interval",
                "must lie between 1s and 1h",
            ),
            (
                self.auth.key_rotation.std() < std::time::Duration::from_hours(1),
                "auth.key_rotation",
                "must be at least 1h: keys are looked at once an hour",
            ),
            (
                !(1..=128).contains(&self.auth.password_min_length),
                "auth.password_min_length",
                "must lie between 1 and 128",
            ),
            (
                !self.audit.retention.is_zero(),
                "audit.retention",
                "is not in this version: records are kept for ever",
            ),
            (self.limits.connections == 0, "limits.connections", "must be at least 1"),
            (
                !(1024..=262_144).contains(&self.limits.header.bytes()),
                "limits.header",
                "must lie between 1KiB and 256KiB",
            ),
        ];
        let broken = rules.into_iter().find(|(broken, ..)| *broken);
        broken.map(|(_, key, message)| (key, message.to_owned())).or_else(|| self.wrong_database())
    }

    fn wrong_database(&self) -> Option<(&'static str, String)> {
        let url = self.database.url.as_ref()?.expose();
        let good = url.starts_with("postgres://") || url.starts_with("postgresql://");
        // The value is a secret: the message must not repeat it.
        (!good).then(|| ("database.url", "must begin with postgres://; leave it out for SQLite".to_owned()))
    }

    /// What is valid but probably not meant.
    pub fn warnings(&self) -> Vec<Warning> {
        let everyone = |ip: IpAddr| self.server.trusted_proxies.iter().any(|network| network.contains(ip));
        let open = !self.server.listen.is_loopback();
        let rules = [
            (
                open && self.server.external_url.is_none(),
                "server.external_url",
                "is not set although the address is not loopback: token challenges name the Host that each client sent",
            ),
            (
                everyone(IpAddr::from([192, 0, 2, 1])) && everyone(IpAddr::from([203, 0, 113, 1])),
                "server.trusted_proxies",
                "covers every address: any client can claim another one's",
            ),
            (
                open && self.tls.mode == Mode::Off
                    && self.server.external_url.as_ref().is_none_or(|url| url.scheme() == "http"),
                "tls.mode",
                "is off and no https proxy is named: passwords and tokens travel readable",
            ),
        ];
        rules.into_iter().filter(|(hit, ..)| *hit).map(|(_, key, message)| Warning { key, message }).collect()
    }
}
