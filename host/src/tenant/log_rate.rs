//! A rate limit of the log: bytes of a tenant's plugins in the host's log per second. Lines beyond it are dropped, so that no
//! plugin fills the disk with the log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::rate_limit::Bucket;

/// Bytes that can be saved up, in seconds of the rate.
const BURST_SECONDS: u64 = 10;

/// The shortest time between two reports of dropped lines.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The part of a rate that all calls of a tenant share.
#[derive(Debug)]
pub(super) struct State {
    bucket: Bucket,
    /// Bytes that were dropped since the last report.
    dropped: u64,
    reported: Option<Instant>,
}

/// A tenant's rate of log.
#[derive(Clone, Debug)]
pub struct LogRate {
    pub tenant: Arc<str>,
    pub per_second: u64,
    pub(super) state: Arc<Mutex<State>>,
}

/// The decision on a line.
#[derive(Debug, PartialEq)]
pub struct Admission {
    /// False if the line must be dropped.
    pub written: bool,
    /// Bytes that were dropped since the last report, if a report is due. Only a line makes it due, so the bytes of the last
    /// lines are reported with the next one.
    pub report: Option<u64>,
}

impl State {
    pub(super) fn new(now: Instant) -> State {
        State { bucket: Bucket::new(now), dropped: 0, reported: None }
    }
}

impl LogRate {
    /// Counts a line.
    pub fn admit(&self, bytes: u64, now: Instant) -> Admission {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let burst = self.per_second.saturating_mul(BURST_SECONDS);
        let written = state.bucket.level(self.per_second, burst, now).is_ok();
        if written {
            state.bucket.take(bytes);
        } else {
            state.dropped += bytes;
        }
        let long_ago = |reported| now.saturating_duration_since(reported) >= REPORT_INTERVAL;
        let due = state.dropped > 0 && state.reported.is_none_or(long_ago);
        let report = due.then(|| std::mem::take(&mut state.dropped));
        if due {
            state.reported = Some(now);
        }
        Admission { written, report }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_burst_are_dropped_and_counted() {
        let start = Instant::now();
        let rate = LogRate { tenant: "a".into(), per_second: 100, state: Arc::new(Mutex::new(State::new(start))) };
        let admit = |bytes, seconds| rate.admit(bytes, start + Duration::from_secs_f64(seconds));
        assert_eq!(admit(999, 0.0), Admission { written: true, report: None });
        assert_eq!(admit(101, 0.0), Admission { written: true, report: None });
        assert_eq!(admit(50, 0.1), Admission { written: false, report: Some(50) });
        assert_eq!(admit(60, 0.2), Admission { written: false, report: None });
        assert_eq!(admit(70, 0.9), Admission { written: false, report: None });
        assert_eq!(admit(80, 3.0), Admission { written: true, report: Some(130) });
        assert_eq!(admit(80, 3.0), Admission { written: true, report: None });
    }

    #[test]
    fn a_rate_of_zero_drops_everything() {
        let state = Arc::new(Mutex::new(State::new(Instant::now())));
        let rate = LogRate { tenant: "a".into(), per_second: 0, state };
        assert!(!rate.admit(1, Instant::now() + Duration::from_secs(60)).written);
    }
}
