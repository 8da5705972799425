//! The scanner that the configuration asks for.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use registry::Registry;
use upstream::adapter::Patience;
use upstream::feeds::{self, Feed, Fetcher};
use upstream::{Client, Guard, Keychain, Options};
use url::Url;
use vuln::sbom::Format;
use workers::scan::{AdapterSettings, Scanner, Settings, Signer};

use crate::config::Config;

/// Makes the scanner.
pub fn scanner(registry: &Arc<Registry>, config: &Config) -> anyhow::Result<Arc<Scanner>> {
    let scan = &config.scan;
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let ca_pem = scan.ca_file.as_deref().map(read).transpose().context("scan.ca_file")?;
    // Who writes the configuration may connect to anything from here anyway.
    let options = Options { ca_pem, plain_http: false, guard: Guard::anywhere() };
    let client = Client::new(&options)?;
    // Scanners stand beside the registry, mostly without certificates; administrators name them.
    let adapters = AdapterSettings {
        options: Options { plain_http: true, ..options.clone() },
        registry_url: registry_url(config)?,
        patience: Patience::default(),
    };
    let remote = Client::new(&Options { plain_http: scan.plain_http, guard: guard(config)?, ..options })?;
    let keychain = match scan.auth_file.as_deref() {
        Some(path) => Keychain::parse(&read(path)?).context("scan.auth_file")?,
        None => Keychain::default(),
    };
    let key = scan.attest_key_file.as_deref().map(read).transpose().context("scan.attest_key_file")?;
    let key = key.map(|pem| Signer::from_pem(&String::from_utf8_lossy(&pem))).transpose();
    let settings = Settings {
        on_push: scan.on_push,
        sbom: forms(config)?,
        signer: key.context("scan.attest_key_file")?,
        parallel: usize::from(scan.parallel),
        layer_timeout: scan.layer_timeout.std(),
        max_feed_age: scan.max_feed_age.std(),
        cache: config.server.data_dir.join("cache"),
        adapters,
        remote,
    };
    let fetcher = Fetcher::new(client, keychain);
    Ok(Arc::new(Scanner::new(Arc::clone(registry), feeds(config)?, fetcher, settings)))
}

/// The address under which scanners pull from here.
pub(crate) fn registry_url(config: &Config) -> anyhow::Result<Option<Url>> {
    let own = config.scan.registry_url.clone();
    let url = own.or_else(|| config.server.external_url.as_ref().map(ToString::to_string));
    let url = url.map(|url| Url::parse(&url)).transpose().context("scan.registry_url")?;
    anyhow::ensure!(
        url.as_ref().is_none_or(|url| matches!(url.scheme(), "http" | "https") && url.has_host()),
        "scan.registry_url: write http(s)://HOST[:PORT]"
    );
    Ok(url)
}

/// The feeds of the configuration.
pub(crate) fn feeds(config: &Config) -> anyhow::Result<Vec<Feed>> {
    feeds::parse(&config.scan.feeds).context("scan.feeds")
}

/// Where images are fetched from that callers name.
pub(crate) fn guard(config: &Config) -> anyhow::Result<Guard> {
    config.scan.permit.iter().try_fold(Guard::public(), |guard, rule| Ok(guard.permit(rule)?))
}

/// The forms of bills of materials of the configuration.
pub(crate) fn forms(config: &Config) -> anyhow::Result<Vec<Format>> {
    let form = |text: &String| text.parse().map_err(|error| anyhow::anyhow!("scan.sbom: `{text}`: {error}"));
    config.scan.sbom.iter().map(form).collect()
}
