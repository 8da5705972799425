//! Maintenance from the host: collection, fsck, the administrator's password.

use std::io::{self, Write as _};

use anyhow::Context as _;
use registry::Registry;
use serde::Serialize;
use workers::checkpoint::{self, RebuildOptions};
use workers::maintenance::{self, FsckOptions};

use super::{Maintenance, admin_password, open};
use crate::command::{AdminCommand, AuditCommand, Fsck, Gc, Rebuild, Settings};
use crate::config::Config;

fn print(report: &impl Serialize) -> anyhow::Result<()> {
    writeln!(io::stdout().lock(), "{}", serde_json::to_string_pretty(report)?)?;
    Ok(())
}

fn settings(work: &Maintenance) -> &Settings {
    match work {
        Maintenance::Admin(AdminCommand::ResetPassword { settings, .. })
        | Maintenance::Audit(AuditCommand::Verify(settings))
        | Maintenance::Fsck(Fsck { settings, .. })
        | Maintenance::Rebuild(Rebuild { settings, .. })
        | Maintenance::Gc(Gc { settings, .. }) => settings,
    }
}

/// Opens the registry, does the work, closes it.
pub(super) async fn run(work: Maintenance) -> anyhow::Result<()> {
    let config = settings(&work).load()?;
    if let Maintenance::Rebuild(command) = &work {
        return rebuild(&config, command).await;
    }
    let opened = open::registry(&config).await?;
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
            let options =
                FsckOptions { read: fsck.read, repair: fsck.repair, bytes_per_second: fsck.rate.bytes() };
            let report = maintenance::fsck(registry, options).await.context("fsck")?;
            print(&report)?;
            let found = report.problems.len();
            anyhow::ensure!(
                found == 0 || fsck.repair,
                "{found} problems found; `--repair` puts right what can be"
            );
            Ok(())
        }
        // It has no registry yet.
        Maintenance::Rebuild(_) => Ok(()),
    }
}

/// Makes the database again, and says what came back and what did not.
async fn rebuild(config: &Config, command: &Rebuild) -> anyhow::Result<()> {
    let parts = open::parts(config).await?;
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
