//! Usage of each tenant per model, from which an operator can bill. The counts are moved into the store at intervals, where
//! they only grow and survive a restart.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::RecentCost;

/// One tenant's use of one model since the counts were last taken.
#[derive(Debug, Default)]
pub struct ModelUsage {
    pub requests: AtomicU64,
    pub refused: AtomicU64,
    pub fuel: AtomicU64,
    pub cpu_nanoseconds: AtomicU64,
    pub request_bytes: AtomicU64,
    pub reply_bytes: AtomicU64,
    /// Not part of the counts, and not billed.
    pub recent_cost: RecentCost,
}

/// The counts of a [`ModelUsage`], as plain numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageCounts {
    pub requests: u64,
    pub refused: u64,
    pub fuel: u64,
    pub cpu_nanoseconds: u64,
    pub request_bytes: u64,
    pub reply_bytes: u64,
}

impl ModelUsage {
    fn counters(&self) -> [&AtomicU64; 6] {
        [&self.requests, &self.refused, &self.fuel, &self.cpu_nanoseconds, &self.request_bytes, &self.reply_bytes]
    }

    /// Takes the counts, and sets the counters to zero.
    fn take(&self) -> UsageCounts {
        let [requests, refused, fuel, cpu_nanoseconds, request_bytes, reply_bytes] =
            self.counters().map(|counter| counter.swap(0, Ordering::Relaxed));
        UsageCounts { requests, refused, fuel, cpu_nanoseconds, request_bytes, reply_bytes }
    }

    fn put_back(&self, counts: UsageCounts) {
        let UsageCounts { requests, refused, fuel, cpu_nanoseconds, request_bytes, reply_bytes } = counts;
        let counts = [requests, refused, fuel, cpu_nanoseconds, request_bytes, reply_bytes];
        for (counter, count) in self.counters().into_iter().zip(counts) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// The usage of all models that a tenant called.
#[derive(Debug, Default)]
pub struct UsageBook(RwLock<BTreeMap<Arc<str>, Arc<ModelUsage>>>);

impl UsageBook {
    /// The counters of a model, which must exist: a name that a client invented must not add a row.
    pub fn of(&self, model: &Arc<str>) -> Arc<ModelUsage> {
        if let Some(usage) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(model) {
            return usage.clone();
        }
        self.0.write().unwrap_or_else(PoisonError::into_inner).entry(model.clone()).or_default().clone()
    }

    /// Takes the counts since the last time, without the models that were not used.
    pub fn take(&self) -> Vec<(Arc<str>, UsageCounts)> {
        let book = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let taken = book.iter().map(|(model, usage)| (model.clone(), usage.take()));
        taken.filter(|(_, counts)| *counts != UsageCounts::default()).collect()
    }

    /// Adds back counts that were taken and could not be stored.
    pub fn put_back(&self, counts: Vec<(Arc<str>, UsageCounts)>) {
        for (model, counts) in counts {
            self.of(&model).put_back(counts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_taken_once_and_can_be_put_back() {
        let book = UsageBook::default();
        book.of(&"a".into()).fuel.fetch_add(5, Ordering::Relaxed);
        book.of(&"b".into());
        let taken = book.take();
        assert_eq!(taken, [("a".into(), UsageCounts { fuel: 5, ..UsageCounts::default() })]);
        assert!(book.take().is_empty());
        book.put_back(taken);
        assert_eq!(book.take()[0].1.fuel, 5);
    }
}
