//! How long vulnerabilities stay: published → first present → fix built → last affected gone.
//!
//! Pure functions over events that the caller keeps. Times are seconds since 1970; a vulnerability is exposed in a
//! project while at least one of its images is affected. What is still open is measured up to the `now` that the caller
//! gives. A stay begins when an image becomes affected while none was; it ends when the last one is gone.

use std::collections::{BTreeMap, BTreeSet};
use vuln::Severity;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Happened {
    /// The first advisory was published; of one vulnerability in any project the earliest counts, for all projects.
    Published,
    /// An image of the project became affected: it was pushed, or an advisory came to speak of it.
    Present {
        /// The image, by a number of the caller.
        image: u64,
    },
    /// An image without the finding was built in place of an affected one.
    FixBuilt,
    /// An image of the project is no longer affected: it was deleted, or the advisory was withdrawn or corrected.
    Gone {
        /// The image.
        image: u64,
    },
}

/// An event of a vulnerability in a project.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// When.
    pub at: i64,
    /// The vulnerability's first name.
    pub vulnerability: String,
    /// The project.
    pub project: i64,
    /// Severity at that time; the last one counts.
    pub severity: Severity,
    /// What.
    pub happened: Happened,
}

/// A time in which a project was exposed without a break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    /// The vulnerability's first name.
    pub vulnerability: String,
    /// The project.
    pub project: i64,
    /// Its severity.
    pub severity: Severity,
    /// When it was published, if that is known.
    pub published: Option<i64>,
    /// When the first image became affected.
    pub first_present: i64,
    /// When the first repaired image was built.
    pub fix_built: Option<i64>,
    /// When the last affected image was gone; none: it still is there.
    pub gone: Option<i64>,
    /// Seconds times images.
    pub image_seconds: u64,
    /// Most images at once.
    pub images: u64,
}

impl Stay {
    /// When it could be known of: it was there and published.
    pub fn known_from(&self) -> i64 {
        self.published.map_or(self.first_present, |p| p.max(self.first_present))
    }

    /// Seconds in which it was known and there, up to `now`; none if it was gone before it was published.
    pub fn exposed(&self, now: i64) -> u64 {
        seconds(self.known_from(), self.gone.unwrap_or(now))
    }

    /// Seconds from when it could be known of to the first repaired image.
    pub fn to_fix(&self) -> Option<u64> {
        self.fix_built.map(|at| seconds(self.known_from(), at))
    }

    /// Seconds from when it could be known of to the last affected image's end.
    pub fn to_repair(&self) -> Option<u64> {
        self.gone.map(|at| seconds(self.known_from(), at))
    }
}

fn seconds(from: i64, to: i64) -> u64 {
    u64::try_from(to.saturating_sub(from)).unwrap_or(0)
}

/// What is known of one vulnerability in one project while the events are walked.
#[derive(Default)]
struct Walk {
    published: Option<i64>,
    affected: BTreeSet<u64>,
    since: i64,
    open: Option<Stay>,
}

/// The stays that events tell of, by vulnerability, project and time; events may come in any order.
pub fn stays(events: &[Event], now: i64) -> Vec<Stay> {
    let mut sorted: Vec<&Event> = events.iter().filter(|e| e.at <= now).collect();
    sorted.sort();
    let mut published: BTreeMap<&str, i64> = BTreeMap::new();
    for event in sorted.iter().rev().filter(|e| e.happened == Happened::Published) {
        published.insert(&event.vulnerability, event.at);
    }
    let mut walks: BTreeMap<(&str, i64), (Walk, Vec<Stay>)> = BTreeMap::new();
    for event in sorted {
        let (walk, done) = walks.entry((&event.vulnerability, event.project)).or_default();
        walk.published = published.get(event.vulnerability.as_str()).copied();
        walk.step(event, done);
    }
    let mut out = Vec::new();
    for (mut walk, done) in walks.into_values() {
        out.extend(done);
        walk.count_to(now);
        out.extend(walk.open);
    }
    out
}

impl Walk {
    fn count_to(&mut self, at: i64) {
        if let Some(stay) = &mut self.open {
            let images = self.affected.len() as u64;
            let more = seconds(self.since, at).saturating_mul(images);
            stay.image_seconds = stay.image_seconds.saturating_add(more);
            stay.images = stay.images.max(images);
        }
        self.since = at;
    }

    fn step(&mut self, event: &Event, done: &mut Vec<Stay>) {
        self.count_to(event.at);
        if let Some(stay) = &mut self.open {
            stay.severity = event.severity;
        }
        match event.happened {
            Happened::Published => {}
            Happened::Present { image } => {
                self.affected.insert(image);
                let images = self.affected.len() as u64;
                let stay = self.open.get_or_insert_with(|| Stay {
                    vulnerability: event.vulnerability.clone(),
                    project: event.project,
                    severity: event.severity,
                    published: self.published,
                    first_present: event.at,
                    fix_built: None,
                    gone: None,
                    image_seconds: 0,
                    images,
                });
                stay.images = stay.images.max(images);
            }
            Happened::FixBuilt => {
                if let Some(stay) = &mut self.open {
                    stay.fix_built.get_or_insert(event.at);
                }
            }
            Happened::Gone { image } => {
                if self.affected.remove(&image)
                    && self.affected.is_empty()
                    && let Some(mut stay) = self.open.take()
                {
                    stay.gone = Some(event.at);
                    done.push(stay);
                }
            }
        }
    }
}

/// Numbers over some stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Stays that are over.
    pub repaired: u64,
    /// Stays that last.
    pub open: u64,
    /// Mean seconds to repair of those that are over.
    pub mean_to_repair: Option<u64>,
    /// Median of the same (the lower of two).
    pub median_to_repair: Option<u64>,
    /// Mean seconds to the first repaired image, of those that have one.
    pub mean_to_fix: Option<u64>,
    /// Seconds exposed, all together.
    pub exposed: u64,
    /// Seconds times images, all together.
    pub image_seconds: u64,
}

/// Sums stays up by a key: vulnerability, severity, project or several of them.
pub fn summaries<K: Ord>(stays: &[Stay], now: i64, key: impl Fn(&Stay) -> K) -> BTreeMap<K, Summary> {
    let mut groups: BTreeMap<K, Vec<&Stay>> = BTreeMap::new();
    for stay in stays {
        groups.entry(key(stay)).or_default().push(stay);
    }
    groups.into_iter().map(|(key, stays)| (key, summary(&stays, now))).collect()
}

fn summary(stays: &[&Stay], now: i64) -> Summary {
    let mut repairs: Vec<u64> = stays.iter().filter_map(|s| s.to_repair()).collect();
    let fixes: Vec<u64> = stays.iter().filter_map(|s| s.to_fix()).collect();
    repairs.sort_unstable();
    let sum = |all: &[u64]| all.iter().fold(0u64, |a, b| a.saturating_add(*b));
    let mean = |all: &[u64]| sum(all).checked_div(all.len() as u64);
    let exposed: Vec<u64> = stays.iter().map(|s| s.exposed(now)).collect();
    let image_seconds: Vec<u64> = stays.iter().map(|s| s.image_seconds).collect();
    Summary {
        repaired: repairs.len() as u64,
        open: (stays.len() - repairs.len()) as u64,
        mean_to_repair: mean(&repairs),
        median_to_repair: repairs.get(repairs.len().saturating_sub(1) / 2).copied(),
        mean_to_fix: mean(&fixes),
        exposed: sum(&exposed),
        image_seconds: sum(&image_seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(at: i64, project: i64, happened: Happened) -> Event {
        Event { at, vulnerability: "CVE-1".into(), project, severity: Severity::High, happened }
    }

    #[test]
    fn a_stay_lasts_from_the_first_affected_image_to_the_last() {
        let events = [
            event(200, 1, Happened::Published),
            event(100, 1, Happened::Present { image: 1 }),
            event(300, 1, Happened::Present { image: 2 }),
            event(350, 1, Happened::FixBuilt),
            event(400, 1, Happened::Gone { image: 1 }),
            event(500, 1, Happened::Gone { image: 2 }),
            event(900, 1, Happened::Present { image: 3 }),
        ];
        let stays = stays(&events, 1000);
        assert_eq!(stays.len(), 2);
        let first = &stays[0];
        assert_eq!((first.first_present, first.published, first.gone), (100, Some(200), Some(500)));
        assert_eq!((first.to_fix(), first.to_repair(), first.exposed(1000)), (Some(150), Some(300), 300));
        assert_eq!((first.image_seconds, first.images), (500, 2));
        assert_eq!((stays[1].gone, stays[1].exposed(1000), stays[1].published), (None, 100, Some(200)));
        let by_project = summaries(&stays, 1000, |s| s.project);
        let all = by_project[&1];
        assert_eq!((all.repaired, all.open, all.mean_to_repair, all.exposed), (1, 1, Some(300), 400));
        assert_eq!(summaries(&stays, 1000, |s| (s.severity, s.vulnerability.clone())).len(), 1);
    }

    #[test]
    fn what_was_gone_before_it_was_published_was_no_exposure() {
        let events = [
            event(100, 1, Happened::Present { image: 1 }),
            event(150, 1, Happened::Gone { image: 1 }),
            event(200, 1, Happened::Published),
            event(210, 1, Happened::Gone { image: 7 }),
        ];
        let stays = stays(&events, 1000);
        assert_eq!((stays.len(), stays[0].exposed(1000), stays[0].gone), (1, 0, Some(150)));
    }

    proptest! {
        /// Second by second: exposed is when any image is affected.
        #[test]
        fn stays_are_the_seconds_in_which_an_image_is_affected(
            steps in proptest::collection::vec((0i64..60, 0u64..4, any::<bool>()), 0..30),
        ) {
            let mut steps = steps;
            steps.sort_unstable();
            let events: Vec<Event> = steps.iter().map(|(at, image, present)| {
                let image = *image;
                event(*at, 1, if *present { Happened::Present { image } } else { Happened::Gone { image } })
            }).collect();
            let mut sorted = events.clone();
            sorted.sort();
            let (mut exposed, mut image_seconds) = (0u64, 0u64);
            for second in 0..60 {
                let mut affected = BTreeSet::new();
                for e in sorted.iter().filter(|e| e.at <= second) {
                    match e.happened {
                        Happened::Present { image } => { affected.insert(image); }
                        Happened::Gone { image } => { affected.remove(&image); }
                        _ => {}
                    }
                }
                exposed += u64::from(!affected.is_empty());
                image_seconds += affected.len() as u64;
            }
            let stays = stays(&events, 60);
            prop_assert_eq!(stays.iter().map(|s| s.exposed(60)).sum::<u64>(), exposed);
            prop_assert_eq!(stays.iter().map(|s| s.image_seconds).sum::<u64>(), image_seconds);
        }
    }
}
