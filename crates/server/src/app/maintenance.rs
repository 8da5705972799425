//! Maintenance from the host: collection, fsck, the administrator's password, the rebuild.

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use metadata::sqlite;
use registry::Registry;
use serde::Serialize;
use workers::checkpoint::{self, RebuildOptions};
use workers::maintenance::{self, FsckOptions};

use super::open::{self, Purpose};
use super::{Maintenance, admin_password};
use crate::command::{AdminCommand, AuditCommand, Rebuild};
use crate::config::Config;
use crate::config::database::Engine;

fn print(report: &impl Serialize) -> anyhow::Result<()> {
    writeln!(io::stdout().lock(), "{}", serde_json::to_string_pretty(report)?)?;
    Ok(())
}

/// Opens the registry, does the work, closes it.
pub(super) async fn run(config: &Config, work: Maintenance) -> anyhow::Result<()> {
    if let Maintenance::Rebuild(command) = &work {
        return rebuild(config, command).await;
    }
    let opened = open::registry(config, Purpose::Maintain).await?;
    let done = one(&opened.registry, &work).await;
    opened.close().await;
    done
}

async fn one(registry: &Registry, work: &Maintenance) -> anyhow::Result<()> {
    match work {
        Maintenance::Admin(AdminCommand::ResetPassword { user, .. }) => {
            admin_password::reset(registry, user).await
        }
        Maintenance::Audit(AuditCommand::Verify(_)) => {
            let verdict = registry.verify_audit().await.context("verification")?;
            print(&verdict)?;
            anyhow::ensure!(
                verdict.faults == 0,
                "the audit is not what was sealed: {} faults",
                verdict.faults
            );
            Ok(())
        }
        Maintenance::Gc(gc) => {
            print(&maintenance::collect(registry, gc.dry_run).await.context("collection")?)
        }
        Maintenance::Fsck(fsck) => {
            let options = FsckOptions {
                read: fsck.read,
                repair: fsck.repair,
                bytes_per_second: fsck.rate.bytes(),
                orphan_age: fsck.orphan_age.std(),
            };
            let report = maintenance::fsck(registry, options).await.context("fsck")?;
            print(&report)?;
            let (found, remaining) = (report.problems.len(), report.remaining());
            anyhow::ensure!(
                found == 0 || fsck.repair,
                "{found} problems found; `--repair` puts right what can be"
            );
            anyhow::ensure!(
                remaining == 0,
                "{remaining} of {found} problems remain: push again what is out of service"
            );
            Ok(())
        }
        // It has no registry yet.
        Maintenance::Rebuild(_) => Ok(()),
    }
}

/// Makes the database again. A file of its own that it could not fill does not stay: the next try would find it.
async fn rebuild(config: &Config, command: &Rebuild) -> anyhow::Result<()> {
    let new = match config.database_engine() {
        Engine::Sqlite(dir) if !dir.join(sqlite::FILE).exists() => Some(dir),
        _ => None,
    };
    let outcome = fill(config, command).await;
    if let (Err(_), Some(dir)) = (&outcome, new) {
        remove_database(&dir);
    }
    outcome
}

fn remove_database(dir: &Path) {
    let log = |suffix| format!("{}-{suffix}", sqlite::FILE);
    for name in [sqlite::FILE.to_owned(), log("wal"), log("shm"), sqlite::LOCK.to_owned()] {
        let path = dir.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %path.display(), "what the rebuild made stays");
            }
            _ => {}
        }
    }
}

/// Fills the database, and says what came back and what did not.
async fn fill(config: &Config, command: &Rebuild) -> anyhow::Result<()> {
    let purpose = Purpose::Rebuild { without_secrets: command.without_secrets };
    let parts = open::parts(config, purpose).await?;
    let options = RebuildOptions { without_secrets: command.without_secrets, partial: command.partial };
    let report = checkpoint::rebuild(&parts.store, &parts.blobs, &parts.sealer, options).await;
    parts.store.engine().close().await;
    let report = report.context("the database was not rebuilt")?;
    print(&report)?;
    let mut err = io::stderr().lock();
    if report.wrong_objects > 0 {
        writeln!(
            err,
            "warning: {} blobs have no sound object; they are unknown until they are pushed again",
            report.wrong_objects
        )?;
    }
    if report.objects_without_rows > 0 {
        writeln!(
            err,
            "warning: {} objects ({} bytes) are named by no row: what was pushed after the checkpoint is among them; push it again, then `bonded fsck --repair` gives the rest to the collection",
            report.objects_without_rows, report.bytes_without_rows
        )?;
    }
    if report.secrets_left_out > 0 {
        writeln!(
            err,
            "warning: {} passwords and keys were left out; set passwords with `bonded admin reset-password`",
            report.secrets_left_out
        )?;
    }
    Ok(())
}
