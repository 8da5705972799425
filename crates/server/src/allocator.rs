//! The allocator, and giving back what it holds for nobody.
//!
//! musl's own allocator is slow under threads, and glibc's keeps what threads freed. mimalloc gives large freed areas
//! back only when it is next asked for one: a quiet server kept the 19 MiB of every password it had checked at once. And it
//! asks for huge pages, of which each thread touches some for a few kilobytes: without them a server at rest takes 11 MiB
//! less, and a busy one 25, at the same processor time.

use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often freed memory goes back to the system.
const EVERY: Duration = Duration::from_secs(2);

/// Keeps this process from getting 2 MiB of memory where it asked for some bytes.
pub(crate) fn without_huge_pages() {
    // Refused, they stay as the system has them.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Gives freed memory back until it is dropped.
#[expect(unsafe_code, reason = "a call into the allocator")]
pub(crate) async fn give_back() {
    let mut turns = tokio::time::interval(EVERY);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        // SAFETY: may be called at any time from any thread; it touches nothing that is in use.
        unsafe { libmimalloc_sys::mi_collect(true) };
    }
}
