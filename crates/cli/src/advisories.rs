//! `bonded advisories build|info|show|export|import|check`: the advisory database on disk.
//!
//! The database is one file. It is written beside its place and put there by rename, so a reader sees the old or the
//! new one and never a half; readers map it into memory. A bundle is the same file, whose digest is checked on import.

use crate::mmap::MappedDb;
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use vuln::advisory::import::ImportLimits;
use vuln::db::{FeedDraft, ShrinkPolicy, Update};

/// `bonded advisories`.
#[derive(Debug, Args)]
pub struct AdvisoriesArgs {
    #[command(subcommand)]
    command: AdvisoriesCommand,
}

/// What to do with the database.
#[derive(Debug, Subcommand)]
enum AdvisoriesCommand {
    /// Build or update the database from feeds: files, archives or directories of any known form.
    Build(BuildArgs),
    /// Feeds, their age and size.
    Info(DatabaseArgs),
    /// Everything the database says of an identifier.
    Show(ShowArgs),
    /// Write the database as one bundle for a site without network.
    Export(MoveArgs),
    /// Take a bundle: its digest is checked, then it replaces the database at once.
    Import(MoveArgs),
}

#[derive(Debug, Args)]
struct DatabaseArgs {
    /// Database file.
    #[arg(long, env = "BONDED_ADVISORIES", default_value = "bonded-advisories.db")]
    db: PathBuf,
}

#[derive(Debug, Args)]
struct BuildArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Feeds as `NAME=PATH` or `PATH`; a directory without a name is a feed for each entry in it.
    #[arg(required = true)]
    feeds: Vec<String>,
    /// Take feeds that lost many of their records.
    #[arg(long)]
    allow_shrink: bool,
    /// Start anew instead of updating.
    #[arg(long)]
    fresh: bool,
}

#[derive(Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Identifier: CVE, GHSA, DSA …
    id: String,
}

#[derive(Debug, Args)]
struct MoveArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Bundle file.
    bundle: PathBuf,
}

/// Runs the subcommand; `now` is RFC 3339.
///
/// # Errors
/// What could not be read, taken or written.
pub(crate) fn run(args: AdvisoriesArgs, now: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    match args.command {
        AdvisoriesCommand::Build(a) => build(&a, now, out),
        AdvisoriesCommand::Info(a) => info(&a.db, out),
        AdvisoriesCommand::Show(a) => show(&a, out),
        AdvisoriesCommand::Export(a) => copy(&a.database.db, &a.bundle),
        AdvisoriesCommand::Import(a) => copy(&a.bundle, &a.database.db),
    }
}

/// Name and place of each feed, in order.
fn sources(feeds: &[String]) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut out = Vec::new();
    for feed in feeds {
        if let Some((name, path)) = feed.split_once('=') {
            out.push((name.to_owned(), PathBuf::from(path)));
            continue;
        }
        let path = PathBuf::from(feed);
        let paths = if path.is_dir() { entries(&path)? } else { vec![path] };
        for path in paths {
            let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let known = [
                ".zip", ".tar.gz", ".tgz", ".tar.zst", ".tar", ".json", ".jsonl", ".yaml", ".yml", ".csv",
                ".xml", ".gz",
            ];
            let name = known.iter().find_map(|s| file.strip_suffix(s)).map(str::to_owned);
            match name {
                Some(name) => out.push((name, path)),
                None if path.is_dir() => out.push((file, path)),
                None => {}
            }
        }
    }
    Ok(out)
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        out.push(entry?.path());
    }
    out.sort();
    Ok(out)
}

fn import(draft: &mut FeedDraft, path: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    if path.is_dir() {
        return entries(path)?.iter().try_for_each(|entry| import(draft, entry, out));
    }
    if path.metadata()?.len() == 0 {
        return Ok(());
    }
    let map = MappedDb::open(path)?;
    let name = path.to_string_lossy();
    let stats =
        draft.import(&name, map.bytes(), &ImportLimits::default()).with_context(|| format!("feed {name}"))?;
    for (document, reason) in stats.refusals.iter().take(5) {
        writeln!(out, "  {document} refused: {reason}")?;
    }
    Ok(())
}

fn build(args: &BuildArgs, now: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let path = &args.database.db;
    let old = if args.fresh || !path.exists() { None } else { Some(MappedDb::open(path)?) };
    let mut update = match &old {
        Some(map) => Update::of(&map.db()?),
        None => Update::new(),
    };
    let policy = if args.allow_shrink { ShrinkPolicy::Allow } else { ShrinkPolicy::Refuse };
    let mut refused = 0;
    for (name, source) in sources(&args.feeds)? {
        let file = source.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let mut draft = FeedDraft::new(name.as_str(), file, now);
        import(&mut draft, &source, out)?;
        let records = draft.records();
        match update.put(draft, policy) {
            Ok(()) => writeln!(out, "{name}: {records} records")?,
            Err(error) => {
                refused += 1;
                writeln!(out, "{name}: not taken: {error}")?;
            }
        }
    }
    let bytes = update.finish();
    replace(path, &bytes)?;
    writeln!(out, "{}: {} bytes", path.display(), bytes.len())?;
    if refused > 0 {
        bail!("{refused} feeds were not taken; the former ones stay");
    }
    Ok(())
}

/// Writes beside the place, syncs, renames.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut name = path.file_name().map(std::ffi::OsStr::to_os_string).unwrap_or_default();
    name.push(".new");
    let beside = path.with_file_name(name);
    let file = File::create(&beside).with_context(|| format!("cannot write {}", beside.display()))?;
    let mut writer = BufWriter::new(file);
    writer.write_all(bytes)?;
    writer.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(&beside, path).with_context(|| format!("cannot put {} in place", path.display()))?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let map = MappedDb::open(from)?;
    map.db()?.verify().with_context(|| format!("{} is not whole", from.display()))?;
    replace(to, map.bytes())
}

fn info(path: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let map = MappedDb::open(path)?;
    let db = map.db()?;
    writeln!(out, "generation {}, {} bytes", db.generation(), map.bytes().len())?;
    for feed in db.feeds() {
        writeln!(
            out,
            "{}\t{} records\t{} rows\timported {}\tnewest {}\t{} refused",
            feed.name,
            feed.records,
            feed.rows,
            feed.imported_at,
            if feed.newest.is_empty() { "-" } else { &feed.newest },
            feed.refused
        )?;
    }
    Ok(())
}

fn show(args: &ShowArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let map = MappedDb::open(&args.database.db)?;
    let db = map.db()?;
    let found = db.by_id(&args.id)?;
    if found.is_empty() && db.kev(&args.id)?.is_none() && db.epss(&args.id)?.is_none() {
        bail!("{} is in no feed", args.id);
    }
    for at in found {
        let (head, details) = (db.head(at)?, db.details(at)?);
        let feed = db.feed_of(at).map_or("", |f| f.name.as_str());
        writeln!(out, "{} ({feed}){}", head.id, if head.withdrawn { ", withdrawn" } else { "" })?;
        let names: Vec<&str> =
            head.aliases.iter().chain(&head.upstream).chain(&head.related).copied().collect();
        if !names.is_empty() {
            writeln!(out, "  names     {}", names.join(" "))?;
        }
        if !details.summary.is_empty() {
            writeln!(out, "  summary   {}", details.summary)?;
        }
        for rating in &head.severity {
            writeln!(out, "  rated     {} {}", rating.score, rating.source.as_deref().unwrap_or(feed))?;
        }
        for reference in details.references.iter().take(5) {
            writeln!(out, "  see       {}", reference.url)?;
        }
    }
    if let Some(k) = db.kev(&args.id)? {
        writeln!(out, "exploited since {}, act by {}", k.added, k.due)?;
    }
    if let Some((probability, percentile)) = db.epss(&args.id)? {
        writeln!(out, "EPSS {probability:.5}, percentile {percentile:.5}")?;
    }
    Ok(())
}
