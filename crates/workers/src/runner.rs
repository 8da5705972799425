//! The runner of a process: dispatches events, fires schedules, claims and runs jobs, keeps duties.
//!
//! Invariants: no more jobs than slots run, of each kind no more than it allows; at a stop nothing new is claimed,
//! running jobs are told and given back if they do not end; an unavailable store is waited for.

use crate::dispatch::{self, Reaction};
use crate::duty::{self, AnyDuty, Duty};
use crate::figures::Figures;
use crate::housekeeping::{Housekeeping, HousekeepingJob};
use crate::job::{AnyJob, Job, JobError};
use crate::running::{self, End, LEASE};
use crate::schedule::{self, Declared};
use metadata::jobs::JobState;
use metadata::{Store, StoreError, jobs, outbox};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How a runner works.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Jobs that run at the same time.
    pub slots: usize,
    /// How often the database is looked at when nothing wakes the runner.
    pub poll: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { slots: 4, poll: Duration::from_secs(1) }
    }
}

/// What running to idle did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Idle {
    /// Events dispatched.
    pub events: usize,
    /// Schedules fired.
    pub fired: usize,
    /// Attempts that succeeded.
    pub succeeded: usize,
    /// Attempts that failed and will be tried again, later than now.
    pub retried: usize,
    /// Jobs that failed for good.
    pub failed: usize,
}

/// Why running to idle ended early.
#[derive(Debug, Error)]
pub enum NotIdle {
    /// Jobs cause jobs without end.
    #[error("not idle after {rounds} rounds")]
    Endless {
        /// Rounds that were run.
        rounds: usize,
    },
    /// The store failed.
    #[error("cannot run: {0}")]
    Store(#[from] JobError),
}

/// Rounds of running to idle before it is taken for endless.
const ROUNDS: usize = 10_000;
/// How often running to idle looks for new work while jobs run.
const IDLE_LOOK: Duration = Duration::from_millis(50);
/// The pause after the store failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Collects what a runner runs.
pub struct RunnerBuilder {
    store: Store,
    settings: Settings,
    jobs: HashMap<&'static str, Arc<dyn AnyJob>>,
    reactions: Vec<(&'static str, Reaction)>,
    declared: Vec<Declared>,
    duties: Vec<Arc<dyn AnyDuty>>,
}

impl RunnerBuilder {
    /// Runs jobs of this kind.
    #[must_use]
    pub fn job<J: Job>(mut self, job: J) -> Self {
        let former = self.jobs.insert(J::NAME, Arc::new(job));
        debug_assert!(former.is_none(), "two jobs are named {}", J::NAME);
        self
    }

    /// Reacts to events of a kind.
    #[must_use]
    pub fn reaction(
        mut self,
        kind: &'static str,
        reaction: impl Fn(&outbox::Event) -> Result<Vec<jobs::NewJob>, JobError> + Send + Sync + 'static,
    ) -> Self {
        self.reactions.push((kind, Box::new(reaction)));
        self
    }

    /// Has a schedule on a fresh installation.
    #[must_use]
    pub fn schedule(mut self, declared: Declared) -> Self {
        self.declared.push(declared);
        self
    }

    /// Keeps a duty.
    #[must_use]
    pub fn duty<D: Duty>(mut self, duty: D) -> Self {
        self.duties.push(Arc::new(duty));
        self
    }

    /// With other settings.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The runner.
    pub fn build(self) -> Arc<Runner> {
        let owner = format!("{:032x}", self.store.random().id128());
        let duties = self.duties.iter().map(|duty| duty.name());
        let figures = Arc::new(Figures::of(self.jobs.keys().copied(), duties));
        Arc::new(Runner { parts: self, owner, wake: Notify::new(), figures })
    }
}

/// The runner of a process.
pub struct Runner {
    parts: RunnerBuilder,
    owner: String,
    wake: Notify,
    figures: Arc<Figures>,
}

/// Attempts under way; each ends with its kind.
type Attempts = JoinSet<(&'static str, End)>;

impl Runner {
    /// Begins with what every runner does: housekeeping, every ten minutes.
    pub fn builder(store: Store) -> Result<RunnerBuilder, JobError> {
        let builder = RunnerBuilder {
            store,
            settings: Settings::default(),
            jobs: HashMap::new(),
            reactions: Vec::new(),
            declared: Vec::new(),
            duties: Vec::new(),
        };
        let housekeeping =
            Declared::of::<HousekeepingJob>("housekeeping", "*/10 * * * *", &Housekeeping::default())?;
        Ok(builder.job(HousekeepingJob).schedule(housekeeping.priority(-100)))
    }

    /// Looks at the database now: called after a commit that appended events or jobs.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// What it did, and what waits.
    pub fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// Runs until `shutdown`, then ends gracefully: running jobs stop or are given back.
    pub async fn run(&self, shutdown: CancellationToken) {
        let store = &self.parts.store;
        let mut duties = JoinSet::new();
        for duty in &self.parts.duties {
            let (owner, figures) = (self.owner.clone(), Arc::clone(&self.figures));
            duties.spawn(duty::keep(store.clone(), duty.clone(), owner, figures, shutdown.clone()));
        }
        let mut attempts = Attempts::new();
        let mut running = HashMap::new();
        let mut declared = false;
        while !shutdown.is_cancelled() {
            if !declared {
                match schedule::declare(store, &self.parts.declared).await {
                    Ok(()) => declared = true,
                    Err(error) => tracing::warn!(%error, "cannot declare the schedules"),
                }
            }
            let pause = match self.round(&mut attempts, &mut running, &shutdown).await {
                // Something was claimed or dispatched; there may be more.
                Ok((progress, _)) if progress && attempts.len() < self.parts.settings.slots => Duration::ZERO,
                Ok(_) => self.parts.settings.poll,
                Err(error) => {
                    tracing::warn!(%error, "the runner cannot reach its work");
                    PAUSE
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                Some(ended) = attempts.join_next(), if !attempts.is_empty() => { note(&mut running, ended); }
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        while let Some(ended) = attempts.join_next().await {
            note(&mut running, ended);
        }
        while duties.join_next().await.is_some() {}
    }

    /// Runs everything that is due now, and what it causes, until nothing is: for tests and for one-shot commands.
    /// What waits for a later time stays.
    pub async fn run_to_idle(&self) -> Result<Idle, NotIdle> {
        let store = &self.parts.store;
        schedule::declare(store, &self.parts.declared).await?;
        let mut done = Idle::default();
        let mut attempts = Attempts::new();
        let mut running = HashMap::new();
        let shutdown = CancellationToken::new();
        for _ in 0..ROUNDS {
            let (progress, (events, fired)) = self.round(&mut attempts, &mut running, &shutdown).await?;
            done.events += events;
            done.fired += fired;
            // A job may wait for others that it has enqueued.
            let ended = tokio::time::timeout(IDLE_LOOK, attempts.join_next()).await;
            let Ok(ended) = ended else { continue };
            match ended.and_then(|ended| note(&mut running, ended)) {
                Some(End::Succeeded) => done.succeeded += 1,
                Some(End::Retried) => done.retried += 1,
                Some(End::Failed) => done.failed += 1,
                Some(End::Cancelled | End::Released | End::Lost) => {}
                None if progress => {}
                None => return Ok(done),
            }
        }
        Err(NotIdle::Endless { rounds: ROUNDS })
    }

    /// Runs one round of every duty whose lease is free: for tests.
    pub async fn run_duties_once(&self) -> Result<(), JobError> {
        for duty in &self.parts.duties {
            let mut held = None;
            let result = duty::once(&self.parts.store, &**duty, &self.owner, &mut held).await;
            if let Some((held, _)) = held {
                metadata::leases::give_back(&self.parts.store, &held).await?;
            }
            result?;
        }
        Ok(())
    }

    /// What is not finished: events that wait, jobs that are queued or run. Empty after a test that ran to idle.
    pub async fn left_over(&self) -> Result<Vec<String>, StoreError> {
        let store = &self.parts.store;
        let (events, _) = outbox::backlog(store).await?;
        let mut left = Vec::new();
        if events > 0 {
            left.push(format!("{events} events"));
        }
        for (kind, state, count, run_at) in jobs::active(store).await? {
            let when = if state == JobState::Queued { format!(" for {run_at}") } else { String::new() };
            left.push(format!("{count} jobs {kind} {}{when}", state.as_str()));
        }
        Ok(left)
    }

    /// One look at the database: events, schedules, jobs. Answers whether anything was found, and how many events and
    /// schedules.
    async fn round(
        &self,
        attempts: &mut Attempts,
        running: &mut HashMap<&'static str, usize>,
        shutdown: &CancellationToken,
    ) -> Result<(bool, (usize, usize)), JobError> {
        let store = &self.parts.store;
        let mut events = 0;
        loop {
            let (settled, more) = dispatch::dispatch(store, &self.parts.reactions).await?;
            events += settled;
            if !more || settled == 0 || shutdown.is_cancelled() {
                break;
            }
        }
        let fired = schedule::fire(store, &self.parts.declared).await?;
        let claimed = self.claim(attempts, running, shutdown).await?;
        Ok((events + fired + claimed > 0, (events, fired)))
    }

    /// Claims as many jobs as there are free slots, one kind of which is full left out, and starts them.
    async fn claim(
        &self,
        attempts: &mut Attempts,
        running: &mut HashMap<&'static str, usize>,
        shutdown: &CancellationToken,
    ) -> Result<usize, JobError> {
        let mut started = 0;
        loop {
            let free = self.parts.settings.slots.saturating_sub(attempts.len());
            let room =
                |job: &Arc<dyn AnyJob>| job.parallel().saturating_sub(*running.get(job.name()).unwrap_or(&0));
            let open: Vec<_> = self.parts.jobs.values().filter(|job| room(job) > 0).collect();
            // No kind may get more than its room, so no more than the least room is claimed at once.
            let limit = open.iter().map(|job| room(job)).min().unwrap_or(0).min(free);
            if limit == 0 || shutdown.is_cancelled() {
                return Ok(started);
            }
            let kinds: Vec<_> = open.iter().map(|job| job.name()).collect();
            let claimed = jobs::claim(
                &self.parts.store,
                &self.owner,
                &kinds,
                LEASE,
                u32::try_from(limit).unwrap_or(u32::MAX),
            )
            .await?;
            if claimed.is_empty() {
                return Ok(started);
            }
            for claimed in claimed {
                let Some(job) = self.parts.jobs.get(claimed.kind.as_str()) else { continue };
                let (job, name) = (job.clone(), job.name());
                *running.entry(name).or_default() += 1;
                started += 1;
                let (store, shutdown) = (self.parts.store.clone(), shutdown.clone());
                let figures = Arc::clone(&self.figures);
                attempts.spawn(async move {
                    let begun = Instant::now();
                    let end = running::run(store, job, claimed, shutdown).await;
                    figures.ended(name, end, begun.elapsed());
                    (name, end)
                });
            }
        }
    }
}

fn note(
    running: &mut HashMap<&'static str, usize>,
    ended: Result<(&'static str, End), tokio::task::JoinError>,
) -> Option<End> {
    // `running::run` does not panic; were it to, its kind keeps a slot less.
    let (name, end) = ended.ok()?;
    if let Some(count) = running.get_mut(name) {
        *count = count.saturating_sub(1);
    }
    Some(end)
}
