//! How old a database's feeds are: what was not renewed for long misses what became known since.

use super::FeedInfo;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A feed that was not renewed within the time allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StaleFeed {
    /// Its name.
    pub name: String,
    /// When it was imported or last found current, as the database states it.
    pub imported_at: String,
    /// Hours since then; none if the database does not state a time.
    pub age_hours: Option<i64>,
}

impl StaleFeed {
    /// `feed go was last renewed 12 days ago`.
    pub fn sentence(&self) -> String {
        match self.age_hours {
            None => format!("feed {} does not say when it was renewed", self.name),
            Some(hours) => format!("feed {} was last renewed {} ago", self.name, age_text(hours)),
        }
    }
}

/// Whole days, hours below two days.
pub fn age_text(hours: i64) -> String {
    if hours < 48 { format!("{hours} hours") } else { format!("{} days", hours / 24) }
}

impl FeedInfo {
    /// Hours since it was renewed; none if that is not stated. A time in the future is no age.
    pub fn age_hours(&self, now: Timestamp) -> Option<i64> {
        let then: Timestamp = self.imported_at.parse().ok()?;
        Some(now.duration_since(then).as_hours().max(0))
    }
}

/// The feeds that were not renewed within `limit`.
pub fn stale_feeds<'f>(
    feeds: impl IntoIterator<Item = &'f FeedInfo>,
    now: Timestamp,
    limit: SignedDuration,
) -> Vec<StaleFeed> {
    let stale = |feed: &&FeedInfo| feed.age_hours(now).is_none_or(|hours| hours > limit.as_hours());
    let name = |feed: &FeedInfo| StaleFeed {
        name: feed.name.clone(),
        imported_at: feed.imported_at.clone(),
        age_hours: feed.age_hours(now),
    };
    feeds.into_iter().filter(stale).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_is_stale_after_its_time_and_when_it_does_not_say() {
        let feed = |name: &str, at: &str| FeedInfo {
            name: name.into(),
            imported_at: at.into(),
            ..FeedInfo::default()
        };
        let feeds =
            [feed("new", "2026-11-20T12:00:00Z"), feed("old", "2026-11-08T12:00:00Z"), feed("mute", "")];
        let now = "2026-11-21T12:00:00Z".parse().expect("time");
        let found = stale_feeds(&feeds, now, SignedDuration::from_hours(7 * 24));
        let sentences: Vec<String> = found.iter().map(StaleFeed::sentence).collect();
        assert_eq!(
            sentences,
            ["feed old was last renewed 13 days ago", "feed mute does not say when it was renewed"]
        );
        assert_eq!(age_text(47), "47 hours");
    }
}
