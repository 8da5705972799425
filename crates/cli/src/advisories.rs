//! `bonded advisories build|info|show|export|import`: the advisory database on disk.
//!
//! The database is one file. It is written beside its place and put there by rename, so a reader sees the old or the
//! new one and never a half; readers map it into memory. A bundle is the same file, whose digest is checked on import.

use crate::age::MaxAge;
use crate::command::Outcome;
use crate::network::{self, NetworkArgs};
use crate::output;
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use upstream::Mapped;
use upstream::feeds::{self, Fetcher};
use vuln::advisory::import::ImportLimits;
use vuln::db::{Db, FeedDraft, ShrinkPolicy, Update, age_text, stale_feeds};

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
    /// Feeds, their age and size; exit code 1 if one was not renewed within `--max-age`.
    #[command(visible_alias = "status")]
    Info(InfoArgs),
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
    /// Feeds as `NAME=PLACE` or `PATH`: a file, archive or directory, an https address (`#sha256:…` pins its digest),
    /// or `oci://HOST/NAME:TAG`; a directory without a name is a feed for each entry in it.
    #[arg(required = true)]
    feeds: Vec<String>,
    /// Take feeds that lost many of their records.
    #[arg(long)]
    allow_shrink: bool,
    /// Start anew instead of updating.
    #[arg(long)]
    fresh: bool,
    #[command(flatten)]
    network: NetworkArgs,
}

#[derive(Debug, Args)]
struct InfoArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Age from which a feed is stale: days or hours (`7d`, `36h`), or `none` [default: 7d].
    #[arg(long, value_name = "AGE")]
    max_age: Option<MaxAge>,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
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

/// Runs the subcommand.
///
/// # Errors
/// What could not be read, taken or written.
pub(crate) fn run(args: AdvisoriesArgs, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    match args.command {
        AdvisoriesCommand::Build(a) => build(&a, &now.to_string(), out)?,
        AdvisoriesCommand::Info(a) => return info(&a, now, out),
        AdvisoriesCommand::Show(a) => show(&a, out)?,
        AdvisoriesCommand::Export(a) => copy(&a.database.db, &a.bundle)?,
        AdvisoriesCommand::Import(a) => copy(&a.bundle, &a.database.db)?,
    }
    Ok(Outcome::Clean)
}

/// Maps the database, with what to do when there is none.
fn open(path: &Path) -> anyhow::Result<Mapped> {
    Mapped::open(path).with_context(|| format!("cannot open {}", path.display()))
}

/// A feed with everything of its source.
fn draft(mut draft: FeedDraft, download: feeds::Download, out: &mut dyn Write) -> anyhow::Result<FeedDraft> {
    for document in &download.documents {
        let Some(map) = document.open()? else { continue };
        let name = &document.name;
        let stats =
            draft.import(name, &map, &ImportLimits::default()).with_context(|| format!("feed {name}"))?;
        for (document, reason) in stats.refusals.iter().take(5) {
            writeln!(out, "  {document} refused: {reason}")?;
        }
    }
    draft.set_state(download.state);
    Ok(draft)
}

fn build(args: &BuildArgs, now: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let path = &args.database.db;
    let old = if args.fresh || !path.exists() { None } else { Some(open(path)?) };
    let old = old.as_deref().map(Db::open).transpose()?;
    let mut update = old.as_ref().map_or_else(Update::new, Update::of);
    let policy = if args.allow_shrink { ShrinkPolicy::Allow } else { ShrinkPolicy::Refuse };
    let mut refused = 0;
    let runtime = network::runtime()?;
    let fetcher = Fetcher::new(args.network.client()?, args.network.keychain()?);
    for feed in feeds::parse(&args.feeds)? {
        let source = feed.source.describe();
        let known = old.iter().flat_map(Db::feeds).find(|f| f.name == feed.name && f.source == source);
        let known = known.map_or("", |feed| feed.state.as_str());
        let fetched = runtime.block_on(fetcher.fetch(&feed.source, known)).map_err(anyhow::Error::from);
        let new = FeedDraft::new(feed.name.as_str(), source, now);
        let taken = match fetched.and_then(|got| got.map(|download| draft(new, download, out)).transpose()) {
            Ok(Some(draft)) => {
                let records = draft.records();
                update.put(draft, policy).map(|()| format!("{records} records")).map_err(anyhow::Error::from)
            }
            Ok(None) => {
                update.confirm(&feed.name, now);
                Ok("unchanged".to_owned())
            }
            Err(error) => Err(error),
        };
        match taken {
            Ok(what) => writeln!(out, "{}: {what}", feed.name)?,
            Err(error) => {
                refused += 1;
                writeln!(out, "{}: not taken: {error:#}", feed.name)?;
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
    let map = open(from)?;
    Db::open(&map)?.verify().with_context(|| format!("{} is not whole", from.display()))?;
    replace(to, &map)
}

fn info(args: &InfoArgs, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let map = open(&args.database.db)?;
    let db = Db::open(&map)?;
    let limit = args.max_age.unwrap_or_default().limit();
    let stale = limit.map(|limit| stale_feeds(db.feeds(), now, limit)).unwrap_or_default();
    if args.json {
        let document = serde_json::json!({
            "generation": db.generation(), "size_bytes": map.len(), "feeds": db.feeds(), "stale_feeds": stale,
        });
        serde_json::to_writer_pretty(&mut *out, &document)?;
        writeln!(out)?;
    } else {
        writeln!(out, "generation {}, {} bytes", db.generation(), map.len())?;
        for feed in db.feeds() {
            writeln!(
                out,
                "{}\t{} records\t{} rows\trenewed {}, {} ago{}\tnewest {}\t{} refused",
                feed.name,
                feed.records,
                feed.rows,
                feed.imported_at,
                feed.age_hours(now).map_or_else(|| "unknown".to_owned(), age_text),
                if stale.iter().any(|entry| entry.name == feed.name) { " (STALE)" } else { "" },
                if feed.newest.is_empty() { "-" } else { &feed.newest },
                feed.refused
            )?;
        }
    }
    for feed in &stale {
        output::note(&format!("bonded: {}; renew it with `bonded advisories build`", feed.sentence()));
    }
    Ok(if stale.is_empty() { Outcome::Clean } else { Outcome::Findings })
}

fn show(args: &ShowArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let map = open(&args.database.db)?;
    let db = Db::open(&map)?;
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
