//! A directory on disk. Symbolic links are not followed; devices, sockets and pipes are not read.

use std::fs::{self, File};
use std::path::Path;

use vuln::extract::{Cataloguer, FileInfo};
use vuln::layer::show;
use vuln::{FileVisitor, LayerResult, Limit, Limits, Mode, Pulse, ScanError, Watch};

use super::Visitors;

/// Directories of version control hold no packages.
const SKIPPED: [&str; 3] = [".git", ".hg", ".svn"];

/// Catalogues a directory as the single layer of a source tree.
pub(super) fn catalogue_directory(
    root: &Path,
    limits: &Limits,
    watch: &dyn Watch,
    visitors: &dyn Visitors,
) -> Result<LayerResult, ScanError> {
    let mut cataloguer = Cataloguer::new(Mode::Directory, limits);
    let mut visitor = visitors.visitor(0);
    let mut pending = vec![String::new()];
    let mut entries = 0;
    while let Some(directory) = pending.pop() {
        let mut children = fs::read_dir(root.join(&directory))
            .map_err(ScanError::Read)?
            .collect::<Result<Vec<_>, _>>()
            .map_err(ScanError::Read)?;
        children.sort_by_key(fs::DirEntry::file_name);
        for child in children {
            entries += 1;
            if entries > limits.entries {
                return Err(ScanError::limit(Limit::Entries, &directory));
            }
            match watch.pulse() {
                Pulse::Go => {}
                Pulse::TimeOver => return Err(ScanError::limit(Limit::Time, &directory)),
                Pulse::Cancelled => return Err(ScanError::Cancelled),
            }
            let name = child.file_name().to_string_lossy().into_owned();
            let path = if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
            let metadata = child.metadata().map_err(ScanError::Read)?;
            if metadata.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    visitor.directory(&path, info_mode(&metadata));
                    pending.push(path);
                }
            } else if metadata.is_file() {
                file(&mut cataloguer, &mut *visitor, &child.path(), &path, &metadata)?;
            }
        }
    }
    Ok(cataloguer.finish_directory())
}

fn file(
    cataloguer: &mut Cataloguer<'_>,
    visitor: &mut dyn FileVisitor,
    on_disk: &Path,
    path: &str,
    metadata: &fs::Metadata,
) -> Result<(), ScanError> {
    let info = FileInfo::new(path, metadata.len(), info_mode(metadata));
    let catalogued = cataloguer.wants(&info);
    let visited = visitor.wants(path, metadata.len(), info.mode);
    if !catalogued && !visited {
        return Ok(());
    }
    let mut content = File::open(on_disk).map_err(ScanError::Read)?;
    if !visited {
        return cataloguer.file(&info, &mut content);
    }
    show(&mut content, visitor, |content| if catalogued { cataloguer.file(&info, content) } else { Ok(()) })
}

fn info_mode(metadata: &fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o7777
}
