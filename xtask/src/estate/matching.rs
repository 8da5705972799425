//! Matching: everything, one new advisory, everything again after a rebuilt database.

use super::generate::digest;
use super::{Judge, say, text, timed};
use anyhow::ensure;
use estate::findings::{Changed, Delta, Findings, delta, full};
use estate::{Estate, ImageRef, Images};
use std::time::Duration;
use vuln::advisory::import::Item;
use vuln::advisory::{Advisory, Affected, Rating};
use vuln::db::{Db, FeedDraft, ShrinkPolicy, Update};
use vuln::matching::{Options, lookups, match_inventory};
use vuln::{Distro, Evidence, Inventory};

/// Matches all of an estate and compares images with a scan of their inventory; answers the file of findings.
pub(super) fn everything(judge: &mut Judge, estate: &Estate<'_>, db: &[u8]) -> anyhow::Result<Vec<u8>> {
    let db = Db::open(db)?;
    let (file, took) = timed(|| full(estate, 0..estate.segments(), &db));
    let file = file?;
    say(&format!("       every package matched in {}: findings of {} MiB", text(took), file.len() >> 20))?;
    let findings = Findings::open(&[&file], estate)?;
    let (tallies, took) = timed(|| findings.tallies(estate));
    let tallies = tallies?;
    say(&format!("       counters of {} images in {}", tallies.len(), text(took)))?;
    let step = (tallies.len() / 200).max(1);
    let mut wrong = 0;
    for (at, tally) in tallies.iter().step_by(step) {
        let report = match_inventory(&db, &inventory(estate, *at)?, &Options::default())?;
        wrong += usize::from((tally.all(), tally.fixable()) != (report.all(), report.fixable()));
    }
    judge.check(wrong == 0, &format!("counters of sampled images equal a scan of them ({wrong} do not)"))?;
    Ok(file)
}

/// An image's inventory again.
fn inventory(estate: &Estate<'_>, at: ImageRef) -> anyhow::Result<Inventory> {
    let mut inventory = Inventory::default();
    for seen in estate.contents(at)? {
        let mut package = seen.package.to_package();
        package.evidence =
            seen.paths.iter().map(|p| Evidence { layer: None, path: (*p).to_owned() }).collect();
        inventory.packages.push(package);
        if let (Some(id), Some(scope)) = (seen.package.distro, seen.package.scopes.first()) {
            let release = scope.split_once(':').map_or("", |(_, r)| r.trim_start_matches('v'));
            inventory.distro =
                Some(Distro { id: id.to_owned(), version_id: release.to_owned(), ..Distro::default() });
        }
    }
    Ok(inventory)
}

/// One new advisory at a time, of packages that many, some and few images hold.
pub(super) fn new_advisory(
    judge: &mut Judge,
    estate: &Estate<'_>,
    findings: &[u8],
    before: &[u8],
) -> anyhow::Result<()> {
    let findings = Findings::open(&[findings], estate)?;
    let old = Db::open(before)?;
    for (ecosystem, name) in [
        ("Debian:12", "adduser"),
        ("Debian:12", "glibc"),
        ("Maven", "org.apache.logging.log4j:log4j-core"),
        ("PyPI", "django"),
    ] {
        let mut advisory = Advisory { id: "CVE-2026-99999".into(), ..Advisory::default() };
        advisory.affected = vec![Affected::new(ecosystem, name).until(None)];
        advisory.severity = vec![Rating::label("critical")];
        let mut draft = FeedDraft::new("news", "news", "2026-11-30T00:00:00Z");
        draft.add(Item::Advisory(Box::new(advisory)));
        let mut update = Update::of(&old);
        update.put(draft, ShrinkPolicy::Allow)?;
        let bytes = update.finish();
        let new = Db::open(&bytes)?;
        let (told, took) = timed(|| -> anyhow::Result<(Delta, Images, usize, usize)> {
            let changed = Changed::between(&old, &new)?;
            let delta = delta(estate, &findings, &new, &changed)?;
            let affected = Delta::images(estate, &delta.changes)?;
            let names = estate.digests(&affected, None, usize::MAX)?;
            ensure!(names.len() as u64 == affected.count(), "an image has no name");
            let projects = estate.projects_with(&affected)?.len();
            let counters = delta.tally_changes(estate)?.len();
            Ok((delta, affected, projects, counters))
        });
        let (delta, affected, projects, counters) = told?;
        let names = affected.count();
        let what = format!(
            "a new advisory of {name} names {names} images in {projects} projects ({} packages matched)",
            delta.matched
        );
        judge.within(took, Duration::from_secs(1), &what)?;
        let wrong = wrongly_named(estate, &affected, (ecosystem, name))?;
        let right = wrong == 0 && counters as u64 == names && names > 0;
        judge.check(right, &format!("of sampled images it names those that hold it ({wrong} wrong)"))?;
    }
    Ok(())
}

/// How many of some images are named though they do not hold the package, or not named though they do.
fn wrongly_named(estate: &Estate<'_>, affected: &Images, package: (&str, &str)) -> anyhow::Result<usize> {
    let mut wrong = 0;
    for image in 0..500 {
        let Some(at) = estate.find(&digest(image))? else { continue };
        let mut held = false;
        for seen in estate.contents(at)? {
            let scopes: Vec<String> = seen.package.scopes.iter().map(|s| (*s).to_owned()).collect();
            let found = lookups(&seen.package.to_package(), &scopes);
            held |= found.iter().any(|(scope, name)| (scope.as_str(), name.as_str()) == package);
        }
        wrong += usize::from(held != affected.contains(at));
    }
    Ok(wrong)
}

/// Everything again, as after a rebuilt database, counters included.
pub(super) fn rebuilt(judge: &mut Judge, segment: &[u8], db: &[u8]) -> anyhow::Result<()> {
    let db = Db::open(db)?;
    let (count, took) = timed(|| -> anyhow::Result<usize> {
        let estate = Estate::open(&[segment])?;
        let file = full(&estate, 0..estate.segments(), &db)?;
        let findings = Findings::open(&[&file], &estate)?;
        Ok(findings.tallies(&estate)?.len())
    });
    let what = format!("{} images are matched anew with their counters", count?);
    judge.within(took, Duration::from_secs(30), &what)
}
