//! Maintenance from the host: collection, fsck, the administrator's password.

use std::io::{self, Write as _};

use anyhow::Context as _;
use registry::Registry;
use serde::Serialize;
use workers::maintenance::{self, FsckOptions};

use super::{Maintenance, admin_password, open};
use crate::command::{AdminCommand, Fsck, Gc, Settings};

fn print(report: &impl Serialize) -> anyhow::Result<()> {
    writeln!(io::stdout().lock(), "{}", serde_json::to_string_pretty(report)?)?;
    Ok(())
}

fn settings(work: &Maintenance) -> &Settings {
    match work {
        Maintenance::Admin(AdminCommand::ResetPassword { settings, .. })
        | Maintenance::Fsck(Fsck { settings, .. })
        | Maintenance::Rebuild(settings)
        | Maintenance::Gc(Gc { settings, .. }) => settings,
    }
}

/// Opens the registry, does the work, closes it.
pub(super) async fn run(work: Maintenance) -> anyhow::Result<()> {
    let config = settings(&work).load()?;
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
        Maintenance::Rebuild(_) => anyhow::bail!(
            "`bonded rebuild` is not in this version: restore the database from its backup, then run `bonded fsck`"
        ),
    }
}
