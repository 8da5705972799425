//! Catalogues a folder as `vuln` sees it: as one layer's files, read through its extractors.

use super::files;
use anyhow::Context;
use std::path::Path;
use vuln::extract::{Cataloguer, FileInfo};
use vuln::{Inventory, Limits, Mode};

/// The inventory of all files below `root`.
pub(super) fn of_folder(root: &Path, mode: Mode) -> anyhow::Result<Inventory> {
    let limits = Limits::default();
    let mut cataloguer = Cataloguer::new(mode, &limits);
    for path in files(root)? {
        let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
        of_file(&mut cataloguer, &path, &name)?;
    }
    Ok(finish(cataloguer))
}

/// The inventory of one file that is given the path `name`.
pub(super) fn of_one_file(path: &Path, name: &str) -> anyhow::Result<Inventory> {
    let limits = Limits::default();
    let mut cataloguer = Cataloguer::new(Mode::Image, &limits);
    of_file(&mut cataloguer, path, name)?;
    Ok(finish(cataloguer))
}

fn of_file(cataloguer: &mut Cataloguer<'_>, path: &Path, name: &str) -> anyhow::Result<()> {
    let size = std::fs::metadata(path)?.len();
    let info = FileInfo::new(name, size, permissions(path)?);
    if cataloguer.wants(&info) {
        let mut content = std::fs::File::open(path)?;
        cataloguer.file(&info, &mut content).with_context(|| format!("cataloguing {name}"))?;
    } else {
        cataloguer.path(name).with_context(|| format!("cataloguing {name}"))?;
    }
    Ok(())
}

#[cfg(unix)]
fn permissions(path: &Path) -> anyhow::Result<u32> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o7777)
}

#[cfg(not(unix))]
fn permissions(_: &Path) -> anyhow::Result<u32> {
    Ok(0o644)
}

fn finish(cataloguer: Cataloguer<'_>) -> Inventory {
    vuln::merge(&[cataloguer.finish_directory()])
}
