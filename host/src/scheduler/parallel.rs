//! Parallel execution of one call's large work: the calling thread does the parts one after the other, and idle cores help.
//! A helper takes a core for each part, in the tenant's queue, and stops when another call wants the core.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::call_context::{CallContext, Cores};
use super::nanoseconds;

impl CallContext {
    /// The results of all parts, in their order. Each part should take a fraction of a millisecond. Idle cores help on a
    /// compute thread alone.
    pub fn parallel_map<T: Send + 'static>(
        &self,
        parts: usize,
        part: impl Fn(usize) -> T + Send + Sync + 'static,
    ) -> Vec<T> {
        let job = Arc::new(Job::new(parts, part));
        if let Some(cores) = self.state().cores.as_ref().filter(|_| !self.is_inline()) {
            for _ in 0..cores.queue.free().min(parts.saturating_sub(1)) {
                let (job, cores, call) = (job.clone(), cores.clone(), self.clone());
                // This thread does not wait for the helper to begin: it does the parts that no helper has begun. A task of
                // `spawn` would wait for this thread.
                cores.runtime.clone().spawn_blocking(move || help(&job, &cores, &call));
            }
        }
        while job.do_next() {}
        job.wait()
    }
}

fn help<T, F: Fn(usize) -> T>(job: &Job<T, F>, cores: &Cores, call: &CallContext) {
    let call = call.state();
    while let Some(mut core) = cores.queue.try_acquire(&call.tenant, usize::MAX) {
        let began = Instant::now();
        let more = job.do_next();
        let took = nanoseconds(began.elapsed());
        core.use_up(took);
        call.usage.cpu_nanoseconds.fetch_add(took, Ordering::Relaxed);
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
    use crate::config::Config;
    use crate::scheduler::{Compute, Panicked, Permit, Placement};
    use crate::tenant::Tenant;

    fn compute(threads: usize) -> Compute {
        let config = crate::config::Compute { threads, ..Config::default().compute };
        Compute::new(&config, Arc::new(crate::telemetry::Metrics::new().unwrap())).unwrap()
    }

    /// Runs the parts as the work of a call.
    async fn parts<T: Send + 'static>(
        compute: &Compute,
        parts: usize,
        part: impl Fn(usize) -> T + Send + Sync + 'static,
    ) -> Result<Vec<T>, Panicked> {
        let tenant = Arc::new(Tenant::new("a", Config::default().tenant));
        let permit = compute.admit(&tenant, Arc::default()).await.unwrap();
        let work = |permit: Permit| -> crate::scheduler::Work<_> {
            Box::pin(async move { permit.context.parallel_map(parts, part) })
        };
        compute.run(permit, Placement::ComputeThread, work).await
    }

    #[test]
    fn the_calling_thread_does_all_parts_in_order() {
        let call = CallContext::without_cores();
        assert_eq!(call.parallel_map(5, |at| at * at), [0, 1, 4, 9, 16]);
        assert!(call.parallel_map(0, |at| at).is_empty());
    }

    #[tokio::test]
    async fn idle_cores_help() {
        // Each part waits for two others, which one thread alone could not do.
        let meet = Arc::new(Barrier::new(3));
        let part = move |_| {
            meet.wait();
            std::thread::current().id()
        };
        let threads: HashSet<_> = parts(&compute(3), 9, part).await.unwrap().into_iter().collect();
        assert_eq!(threads.len(), 3);
    }

    #[tokio::test]
    async fn a_panic_ends_the_work_and_nothing_else() {
        let compute = compute(2);
        assert!(parts(&compute, 20, |at| assert!(at != 7)).await.is_err());
        assert_eq!(parts(&compute, 20, |at| at).await.unwrap().len(), 20);
    }
}
