//! Official schemas: our own SBOMs are valid by `sbom/schema`, and what `osv/schema.json` calls valid is read.

use super::{Report, feeds, files, inventory, json, json_lines, stem};
use anyhow::{Context, anyhow};
use jsonschema::{Retrieve, Uri, Validator};
use serde_json::Value;
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use vuln::Mode;
use vuln::advisory::import::{ImportLimits, import};
use vuln::sbom::{Document, Format, Subject, SubjectKind, write};

/// Records of one archive that are held against the schema, spread evenly over it.
const SAMPLE: usize = 200;

/// Schemas of one folder, by file name: nothing is ever fetched.
struct Folder(HashMap<String, Value>);

impl Retrieve for Folder {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let name = uri.as_str().rsplit('/').next().unwrap_or_default();
        self.0.get(name).cloned().ok_or_else(|| format!("no schema {name} in the folder").into())
    }
}

fn compiled(path: &Path) -> anyhow::Result<Validator> {
    let folder = path.parent().context("a schema lies in a folder")?;
    let mut all = HashMap::new();
    for file in files(folder)?.into_iter().filter(|p| p.extension().is_some_and(|e| e == "json")) {
        all.insert(super::file_name(&file), json(&file)?);
    }
    let options = jsonschema::options().with_retriever(Folder(all)).should_validate_formats(true);
    options.build(&json(path)?).map_err(|error| anyhow!("{}: {error}", path.display()))
}

/// Our own CycloneDX documents of every root tree of the folder, by the schemas of the folder.
pub(super) fn own_sboms(sbom: &Path, report: &mut Report) -> anyhow::Result<()> {
    let truth = sbom.parent().unwrap_or(sbom);
    let trees = [
        ("syft/image-pkg-coverage", Mode::Image),
        ("syft/image-pkg-coverage", Mode::Directory),
        ("debian/changelog-bookworm/rootfs", Mode::Image),
        ("rpmdb/bdb-cbl-mariner-2.0", Mode::Image),
    ];
    let mut documents = Vec::new();
    for (tree, mode) in trees {
        if truth.join(tree).is_dir() {
            let subject = Subject {
                kind: SubjectKind::Container,
                name: "example.org/tree".into(),
                version: Some("1".into()),
                digest: None,
            };
            let inventory = inventory::of_folder(&truth.join(tree), mode)?;
            documents.push((tree, Document::new(subject, None, inventory)));
        }
    }
    for path in files(&sbom.join("schema"))? {
        let name = stem(&path);
        let Some(version) = name.strip_prefix("bom-").and_then(|rest| rest.strip_suffix(".schema")) else {
            continue;
        };
        let Ok(format) = format!("cyclonedx-json@{version}").parse::<Format>() else {
            report.skip("sbom", "own documents", 1, "schema of a version that is not written");
            continue;
        };
        let validator = compiled(&path)?;
        for (tree, document) in &documents {
            let written: Value = serde_json::from_slice(&write(document, format)?)?;
            let outcome = match validator.iter_errors(&written).next() {
                None => Ok(()),
                Some(error) => Err(format!("{format} of {tree}: {}: {error}", error.instance_path())),
            };
            report.check("sbom", "own documents", outcome);
        }
    }
    Ok(())
}

/// Every record of the given feeds that OSV's schema calls valid is read without a refusal.
pub(super) fn osv(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    let validator = compiled(&dir.join("schema.json"))?;
    for path in feeds::osv_feeds(dir.parent().unwrap_or(dir))? {
        let (group, records) = (stem(&path), records(&path)?);
        for (name, record) in records {
            if !validator.is_valid(&record) {
                report.skip("osv", &group, 1, "the record breaks OSV's schema");
                continue;
            }
            let (mut items, bytes) = (0, serde_json::to_vec(&record)?);
            let stats = import(&name, &bytes, &ImportLimits::default(), &mut |_| items += 1)?;
            let outcome = match stats.refusals.first() {
                None if items == 1 => Ok(()),
                None => Err(format!("{name}: {items} items read of one record")),
                Some((_, reason)) => Err(format!("{name}: {reason}")),
            };
            report.check("osv", &group, outcome);
        }
    }
    Ok(())
}

/// JSON records of an archive or list, at most [`SAMPLE`].
fn records(path: &PathBuf) -> anyhow::Result<Vec<(String, Value)>> {
    if path.extension().is_some_and(|e| e == "jsonl") {
        let rows = json_lines(path)?;
        let step = (rows.len() / SAMPLE).max(1);
        return Ok(rows.into_iter().step_by(step).map(|row| ("record.json".to_owned(), row)).collect());
    }
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path)?)?;
    let step = (archive.len() / SAMPLE).max(1);
    let mut out = Vec::new();
    for index in (0..archive.len()).step_by(step) {
        let mut file = archive.by_index(index)?;
        let name = file.name()?.into_owned();
        if name.ends_with(".json") {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            let value: Value = serde_json::from_slice(&bytes).with_context(|| name.clone())?;
            if value.get("id").is_some() && value.get("modified").is_some() {
                out.push((name, value));
            }
        }
    }
    Ok(out)
}
