//! One directory sync for all that finish together.
//!
//! Each caller takes a ticket after its name is in the directory. A sync that starts later covers it; one caller runs
//! the sync, the others wait for it. A failed sync poisons the directory for the life of the process: after an I/O
//! error the kernel may have dropped what it could not write, and a second sync would succeed for nothing.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

/// The shared sync of one directory.
#[derive(Debug, Default)]
pub(super) struct DirSync {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Tickets given out.
    asked: u64,
    /// Tickets covered by a finished sync.
    done: u64,
    running: bool,
    failed: Option<Errno>,
}

impl DirSync {
    /// Returns when a sync that started after this call has ended. Blocks.
    pub(super) fn sync(&self, run: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
        let mut state = self.lock();
        state.asked += 1;
        let ticket = state.asked;
        while state.running && state.done < ticket {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(error) = state.failed {
            return Err(error);
        }
        if state.done >= ticket {
            return Ok(());
        }
        let covered = state.asked;
        state.running = true;
        drop(state);
        let result = run();
        let mut state = self.lock();
        state.running = false;
        match result {
            Ok(()) => state.done = covered,
            Err(error) => state.failed = Some(error),
        }
        self.changed.notify_all();
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, Barrier};

    #[test]
    fn those_who_ask_during_a_sync_share_the_next_one() {
        let (directory, runs) = (Arc::new(DirSync::default()), Arc::new(AtomicU32::new(0)));
        let (entered, leave) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let first = {
            let (directory, runs) = (Arc::clone(&directory), Arc::clone(&runs));
            let (entered, leave) = (Arc::clone(&entered), Arc::clone(&leave));
            std::thread::spawn(move || {
                directory.sync(|| {
                    entered.wait();
                    leave.wait();
                    runs.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                })
            })
        };
        entered.wait();
        let others: Vec<_> = (0..8)
            .map(|_| {
                let (directory, runs) = (Arc::clone(&directory), Arc::clone(&runs));
                std::thread::spawn(move || {
                    directory.sync(|| {
                        runs.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    })
                })
            })
            .collect();
        while directory.lock().asked < 9 {
            std::thread::yield_now();
        }
        leave.wait();
        assert_eq!(first.join().unwrap(), Ok(()));
        for other in others {
            assert_eq!(other.join().unwrap(), Ok(()));
        }
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_failed_sync_is_never_followed_by_a_successful_one() {
        let directory = DirSync::default();
        assert_eq!(directory.sync(|| Err(Errno::IO)), Err(Errno::IO));
        assert_eq!(directory.sync(|| Ok(())), Err(Errno::IO));
    }
}
