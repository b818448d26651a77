//! Statistics of a version of a model, which clients can query: the number of calls, and the time of each step. The
//! counters are only added to, without a lock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

/// The counters of one version. Those of the steps count answered calls only.
#[derive(Default)]
pub struct Statistics {
    success: Durations,
    fail: Durations,
    queue: Durations,
    input: Durations,
    infer: Durations,
    output: Durations,
    rows: AtomicU64,
    /// Counters by the number of rows in a call. A new number replaces the map.
    batches: ArcSwap<BTreeMap<u64, Arc<Batch>>>,
    last_inference: AtomicU64,
}

/// Most batch sizes that have counters of their own. Clients choose the sizes, so calls of further sizes are counted in the
/// sums only.
const MAX_SIZES: usize = 64;

/// The counters of calls of one batch size.
#[derive(Default)]
struct Batch {
    input: Durations,
    infer: Durations,
    output: Durations,
}

/// Durations of the steps of one answered call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Rows in the call's batch; 1 if the model has no batch.
    pub rows: u64,
    /// Time in the queue: from the request for a slot until the call's work begins.
    pub queue: Duration,
    /// Time to decode and check the inputs.
    pub input: Duration,
    /// Time in all stages.
    pub infer: Duration,
    /// Time to encode the outputs.
    pub output: Duration,
}

/// Values of the counters at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    pub success: DurationStats,
    pub fail: DurationStats,
    pub queue: DurationStats,
    pub input: DurationStats,
    pub infer: DurationStats,
    pub output: DurationStats,
    /// Rows of all answered calls together.
    pub rows: u64,
    pub batches: Vec<BatchSnapshot>,
    /// Time of the last answered call in milliseconds since 1970; 0 before the first.
    pub last_inference: u64,
}

/// Values of the counters of answered calls of one batch size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchSnapshot {
    pub rows: u64,
    pub input: DurationStats,
    pub infer: DurationStats,
    pub output: DurationStats,
}

/// A number of durations, and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DurationStats {
    pub count: u64,
    pub nanoseconds: u64,
}

impl Statistics {
    pub fn succeeded(&self, timings: &Timings) {
        let Timings { rows, queue, input, infer, output } = *timings;
        self.queue.add(queue);
        self.input.add(input);
        self.infer.add(infer);
        self.output.add(output);
        self.success.add(queue + input + infer + output);
        self.rows.fetch_add(rows, Ordering::Relaxed);
        if let Some(batch) = self.batch(rows) {
            batch.input.add(input);
            batch.infer.add(infer);
            batch.output.add(output);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_inference.fetch_max(crate::numbers::milliseconds(now), Ordering::Relaxed);
    }

    fn batch(&self, rows: u64) -> Option<Arc<Batch>> {
        let known = self.batches.load();
        if known.contains_key(&rows) || known.len() == MAX_SIZES {
            return known.get(&rows).cloned();
        }
        self.batches.rcu(|batches| {
            let mut batches = BTreeMap::clone(batches);
            if batches.len() < MAX_SIZES {
                batches.entry(rows).or_default();
            }
            batches
        });
        self.batches.load().get(&rows).cloned()
    }

    pub fn failed(&self, after: Duration) {
        self.fail.add(after);
    }

    pub fn read(&self) -> Snapshot {
        Snapshot {
            success: self.success.read(),
            fail: self.fail.read(),
            queue: self.queue.read(),
            input: self.input.read(),
            infer: self.infer.read(),
            output: self.output.read(),
            rows: self.rows.load(Ordering::Relaxed),
            batches: self.batches.load().iter().map(|(rows, batch)| batch.read(*rows)).collect(),
            last_inference: self.last_inference.load(Ordering::Relaxed),
        }
    }
}

impl Batch {
    fn read(&self, rows: u64) -> BatchSnapshot {
        BatchSnapshot { rows, input: self.input.read(), infer: self.infer.read(), output: self.output.read() }
    }
}

#[derive(Default)]
struct Durations {
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Durations {
    fn add(&self, time: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn read(&self) -> DurationStats {
        DurationStats {
            count: self.count.load(Ordering::Relaxed),
            nanoseconds: self.nanoseconds.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_is_the_sum_of_its_steps() {
        let statistics = Statistics::default();
        let step = Duration::from_nanos;
        statistics.succeeded(&Timings {
            rows: 8,
            queue: step(1),
            input: step(20),
            infer: step(300),
            output: step(4000),
        });
        statistics.succeeded(&Timings { rows: 1, ..Timings::default() });
        statistics.failed(step(7));
        let read = statistics.read();
        assert_eq!(read.success, DurationStats { count: 2, nanoseconds: 4321 });
        assert_eq!((read.infer.nanoseconds, read.output.count), (300, 2));
        assert_eq!(read.fail, DurationStats { count: 1, nanoseconds: 7 });
        assert!(read.last_inference > 1_600_000_000_000);
        assert_eq!((read.rows, read.batches.len()), (9, 2));
        assert_eq!((read.batches[1].rows, read.batches[1].infer.nanoseconds), (8, 300));
    }

    #[test]
    fn sizes_are_bounded() {
        let statistics = Statistics::default();
        (1..1000).for_each(|rows| statistics.succeeded(&Timings { rows, ..Timings::default() }));
        let read = statistics.read();
        assert_eq!((read.success.count, read.rows, read.batches.len()), (999, 999 * 500, MAX_SIZES));
    }
}
