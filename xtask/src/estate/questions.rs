//! Random questions of every kind, asked for all and for callers who see few or many projects.

use super::catalogue::{Catalogue, Entry, Language, System};
use super::generate::{Draw, PROJECTS, digest, jar_hash};
use super::{Args, Judge, say, text, timed};
use estate::findings::{Asked, Findings, Lines, LinesError, Named};
use estate::search::{Query, Window, search};
use estate::{Estate, Visible};
use std::time::{Duration, Instant};
use vuln::PackageKind;

type Kind = (&'static str, fn(&Source<'_>, &mut Draw) -> String);

struct Source<'c> {
    catalogue: &'c Catalogue,
    vulnerabilities: Vec<String>,
}

impl Source<'_> {
    fn language(&self, draw: &mut Draw) -> (&Language, &Entry) {
        let language = &self.catalogue.languages[draw.below(self.catalogue.languages.len())];
        (language, &language.entries[draw.zipf(language.entries.len())])
    }

    fn system(&self, draw: &mut Draw) -> (&System, &Entry) {
        let system = &self.catalogue.systems[draw.zipf(self.catalogue.systems.len())];
        (system, &system.entries[draw.zipf(system.entries.len())])
    }

    fn name(&self, draw: &mut Draw) -> String {
        let entry = if draw.below(2) == 0 { self.language(draw).1 } else { self.system(draw).1 };
        format!("name:\"{}\"", entry.name)
    }

    fn purl(&self, draw: &mut Draw, version: bool) -> String {
        let (language, entry) = self.language(draw);
        let ty = match language.kind {
            PackageKind::Npm => "npm",
            PackageKind::Pypi => "pypi",
            PackageKind::Maven => "maven",
            PackageKind::Golang => "golang",
            PackageKind::Gem => "gem",
            PackageKind::Composer => "composer",
            PackageKind::Cargo => "cargo",
            _ => "bitnami",
        };
        let name = entry.name.replace(':', "/").replace('@', "%40");
        let version = if version {
            format!("@{}", entry.versions[draw.zipf(entry.versions.len())])
        } else {
            String::new()
        };
        format!("pkg:{ty}/{name}{}", version.replace(' ', "%20"))
    }
}

const KINDS: [Kind; 14] = [
    ("name", |s, d| s.name(d)),
    ("name and version", |s, d| {
        let (_, entry) = s.language(d);
        format!("name:\"{}\" < \"{}\"", entry.name, entry.versions[d.below(entry.versions.len())])
    }),
    ("package url", |s, d| s.purl(d, false)),
    ("package url with version", |s, d| s.purl(d, true)),
    ("beginning of a name", |s, d| {
        let (_, entry) = s.language(d);
        let start: String = entry.name.chars().take(2 + d.below(4)).collect();
        format!("name:\"{start}*\"")
    }),
    ("part of a name", |s, d| {
        let (_, entry) = s.system(d);
        let part: String = entry.name.chars().skip(1).take(2 + d.below(4)).collect();
        format!("name:\"*{part}*\"")
    }),
    ("licence", |_, d| {
        let all = ["MIT", "Apache-2.0", "BSD-3-Clause", "ISC", "GPL-3.0-only", "LGPL-2.1-or-later", "GPL-*"];
        format!("license:{}", all[d.below(all.len())])
    }),
    ("path", |s, d| {
        let (language, entry) = s.language(d);
        let name = entry.name.rsplit(['/', ':']).next().unwrap_or_default();
        match (language.kind, d.below(3)) {
            (PackageKind::Maven, _) => format!("path:**/{name}-*.jar"),
            (PackageKind::Npm, 0) => format!("path:app/**/{name}/package.json"),
            (PackageKind::Pypi, _) => format!("path:**/{name}-*.dist-info/METADATA"),
            (_, 0) => format!("path:*{name}*"),
            (_, 1) => "path:**/package.json".to_owned(),
            _ => format!("path:srv/www/**/{name}*"),
        }
    }),
    ("file hash", |s, d| {
        let jars = s.catalogue.languages.iter().find(|l| l.kind == PackageKind::Maven);
        let entries = jars.map_or(&[][..], |j| &j.entries);
        let entry = &entries[d.zipf(entries.len())];
        jar_hash(&entry.name, &entry.versions[d.below(entry.versions.len())])
    }),
    ("vulnerability", |s, d| format!("vuln:{}", s.vulnerabilities[d.below(s.vulnerabilities.len())])),
    ("ecosystem", |_, d| {
        let all = ["npm", "pypi", "maven", "golang", "deb", "apk", "rpm", "gem", "debian", "Debian:12"];
        format!("ecosystem:{}", all[d.below(all.len())])
    }),
    ("licence in an ecosystem", |_, d| {
        let all = ["npm", "pypi", "maven", "deb", "debian"];
        let ids = ["MIT", "Apache-2.0", "GPL-3.0-only"];
        format!("ecosystem:{} license:{}", all[d.below(all.len())], ids[d.below(ids.len())])
    }),
    ("two packages", |s, d| format!("{} AND {}", s.name(d), s.name(d))),
    ("package and vulnerability", |s, d| {
        let (_, entry) = s.system(d);
        let id = &s.vulnerabilities[d.below(s.vulnerabilities.len())];
        format!("name:\"{}\" AND vuln:{id}", entry.name)
    }),
];

/// Asks, and holds the slowest of a hundred against its aim.
pub(super) fn ask(
    judge: &mut Judge,
    estate: &Estate<'_>,
    findings: &[u8],
    catalogue: &Catalogue,
    args: &Args,
) -> anyhow::Result<()> {
    let findings = Findings::open(&[findings], estate)?;
    let mut draw = Draw::new(args.seed ^ 0xabcd);
    let vulnerabilities = vulnerabilities(estate, &findings, &mut draw, args)?;
    let source = Source { catalogue, vulnerabilities };
    for (kind, question) in KINDS {
        let (mut times, mut passed, mut totals) = (Vec::new(), Vec::new(), Vec::new());
        let mut slowest = (Duration::ZERO, String::new());
        for _ in 0..args.questions {
            let question = question(&source, &mut draw);
            let projects = projects(&mut draw);
            let visible = projects.as_deref().map_or(Visible::All, Visible::Projects);
            let after = (draw.below(3) == 0).then(|| digest(u32::try_from(draw.below(1 << 20)).unwrap_or(0)));
            let window = Window { visible, after, limit: 100, packages: 20 };
            let start = Instant::now();
            let (page, took) = timed(|| -> anyhow::Result<u64> {
                let query = Query::parse(&question)?;
                Ok(search(estate, &findings, &query, &window)?.total)
            });
            passed.push(start.elapsed());
            times.push(took);
            totals.push(page?);
            if took > slowest.0 {
                slowest = (took, question);
            }
        }
        times.sort_unstable();
        passed.sort_unstable();
        totals.sort_unstable();
        let at = |times: &[Duration], part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
        let what = format!(
            "{kind}: passed p50 {} p99 {}; slowest {} ({}); images p50 {} most {}; p99",
            text(at(&passed, 50)),
            text(at(&passed, 99)),
            text(slowest.0),
            slowest.1,
            totals[totals.len() / 2],
            totals[totals.len() - 1]
        );
        judge.within(at(&times, 99), Duration::from_millis(50), &what)?;
    }
    list(judge, estate, &findings, &source, args)?;
    say(&format!("       {} questions of each kind", args.questions))
}

/// Images whose lines a list goes through before it has counted as far as pages reach.
const LISTED: usize = 1000;

/// Asks as the security hub does: the images with a vulnerability or a package, and what each of them has of it.
fn list(
    judge: &mut Judge,
    estate: &Estate<'_>,
    findings: &Findings<'_>,
    source: &Source<'_>,
    args: &Args,
) -> anyhow::Result<()> {
    let mut draw = Draw::new(args.seed ^ 0x11575);
    let mut times = Vec::new();
    for number in 0..args.questions {
        let id = &source.vulnerabilities[draw.below(source.vulnerabilities.len())];
        let package = Named { text: &source.system(&mut draw).1.name, part: number % 4 == 1 };
        let asked = match number % 2 {
            0 => Asked { id: Some(id), ..Asked::default() },
            _ => Asked { package: Some(package), ..Asked::default() },
        };
        let projects = projects(&mut draw);
        let (lines, took) = timed(|| -> anyhow::Result<usize> {
            let mut lines = Lines::new(estate, findings, &asked);
            let mut images = match lines.narrow() {
                // Answered by asking for more of the name.
                Err(LinesError::TooMany) => return Ok(0),
                images => images?,
            };
            estate.cut(&mut images, projects.as_deref().map_or(Visible::All, Visible::Projects))?;
            let mut count = 0;
            for at in images.iter().take(LISTED) {
                count += lines.of(at)?.len();
            }
            Ok(count)
        });
        lines?;
        times.push(took);
    }
    times.sort_unstable();
    let p99 = times[(times.len() * 99 / 100).min(times.len() - 1)];
    judge.within(p99, Duration::from_millis(100), "findings of a vulnerability or package as lines: p99")
}

/// All, one to three projects, or half of them.
fn projects(draw: &mut Draw) -> Option<Vec<i64>> {
    match draw.below(3) {
        0 => None,
        1 => Some((0..=draw.below(3)).map(|_| i64::try_from(draw.below(2_000)).unwrap_or(0)).collect()),
        _ => Some((0..PROJECTS).filter(|p| p % 2 == 0).collect()),
    }
}

/// Names of vulnerabilities that images have.
fn vulnerabilities(
    estate: &Estate<'_>,
    findings: &Findings<'_>,
    draw: &mut Draw,
    args: &Args,
) -> anyhow::Result<Vec<String>> {
    let mut all = Vec::new();
    for _ in 0..300 {
        let image = digest(u32::try_from(draw.below(args.images as usize)).unwrap_or(0));
        let Some(at) = estate.find(&image)? else { continue };
        let found = findings.of_image(estate, at)?;
        if !found.is_empty() {
            all.push(found[draw.below(found.len())].1.id.clone());
        }
    }
    anyhow::ensure!(!all.is_empty(), "no image has a finding");
    Ok(all)
}
