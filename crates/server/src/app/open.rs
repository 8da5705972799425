//! From the configuration to an open registry with its background tasks.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use blobs::remote::{AzureConfig, S3Config, S3Credentials};
use blobs::{BlobKey, BlobStore, Budget, FsBlobs, RemoteBlobs};
use metadata::postgres::PostgresOptions;
use metadata::{CommitError, Postgres, Sqlite, Store, StoreError, SystemClock, SystemRandom};
use registry::{CorruptObject, Parts, Registry, Sealer};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use workers::checkpoint;
use workers::index::Index;

use super::master_key;
use crate::config::database::Engine;
use crate::config::storage::Backend;
use crate::config::{Config, Role};
use crate::telemetry::{Health, Metrics};

/// An open registry whose background has not started.
pub(super) struct Opened {
    /// The use cases.
    pub(super) registry: Arc<Registry>,
    corrupt: mpsc::Receiver<CorruptObject>,
}

/// The background tasks of a running registry.
pub(super) struct Background {
    registry: Arc<Registry>,
    /// Ends what records pulls, logins and denials.
    quiet: CancellationToken,
    records: JoinHandle<Result<(), CommitError>>,
    shutdown: CancellationToken,
    jobs: Vec<JoinHandle<()>>,
    tasks: Vec<JoinHandle<()>>,
}

/// What the stores are opened for. Only a server may make what is not there: a mistyped directory is no registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To serve; makes what a new installation needs.
    Serve,
    /// To work on a registry that there is.
    Maintain,
    /// To make the database again from blob storage that there is.
    Rebuild {
        /// Without what is sealed under the master key.
        without_secrets: bool,
    },
}

/// How long an upload waits for memory before it is refused with 503.
const MEMORY_PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// How often the blobs that are out of service are counted for the metrics.
const COUNT_DAMAGE: std::time::Duration = std::time::Duration::from_secs(30);

fn make_dir(path: &Path) -> anyhow::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the directory {}", path.display()))
}

/// Opens the registry of the configuration. A blank database beside a checkpoint is not taken for a new registry: its
/// objects would be nobody's.
pub(super) async fn registry(config: &Config, purpose: Purpose) -> anyhow::Result<Opened> {
    let parts = parts(config, purpose).await?;
    anyhow::ensure!(
        purpose != Purpose::Maintain || !parts.store.is_blank().await?,
        "there is no registry in the database: look at --config and database.url"
    );
    anyhow::ensure!(
        !parts.store.is_half_rebuilt().await?,
        "a rebuild of this database was not finished: move the database away and run `bonded rebuild` again"
    );
    let lost = checkpoint::is_of_other_database(&parts.store, &*parts.blobs).await;
    anyhow::ensure!(
        !lost.context("cannot look for a checkpoint")?,
        "the database is empty, but blob storage holds the checkpoint of a registry: `bonded rebuild` brings it back; a new registry needs blob storage of its own"
    );
    let (registry, corrupt) = Registry::open(parts).await.context("cannot open the registry")?;
    Ok(Opened { registry, corrupt })
}

const ADVICE: &str = "name the registry's place by --data-dir or --config";

/// Refuses to make what should be there.
fn look_for(config: &Config, purpose: Purpose) -> anyhow::Result<()> {
    if purpose == Purpose::Serve {
        return Ok(());
    }
    if let (Purpose::Maintain, Engine::Sqlite(dir)) = (purpose, config.database_engine()) {
        let file = dir.join(metadata::sqlite::FILE);
        anyhow::ensure!(file.exists(), "there is no registry: {} does not exist; {ADVICE}", file.display());
    }
    let blobs = config.blob_dir();
    anyhow::ensure!(
        config.storage.backend != Backend::Fs || blobs.is_dir(),
        "there is no blob storage: {} does not exist; {ADVICE} or storage.fs.path",
        blobs.display()
    );
    Ok(())
}

fn open_sqlite(dir: &Path, purpose: Purpose) -> anyhow::Result<Arc<Sqlite>> {
    make_dir(dir)?;
    let error = match Sqlite::open(dir) {
        Ok(opened) => return Ok(opened),
        Err(error) => error,
    };
    let advice = match (&error, purpose) {
        (StoreError::Locked { .. }, Purpose::Serve) => ": another server runs on it; stop that first",
        (StoreError::Locked { .. }, _) => {
            ": a server runs on it; stop it first, or ask it to do the work: POST /api/v1/system/collections or /api/v1/system/checks"
        }
        _ => "",
    };
    let place = dir.display();
    Err(anyhow::Error::new(error).context(format!("cannot open the database in {place}{advice}")))
}

/// Opens the stores of the configuration and migrates the database.
pub(super) async fn parts(config: &Config, purpose: Purpose) -> anyhow::Result<Parts> {
    look_for(config, purpose)?;
    let dir = &config.server.data_dir;
    let key = match purpose {
        Purpose::Serve => None,
        Purpose::Rebuild { without_secrets: true } => {
            Some(master_key::find(dir)?.unwrap_or_else(master_key::random))
        }
        Purpose::Rebuild { .. } => {
            let advice = "put it back, or leave out what it seals with `--without-secrets`";
            Some(master_key::existing(dir, advice)?)
        }
        Purpose::Maintain => Some(master_key::existing(dir, ADVICE)?),
    };
    make_dir(dir)?;
    let engine: Arc<dyn metadata::Engine> = match config.database_engine() {
        Engine::Sqlite(path) => open_sqlite(&path, purpose)?,
        Engine::Postgres(url) => {
            let chosen = PostgresOptions::default().connections;
            let options = PostgresOptions {
                connections: Some(usize::from(config.database.connections))
                    .filter(|n| *n > 0)
                    .unwrap_or(chosen),
                scan_deadline: config.database.statement_timeout.std(),
                ca_file: config.database.ca_file.clone(),
                ..PostgresOptions::default()
            };
            Postgres::connect(url.expose(), options)
                .await
                .context("cannot use the database of database.url")?
        }
    };
    let memory = usize::try_from(config.limits.upload_memory.bytes()).unwrap_or(usize::MAX);
    let budget = Budget::new(memory, MEMORY_PATIENCE);
    let blobs = open_blobs(config, budget.clone())?;
    for warning in blobs.probe().await.context("blob storage is not usable")?.warnings {
        tracing::warn!("{warning}");
    }
    let store = Store::new(engine, Arc::new(SystemClock), Arc::new(SystemRandom));
    let key = match key {
        Some(key) => key,
        None => master_key::find(dir)?.map_or_else(|| master_key::make(dir), Ok)?,
    };
    let sealer = Arc::new(Sealer::new(&key)?);
    Ok(Parts { store, blobs, budget, sealer, settings: settings(config) })
}

fn open_blobs(config: &Config, budget: Budget) -> anyhow::Result<Arc<dyn BlobStore>> {
    match config.storage.backend {
        Backend::Fs => {
            let dir = config.blob_dir();
            make_dir(&dir)?;
            let opened = FsBlobs::open(&dir);
            Ok(Arc::new(opened.with_context(|| format!("cannot use {} as blob storage", dir.display()))?))
        }
        Backend::S3 => {
            let opened = RemoteBlobs::s3(&s3_config(config)?, budget);
            Ok(Arc::new(opened.context("cannot use the bucket of storage.s3")?))
        }
        Backend::Azure => {
            let opened = RemoteBlobs::azure(&azure_config(config)?, budget);
            Ok(Arc::new(opened.context("cannot use the container of storage.azure")?))
        }
    }
}

fn s3_config(config: &Config) -> anyhow::Result<S3Config> {
    let s3 = &config.storage.s3;
    let credentials = match (&s3.access_key_id, &s3.secret_access_key) {
        (Some(id), Some(secret)) => Some(S3Credentials {
            key_id: id.clone(),
            secret: secret.expose().to_owned().into(),
            session_token: s3.session_token.as_ref().map(|token| token.expose().to_owned().into()),
        }),
        (None, None) => None,
        _ => anyhow::bail!("storage.s3: access_key_id and secret_access_key belong together"),
    };
    Ok(S3Config {
        bucket: s3.bucket.clone(),
        prefix: s3.prefix.clone(),
        region: s3.region.clone(),
        endpoint: s3.endpoint.clone(),
        credentials,
        virtual_hosted: !s3.path_style,
        allow_http: s3.allow_http,
        ca_pem: read_authorities(s3.ca_file.as_deref())?,
        stall: s3.stall_timeout.std(),
    })
}

fn azure_config(config: &Config) -> anyhow::Result<AzureConfig> {
    let azure = &config.storage.azure;
    Ok(AzureConfig {
        account: azure.account.clone(),
        container: azure.container.clone(),
        prefix: azure.prefix.clone(),
        access_key: azure.access_key.as_ref().map(|key| key.expose().to_owned().into()),
        endpoint: azure.endpoint.clone(),
        allow_http: azure.allow_http,
        ca_pem: read_authorities(azure.ca_file.as_deref())?,
        stall: azure.stall_timeout.std(),
    })
}

fn read_authorities(file: Option<&Path>) -> anyhow::Result<Option<Vec<u8>>> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    file.map(read).transpose()
}

/// What the configuration says about the use cases.
pub fn settings(config: &Config) -> registry::Settings {
    let defaults = registry::Settings::default();
    registry::Settings {
        max_manifest_bytes: config.limits.manifest.bytes(),
        // 0: no limit but that of the database's integers.
        max_blob_bytes: Some(config.limits.blob.bytes())
            .filter(|limit| *limit > 0)
            .unwrap_or(i64::MAX as u64),
        upload_ttl: config.push.upload_expiry.std(),
        blob_lease: defaults.blob_lease,
        restore_window: config.delete.restore_window.std(),
        collect_grace: config.gc.grace.std(),
        quarantine: config.gc.quarantine.std(),
        max_uploads_per_principal: u64::from(config.limits.uploads_per_principal),
        create_projects_on_push: config.push.create_projects_on_push,
        require_blobs: config.push.require_blobs,
        require_children: config.push.require_children,
        audit_strict: config.audit.strict,
        audit_pulls: config.audit.pulls,
        token_ttl: config.auth.token_lifetime.std(),
        refresh_ttl: config.auth.refresh_token_lifetime.std(),
        key_rotation: config.auth.key_rotation.std(),
        password_min_chars: usize::from(config.auth.password_min_length),
        password_checks: match config.auth.password_checks {
            0 => std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)),
            stated => usize::from(stated),
        },
        password_cache: defaults.password_cache,
        access_stale_max: config.access.stale_max.std(),
    }
}

impl Opened {
    /// Closes what was opened, without having started anything.
    pub(super) async fn close(self) {
        self.registry.store().engine().close().await;
    }

    /// Makes readiness depend on both stores, and shows what was found damaged.
    pub(super) fn watch(&self, health: &Health, metrics: &Metrics) {
        metrics.watch_storage(Arc::clone(&self.registry));
        let engine = Arc::clone(self.registry.store().engine());
        health.add("database", move || {
            let engine = Arc::clone(&engine);
            async move { engine.health().await.map_err(|error| error.to_string()) }
        });
        let blobs = Arc::clone(self.registry.blobs());
        health.add("storage", move || {
            let blobs = Arc::clone(&blobs);
            // No object has this key: that it is not there is a good answer.
            async move { blobs.stat(BlobKey::from_id(0)).await.map(|_| ()).map_err(|error| error.to_string()) }
        });
    }

    /// Starts what runs beside the requests.
    pub(super) fn start(
        self,
        config: &Config,
        index: &Arc<Index>,
        metrics: &Arc<Metrics>,
    ) -> anyhow::Result<Background> {
        let Self { registry, mut corrupt } = self;
        let access = Arc::clone(registry.access());
        let fresh = tokio::spawn(async move { access.keep_fresh().await });
        let keys = Arc::clone(&registry);
        let rotation = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(std::time::Duration::from_hours(1));
            loop {
                ticks.tick().await;
                if let Err(error) = keys.authenticator().keys().rotate().await {
                    tracing::warn!(%error, "signing keys could not be rotated");
                }
            }
        });
        let counted = Arc::clone(&registry);
        let damage = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(COUNT_DAMAGE);
            loop {
                ticks.tick().await;
                if let Err(error) = counted.count_damage().await {
                    tracing::debug!(%error, "damaged blobs could not be counted");
                }
            }
        });
        let quarantine = Arc::clone(&registry);
        let integrity = tokio::spawn(async move {
            while let Some(found) = corrupt.recv().await {
                if let Err(error) = quarantine.quarantine(found).await {
                    tracing::error!(%error, blob.object = %found.key, "a damaged object could not be quarantined");
                }
            }
        });
        let notes = Arc::clone(registry.notes());
        let quiet = CancellationToken::new();
        let end = quiet.clone();
        let records = tokio::spawn(async move { notes.keep(end.cancelled_owned()).await });
        let shutdown = CancellationToken::new();
        let jobs = if config.server.has_role(Role::Jobs) {
            super::upkeep::start(&registry, index, config, metrics, &shutdown)?
        } else {
            Vec::new()
        };
        let tasks = vec![fresh, rotation, damage, integrity];
        Ok(Background { registry, quiet, records, shutdown, jobs, tasks })
    }
}

impl Background {
    /// Ends the tasks and closes the database.
    pub(super) async fn stop(self) {
        // Before the duties' last round, which seals and copies it.
        self.quiet.cancel();
        match self.records.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the last audit records of pulls, logins and denials were not written");
            }
            Err(error) => tracing::warn!(%error, "the writer of audit records did not end well"),
        }
        self.shutdown.cancel();
        for job in self.jobs {
            if let Err(error) = job.await {
                tracing::warn!(%error, "a background task did not end well");
            }
        }
        for task in self.tasks {
            task.abort();
        }
        self.registry.store().engine().close().await;
    }
}
