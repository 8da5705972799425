//! What the runner promises to those who write jobs.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use metadata::jobs::{self, JobState};
use metadata::leases::{self, Held};
use metadata::outbox;
use metadata::{Engine, JobId, ManualClock, SeededRandom, Sqlite, Store, Timestamp, tx};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use workers::{Declared, Duty, Idle, Job, JobContext, JobError, Runner, RunnerBuilder, Settings};

/// For what must come true, however slow the machine.
const PATIENCE: Duration = Duration::from_mins(2);

struct World {
    engine: Arc<dyn Engine>,
    clock: Arc<ManualClock>,
    store: Store,
    seed: std::cell::Cell<u64>,
}

impl World {
    fn new() -> Self {
        let engine: Arc<dyn Engine> = Sqlite::memory().unwrap();
        let clock = Arc::new(ManualClock::default());
        let store = Store::new(engine.clone(), clock.clone(), Arc::new(SeededRandom::new(0)));
        Self { engine, clock, store, seed: 1.into() }
    }

    /// Another process on the same database.
    fn process(&self) -> Store {
        self.seed.set(self.seed.get() + 1);
        Store::new(self.engine.clone(), self.clock.clone(), Arc::new(SeededRandom::new(self.seed.get())))
    }

    fn runner(&self) -> RunnerBuilder {
        Runner::builder(self.process()).unwrap()
    }

    async fn enqueue<J: Job>(&self, payload: &J::Payload) -> JobId {
        let mut tx = self.store.begin().await.unwrap();
        let id = self.store.next_id().await.unwrap();
        jobs::enqueue(&mut tx, id, self.store.now(), J::request(payload, self.store.now()).unwrap());
        self.store.commit(tx).await.unwrap();
        id
    }

    async fn append(&self, kind: &str, payload: &str) {
        let mut tx = self.store.begin().await.unwrap();
        let id = self.store.next_id().await.unwrap();
        outbox::append(&mut tx, id, self.store.now(), kind, Some(3), payload);
        self.store.commit(tx).await.unwrap();
    }

    async fn state(&self, id: JobId) -> JobState {
        self.job(id).await.state
    }

    async fn job(&self, id: JobId) -> jobs::Job {
        jobs::read(&self.store, id).await.unwrap().unwrap()
    }

    async fn until(&self, id: JobId, state: JobState) {
        tokio::time::timeout(PATIENCE, async {
            while self.state(id).await != state {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("job {id} is not {state:?} in time"));
    }
}

/// Notes what it was told, and how many of it run at once.
#[derive(Clone, Default)]
struct NoteJob {
    noted: Arc<Mutex<Vec<String>>>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl NoteJob {
    /// Jobs of one kind run beside each other: in what order they end is not promised.
    fn sorted(&self) -> Vec<String> {
        let mut noted = self.noted.lock().unwrap().clone();
        noted.sort();
        noted
    }
}

impl Job for NoteJob {
    const NAME: &'static str = "note";
    const PARALLEL: usize = 2;
    type Payload = String;

    async fn run(&self, payload: String, _: &JobContext) -> Result<(), JobError> {
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        self.noted.lock().unwrap().push(payload);
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Does as it is told.
struct MoodJob;

impl Job for MoodJob {
    const NAME: &'static str = "mood";
    const ATTEMPTS: u32 = 3;
    type Payload = String;

    async fn run(&self, payload: String, context: &JobContext) -> Result<(), JobError> {
        context.info(format!("attempt {}", context.attempt()));
        context.progress(context.attempt(), Some(3));
        match payload.as_str() {
            "fail" => Err(JobError::failed("never")),
            "retry" => Err(JobError::retry("not yet")),
            "panic" => panic!("oh no"),
            "third" if !context.is_last_attempt() => Err(JobError::retry("not yet")),
            _ => Ok(()),
        }
    }
}

/// Saves a checkpoint and waits until it is told to stop or to go on.
#[derive(Clone, Default)]
struct WaitJob {
    started: Arc<Notify>,
    go_on: Arc<Notify>,
    resumed_from: Arc<Mutex<Vec<Option<u32>>>>,
}

impl Job for WaitJob {
    const NAME: &'static str = "wait";
    type Payload = ();

    async fn run(&self, (): (), context: &JobContext) -> Result<(), JobError> {
        self.resumed_from.lock().unwrap().push(context.checkpoint());
        context.save(&7_u32).await?;
        self.started.notify_one();
        tokio::select! {
            () = context.stopped() => Err(JobError::Stopped),
            () = self.go_on.notified() => Ok(()),
        }
    }
}

#[tokio::test]
async fn an_event_becomes_a_job_and_nothing_is_left_over() {
    let world = World::new();
    let note = NoteJob::default();
    let runner = world
        .runner()
        .job(note.clone())
        .reaction("pushed", |event| {
            let now = event.created_at;
            Ok(vec![NoteJob::request(&format!("{} in {:?}", event.payload, event.project), now)?])
        })
        .build();
    for at in 0..150 {
        world.append("pushed", &format!("{at}")).await;
    }
    world.append("ignored", "{}").await;
    let done = runner.run_to_idle().await.unwrap();
    assert_eq!(done, Idle { events: 151, succeeded: 150, ..Idle::default() });
    assert_eq!(note.noted.lock().unwrap().len(), 150);
    assert!(note.noted.lock().unwrap().contains(&"0 in Some(3)".to_owned()));
    assert_eq!(runner.left_over().await.unwrap(), Vec::<String>::new());
    assert!(note.most.load(Ordering::SeqCst) <= NoteJob::PARALLEL);
}

#[tokio::test]
async fn a_reaction_that_fails_postpones_its_event_and_no_other() {
    let world = World::new();
    let note = NoteJob::default();
    let broken = Arc::new(AtomicUsize::new(1));
    let is_broken = broken.clone();
    let runner = world
        .runner()
        .job(note.clone())
        .reaction("pushed", move |event| {
            if event.payload == "bad" && is_broken.load(Ordering::SeqCst) == 1 {
                return Err(JobError::failed("cannot read it"));
            }
            Ok(vec![NoteJob::request(&event.payload, event.created_at)?])
        })
        .build();
    for payload in ["good", "bad", "better"] {
        world.append("pushed", payload).await;
    }
    runner.run_to_idle().await.unwrap();
    assert_eq!(note.sorted(), ["better", "good"]);
    assert_eq!(runner.left_over().await.unwrap(), ["1 events"]);
    broken.store(0, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(2));
    runner.run_to_idle().await.unwrap();
    assert_eq!(note.sorted(), ["bad", "better", "good"]);
}

#[tokio::test]
async fn a_failed_attempt_is_repeated_after_a_growing_pause_and_its_reason_kept() {
    let world = World::new();
    let runner = world.runner().job(MoodJob).build();
    let (fails, retries, panics, third) = (
        world.enqueue::<MoodJob>(&"fail".into()).await,
        world.enqueue::<MoodJob>(&"retry".into()).await,
        world.enqueue::<MoodJob>(&"panic".into()).await,
        world.enqueue::<MoodJob>(&"third".into()).await,
    );
    let done = runner.run_to_idle().await.unwrap();
    assert_eq!((done.failed, done.retried, done.succeeded), (1, 3, 0));
    assert_eq!(world.state(fails).await, JobState::Failed);
    let waits = world.job(retries).await.run_at.since(world.store.now());
    assert!((10.0..=11.0).contains(&waits.as_secs_f64()), "{waits:?}");
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(runner.run_to_idle().await.unwrap().retried, 3);
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(runner.run_to_idle().await.unwrap(), Idle::default(), "the second pause is longer");
    world.clock.advance(Duration::from_secs(11));
    let done = runner.run_to_idle().await.unwrap();
    assert_eq!((done.failed, done.retried, done.succeeded), (2, 0, 1));
    assert_eq!(world.state(third).await, JobState::Succeeded);
    let panicked = world.job(panics).await;
    assert_eq!((panicked.state, panicked.error.as_deref()), (JobState::Failed, Some("panicked: oh no")));
    assert_eq!((panicked.progress_done, panicked.progress_total), (3, Some(3)));
    let log = jobs::log_lines(&world.store, retries, 0, 100).await.unwrap();
    let said: Vec<_> = log.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(said, ["attempt 1", "not yet", "attempt 2", "not yet", "attempt 3", "not yet"]);
}

/// Says something, and commits what conflicts.
struct ConflictJob;

impl Job for ConflictJob {
    const NAME: &'static str = "conflict";
    type Payload = ();

    async fn run(&self, (): (), context: &JobContext) -> Result<(), JobError> {
        let store = context.store();
        let held = leases::take(store, "elsewhere", "me", Duration::from_mins(1)).await?.unwrap();
        leases::give_back(store, &held).await?;
        leases::take(store, "elsewhere", "another", Duration::from_mins(1)).await?.unwrap();
        context.info("before");
        context.progress(1, Some(2));
        let mut tx = store.begin().await?;
        leases::fence(&mut tx, &held);
        assert!(context.commit(tx).await.is_err());
        context.info("after");
        Ok(())
    }
}

#[tokio::test]
async fn what_a_job_said_outlives_a_transaction_that_was_not_kept() {
    let world = World::new();
    let id = world.enqueue::<ConflictJob>(&()).await;
    world.runner().job(ConflictJob).build().run_to_idle().await.unwrap();
    let job = world.job(id).await;
    assert_eq!((job.state, job.progress_done), (JobState::Succeeded, 1));
    let log = jobs::log_lines(&world.store, id, 0, 100).await.unwrap();
    let said: Vec<_> = log.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(said, ["before", "after"]);
}

#[tokio::test]
async fn a_payload_that_does_not_parse_fails_at_once() {
    let world = World::new();
    let runner = world.runner().job(MoodJob).build();
    let mut tx = world.store.begin().await.unwrap();
    let id: JobId = world.store.next_id().await.unwrap();
    let now = world.store.now();
    jobs::enqueue(&mut tx, id, now, jobs::NewJob::new("mood", "[1]", now));
    world.store.commit(tx).await.unwrap();
    assert_eq!(runner.run_to_idle().await.unwrap().failed, 1);
    assert!(world.job(id).await.error.unwrap().starts_with("payload: "));
}

#[tokio::test]
async fn a_schedule_fires_once_among_all_processes() {
    let world = World::new();
    let note = NoteJob::default();
    let at_three = Declared::of::<NoteJob>("at-three", "0 3 * * *", &"night".to_owned()).unwrap();
    let runners: Vec<_> =
        (0..3).map(|_| world.runner().job(note.clone()).schedule(at_three.clone()).build()).collect();
    for runner in &runners {
        runner.run_to_idle().await.unwrap();
    }
    assert!(note.noted.lock().unwrap().is_empty());
    for night in 1..=3 {
        world.clock.advance(Duration::from_hours(24));
        for done in futures_util::future::join_all(runners.iter().map(|runner| runner.run_to_idle())).await {
            done.unwrap();
        }
        assert_eq!(note.noted.lock().unwrap().len(), night);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_run_each_job_once_and_wake_at_once() {
    let world = World::new();
    let note = NoteJob::default();
    let settings = Settings { slots: 3, poll: Duration::from_millis(20) };
    let runners: Vec<_> =
        (0..3).map(|_| world.runner().job(note.clone()).settings(settings).build()).collect();
    let shutdown = CancellationToken::new();
    let running: Vec<_> = runners
        .iter()
        .map(|runner| {
            let (runner, shutdown) = (runner.clone(), shutdown.clone());
            tokio::spawn(async move { runner.run(shutdown).await })
        })
        .collect();
    let mut ids = Vec::new();
    for at in 0..60 {
        ids.push(world.enqueue::<NoteJob>(&format!("{at:02}")).await);
        runners[at % 3].wake();
    }
    for id in ids {
        world.until(id, JobState::Succeeded).await;
    }
    shutdown.cancel();
    for running in running {
        running.await.unwrap();
    }
    assert_eq!(note.sorted(), (0..60).map(|at| format!("{at:02}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_stops_when_it_is_cancelled() {
    let world = World::new();
    let wait = WaitJob::default();
    let runner = world.runner().job(wait.clone()).build();
    let shutdown = CancellationToken::new();
    let id = world.enqueue::<WaitJob>(&()).await;
    let running = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { runner.run(shutdown).await }
    });
    wait.started.notified().await;
    let mut tx = world.store.begin().await.unwrap();
    jobs::cancel(&mut tx, id, world.store.now());
    world.store.commit(tx).await.unwrap();
    world.until(id, JobState::Cancelled).await;
    shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_gives_running_jobs_back_and_another_process_goes_on_from_the_checkpoint() {
    let world = World::new();
    let wait = WaitJob::default();
    let first = world.runner().job(wait.clone()).build();
    let shutdown = CancellationToken::new();
    let id = world.enqueue::<WaitJob>(&()).await;
    let running = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { first.run(shutdown).await }
    });
    wait.started.notified().await;
    shutdown.cancel();
    running.await.unwrap();
    assert_eq!(world.state(id).await, JobState::Queued);
    wait.go_on.notify_one();
    let second = world.runner().job(wait.clone()).build();
    assert_eq!(second.run_to_idle().await.unwrap().succeeded, 1);
    assert_eq!(*wait.resumed_from.lock().unwrap(), [None, Some(7)]);
    assert_eq!(world.job(id).await.attempts, 1, "a stop is no failed attempt");
}

/// Two processes believe to have the job: what the slower one writes is refused, whenever it writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_lost_its_lease_writes_nothing() {
    let world = World::new();
    let wait = WaitJob::default();
    let slow = world.runner().job(wait.clone()).build();
    let id = world.enqueue::<WaitJob>(&()).await;
    let running = tokio::spawn(async move { slow.run_to_idle().await });
    wait.started.notified().await;
    world.clock.advance(Duration::from_mins(2));
    let taken = jobs::claim(&world.store, "other", &["wait"], Duration::from_mins(1), 1).await.unwrap();
    assert_eq!(taken.len(), 1);
    wait.go_on.notify_one();
    let done = running.await.unwrap().unwrap();
    assert_eq!(done.succeeded, 0);
    let job = world.job(id).await;
    assert_eq!((job.state, job.lease_owner.as_deref()), (JobState::Running, Some("other")));
}

#[derive(Clone, Default)]
struct SealDuty(Arc<Mutex<Vec<i64>>>);

impl Duty for SealDuty {
    const NAME: &'static str = "seal";

    fn every(&self) -> Duration {
        Duration::from_millis(5)
    }

    async fn round(&self, store: &Store, held: &Held) -> Result<(), JobError> {
        let mut tx = store.begin().await?;
        leases::fence(&mut tx, held);
        store.commit(tx).await?;
        self.0.lock().unwrap().push(held.term());
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duty_is_done_by_one_process_until_it_stops_and_then_by_another() {
    let world = World::new();
    let rounds = [SealDuty::default(), SealDuty::default()];
    let mut stops = Vec::new();
    for duty in &rounds {
        let runner = world.runner().duty(duty.clone()).build();
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        stops.push((shutdown, tokio::spawn(async move { runner.run(stop).await })));
    }
    let done = |at: usize| rounds[at].0.lock().unwrap().len();
    let wait_for = async |holds: &dyn Fn() -> bool| {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !holds() {
            assert!(tokio::time::Instant::now() < deadline, "no duty was done in time");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    wait_for(&|| done(0) + done(1) >= 10).await;
    let holder = usize::from(done(1) > 0);
    assert_eq!(done(1 - holder), 0, "two processes do the same duty");
    let (shutdown, running) = stops.remove(holder);
    shutdown.cancel();
    running.await.unwrap();
    wait_for(&|| done(1 - holder) >= 5).await;
    let (shutdown, running) = stops.remove(0);
    shutdown.cancel();
    running.await.unwrap();
    let terms = |at: usize| rounds[at].0.lock().unwrap().clone();
    assert!(terms(1 - holder).first() > terms(holder).last(), "the term did not grow");
}

/// A duty whose rounds fail.
struct BrokenDuty;

impl Duty for BrokenDuty {
    const NAME: &'static str = "broken";

    fn every(&self) -> Duration {
        Duration::from_millis(2)
    }

    async fn round(&self, _: &Store, _: &Held) -> Result<(), JobError> {
        Err(JobError::retry("never"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_what_failed_and_what_waits_is_counted() {
    let world = World::new();
    let runner = world.runner().job(MoodJob).duty(BrokenDuty).build();
    // A counter that first appears with a failure shows no increase to whoever watches it.
    assert_eq!(runner.figures().attempts().get(&("mood", "failed")).map(|ended| ended.attempts), Some(0));
    assert_eq!(runner.figures().failed_duties().get("broken"), Some(&0));
    for mood in ["fine", "fail", "third"] {
        world.enqueue::<MoodJob>(&mood.into()).await;
    }
    world.clock.advance(Duration::from_secs(40));
    runner.figures().count(&world.store).await.unwrap();
    let backlog = runner.figures().backlog();
    assert_eq!(backlog.jobs, BTreeMap::from([(("mood".to_owned(), "queued"), 3)]));
    assert_eq!(backlog.overdue_seconds, BTreeMap::from([("mood".to_owned(), 40)]));
    runner.run_to_idle().await.unwrap();
    let attempts = runner.figures().attempts();
    let of_mood = |result| attempts.get(&("mood", result)).map(|ended| ended.attempts);
    assert_eq!(["succeeded", "failed", "retried"].map(of_mood), [Some(1), Some(1), Some(1)]);
    runner.figures().count(&world.store).await.unwrap();
    let backlog = runner.figures().backlog();
    assert_eq!(backlog.jobs.get(&("mood".to_owned(), "queued")), Some(&1));
    assert_eq!(backlog.overdue_seconds.get("mood"), Some(&0), "it waits for a later time");
    let (figures, shutdown) = (runner.figures().clone(), CancellationToken::new());
    let stop = shutdown.clone();
    let running = tokio::spawn(async move { runner.run(stop).await });
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while figures.failed_duties().get("broken").is_none_or(|failed| *failed < 2) {
        assert!(tokio::time::Instant::now() < deadline, "failed rounds are not counted");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn housekeeping_removes_old_transactions_and_jobs_and_nothing_else() {
    let world = World::new();
    let runner = world.runner().job(MoodJob).build();
    let old = world.enqueue::<MoodJob>(&"good".into()).await;
    runner.run_to_idle().await.unwrap();
    let before = world.store.now();
    world.clock.advance(Duration::from_hours(24 * 31));
    let queued = {
        let mut tx = world.store.begin().await.unwrap();
        let id: JobId = world.store.next_id().await.unwrap();
        let later: Timestamp = world.store.now().plus(Duration::from_hours(1));
        jobs::enqueue(&mut tx, id, world.store.now(), MoodJob::request(&"good".into(), later).unwrap());
        world.store.commit(tx).await.unwrap();
        id
    };
    let done = runner.run_to_idle().await.unwrap();
    assert_eq!((done.fired, done.succeeded), (1, 1));
    assert!(jobs::read(&world.store, old).await.unwrap().is_none());
    assert_eq!(world.state(queued).await, JobState::Queued);
    assert!(!tx::has_older(&world.store, before.plus(Duration::from_hours(1))).await.unwrap());
    assert!(tx::has_older(&world.store, world.store.now().plus(Duration::from_hours(1))).await.unwrap());
}
