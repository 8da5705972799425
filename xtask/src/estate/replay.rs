//! The history of the feeds, replayed: after each step the counters that deltas lead to equal those of a full match.
//!
//! Of each record only its last state is known. So it is published without repairs, at the time of its publication; it
//! is corrected to what it says now at the time of its last change; and it is withdrawn when it was.

use super::catalogue::Catalogue;
use super::{Args, Judge, generate, say, text, timed};
use anyhow::Context;
use estate::findings::{Changed, Findings, delta, full};
use estate::{Estate, ImageRef, Tally, Writer};
use std::collections::BTreeMap;
use vuln::advisory::import::{ImportLimits, Item, import};
use vuln::advisory::{Advisory, Event};
use vuln::db::{Db, FeedDraft, ShrinkPolicy, Update};

/// Images of the replay.
const IMAGES: u32 = 3_000;
/// Feeds whose records say when they were published.
const FEEDS: [&str; 4] = ["AlmaLinux", "Go", "PyPI", "crates.io"];

type Feeds = Vec<(&'static str, Vec<Advisory>)>;

fn read(args: &Args) -> anyhow::Result<Feeds> {
    let mut feeds = Feeds::new();
    for name in FEEDS {
        let path = args.dir.join(format!("../advisories/{name}.zip"));
        let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let mut all = Vec::new();
        import(&path.to_string_lossy(), &bytes, &ImportLimits::default(), &mut |item| {
            if let Item::Advisory(advisory) = item {
                all.push(*advisory);
            }
        })?;
        feeds.push((name, all));
    }
    Ok(feeds)
}

/// When a record appeared.
fn appeared(advisory: &Advisory) -> &str {
    advisory.published.as_deref().filter(|p| !p.is_empty()).unwrap_or(&advisory.modified)
}

/// A record as it was at a time; none before it was published.
fn as_of(advisory: &Advisory, time: &str) -> Option<Advisory> {
    if appeared(advisory) > time {
        return None;
    }
    let mut then = advisory.clone();
    then.withdrawn = then.withdrawn.filter(|w| w.as_str() <= time);
    if advisory.modified.as_str() > time {
        for affected in &mut then.affected {
            affected.fixed.clear();
            for range in &mut affected.ranges {
                range.events.retain(|e| !matches!(e, Event::Fixed(_)));
            }
        }
    }
    Some(then)
}

fn database(feeds: &Feeds, time: &str) -> anyhow::Result<Vec<u8>> {
    let mut update = Update::new();
    for (name, advisories) in feeds {
        let mut draft = FeedDraft::new(*name, *name, time);
        for advisory in advisories.iter().filter_map(|a| as_of(a, time)) {
            draft.add(Item::Advisory(Box::new(advisory)));
        }
        update.put(draft, ShrinkPolicy::Allow)?;
    }
    Ok(update.finish())
}

/// Replays and compares.
pub(super) fn replay(judge: &mut Judge, args: &Args, catalogue: &Catalogue) -> anyhow::Result<()> {
    let feeds = read(args)?;
    let mut times: Vec<String> = feeds
        .iter()
        .flat_map(|(_, all)| all)
        .flat_map(|a| [appeared(a).to_owned(), a.modified.clone()].into_iter().chain(a.withdrawn.clone()))
        .filter(|t| t.starts_with("20"))
        .collect();
    times.sort();
    let mut writer = Writer::new();
    generate::fill(&mut writer, catalogue, IMAGES, args.seed);
    let segment = writer.finish()?;
    let estate = Estate::open(&[&segment])?;
    let mut files: Vec<Vec<u8>> = Vec::new();
    let mut before: Option<Vec<u8>> = None;
    let mut tallies: BTreeMap<ImageRef, Tally> = BTreeMap::new();
    let (mut appeared, mut changed, mut vanished, mut wrong) = (0, 0, 0, 0);
    let ((), took) = {
        let (done, took) = timed(|| -> anyhow::Result<()> {
            for step in 1..=args.steps {
                let time = &times[(times.len() * step / args.steps).min(times.len()) - 1];
                let bytes = database(&feeds, time)?;
                let db = Db::open(&bytes)?;
                let anew = full(&estate, 0..1, &db)?;
                let anew_open = Findings::open(&[&anew], &estate)?;
                let expected: BTreeMap<_, _> = anew_open.tallies(&estate)?.into_iter().collect();
                if let Some(old) = &before {
                    let views: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
                    let findings = Findings::open(&views, &estate)?;
                    let what = Changed::between(&Db::open(old)?, &db)?;
                    let delta = delta(&estate, &findings, &db, &what)?;
                    for (at, by) in delta.tally_changes(&estate)? {
                        let tally = tallies.entry(at).or_default();
                        *tally = tally.changed(&by);
                    }
                    for change in &delta.changes {
                        match (&change.before, &change.after) {
                            (None, _) => appeared += 1,
                            (_, None) => vanished += 1,
                            _ => changed += 1,
                        }
                    }
                    if !delta.file.is_empty() {
                        files.push(delta.file);
                    }
                    wrong += usize::from(tallies != expected);
                } else {
                    tallies = expected;
                    files.push(anew);
                }
                before = Some(bytes);
            }
            Ok(())
        });
        (done?, took)
    };
    say(&format!(
        "       {appeared} findings appeared, {changed} changed, {vanished} vanished; {}",
        text(took)
    ))?;
    let what = format!(
        "after each of {} steps of the feeds' history the counters equal a full match ({wrong} do not)",
        args.steps
    );
    judge.check(wrong == 0 && appeared > 0 && changed > 0 && vanished > 0, &what)
}
