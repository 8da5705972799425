//! `bonded scan`: everything that can be said of a source without a server.

mod database;
mod looking;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use vuln::db::{Db, stale_feeds};
use vuln::look::{Interest, MalwareList, Seen};
use vuln::matching::{self, IgnoreFile, Options, VexDocument};
use vuln::report::{self, Advice, ScanReport, Target};
use vuln::secrets::SecretRules;
use vuln::{Problem, Severity, eol, misconfig};

use crate::age::MaxAge;
use crate::command::Outcome;
use crate::input::{self, Input, InputArgs};
use crate::{clock, output};
use database::Database;
use looking::Looking;

/// What a scan can look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scanner {
    /// Vulnerable packages; needs `--db`.
    Vuln,
    /// Secrets in files, environment and history.
    Secret,
    /// Misconfiguration of the image, and of infrastructure code in it.
    Misconfig,
    /// Licences that ask for a decision.
    License,
    /// Packages of which a newer version exists; needs `--db` with a feed of newest versions.
    Outdated,
}

/// Forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// For people.
    Table,
    /// Everything.
    Json,
    /// SARIF 2.1.0.
    Sarif,
    /// JUnit XML.
    Junit,
    /// CycloneDX 1.6 with vulnerabilities.
    Cyclonedx,
}

/// Severities as given on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    Unknown,
    Negligible,
    Low,
    Medium,
    High,
    Critical,
}

impl From<Level> for Severity {
    fn from(level: Level) -> Self {
        match level {
            Level::Unknown => Self::Unknown,
            Level::Negligible => Self::Negligible,
            Level::Low => Self::Low,
            Level::Medium => Self::Medium,
            Level::High => Self::High,
            Level::Critical => Self::Critical,
        }
    }
}

/// Arguments of `bonded scan`.
#[derive(Debug, Args)]
pub struct ScanArgs {
    /// OCI layout, image archive, directory or SBOM.
    #[arg(value_name = "SOURCE")]
    source: String,
    #[command(flatten)]
    input: InputArgs,
    /// Advisory database (`bonded advisories build`), or a directory of feeds.
    #[arg(long, value_name = "FILE|DIR", env = "BONDED_ADVISORIES")]
    db: Option<PathBuf>,
    /// What to look for [default: vuln (with --db), secret, misconfig].
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    scanners: Vec<Scanner>,
    /// Form of the report.
    #[arg(short = 'f', long, value_enum, default_value = "table")]
    format: ReportFormat,
    /// File to write [default: standard output].
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Exit code 1 when a finding has this severity or a higher one.
    #[arg(long, value_enum, value_name = "SEVERITY")]
    fail_on: Option<Level>,
    /// Leave out vulnerabilities that no version repairs.
    #[arg(long)]
    ignore_unfixed: bool,
    /// VEX documents (OpenVEX, CSAF, CycloneDX), the most trusted last.
    #[arg(long, value_name = "FILE")]
    vex: Vec<PathBuf>,
    /// Rules of what not to count, of any scanner, one identifier per line or YAML [default: .bondedignore or .trivyignore, if it exists].
    #[arg(long, value_name = "FILE")]
    ignorefile: Option<PathBuf>,
    /// More secret rules, in the form of the documentation; one with the identifier of another takes its place.
    #[arg(long, value_name = "FILE")]
    secret_rules: Option<PathBuf>,
    /// List of malware: lines of `SHA256 NAME`.
    #[arg(long, value_name = "FILE")]
    malware: Option<PathBuf>,
    /// Another base image: say what it would change (needs --db).
    #[arg(long, value_name = "SOURCE")]
    compare_base: Option<String>,
    /// List suppressed findings in the table, with their reasons.
    #[arg(long)]
    show_suppressed: bool,
    /// A scan with a feed that was not renewed for longer (`7d`, `36h`) is incomplete; `none`: age does not matter
    /// [default: from 7d on a warning].
    #[arg(long, value_name = "AGE")]
    max_feed_age: Option<MaxAge>,
    /// Exit code 0 even if parts could not be read or judged.
    #[arg(long)]
    allow_incomplete: bool,
}

impl ScanArgs {
    fn looks_for(&self, scanner: Scanner) -> bool {
        if self.scanners.is_empty() {
            return match scanner {
                Scanner::Vuln => self.db.is_some(),
                Scanner::Secret | Scanner::Misconfig => true,
                Scanner::License | Scanner::Outdated => false,
            };
        }
        self.scanners.contains(&scanner)
    }
}

pub(crate) fn run(args: ScanArgs) -> anyhow::Result<Outcome> {
    let needs_database = args.looks_for(Scanner::Vuln) || args.looks_for(Scanner::Outdated);
    if needs_database && args.db.is_none() {
        bail!(
            "vulnerabilities and outdated packages need an advisory database: `--db FILE` (made by `bonded advisories build --db FILE FEEDS`) or `--db DIR` \
             with feeds; without it: `--scanners secret,misconfig`"
        );
    }
    let rules = match &args.secret_rules {
        Some(path) => std::sync::Arc::new(
            SecretRules::with(&read_text(path)?).with_context(|| path.display().to_string())?,
        ),
        None => SecretRules::embedded()?,
    };
    let malware = args.malware.as_deref().map(read_text).transpose()?;
    let malware = malware.map(|text| MalwareList::parse(&text)).transpose()?;
    let looking = Looking::new(Interest {
        secrets: args.looks_for(Scanner::Secret).then_some(rules.as_ref()),
        misconfig: args.looks_for(Scanner::Misconfig),
        malware: malware.as_ref(),
    });
    output::progress(&format!("reading {}", args.source));
    let input = input::load(&args.source, &args.input, Some(&looking))?;
    for note in &input.notes {
        output::note(&format!("bonded: {note}"));
    }
    let mut report = skeleton(&input);
    add_seen(&mut report, looking.finish(&input.layers), &input, &args, rules.as_ref());
    if args.looks_for(Scanner::License) {
        report.licenses = Some(report::license_findings(&input.document.inventory));
    }
    let ignore = ignore_file(&args)?;
    let today = clock::now().strftime("%Y-%m-%d").to_string();
    if let Some(ignore) = &ignore {
        report.ignore(ignore, &today);
    }
    if let Some(path) = args.db.as_ref().filter(|_| needs_database) {
        let database = Database::open(path)?;
        let db = database.db().with_context(|| format!("{} cannot be used", path.display()))?;
        age(&mut report, &db, &args);
        if args.looks_for(Scanner::Vuln) {
            judge(&mut report, &input, &db, &args, ignore.as_ref())?;
        }
        if args.looks_for(Scanner::Outdated) {
            if !db.knows_newest() {
                bail!(
                    "no feed of {} states newest versions; add one (docs/scan.md), such as a list of package URLs",
                    path.display()
                );
            }
            report.outdated = Some(matching::outdated(&db, &input.document.inventory)?);
        }
    }
    if args.ignore_unfixed {
        report.retain_fixable();
    }
    let bytes = match args.format {
        ReportFormat::Table => report::table(&report, args.show_suppressed).into_bytes(),
        ReportFormat::Json => report::json(&report)?,
        ReportFormat::Sarif => report::sarif(&report)?,
        ReportFormat::Junit => report::junit(&report)?,
        ReportFormat::Cyclonedx => report::vdr(&input.document, &report)?,
    };
    output::write(&bytes, args.output.as_deref())?;
    Ok(outcome(&report, &args))
}

fn outcome(report: &ScanReport, args: &ScanArgs) -> Outcome {
    let worst = report.worst(args.ignore_unfixed);
    if args.fail_on.is_some_and(|level| worst.is_some_and(|worst| worst >= Severity::from(level))) {
        return Outcome::Findings;
    }
    if report.is_incomplete() && !args.allow_incomplete { Outcome::Incomplete } else { Outcome::Clean }
}

fn skeleton(input: &Input) -> ScanReport {
    let document = &input.document;
    let distro = document.inventory.distro.clone();
    let today = clock::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let end_of_life =
        distro.as_ref().and_then(|distro| eol::ended(distro, today)).map(|date| date.to_string());
    ScanReport {
        target: Target {
            name: document.subject.name.clone(),
            version: document.subject.version.clone(),
            digest: document.subject.digest,
            distro,
            packages: document.inventory.packages.len(),
        },
        created: clock::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        end_of_life,
        problems: document.inventory.problems.clone(),
        ..ScanReport::default()
    }
}

/// What was seen in files, with what the image's configuration says.
fn add_seen(report: &mut ScanReport, seen: Seen, input: &Input, args: &ScanArgs, rules: &SecretRules) {
    if args.looks_for(Scanner::Secret) {
        let mut secrets = seen.secrets;
        secrets.extend(input.config.iter().flat_map(|config| rules.scan_config(config)));
        secrets.sort();
        report.secrets = Some(secrets);
    }
    if args.looks_for(Scanner::Misconfig) {
        let mut found = seen.misconfigurations;
        found.extend(input.config.iter().flat_map(misconfig::image::check));
        found.sort();
        found.dedup();
        report.misconfigurations = Some(found);
    }
    report.malware = args.malware.as_ref().map(|_| seen.malware);
    report.problems.extend(seen.problems);
}

/// Warns of feeds that were not renewed for long; where the caller set the bound, the scan is incomplete.
fn age(report: &mut ScanReport, db: &Db<'_>, args: &ScanArgs) {
    let Some(limit) = args.max_feed_age.unwrap_or_default().limit() else { return };
    report.stale_feeds = stale_feeds(db.feeds(), clock::now(), limit);
    for feed in &report.stale_feeds {
        output::note(&format!("bonded: {}", feed.sentence()));
        if args.max_feed_age.is_some() {
            report.problems.push(Problem {
                source: "feeds".into(),
                path: String::new(),
                message: feed.sentence(),
            });
        }
    }
}

fn judge(
    report: &mut ScanReport,
    input: &Input,
    db: &Db<'_>,
    args: &ScanArgs,
    ignore: Option<&IgnoreFile>,
) -> anyhow::Result<()> {
    let mut vex = Vec::new();
    for path in &args.vex {
        let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        vex.push(
            VexDocument::parse(&path.display().to_string(), &bytes)
                .with_context(|| path.display().to_string())?,
        );
    }
    let products: Vec<String> = input.document.subject.purl().into_iter().collect();
    let today = clock::now().strftime("%Y-%m-%d").to_string();
    let options = Options { vex: &vex, ignore, products: &products, today: &today };
    let found = matching::match_inventory(db, &input.document.inventory, &options)?;
    if let Some(base) = &args.compare_base {
        let other = input::load(base, &args.input, None)?;
        let theirs = matching::match_inventory(db, &other.document.inventory, &options)?;
        let layers = input.config.as_ref().map(|config| report::base_layers(config, input.layers.len()));
        // Of what has no layers (a directory, an SBOM), everything may be of the base.
        let own = match layers {
            Some(count) => matching::match_inventory(db, &vuln::merge(&input.layers[..count]), &options)?,
            None => found.clone(),
        };
        let advice = report::base_advice(&own.findings, &found.findings, &theirs.findings);
        let advice = Advice { base: base.clone(), layers: layers.unwrap_or_default(), ..advice };
        output::note(&format!("bonded: {base}: {}", advice.sentence()));
        // A base that cannot be judged would look like one without findings.
        report.problems.extend(
            theirs
                .problems
                .into_iter()
                .map(|it| Problem { message: format!("{base}: {}", it.message), ..it }),
        );
        report.base = Some(advice);
    }
    // The database's feed of release dates is newer than the embedded list.
    report.end_of_life = found.end_of_life.clone().or(report.end_of_life.take());
    report.vulnerabilities = Some(found);
    Ok(())
}

fn ignore_file(args: &ScanArgs) -> anyhow::Result<Option<IgnoreFile>> {
    let fallback =
        [".bondedignore", ".trivyignore"].into_iter().map(PathBuf::from).find(|path| path.exists());
    let Some(path) = args.ignorefile.clone().or(fallback) else { return Ok(None) };
    let name = path.display().to_string();
    Ok(Some(IgnoreFile::parse(&name, &read_text(&path)?).with_context(|| format!("{name} cannot be used"))?))
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}
