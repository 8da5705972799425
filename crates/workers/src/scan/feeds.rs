//! Renewing the advisories: every feed is asked whether it changed, and what changed makes a new database.
//!
//! A feed that fails, or lost an absurd part of its records, keeps its former state and does not stop the others.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use upstream::feeds::{Download, Feed};
use vuln::advisory::import::ImportLimits;
use vuln::db::{Db, FeedDraft, ShrinkPolicy, Update, changed_packages};

use super::quiet::quietly;
use super::{Current, Pointer, Scanner, chain};
use crate::context::JobContext;
use crate::job::{Job, JobError};

/// What renewing the advisories is told.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RefreshFeeds {
    /// Take feeds that lost many of their records.
    pub allow_shrink: bool,
}

/// Renews the advisories.
#[derive(Clone, Debug)]
pub struct FeedsJob(pub Arc<Scanner>);

impl Job for FeedsJob {
    const NAME: &'static str = "advisories";
    const ATTEMPTS: u32 = 3;
    const PAUSE: std::time::Duration = std::time::Duration::from_mins(5);
    type Payload = RefreshFeeds;

    async fn run(&self, payload: RefreshFeeds, context: &JobContext) -> Result<(), JobError> {
        let scanner = &*self.0;
        let former = scanner.advisories.setting().await?;
        let old = scanner.advisories.current().await?;
        if old.as_ref().map(|old| &old.pointer) != former.as_ref().map(|(pointer, _)| pointer)
            && old.is_some()
        {
            return Err(JobError::retry("another process renewed the advisories at the same time"));
        }
        let mut update = match &old {
            Some(old) => {
                let old = Arc::clone(old);
                let read = quietly("advisories", move || old.db().map(|db| Update::of(&db)));
                read.await?.map_err(JobError::failed)?
            }
            None => Update::new(),
        };
        let policy = if payload.allow_shrink { ShrinkPolicy::Allow } else { ShrinkPolicy::Refuse };
        let now = scanner.store().now().to_string();
        let mut refused = 0;
        for (done, feed) in (0..).zip(&scanner.feeds) {
            context.check()?;
            context.progress(done, i64::try_from(scanner.feeds.len()).ok());
            let taken = tokio::select! {
                () = context.stopped() => return Err(JobError::Stopped),
                taken = take(scanner, feed, old.as_ref(), &now, context) => taken,
            };
            let outcome = match taken {
                Ok(Some(draft)) => {
                    let records = draft.records();
                    let put = update.put(draft, policy);
                    put.map(|()| format!("{records} records")).map_err(|error| error.to_string())
                }
                Ok(None) => {
                    update.confirm(&feed.name, &now);
                    Ok("unchanged".to_owned())
                }
                Err(error) => Err(error.to_string()),
            };
            match outcome {
                Ok(said) => context.info(format!("{}: {said}", feed.name)),
                Err(why) => {
                    refused += 1;
                    context.warn(format!("{}: not taken, its former state stays: {why}", feed.name));
                }
            }
        }
        if let Some(old) = &old {
            forget_feeds(scanner, old, &mut update, context)?;
        }
        self.publish(update, old, former, context).await?;
        if refused > 0 {
            return Err(JobError::retry(format!("{refused} feeds were not taken; see the log")));
        }
        Ok(())
    }
}

impl FeedsJob {
    /// Publishes the new database.
    async fn publish(
        &self,
        update: Update,
        old: Option<Arc<Current>>,
        former: Option<(Pointer, String)>,
        context: &JobContext,
    ) -> Result<(), JobError> {
        let scanner = &*self.0;
        let made = quietly("advisories", move || {
            let bytes = update.finish();
            let changed = match &old {
                Some(old) => changes(old, &bytes)?,
                None => 1,
            };
            Ok::<_, vuln::db::DbError>((Bytes::from(bytes), changed))
        });
        let (bytes, changed) = made.await?.map_err(JobError::failed)?;
        if !scanner.advisories.publish(bytes, changed > 0, former).await? {
            return Err(JobError::retry("another process renewed the advisories at the same time"));
        }
        // Whom that changes is found by the duty that keeps the index.
        context.info(format!("published; {changed} packages are spoken of differently"));
        Ok(())
    }
}

/// What a feed has now; none: what it had before.
async fn take(
    scanner: &Scanner,
    feed: &Feed,
    old: Option<&Arc<Current>>,
    now: &str,
    context: &JobContext,
) -> Result<Option<FeedDraft>, JobError> {
    let source = feed.source.describe();
    let known = match old {
        Some(old) => {
            let db = old.db().map_err(JobError::failed)?;
            let known =
                db.feeds().into_iter().find(|known| known.name == feed.name && known.source == source);
            known.map(|known| known.state.clone()).unwrap_or_default()
        }
        None => String::new(),
    };
    let fetched =
        scanner.fetcher.fetch(&feed.source, &known).await.map_err(|error| JobError::retry(chain(&error)))?;
    let Some(download) = fetched else { return Ok(None) };
    let draft = FeedDraft::new(feed.name.as_str(), source, now);
    let (draft, refusals) = quietly("advisories", move || import(draft, download)).await??;
    for refusal in refusals {
        context.warn(refusal);
    }
    Ok(Some(draft))
}

fn import(mut draft: FeedDraft, download: Download) -> Result<(FeedDraft, Vec<String>), JobError> {
    let mut refusals = Vec::new();
    for document in &download.documents {
        let Some(map) = document.open().map_err(|error| JobError::retry(chain(&error)))? else { continue };
        let stats = draft
            .import(&document.name, &map, &ImportLimits::default())
            .map_err(|error| JobError::failed(format!("{}: {error}", document.name)))?;
        let told = stats.refusals.iter().take(5);
        refusals.extend(told.map(|(document, reason)| format!("{document} refused: {reason}")));
    }
    draft.set_state(download.state);
    Ok((draft, refusals))
}

/// Feeds that are no longer configured go – unless none is: then the advisories came as a bundle.
fn forget_feeds(
    scanner: &Scanner,
    old: &Current,
    update: &mut Update,
    context: &JobContext,
) -> Result<(), JobError> {
    if scanner.feeds.is_empty() {
        return Ok(());
    }
    for known in old.db().map_err(JobError::failed)?.feeds() {
        if !scanner.feeds.iter().any(|feed| feed.name == known.name) {
            update.remove(&known.name);
            context.info(format!("{}: no longer a feed", known.name));
        }
    }
    Ok(())
}

/// How many packages the new database speaks of differently.
fn changes(old: &Current, new: &[u8]) -> Result<usize, vuln::db::DbError> {
    let (old, new) = (old.db()?, Db::open(new)?);
    let mut names: Vec<&str> =
        old.feeds().into_iter().chain(new.feeds()).map(|feed| feed.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut changed = std::collections::BTreeSet::new();
    for name in names {
        changed.extend(changed_packages(old.feed_segment(name).as_ref(), new.feed_segment(name).as_ref())?);
    }
    Ok(changed.len())
}
