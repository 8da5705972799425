//! What sections demand of each other, and what is valid but probably not meant.

use std::fmt;
use std::net::IpAddr;

use super::Config;
use super::acme::Challenge;
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
        let rules: [(bool, &'static str, &str); 11] = [
            (self.server.roles.is_empty(), "server.roles", "needs one of api, jobs, ui"),
            (
                !(0.0..=1.0).contains(&self.telemetry.otlp.sample_ratio),
                "telemetry.otlp.sample_ratio",
                "must lie between 0 and 1",
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
        broken
            .or_else(|| self.nothing_left())
            .or_else(|| self.wrong_storage())
            .or_else(|| self.wrong_tls())
            .map(|(_, key, message)| (key, message.to_owned()))
            .or_else(|| self.wrong_database())
            .or_else(|| self.wrong_scan())
    }

    /// Limits and times with which nothing at all could be done.
    fn nothing_left(&self) -> Option<(bool, &'static str, &'static str)> {
        const LIMIT: &str = "must be more than 0: with it every push is refused";
        const TIME: &str = "must be longer than no time";
        let limits = &self.limits;
        let rules = [
            (limits.manifest.bytes() == 0, "limits.manifest", LIMIT),
            (limits.uploads_per_principal == 0, "limits.uploads_per_principal", LIMIT),
            (
                limits.api_body.bytes() == 0,
                "limits.api_body",
                "must be more than 0: with it every change is refused",
            ),
            (limits.http2_streams == 0, "limits.http2_streams", "must be at least 1"),
            (self.push.upload_expiry.is_zero(), "push.upload_expiry", TIME),
            (self.auth.token_lifetime.is_zero(), "auth.token_lifetime", TIME),
            (self.auth.refresh_token_lifetime.is_zero(), "auth.refresh_token_lifetime", TIME),
            (self.timeouts.tls_handshake.is_zero(), "timeouts.tls_handshake", TIME),
        ];
        rules.into_iter().find(|(broken, ..)| *broken)
    }

    /// Feeds and forms that are none.
    fn wrong_scan(&self) -> Option<(&'static str, String)> {
        let said = |key: &'static str, error: anyhow::Error| (key, format!("{:#}", error.root_cause()));
        if self.scan.parallel == 0 {
            return Some(("scan.parallel", "must be at least 1".to_owned()));
        }
        if let Err(error) = crate::app::feeds(self) {
            return Some(said("scan.feeds", error));
        }
        if let Err(error) = crate::app::registry_url(self) {
            return Some(said("scan.registry_url", error));
        }
        if let Err(error) = crate::app::forms(self) {
            return Some(said("scan.sbom", error));
        }
        crate::app::guard(self).err().map(|error| said("scan.permit", error))
    }

    fn wrong_storage(&self) -> Option<(bool, &'static str, &'static str)> {
        let (s3, azure) = (&self.storage.s3, &self.storage.azure);
        let on_s3 = self.storage.backend == Backend::S3;
        let on_azure = self.storage.backend == Backend::Azure;
        let rules = [
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
            (
                on_azure && azure.account.is_empty(),
                "storage.azure.account",
                "is needed by storage.backend = \"azure\"",
            ),
            (
                on_azure && azure.container.is_empty(),
                "storage.azure.container",
                "is needed by storage.backend = \"azure\"",
            ),
            (
                on_azure
                    && !azure.allow_http
                    && azure.endpoint.as_deref().is_some_and(|url| url.starts_with("http://")),
                "storage.azure.endpoint",
                "is not encrypted: use https:// or set storage.azure.allow_http = true",
            ),
            (
                on_s3 && s3.session_token.is_some() && s3.access_key_id.is_none(),
                "storage.s3.session_token",
                "goes only together with storage.s3.access_key_id",
            ),
        ];
        rules.into_iter().find(|(broken, ..)| *broken)
    }

    fn wrong_tls(&self) -> Option<(bool, &'static str, &'static str)> {
        let (tls, acme) = (&self.tls, &self.tls.acme);
        let (files, by_acme) = (tls.mode == Mode::Files, tls.mode == Mode::Acme);
        let domains = crate::acme::domains(self);
        let rules = [
            (files && tls.cert_file.is_none(), "tls.cert_file", "is needed by tls.mode = \"files\""),
            (files && tls.key_file.is_none(), "tls.key_file", "is needed by tls.mode = \"files\""),
            (
                tls.mode == Mode::Off && tls.listen.is_some(),
                "tls.listen",
                "needs a certificate: set tls.mode to \"files\", \"acme\" or \"self-signed\"",
            ),
            (
                tls.client_cert_required && tls.client_ca_file.is_none(),
                "tls.client_cert_required",
                "needs tls.client_ca_file",
            ),
            (
                by_acme && !acme.directory.starts_with("https://"),
                "tls.acme.directory",
                "is needed by tls.mode = \"acme\", and begins with https://",
            ),
            (
                by_acme && !acme.accept_terms,
                "tls.acme.accept_terms",
                "must be true: the authority issues nothing to who does not accept its terms of service",
            ),
            (
                by_acme && domains.is_empty(),
                "tls.acme.domains",
                "is needed by tls.mode = \"acme\" unless server.external_url names the host",
            ),
            (
                by_acme && domains.iter().any(|name| name.contains('*')),
                "tls.acme.domains",
                "cannot hold a wildcard: it can only be proved in the DNS",
            ),
            (
                by_acme && acme.challenge == Challenge::Http01 && tls.listen.is_none(),
                "tls.acme.challenge",
                "\"http-01\" needs tls.listen: the authority asks in clear text, on server.listen",
            ),
            (
                acme.eab_key_id.is_some() != acme.eab_hmac_key.is_some(),
                "tls.acme.eab_key_id",
                "goes only together with tls.acme.eab_hmac_key",
            ),
        ];
        rules.into_iter().find(|(broken, ..)| *broken)
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
