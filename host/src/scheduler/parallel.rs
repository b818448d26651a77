//! Parallel execution of one call's large work: the calling thread does the parts one after the other, and idle cores help.
//! A helper takes a core for each part, in the tenant's queue, and stops when another call wants the core.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::fair_queue::FairQueue;
use super::{inline, nanoseconds};
use crate::tenant::ModelUsage;

/// Context of a call's work on the compute threads.
pub(super) struct CallContext {
    pub cores: Arc<FairQueue>,
    pub tenant: Arc<str>,
    /// Counter of the time on cores.
    pub usage: Arc<ModelUsage>,
}

thread_local! {
    /// Context of the work that this compute thread is executing.
    static CALL_CONTEXT: RefCell<Option<Arc<CallContext>>> = const { RefCell::new(None) };
}

/// Guard that sets the thread's context while the work of a call is executed.
pub(super) struct CallContextGuard(());

impl CallContextGuard {
    pub(super) fn begin(call_context: &Arc<CallContext>) -> CallContextGuard {
        CALL_CONTEXT.set(Some(call_context.clone()));
        CallContextGuard(())
    }
}

impl Drop for CallContextGuard {
    fn drop(&mut self) {
        CALL_CONTEXT.set(None);
    }
}

/// The results of all parts, in their order. Each part should take a fraction of a millisecond. Call this on a compute
/// thread: idle cores do not help elsewhere.
pub fn parallel_map<T: Send + 'static>(parts: usize, part: impl Fn(usize) -> T + Send + Sync + 'static) -> Vec<T> {
    let job = Arc::new(Job::new(parts, part));
    if let Some(call_context) = CALL_CONTEXT.with_borrow(Clone::clone).filter(|_| !inline::is_inline()) {
        for _ in 0..call_context.cores.free().min(parts.saturating_sub(1)) {
            let (job, call_context) = (job.clone(), call_context.clone());
            // This thread does not wait for the helper to begin: it does the parts that no helper has begun. A task of
            // `tokio::spawn` would wait for this thread.
            tokio::task::spawn_blocking(move || help(&job, &call_context));
        }
    }
    while job.do_next() {}
    job.wait()
}

fn help<T, F: Fn(usize) -> T>(job: &Job<T, F>, call_context: &CallContext) {
    while let Some(mut core) = call_context.cores.try_acquire(&call_context.tenant) {
        let began = Instant::now();
        let more = job.do_next();
        let took = nanoseconds(began.elapsed());
        core.use_up(took);
        call_context.usage.cpu_nanoseconds.fetch_add(took, Ordering::Relaxed);
        if !more {
            return;
        }
    }
}

struct Job<T, F> {
    part: F,
    parts: usize,
    next: AtomicUsize,
    done: Mutex<Done<T>>,
    all_done: Condvar,
}

struct Done<T> {
    results: Vec<Option<T>>,
    /// Number of parts that are not finished.
    left: usize,
}

impl<T, F: Fn(usize) -> T> Job<T, F> {
    fn new(parts: usize, part: F) -> Job<T, F> {
        let results = std::iter::repeat_with(|| None).take(parts).collect();
        let done = Mutex::new(Done { results, left: parts });
        Job { part, parts, next: AtomicUsize::new(0), done, all_done: Condvar::new() }
    }

    /// Executes the next part; false if none was left.
    fn do_next(&self) -> bool {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        if at >= self.parts {
            return false;
        }
        let over = Over(self);
        let result = (self.part)(at);
        self.done().results[at] = Some(result);
        drop(over);
        true
    }

    fn done(&self) -> MutexGuard<'_, Done<T>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the parts of helpers. All parts have begun, and the helpers finish soon: they hold a core and wait for
    /// nothing.
    fn wait(&self) -> Vec<T> {
        let mut done = self.done();
        while done.left > 0 {
            done = self.all_done.wait(done).unwrap_or_else(PoisonError::into_inner);
        }
        let results = std::mem::take(&mut done.results);
        drop(done);
        // A part whose helper panicked is executed here, too, so that its panic ends the call.
        results.into_iter().enumerate().map(|(at, result)| result.unwrap_or_else(|| (self.part)(at))).collect()
    }
}

/// Marks a part as finished when it is dropped, also during a panic.
struct Over<'a, T, F: Fn(usize) -> T>(&'a Job<T, F>);

impl<T, F: Fn(usize) -> T> Drop for Over<'_, T, F> {
    fn drop(&mut self) {
        let mut done = self.0.done();
        done.left -= 1;
        if done.left == 0 {
            self.0.all_done.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;

    use super::*;
    use crate::scheduler::{Compute, Work};

    fn compute(threads: usize) -> Compute {
        let config = crate::config::Compute { threads, ..crate::config::Config::default().compute };
        Compute::new(&config, Arc::new(crate::telemetry::Metrics::new().unwrap())).unwrap()
    }

    #[test]
    fn the_calling_thread_does_all_parts_in_order() {
        assert_eq!(parallel_map(5, |at| at * at), [0, 1, 4, 9, 16]);
        assert!(parallel_map(0, |at| at).is_empty());
    }

    #[tokio::test]
    async fn idle_cores_help() {
        let compute = compute(3);
        // Each part waits for two others, which one thread alone could not do.
        let meet = Arc::new(Barrier::new(3));
        let work: Work<_> = Box::pin(async move {
            parallel_map(9, move |_| {
                meet.wait();
                std::thread::current().id()
            })
        });
        let threads: HashSet<_> = compute.run_background(&"a".into(), work).await.unwrap().into_iter().collect();
        assert_eq!(threads.len(), 3);
    }

    #[tokio::test]
    async fn a_panic_ends_the_work_and_nothing_else() {
        let compute = compute(2);
        let work: Work<_> = Box::pin(async { parallel_map(20, |at| assert!(at != 7)).len() });
        assert!(compute.run_background(&"a".into(), work).await.is_err());
        let work: Work<_> = Box::pin(async { parallel_map(20, |at| at).len() });
        assert_eq!(compute.run_background(&"a".into(), work).await.unwrap(), 20);
    }
}
