//! A bounded queue of lines, with a thread that writes them. The sender never waits: a line that does not fit is dropped, and
//! its bytes are counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Bounds on the lines that wait.
const MOST_LINES: usize = 4096;
const MOST_BYTES: usize = 4 << 20;

pub(super) struct LineQueue {
    entries: SyncSender<Entry>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    /// Bytes of the lines that wait.
    waiting: AtomicUsize,
    /// Bytes that were dropped since the last report.
    dropped: AtomicU64,
}

enum Entry {
    Line(Vec<u8>),
    /// Answered when all lines before it were written.
    Flush(SyncSender<()>),
}

impl LineQueue {
    /// Starts the thread. It calls `write` for each line, and `report` with the bytes of lines that were dropped.
    pub(super) fn start(
        write: impl Fn(&[u8]) + Send + 'static,
        report: impl Fn(u64) + Send + 'static,
    ) -> io::Result<LineQueue> {
        let (entries, received) = sync_channel(MOST_LINES);
        let counters = Arc::<Counters>::default();
        let shared = counters.clone();
        std::thread::Builder::new().name("log".into()).spawn(move || run(&received, &shared, write, report))?;
        Ok(LineQueue { entries, counters })
    }

    pub(super) fn push(&self, line: Vec<u8>) {
        let bytes = line.len();
        let waiting = self.counters.waiting.fetch_add(bytes, Ordering::Relaxed);
        if waiting + bytes > MOST_BYTES || self.entries.try_send(Entry::Line(line)).is_err() {
            self.counters.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.counters.dropped.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// Waits until the lines were written, or until the time is over. Returns false if they were not, or if the queue is
    /// full.
    pub(super) fn flush(&self, within: Duration) -> bool {
        let (done, written) = sync_channel(1);
        self.entries.try_send(Entry::Flush(done)).is_ok() && written.recv_timeout(within).is_ok()
    }
}

fn run(entries: &Receiver<Entry>, counters: &Counters, write: impl Fn(&[u8]), report: impl Fn(u64)) {
    while let Ok(entry) = entries.recv() {
        if let Entry::Line(line) = &entry {
            write(line);
            counters.waiting.fetch_sub(line.len(), Ordering::Relaxed);
        }
        let dropped = counters.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            report(dropped);
        }
        if let Entry::Flush(done) = entry {
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    /// The writer is held up until the test lets it go on.
    #[test]
    fn lines_that_do_not_fit_are_dropped_and_reported() {
        let (go_on, held_up) = channel::<()>();
        let written = Arc::new(AtomicUsize::new(0));
        let reported = Arc::new(Mutex::new(0));
        let (lines, reports) = (written.clone(), reported.clone());
        let write = move |_: &[u8]| {
            let _ = held_up.recv();
            lines.fetch_add(1, Ordering::Relaxed);
        };
        let queue = LineQueue::start(write, move |bytes| *reports.lock().unwrap() += bytes).unwrap();
        for _ in 0..MOST_LINES + 100 {
            queue.push(vec![b'a'; 10]);
        }
        drop(go_on);
        let flush = || while !queue.flush(Duration::from_secs(60)) {};
        flush();
        let dropped = crate::numbers::to_usize(*reported.lock().unwrap());
        assert!((980..=1000).contains(&dropped), "{dropped}");
        assert_eq!(dropped / 10 + written.load(Ordering::Relaxed), MOST_LINES + 100);
        queue.push(vec![b'a'; MOST_BYTES + 1]);
        flush();
        assert_eq!(crate::numbers::to_usize(*reported.lock().unwrap()), dropped + MOST_BYTES + 1);
    }
}
