//! `sbom`: foreign documents that must be accepted or refused, by the beginning of their names; own ones by the schemas.

use super::{Report, file_name, files, schemas};
use std::path::Path;
use vuln::sbom::{Limits, Strictness, read};

pub(super) fn run(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    for path in files(dir)? {
        let name = file_name(&path);
        let group = path.parent().map(file_name).unwrap_or_default();
        let accept = match () {
            () if name.starts_with("valid-") => true,
            () if name.starts_with("invalid-") => false,
            () if name.ends_with(".schema.json") || name.ends_with(".xsd") || name.ends_with(".proto") => {
                continue;
            }
            () => {
                report.skip("sbom", &group, 1, "name does not say whether the document is valid");
                continue;
            }
        };
        let outcome = match (read(&std::fs::read(&path)?, Strictness::Strict, &Limits::default()), accept) {
            (Ok(_), true) | (Err(_), false) => Ok(()),
            (Ok(_), false) => Err(format!("{name} is accepted")),
            (Err(error), true) => Err(format!("{name}: {error}")),
        };
        report.check("sbom", &group, outcome);
    }
    if dir.join("schema").is_dir() {
        schemas::own_sboms(dir, report)?;
    }
    Ok(())
}
