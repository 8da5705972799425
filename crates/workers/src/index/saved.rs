//! Questions that are asked again and again: when an answer is another one, an event tells of it.

use std::sync::Arc;

use ::estate::Visible;
use ::estate::search::{self, Query, Window};
use metadata::jobs::NewJob;
use metadata::model::{PrincipalId, ProjectId, setting};
use metadata::{Timestamp, outbox};
use oci::Digest;
use registry::{Caller, Principal};
use serde::{Deserialize, Serialize};

use super::search::refused;
use super::{Index, SearchFailure};
use crate::context::JobContext;
use crate::job::{Job, JobError};

/// Settings that hold questions are named by it, their principal and their name.
const PREFIX: &str = "search/";
/// Questions of one principal.
const MOST: u32 = 100;
/// Images of an answer that are looked at at once.
const PAGE: usize = 10_000;
/// Questions asked by one run.
const ALL: u32 = 10_000;

/// A question that somebody keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSearch {
    /// Its name.
    pub name: String,
    /// The question.
    pub question: String,
    /// How many images the last answer had.
    pub total: u64,
    /// What stands for the last answer.
    pub answer: Option<Digest>,
    /// When it was asked last.
    pub asked_at: Option<Timestamp>,
}

/// Reading and writing them.
#[derive(Clone, Debug)]
pub struct SavedSearches(pub Arc<Index>);

fn prefix(principal: PrincipalId) -> String {
    format!("{PREFIX}{principal}/")
}

impl SavedSearches {
    /// A principal's questions, by name.
    ///
    /// # Errors
    /// If the database cannot be asked.
    pub async fn of(&self, principal: PrincipalId) -> Result<Vec<SavedSearch>, JobError> {
        let rows = self.0.registry().store().settings_below(&prefix(principal), MOST).await?;
        Ok(rows.iter().filter_map(|(_, text)| serde_json::from_str(text).ok()).collect())
    }

    /// Keeps a question under its name, in place of a former one, and its answer of this moment over the projects in
    /// which the principal may see what was found: what differs from it later is news.
    ///
    /// # Errors
    /// [`SearchFailure`]: the text is no question, or there are too many.
    pub async fn save(
        &self,
        principal: PrincipalId,
        projects: &[ProjectId],
        name: &str,
        question: &str,
    ) -> Result<(), SearchFailure> {
        let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
            let why = "a name has 1 to 64 letters, digits, dots, dashes and underscores";
            return Err(SearchFailure::Meaning(why.to_owned()));
        }
        let known = self.of(principal).await?;
        if known.len() >= usize::try_from(MOST).unwrap_or(usize::MAX)
            && !known.iter().any(|it| it.name == name)
        {
            return Err(SearchFailure::Meaning(format!(
                "you keep {MOST} questions already; forget one of them"
            )));
        }
        let (total, answer) = self.0.answered(question, projects).await?;
        let store = self.0.registry().store();
        let kept = SavedSearch {
            name: name.to_owned(),
            question: question.to_owned(),
            total,
            answer,
            asked_at: Some(store.now()),
        };
        let mut tx = store.begin().await.map_err(JobError::from)?;
        let text = serde_json::to_string(&kept).map_err(JobError::failed)?;
        setting::put(&mut tx, &format!("{}{name}", prefix(principal)), &text);
        Ok(store.commit(tx).await.map_err(JobError::from)?)
    }

    /// Forgets a question, if it is there.
    ///
    /// # Errors
    /// If the database cannot be asked.
    pub async fn forget(&self, principal: PrincipalId, name: &str) -> Result<(), JobError> {
        let store = self.0.registry().store();
        let mut tx = store.begin().await?;
        setting::delete(&mut tx, &format!("{}{name}", prefix(principal)));
        Ok(store.commit(tx).await?)
    }
}

impl Index {
    /// How many images answer a question, and what stands for them.
    async fn answered(
        &self,
        question: &str,
        projects: &[ProjectId],
    ) -> Result<(u64, Option<Digest>), SearchFailure> {
        let query = Query::parse(question)?;
        let (_, _, open) = self.current().await?;
        let projects: Vec<i64> = projects.iter().map(|project| project.get()).collect();
        let asked = tokio::task::spawn_blocking(move || {
            let view = open.borrow_dependent();
            let (mut after, mut seen) = (None, Vec::new());
            loop {
                let window =
                    Window { visible: Visible::Projects(&projects), after, limit: PAGE, packages: 0 };
                let page = search::search(&view.estate, &view.findings, &query, &window)?;
                seen.extend(page.images.iter().flat_map(|found| found.digest.to_string().into_bytes()));
                match page.next {
                    Some(next) => after = Some(next),
                    None => return Ok((page.total, Some(Digest::sha256(&seen)))),
                }
            }
        });
        asked.await.map_err(JobError::retry)?.map_err(refused)
    }
}

/// Nothing to tell.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct AskSaved {}

/// Asks every question again and tells of new answers.
#[derive(Clone, Debug)]
pub struct AskSavedJob(pub Arc<Index>);

impl AskSavedJob {
    /// The job, due now; one that waits is not enqueued again.
    pub(super) fn due(now: Timestamp) -> Result<NewJob, JobError> {
        Ok(Self::request(&AskSaved::default(), now)?.dedupe("all"))
    }
}

impl Job for AskSavedJob {
    const NAME: &'static str = "saved_searches";
    type Payload = AskSaved;

    async fn run(&self, _: AskSaved, context: &JobContext) -> Result<(), JobError> {
        let registry = self.0.registry();
        let rows = registry.store().settings_below(PREFIX, ALL).await?;
        for (name, text) in rows {
            context.check()?;
            let Ok(saved) = serde_json::from_str::<SavedSearch>(&text) else { continue };
            let principal = name.strip_prefix(PREFIX).and_then(|rest| rest.split('/').next()?.parse().ok());
            let facts = registry.access().facts();
            let Some(fact) = principal.and_then(|id: PrincipalId| facts.principal(id).cloned()) else {
                // Whose it was is gone.
                let mut tx = registry.store().begin().await?;
                setting::delete(&mut tx, &name);
                context.commit(tx).await?;
                continue;
            };
            let principal =
                Principal { id: Some(fact.row.id), name: fact.name.clone(), scope: None, address: None };
            let projects = registry.judged_projects(&Caller { principal, address: None, request_id: None });
            self.ask(&name, &text, saved, &projects, context).await?;
        }
        Ok(())
    }
}

impl AskSavedJob {
    async fn ask(
        &self,
        name: &str,
        text: &str,
        saved: SavedSearch,
        projects: &[ProjectId],
        context: &JobContext,
    ) -> Result<(), JobError> {
        let (total, answer) = match self.0.answered(&saved.question, projects).await {
            Ok(answered) => answered,
            Err(SearchFailure::Unavailable(error)) => return Err(error),
            Err(error) => {
                context.warn(format!("{name}: {error}"));
                return Ok(());
            }
        };
        if saved.answer == answer {
            return Ok(());
        }
        let store = self.0.registry().store();
        let next = SavedSearch { total, answer, asked_at: Some(store.now()), ..saved.clone() };
        let mut tx = store.begin().await?;
        setting::replace(&mut tx, name, Some(text), &serde_json::to_string(&next).map_err(JobError::failed)?);
        // The first answer of one that an older version kept is no news.
        if saved.answer.is_some() {
            let payload = serde_json::json!({ "search": name, "before": saved.total, "after": total });
            let id = store.next_id().await?;
            outbox::append(&mut tx, id, store.now(), "saved_search_changed", None, &payload.to_string());
        }
        match context.commit(tx).await {
            // It was changed or forgotten meanwhile.
            Err(JobError::Commit(error)) if error.conflicts_at("setting") => Ok(()),
            other => other,
        }
    }
}
