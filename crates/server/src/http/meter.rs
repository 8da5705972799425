//! Who waits for whom on a connection, and since when.
//!
//! Why: a deadline on the whole of a transfer is a size limit in disguise, and one on silence alone lets a client hold
//! a connection with one byte a minute. So progress is measured: over a window in which the server waited for the
//! client at least half of the time, the client must have moved a floor of bytes per second *of that waiting*. Time
//! in which the server itself is slow (a disk, another service) counts for nobody.
//!
//! Under HTTP/2 requests share a connection, and each is measured by itself: one that its client neglects must not end
//! another that moves, or that the server still works on. So the connection is cut only when every request on it is
//! slow. Until then a neglected one holds no more than its place among the streams and its send buffer.
//!
//! The counters are shared by the transport, the bodies (which may live in other tasks) and the connection's own
//! task, which alone judges. All times are milliseconds since the connection began, plus one: 0 means "not".

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::limits::Limits;

/// Why a connection was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// A head did not end in time.
    SlowHead,
    /// Nothing was asked for.
    Idle,
    /// A request's body came too slowly.
    SlowSender,
    /// A response's body was taken too slowly.
    SlowReader,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub struct Flow {
    bytes: AtomicU64,
    waiters: AtomicU32,
    waiting_since: AtomicU64,
    waited: AtomicU64,
}

impl Flow {
    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    fn begin(&self, now: u64) {
        if self.waiters.fetch_add(1, Relaxed) == 0 {
            self.waiting_since.store(now, Relaxed);
        }
    }

    fn end(&self, now: u64) {
        if self.waiters.fetch_sub(1, Relaxed) == 1 {
            let since = self.waiting_since.swap(0, Relaxed);
            self.waited.fetch_add(now.saturating_sub(since), Relaxed);
        }
    }

    fn waiting_since(&self) -> Option<u64> {
        Some(self.waiting_since.load(Relaxed)).filter(|since| *since > 0)
    }

    fn waited(&self, now: u64) -> u64 {
        let open = self.waiting_since().map_or(0, |since| now.saturating_sub(since));
        self.waited.load(Relaxed) + open
    }
}

/// The counters of one request on an HTTP/2 connection.
#[derive(Debug, Default)]
pub struct Stream {
    inward: Flow,
    outward: Flow,
    /// What the flows had moved and waited when they were last looked at; only the judge uses it.
    looked: Mutex<Option<[Window; 2]>>,
}

impl Stream {
    const fn flow(&self, direction: Direction) -> &Flow {
        match direction {
            Direction::In => &self.inward,
            Direction::Out => &self.outward,
        }
    }
}

/// The counters of one connection.
#[derive(Debug)]
pub struct Meter {
    began: Instant,
    requests: AtomicU32,
    resting_since: AtomicU64,
    head_since: AtomicU64,
    inward: Flow,
    outward: Flow,
    streams: Mutex<Vec<Arc<Stream>>>,
    /// There ever was a stream: the connection speaks HTTP/2.
    streamed: AtomicBool,
}

/// The directions, seen from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Request bodies.
    In,
    /// Everything sent.
    Out,
}

impl Meter {
    /// A connection that begins now, and owes a head from now on.
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            requests: AtomicU32::new(0),
            resting_since: AtomicU64::new(1),
            head_since: AtomicU64::new(1),
            inward: Flow::default(),
            outward: Flow::default(),
            streams: Mutex::default(),
            streamed: AtomicBool::new(false),
        }
    }

    fn streams(&self) -> MutexGuard<'_, Vec<Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request of an HTTP/2 connection begins.
    pub fn open_stream(&self) -> Arc<Stream> {
        let stream = Arc::<Stream>::default();
        self.streams().push(Arc::clone(&stream));
        self.streamed.store(true, Relaxed);
        stream
    }

    /// It ended.
    pub fn close_stream(&self, stream: &Arc<Stream>) {
        self.streams().retain(|open| !Arc::ptr_eq(open, stream));
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// The moment of a time of this connection.
    pub(super) fn instant(&self, millis: u64) -> Instant {
        self.began + Duration::from_millis(millis)
    }

    /// Whether a request is being answered.
    pub fn busy(&self) -> bool {
        self.requests.load(Relaxed) > 0
    }

    /// A head has begun (and not ended) or not.
    pub fn head_open(&self, open: bool) {
        if !open {
            self.head_since.store(0, Relaxed);
        } else if self.head_since.load(Relaxed) == 0 {
            self.head_since.store(self.now(), Relaxed);
        }
    }

    /// A request was handed to the service.
    pub fn begin_request(&self) {
        self.requests.fetch_add(1, Relaxed);
        // Under HTTP/2 nobody else sees the first head end.
        self.head_since.store(0, Relaxed);
    }

    /// Its answer ended.
    pub fn end_request(&self) {
        if self.requests.fetch_sub(1, Relaxed) == 1 {
            self.resting_since.store(self.now(), Relaxed);
        }
    }

    const fn flow(&self, direction: Direction) -> &Flow {
        match direction {
            Direction::In => &self.inward,
            Direction::Out => &self.outward,
        }
    }

    /// Bytes moved.
    pub fn moved(&self, direction: Direction, bytes: usize) {
        self.flow(direction).add(bytes);
    }

    /// Bytes moved since the connection began.
    pub fn total(&self, direction: Direction) -> u64 {
        self.flow(direction).bytes.load(Relaxed)
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

/// One waiter for the client: at most one wait at a time, ended at the latest when it is dropped.
#[derive(Debug)]
pub struct Waiter {
    meter: Arc<Meter>,
    stream: Option<Arc<Stream>>,
    direction: Direction,
    waiting: bool,
}

impl Waiter {
    /// A waiter that does not wait yet.
    pub const fn new(meter: Arc<Meter>, direction: Direction) -> Self {
        Self { meter, stream: None, direction, waiting: false }
    }

    /// One whose waits count for this stream, if there is one, instead of the whole connection.
    #[must_use]
    pub fn of(mut self, stream: Option<Arc<Stream>>) -> Self {
        self.stream = stream;
        self
    }

    fn flow(&self) -> &Flow {
        match &self.stream {
            Some(stream) => stream.flow(self.direction),
            None => self.meter.flow(self.direction),
        }
    }

    /// Bytes of the awaited kind moved.
    pub fn moved(&self, bytes: usize) {
        self.flow().add(bytes);
    }

    /// Bytes were handed over; the transport counts them again for the connection.
    pub fn handed(&self, bytes: usize) {
        if self.stream.is_some() {
            self.moved(bytes);
        }
    }

    /// Waits, or goes on waiting.
    pub fn wait(&mut self) {
        if !self.waiting {
            self.waiting = true;
            self.flow().begin(self.meter.now());
        }
    }

    /// Waits no more.
    pub fn go_on(&mut self) {
        if self.waiting {
            self.waiting = false;
            self.flow().end(self.meter.now());
        }
    }

    /// The counters.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.go_on();
    }
}

/// A window over which progress is measured.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    began: u64,
    bytes: u64,
    waited: u64,
}

impl Window {
    /// One that begins now.
    fn at(flow: &Flow, now: u64) -> Self {
        Self { began: now, bytes: flow.bytes.load(Relaxed), waited: flow.waited(now) }
    }

    /// Whether from then to `end` the client was waited for at least half of the time and moved less than the floor.
    const fn is_slow(&self, end: &Self, floor: u64) -> bool {
        let waited = end.waited.saturating_sub(self.waited);
        let moved = end.bytes.saturating_sub(self.bytes);
        waited.saturating_mul(2) >= end.began.saturating_sub(self.began)
            && moved.saturating_mul(1000) < floor.saturating_mul(waited)
    }
}

/// Judges a connection by its meter; lives in the connection's task.
#[derive(Debug)]
pub struct Judge {
    header: u64,
    idle: u64,
    window: u64,
    floor: u64,
    inward: Option<Window>,
    outward: Option<Window>,
    /// When the streams were last looked at.
    looked: u64,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX >> 2)
}

impl Judge {
    /// A judge with these limits.
    pub fn new(limits: &Limits) -> Self {
        Self {
            header: millis(limits.header),
            idle: millis(limits.idle),
            window: millis(limits.progress_window),
            floor: limits.progress_floor_bytes,
            inward: None,
            outward: None,
            looked: 0,
        }
    }

    /// When to judge next, at the latest. Cheap: asked after every step of the connection, reads no clock.
    pub fn next(&mut self, meter: &Meter) -> Instant {
        let mut next = u64::MAX >> 2;
        for (window, direction) in [(&mut self.inward, Direction::In), (&mut self.outward, Direction::Out)] {
            let flow = meter.flow(direction);
            if window.is_none()
                && self.floor > 0
                && let Some(since) = flow.waiting_since()
            {
                let waited = flow.waited.load(Relaxed);
                *window = Some(Window { began: since, bytes: flow.bytes.load(Relaxed), waited });
            }
            if let Some(open) = window {
                next = next.min(open.began + self.window);
            }
        }
        if self.floor > 0 && meter.streamed.load(Relaxed) && meter.busy() {
            next = next.min(self.looked + self.window);
        }
        let head = meter.head_since.load(Relaxed);
        if head > 0 {
            next = next.min(head + self.header);
        } else if !meter.busy() && meter.outward.waiting_since().is_none() {
            next = next.min(meter.resting_since.load(Relaxed) + self.idle);
        }
        // Far enough for any sane limit, near enough for every clock.
        meter.instant(next.min(86_400_000_000))
    }

    /// Whether the connection breaks a rule now.
    pub fn judge(&mut self, meter: &Meter) -> Option<Cut> {
        let now = meter.now();
        let head = meter.head_since.load(Relaxed);
        if head > 0 && now >= head + self.header {
            return Some(Cut::SlowHead);
        }
        let (length, floor) = (self.window, self.floor);
        let slow = |window: &mut Option<Window>, direction| {
            let flow = meter.flow(direction);
            let Some(open) = window.take_if(|open| now.saturating_sub(open.began) >= length) else {
                return false;
            };
            let end = Window::at(flow, now);
            // A new window begins at once if somebody still waits, else when somebody waits again.
            if flow.waiting_since().is_some() {
                *window = Some(end);
            }
            open.is_slow(&end, floor)
        };
        if slow(&mut self.inward, Direction::In) {
            return Some(Cut::SlowSender);
        }
        if slow(&mut self.outward, Direction::Out) {
            return Some(Cut::SlowReader);
        }
        if floor > 0
            && now >= self.looked + length
            && let Some(cut) = self.judge_streams(meter, now)
        {
            return Some(cut);
        }
        let resting = head == 0 && !meter.busy() && meter.outward.waiting_since().is_none();
        (resting && now >= meter.resting_since.load(Relaxed) + self.idle).then_some(Cut::Idle)
    }

    /// Looks at every stream since the last time; they must all be slow for the connection to be.
    fn judge_streams(&mut self, meter: &Meter, now: u64) -> Option<Cut> {
        self.looked = now;
        let mut slowest = None;
        let mut spared = false;
        for stream in meter.streams().iter() {
            let ends = [Window::at(&stream.inward, now), Window::at(&stream.outward, now)];
            let began = stream.looked.lock().unwrap_or_else(PoisonError::into_inner).replace(ends);
            // Of a stream that is looked at for the first time nothing is known yet.
            match began.map(|began| [0, 1].map(|at: usize| began[at].is_slow(&ends[at], self.floor))) {
                Some([true, _]) => slowest = Some(Cut::SlowSender),
                Some([_, true]) => slowest = slowest.or(Some(Cut::SlowReader)),
                _ => spared = true,
            }
        }
        slowest.filter(|_| !spared)
    }
}
