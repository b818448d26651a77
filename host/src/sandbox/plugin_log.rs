//! The bounded log of a call: the lines that the plugin logs, and the lines that it prints to standard output and error.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::cost;
use super::shared::Shared;
use crate::telemetry::log::PLUGIN;
use crate::tenant::{Admission, Exceeded, Limit, LogRate};

/// Bytes of printed output that are accepted in one write.
const WRITE_BYTES: usize = 64 << 10;

/// Bytes that are charged for the host's part of a line: time, model, stage, request.
const LINE_OVERHEAD: usize = 128;

/// A longer printed line is split into parts of this many bytes.
const LINE_BYTES: usize = 4096;

/// The last printed lines that are kept for the error of a call that traps, and the bytes that are kept of each.
const LAST_LINES: usize = 16;
const LAST_LINE_BYTES: usize = 512;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// The log of one call. Clones write to the same log, within the same bound.
#[derive(Clone)]
pub(crate) struct PluginLog(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    request: Arc<str>,
    bound: u64,
    rate: Option<LogRate>,
    lines: Mutex<Lines>,
    /// Fuel for what was printed since the plugin last ran. WASI prints without access to the call's budget.
    owed: AtomicU64,
}

struct Lines {
    left: u64,
    /// Printed bytes that no newline has ended yet.
    unfinished: Vec<u8>,
    /// The last printed lines, each shortened and escaped.
    last: VecDeque<String>,
}

impl PluginLog {
    pub(crate) fn new(
        shared: Arc<Shared>,
        request: Arc<str>,
        left: u64,
        bound: u64,
        rate: Option<LogRate>,
    ) -> PluginLog {
        let lines = Mutex::new(Lines { left, unfinished: Vec::new(), last: VecDeque::new() });
        PluginLog(Arc::new(Inner { shared, request, bound, rate, lines, owed: AtomicU64::new(0) }))
    }

    /// Logs one line. Fails if the call then exceeds its log limit.
    pub(crate) fn line(&self, level: Level, text: &str) -> Result<(), Exceeded> {
        self.charge(&mut self.lines(), text.len() + LINE_OVERHEAD)?;
        self.emit(level, text);
        Ok(())
    }

    /// Logs a printed line that no newline has ended, and returns the bytes that are left of the log limit.
    pub(crate) fn finish(&self) -> u64 {
        let mut lines = self.lines();
        if !lines.unfinished.is_empty() {
            self.emit_unfinished(&mut lines);
        }
        lines.left
    }

    /// The text and place of a panic if the plugin printed one, else its last line; `None` if it printed nothing.
    pub(crate) fn last_words(&self) -> Option<String> {
        let mut lines = self.lines();
        if !lines.unfinished.is_empty() {
            self.emit_unfinished(&mut lines);
        }
        last_words(&lines.last)
    }

    /// The fuel for what was printed since this was called last.
    pub(crate) fn take_owed(&self) -> u64 {
        self.0.owed.swap(0, Ordering::Relaxed)
    }

    fn print(&self, bytes: &[u8]) -> Result<(), Exceeded> {
        let mut lines = self.lines();
        let ends = bytes.iter().filter(|byte| **byte == b'\n').count();
        let fuel = ends as u64 * cost::LOG.call + bytes.len() as u64 * cost::LOG.unit;
        self.0.owed.fetch_add(fuel, Ordering::Relaxed);
        self.charge(&mut lines, bytes.len() + ends * LINE_OVERHEAD)?;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\n");
            for part in text.unwrap_or(line).chunks(LINE_BYTES) {
                if lines.unfinished.len() + part.len() > LINE_BYTES {
                    self.emit_unfinished(&mut lines);
                }
                lines.unfinished.extend_from_slice(part);
            }
            if text.is_some() {
                self.emit_unfinished(&mut lines);
            }
        }
        Ok(())
    }

    fn emit_unfinished(&self, lines: &mut Lines) {
        self.emit(Level::Info, &String::from_utf8_lossy(&lines.unfinished));
        let kept = lines.unfinished.get(..LAST_LINE_BYTES).unwrap_or(&lines.unfinished);
        let kept = String::from_utf8_lossy(kept).escape_debug().to_string();
        lines.unfinished.clear();
        if !kept.is_empty() {
            lines.last.truncate(LAST_LINES - 1);
            lines.last.push_front(kept);
        }
    }

    fn charge(&self, lines: &mut Lines, bytes: usize) -> Result<(), Exceeded> {
        let bound = self.0.bound;
        let exceeded = Exceeded { limit: Limit::Log, bound, used: bound.saturating_sub(lines.left) };
        lines.left = lines.left.checked_sub(bytes as u64).ok_or(exceeded)?;
        Ok(())
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn emit(&self, level: Level, text: &str) {
        // Escaped, so that a plugin cannot forge lines in the host's log.
        let text = text.escape_debug().to_string();
        let (model, stage, request) = (&*self.0.shared.model, &*self.0.shared.stage, &*self.0.request);
        macro_rules! emit {
            ($level:ident) => {
                if tracing::enabled!(target: PLUGIN, tracing::Level::$level) && self.admits(&text) {
                    tracing::event!(target: PLUGIN, tracing::Level::$level, request, model, stage, "{text}");
                }
            };
        }
        match level {
            Level::Trace => emit!(TRACE),
            Level::Debug => emit!(DEBUG),
            Level::Info => emit!(INFO),
            Level::Warn => emit!(WARN),
            Level::Error => emit!(ERROR),
        }
    }

    /// Counts a line within the tenant's rate. Returns false if it must be dropped.
    fn admits(&self, text: &str) -> bool {
        let Some(rate) = &self.0.rate else { return true };
        let Admission { written, report } = rate.admit((text.len() + LINE_OVERHEAD) as u64, Instant::now());
        if let Some(bytes) = report {
            let (tenant, per_second) = (&*rate.tenant, rate.per_second);
            tracing::warn!(target: PLUGIN, tenant, bytes, per_second, "lines of the tenant's plugins were dropped, because they exceed its limit log-per-second");
        }
        written
    }
}

/// The words of a panic in printed lines, of which the newest is the first: its place, and all lines of its text up to the
/// advice that Rust prints after it. Without a panic, the newest line.
fn last_words(lines: &VecDeque<String>) -> Option<String> {
    const PANIC: &str = "panicked at ";
    let began = lines.iter().position(|line| line.contains(PANIC));
    let Some(began) = began else { return lines.front().map(|line| format!("it printed last: {line}")) };
    let told = lines.iter().take(began + 1).rev().take_while(|line| !line.starts_with("note: run with "));
    let words = told.map(String::as_str).collect::<Vec<_>>().join(" ");
    words.find(PANIC).map(|at| words.split_at(at).1.to_owned())
}

impl IsTerminal for PluginLog {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for PluginLog {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this form, and the sandbox does not link it.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for PluginLog {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.print(&bytes).map_err(|exceeded| StreamError::Trap(exceeded.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[async_trait::async_trait]
impl Pollable for PluginLog {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_panic_are_found_among_what_was_printed() {
        const ADVICE: &str = "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace";
        for (printed, wanted) in [
            (&[][..], None),
            (&["loading", "loaded"], Some("it printed last: loaded")),
            (&["thread 'main' panicked at src/lib.rs:3:4:", "no label"], Some("panicked at src/lib.rs:3:4: no label")),
            (
                &[
                    "a",
                    "thread 'main' (1) panicked at src/a.rs:1:2:",
                    "assertion failed",
                    "  left: 1",
                    " right: 2",
                    ADVICE,
                ],
                Some("panicked at src/a.rs:1:2: assertion failed   left: 1  right: 2"),
            ),
        ] {
            let newest_first = printed.iter().rev().map(|line| (*line).to_owned()).collect();
            assert_eq!(last_words(&newest_first).as_deref(), wanted, "{printed:?}");
        }
    }
}
