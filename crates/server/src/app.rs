//! The composition root: opens the stores, builds the application, runs it.

mod admin_password;
mod maintenance;
mod master_key;
mod open;
mod scanning;
mod upkeep;

use open::Purpose;
pub use open::settings;
pub use scanning::scanner;
pub(crate) use scanning::{feeds, forms, guard, registry_url};
pub use upkeep::runner;

use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use registry::Registry;
use workers::index::Index;
use workers::scan::Scanner;

use crate::command::{AdminCommand, AuditCommand, Fsck, Gc, Rebuild, Settings};
use crate::config::{Config, Role};
use crate::front::Front;
use crate::http::TrustedProxies;
use crate::routes::Routes;
use crate::{token, v2};

/// Work on a registry from its own machine: on SQLite instead of a running one, on PostgreSQL also beside it.
#[derive(Debug)]
pub enum Maintenance {
    /// See [`AdminCommand`].
    Admin(AdminCommand),
    /// See [`AuditCommand`].
    Audit(AuditCommand),
    /// See [`Fsck`].
    Fsck(Fsck),
    /// See [`Rebuild`].
    Rebuild(Rebuild),
    /// See [`Gc`].
    Gc(Gc),
}

impl Maintenance {
    /// The configuration of the registry that it is for.
    pub fn settings(&self) -> &Settings {
        match self {
            Self::Admin(AdminCommand::ResetPassword { settings, .. })
            | Self::Audit(AuditCommand::Verify(settings))
            | Self::Fsck(Fsck { settings, .. })
            | Self::Rebuild(Rebuild { settings, .. })
            | Self::Gc(Gc { settings, .. }) => settings,
        }
    }
}

/// What every handler may use.
#[derive(Debug)]
pub struct App {
    /// The use cases.
    pub registry: Arc<Registry>,
    /// What is in artifacts, and what is wrong with them.
    pub scanner: Arc<Scanner>,
    /// Which images contain what.
    pub index: Arc<Index>,
    /// The configuration.
    pub config: Arc<Config>,
    /// Whose word about the client's address and host counts.
    pub proxies: TrustedProxies,
}

impl App {
    /// The table of routes.
    pub fn routes() -> Routes {
        Routes::new().merge(v2::routes()).merge(token::routes()).merge(crate::api::routes())
    }

    /// The router of this process: nothing without the role `api`.
    pub fn router(self: Arc<Self>) -> Router {
        let routes = if self.config.server.has_role(Role::Api) { Self::routes() } else { Routes::new() };
        routes.into_router(self)
    }
}

/// Runs the registry until a signal ends it.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    for warning in config.warnings() {
        tracing::warn!(key = warning.key, "{warning}");
    }
    let config = Arc::new(config);
    let front = Front::bind(Arc::clone(&config)).await?;
    let opened = open::registry(&config, Purpose::Serve).await?;
    opened.watch(&front.health, &front.metrics);
    admin_password::ensure(&opened.registry, &config).await?;
    let proxies = TrustedProxies::new(config.server.trusted_proxies.clone(), config.server.forwarding);
    let scanner = scanner(&opened.registry, &config)?;
    let index = Arc::new(Index::new(Arc::clone(&scanner)));
    let app = Arc::new(App {
        registry: Arc::clone(&opened.registry),
        scanner,
        index: Arc::clone(&index),
        config: Arc::clone(&config),
        proxies,
    });
    let metrics = Arc::clone(&front.metrics);
    let front = front.with_store(opened.registry.store(), opened.registry.sealer());
    let background = opened.start(&config, &index, &metrics)?;
    let outcome = front.serve(app.router()).await;
    background.stop().await;
    outcome.context("serving")?;
    Ok(())
}

/// Does some maintenance.
pub async fn maintain(config: Config, work: Maintenance) -> anyhow::Result<()> {
    maintenance::run(&config, work).await
}
