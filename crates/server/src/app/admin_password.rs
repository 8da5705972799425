//! The administrator's first password, and setting one anew from the host. There is no default password, ever.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::Context as _;
use metadata::{Random, SystemRandom};
use registry::Registry;
use registry::admin::ADMIN;

use crate::config::Config;
use crate::config::log::Format;

const FILE: &str = "initial-admin-password";
const VARIABLE: &str = "BONDED_ADMIN_PASSWORD";

/// 24 characters without look-alikes: some 118 random bits.
fn random_password() -> String {
    let mut bytes = [0; 15];
    SystemRandom.fill(&mut bytes);
    data_encoding::BASE32_NOPAD.encode(&bytes).to_lowercase()
}

fn stated() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the first password is given by this variable only")]
    std::env::var(VARIABLE).ok().filter(|text| !text.is_empty())
}

/// Gives the administrator a password at the first start: the stated one, else a random one that is written to a file of
/// the data directory and, for people, printed once: a log of JSON is kept by others, and only names the file. Of replicas
/// that start at once, one does so.
pub(super) async fn ensure(registry: &Registry, config: &Config) -> anyhow::Result<()> {
    if !registry.admin_needs_password() {
        return Ok(());
    }
    if let Some(password) = stated() {
        let set = registry.set_first_password(ADMIN, &password).await;
        return set.map(|_| ()).with_context(|| format!("{VARIABLE} cannot be used"));
    }
    let password = random_password();
    let path = config.server.data_dir.join(FILE);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    writeln!(file, "{password}")?;
    file.sync_all()?;
    if !registry.set_first_password(ADMIN, &password).await? {
        // Another replica was first: this password is nobody's.
        std::fs::remove_file(&path)?;
        return Ok(());
    }
    if config.log.format == Format::Json {
        let file = path.display().to_string();
        tracing::warn!(user = ADMIN, file, "first start: a file of the data directory holds the password");
        return Ok(());
    }
    let mut out = io::stderr().lock();
    writeln!(
        out,
        "\n  First start: user `{ADMIN}`, password `{password}`\n  (shown once; also in {}, change it after signing in)\n",
        path.display()
    )?;
    Ok(())
}

/// Sets a new random password (or the one of the variable) and prints it.
pub(super) async fn reset(registry: &Registry, user: &str) -> anyhow::Result<()> {
    let password = stated().unwrap_or_else(random_password);
    registry
        .reset_password(user, &password)
        .await
        .with_context(|| format!("cannot set the password of `{user}`"))?;
    writeln!(io::stdout().lock(), "{password}")?;
    Ok(())
}
