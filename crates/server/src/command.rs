//! The command line of `bonded`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigError, Flag, Role, Sources};

/// Container registry and artifact management.
#[derive(Debug, Parser)]
#[command(name = "bonded", version, about, propagate_version = true)]
pub struct Bonded {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `bonded` does.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "made once in a process")]
pub enum Command {
    /// Run the registry.
    Serve(Settings),
    /// Check or show the configuration, or print its JSON Schema.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Administer this registry from its own machine.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// The record of who did what.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Compare the database with the stored blobs, and read the blobs.
    Fsck(Fsck),
    /// Make the database again from the stored blobs and checkpoints.
    Rebuild(Rebuild),
    /// Collect blobs that nothing refers to.
    Gc(Gc),
    /// What needs no server.
    #[command(flatten)]
    Serverless(cli::Command),
}

/// The configuration, and the keys that have flags of their own.
#[derive(Debug, Clone, Default, Args)]
pub struct Settings {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "BONDED_CONFIG")]
    pub config: Option<PathBuf>,
    /// Directory of the database, the blobs and the keys [default: ./bonded-data].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:5000].
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// What this process does [default: all].
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    pub roles: Vec<Role>,
}

/// What can be done with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether it is valid; exit code 2 if not.
    Check(Settings),
    /// Print what holds after all layers, secrets hidden.
    Show(Settings),
    /// Print the JSON Schema of the file.
    Schema,
}

/// What an administrator can do from the machine.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Give a user a new password: `BONDED_ADMIN_PASSWORD`, else a random one, printed once.
    ResetPassword {
        /// The user.
        #[arg(default_value = "admin")]
        user: String,
        /// The registry.
        #[command(flatten)]
        settings: Settings,
    },
}

/// What can be done with the audit.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Compare every sealed record with the chain and its signatures; exit code 1 when one was changed or is missing.
    Verify(Settings),
}

/// How to check the store.
#[derive(Debug, Args)]
pub struct Fsck {
    /// Repair what can be repaired; otherwise only report.
    #[arg(long)]
    pub repair: bool,
    /// Read every blob and compare its digest.
    #[arg(long)]
    pub read: bool,
    /// Most bytes per second to read, such as 50MiB.
    #[arg(long, value_name = "SIZE", default_value = "0B")]
    pub rate: crate::config::Size,
    /// Age from which an object without a row is a problem; younger ones may belong to a request in progress. 0s is
    /// right when no server runs.
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    pub orphan_age: crate::config::Duration,
    /// The registry.
    #[command(flatten)]
    pub settings: Settings,
}

/// How to rebuild.
#[derive(Debug, Args)]
pub struct Rebuild {
    /// Take a checkpoint of another master key, and leave out what is sealed under it: passwords and signing keys.
    #[arg(long)]
    pub without_secrets: bool,
    /// Take the state before a damaged checkpoint segment although there are newer ones.
    #[arg(long)]
    pub partial: bool,
    /// The registry.
    #[command(flatten)]
    pub settings: Settings,
}

/// How to collect.
#[derive(Debug, Args)]
pub struct Gc {
    /// Only say what would be deleted.
    #[arg(long)]
    pub dry_run: bool,
    /// The registry.
    #[command(flatten)]
    pub settings: Settings,
}

impl Settings {
    /// The configuration that follows from file, environment and these flags.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let mut flags = Vec::new();
        let mut add = |name, key, value: Option<String>| {
            flags.extend(value.map(|value| Flag { name, key, value }));
        };
        add(
            "--data-dir",
            "server.data_dir",
            self.data_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned()),
        );
        add("--listen", "server.listen", self.listen.clone());
        let roles: Vec<_> = self.roles.iter().map(|role| role.name()).collect();
        add("--roles", "server.roles", (!roles.is_empty()).then(|| roles.join(",")));
        Config::load(&Sources::of_process(self.config.clone(), flags))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Bonded::command().debug_assert();
    }

    #[test]
    fn flags_of_serve_become_keys() {
        let args = ["bonded", "serve", "--data-dir", "/x", "--listen", ":0", "--roles", "api,jobs"];
        let Command::Serve(settings) = Bonded::parse_from(args).command else { panic!("serve") };
        let config = settings.load().expect("valid");
        assert_eq!(config.server.data_dir, PathBuf::from("/x"));
        assert_eq!(config.server.listen.to_string(), "0.0.0.0:0");
        assert_eq!(config.server.roles, [Role::Api, Role::Jobs]);
    }
}
