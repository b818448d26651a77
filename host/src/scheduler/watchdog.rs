//! A watch over the threads that compute. Work gives its thread back at the end of each time slice, and a graph at the end of
//! its call's time. A thread that does not come back is stuck in code that nothing can end, and is lost for other calls.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Time between two looks at the threads.
const INTERVAL: Duration = Duration::from_secs(1);

/// The threads that have computed, and the begin of what each of them does now.
pub(super) struct Watch {
    epoch: Instant,
    threads: Mutex<Vec<Arc<AtomicU64>>>,
}

thread_local! {
    /// A watch, and the nanoseconds from its epoch to the begin of what this thread does; 0 if it does nothing.
    static BEGAN: RefCell<Option<(Weak<Watch>, Arc<AtomicU64>)>> = const { RefCell::new(None) };
}

impl Default for Watch {
    fn default() -> Watch {
        Watch { epoch: Instant::now(), threads: Mutex::default() }
    }
}

/// Ends the watch of a piece of work when it is dropped.
pub(super) struct Watched(Arc<AtomicU64>);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl Watch {
    /// Watches the work that this thread begins now.
    pub(super) fn begin(self: &Arc<Watch>, now: Instant) -> Watched {
        let began = BEGAN.with_borrow_mut(|began| match began {
            Some((watch, began)) if std::ptr::eq(watch.as_ptr(), Arc::as_ptr(self)) => began.clone(),
            _ => {
                let place = Arc::<AtomicU64>::default();
                self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(place.clone());
                began.insert((Arc::downgrade(self), place)).1.clone()
            }
        });
        began.store(self.since_epoch(now).max(1), Ordering::Relaxed);
        Watched(began)
    }

    fn since_epoch(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The times for which threads have been busy, of those that are busy for longer than `bound`.
    fn stuck(&self, now: Instant, bound: Duration) -> Vec<Duration> {
        let now = self.since_epoch(now);
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let began = threads.iter().map(|began| began.load(Ordering::Relaxed)).filter(|began| *began > 0);
        began.map(|began| Duration::from_nanos(now.saturating_sub(began))).filter(|busy| *busy > bound).collect()
    }

    /// Looks at the threads until the watch is dropped, and passes to `report` the times of those that are busy for longer
    /// than `bound`.
    pub(super) fn start(
        self: &Arc<Watch>,
        bound: Duration,
        mut report: impl FnMut(&[Duration]) + Send + 'static,
    ) -> io::Result<()> {
        let watch = Arc::downgrade(self);
        let look = move || {
            while let Some(watch) = watch.upgrade() {
                report(&watch.stuck(Instant::now(), bound));
                drop(watch);
                std::thread::sleep(INTERVAL);
            }
        };
        std::thread::Builder::new().name("watchdog".into()).spawn(look).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_does_not_come_back_is_found() {
        let watch = Arc::new(Watch::default());
        let (now, bound) = (Instant::now(), Duration::from_secs(5));
        let busy = watch.begin(now);
        assert_eq!(watch.stuck(now + bound, bound), []);
        assert_eq!(watch.stuck(now + 2 * bound, bound), [2 * bound]);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| drop(watch.begin(now)));
            other.join().unwrap();
        });
        assert_eq!(watch.stuck(now + 2 * bound, bound).len(), 1, "the other thread came back");
        drop(busy);
        assert_eq!(watch.stuck(now + 2 * bound, bound), []);
        drop(watch.begin(now + bound));
        assert_eq!(watch.threads.lock().unwrap().len(), 2, "each thread is known once");
    }
}
