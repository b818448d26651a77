//! A queue of lines, with a thread that writes them. The lines of the host and those of plugins have a bound each. The sender
//! never waits: a line beyond its bound is dropped, and its bytes are counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

/// Bounds on the lines of one source that wait.
const MOST_LINES: usize = 4096;
const MOST_BYTES: usize = 4 << 20;

/// The shortest time between two reports of lines of one source, except at a flush.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The origin of a line. Each has bounds of its own, so that the lines of plugins push out none of the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Host,
    Plugins,
}

const SOURCES: [Source; 2] = [Source::Host, Source::Plugins];

pub(super) struct LineQueue {
    entries: Sender<Entry>,
    counters: Arc<[Counters; SOURCES.len()]>,
}

/// Counters of one source.
#[derive(Default)]
struct Counters {
    waiting_lines: AtomicUsize,
    waiting_bytes: AtomicUsize,
    /// Bytes that were dropped since the last report.
    dropped: AtomicU64,
}

enum Entry {
    Line(Source, Vec<u8>),
    /// Answered when all lines before it were written.
    Flush(SyncSender<()>),
}

impl Counters {
    /// Counts a line in; false if it does not fit.
    fn enter(&self, bytes: usize) -> bool {
        let lines = self.waiting_lines.fetch_add(1, Ordering::Relaxed);
        let fits = lines < MOST_LINES && self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= MOST_BYTES;
        if !fits {
            if lines < MOST_LINES {
                self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            }
            self.waiting_lines.fetch_sub(1, Ordering::Relaxed);
            self.dropped.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        fits
    }

    fn leave(&self, bytes: usize) {
        self.waiting_lines.fetch_sub(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl LineQueue {
    /// Starts the thread. It calls `write` for each line, and `report` with the bytes of lines that were dropped.
    pub(super) fn start(
        write: impl Fn(&[u8]) + Send + 'static,
        report: impl Fn(Source, u64) + Send + 'static,
    ) -> io::Result<LineQueue> {
        let (entries, received) = channel();
        let counters = Arc::<[Counters; SOURCES.len()]>::default();
        let shared = counters.clone();
        std::thread::Builder::new().name("log".into()).spawn(move || run(&received, &shared, write, report))?;
        Ok(LineQueue { entries, counters })
    }

    pub(super) fn push(&self, source: Source, line: Vec<u8>) {
        if self.counters[source as usize].enter(line.len()) {
            // The thread receives for as long as this queue exists.
            let _ = self.entries.send(Entry::Line(source, line));
        }
    }

    /// Waits until the lines were written, or until the time is over. Returns false if they were not.
    pub(super) fn flush(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        // The first round reports lines that were dropped. The second writes the reports.
        (0..2).all(|_| {
            let (done, written) = sync_channel(1);
            let sent = self.entries.send(Entry::Flush(done)).is_ok();
            sent && written.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok()
        })
    }
}

fn run(
    entries: &Receiver<Entry>,
    counters: &[Counters; SOURCES.len()],
    write: impl Fn(&[u8]),
    report: impl Fn(Source, u64),
) {
    let mut reported = [None::<Instant>; SOURCES.len()];
    while let Ok(entry) = entries.recv() {
        if let Entry::Line(source, line) = &entry {
            write(line);
            counters[*source as usize].leave(line.len());
        }
        for source in SOURCES {
            let (counters, reported) = (&counters[source as usize], &mut reported[source as usize]);
            let due = || match entry {
                Entry::Flush(_) => true,
                Entry::Line(..) => {
                    counters.waiting_lines.load(Ordering::Relaxed) == 0
                        || reported.is_none_or(|reported| reported.elapsed() >= REPORT_INTERVAL)
                }
            };
            if counters.dropped.load(Ordering::Relaxed) > 0 && due() {
                *reported = Some(Instant::now());
                report(source, counters.dropped.swap(0, Ordering::Relaxed));
            }
        }
        if let Entry::Flush(done) = entry {
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    type Reports = Arc<Mutex<Vec<(Source, u64)>>>;

    /// A queue whose thread writes nothing until the sender is used or dropped, the number of lines that it wrote, and its
    /// reports.
    fn held_up() -> (LineQueue, Sender<()>, Arc<AtomicUsize>, Reports) {
        let (go_on, held_up) = channel::<()>();
        let (written, reports) = (Arc::new(AtomicUsize::new(0)), Reports::default());
        let (lines, reported) = (written.clone(), reports.clone());
        let write = move |_: &[u8]| {
            let _ = held_up.recv();
            lines.fetch_add(1, Ordering::Relaxed);
        };
        let report = move |source, bytes| reported.lock().unwrap().push((source, bytes));
        (LineQueue::start(write, report).unwrap(), go_on, written, reports)
    }

    fn reported(reports: &Reports, of: Source) -> usize {
        let reports = reports.lock().unwrap();
        let bytes = reports.iter().filter(|(source, _)| *source == of).map(|(_, bytes)| bytes);
        crate::numbers::to_usize(bytes.sum())
    }

    #[test]
    fn lines_that_do_not_fit_are_dropped_and_reported() {
        let (queue, go_on, written, reports) = held_up();
        for _ in 0..MOST_LINES + 100 {
            queue.push(Source::Plugins, vec![b'a'; 10]);
        }
        assert!(!queue.flush(Duration::ZERO), "the writer is held up");
        drop(go_on);
        assert!(queue.flush(Duration::from_secs(60)));
        assert_eq!(reported(&reports, Source::Plugins), 1000);
        assert_eq!(written.load(Ordering::Relaxed), MOST_LINES);
        queue.push(Source::Plugins, vec![b'a'; MOST_BYTES + 1]);
        assert!(queue.flush(Duration::from_secs(60)));
        assert_eq!(reported(&reports, Source::Plugins), 1000 + MOST_BYTES + 1);
        assert_eq!(reported(&reports, Source::Host), 0);
    }

    #[test]
    fn a_writer_that_is_held_up_holds_up_no_sender_and_no_line_of_the_host_gives_way_to_plugins() {
        let (queue, go_on, written, reports) = held_up();
        for _ in 0..2 * MOST_LINES {
            queue.push(Source::Plugins, vec![b'a'; 10]);
        }
        for _ in 0..MOST_LINES + 1 {
            queue.push(Source::Host, vec![b'a'; 10]);
        }
        drop(go_on);
        assert!(queue.flush(Duration::from_secs(60)), "a full queue is flushed, too");
        assert_eq!((reported(&reports, Source::Plugins), reported(&reports, Source::Host)), (10 * MOST_LINES, 10));
        assert_eq!(written.load(Ordering::Relaxed), 2 * MOST_LINES);
    }
}
