//! The threads of the host that keep a tenant's runner: one starts the process, waits for its end and starts it again; the
//! other has it load graphs.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::control::{LoadAnswer, Order};
use super::process::{Process, Reason, Settings};
use super::state::{GraphProperties, Load, LoadFailure, State};
use crate::telemetry::Metrics;

/// Longest pause between two starts of a process that ends before it has done anything.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// A tenant's runner: its state, and what its process is started with.
pub(super) struct Runner {
    pub state: State,
    pub settings: Settings,
    /// Bytes of memory that the next process may have.
    pub memory: AtomicU64,
    /// Longest time of loading a graph.
    pub load_time: Duration,
    pub metrics: Arc<Metrics>,
}

impl Runner {
    /// Starts the two threads, which end when the state is closed.
    pub(super) fn start(self: &Arc<Runner>) -> io::Result<()> {
        let (runner, loader) = (self.clone(), self.clone());
        std::thread::Builder::new().name("runner".into()).spawn(move || runner.supervise())?;
        let started = std::thread::Builder::new().name("runner-load".into()).spawn(move || loader.load_graphs());
        if started.is_err() {
            self.state.close();
        }
        started.map(drop)
    }

    /// Starts processes, one after the other.
    fn supervise(&self) {
        let mut failures = 0u32;
        while !self.state.lock().closed {
            let has_worked = match Process::start(&self.settings, self.memory.load(Ordering::Relaxed)) {
                Ok((process, errors, lanes)) => {
                    let process = Arc::new(process);
                    self.metrics.graph_runners.inc();
                    self.put_in_service(&process, lanes);
                    let reason = process.attend(errors);
                    self.metrics.graph_runners.dec();
                    self.metrics.graph_runner_ended(reason.label());
                    let has_worked = self.state.lock().finish(&process, reason);
                    self.state.notify();
                    has_worked
                }
                Err(error) => {
                    tracing::error!(%error, "a process that runs graphs could not be started");
                    self.state.lock().start_error = Some(error.to_string());
                    self.state.notify();
                    false
                }
            };
            failures = if has_worked { 0 } else { failures.saturating_add(1) };
            if failures > 0 {
                self.pause(failures);
            }
        }
    }

    fn put_in_service(&self, process: &Arc<Process>, lanes: Vec<super::lane::Lane>) {
        let mut inner = self.state.lock();
        inner.begin(process.clone(), lanes);
        let closed = inner.closed;
        drop(inner);
        if closed {
            self.state.kill_process(process, Reason::Closed);
        }
        self.state.notify();
    }

    /// Waits before another start, longer after each failure.
    fn pause(&self, failures: u32) {
        let pause = Duration::from_millis(50).saturating_mul(1 << failures.min(10)).min(MAX_PAUSE);
        let until = Instant::now() + pause;
        let mut inner = self.state.lock();
        while !inner.closed && Instant::now() < until {
            inner = self.state.wait_for_work(inner, Some(until));
        }
    }

    /// Has the process load the graphs that it does not have, and drop those that are not needed.
    fn load_graphs(&self) {
        let mut inner = self.state.lock();
        while !inner.closed {
            if let Some((process, graphs)) = inner.next_drops() {
                drop(inner);
                // A process that is gone has dropped all of its graphs.
                let send = |graph| process.control.send(&Order::Unload { graph }, &[]);
                let _ = graphs.into_iter().try_for_each(send);
                inner = self.state.lock();
            } else if let Some(load) = inner.next_load() {
                drop(inner);
                let result = self.load(&load);
                inner = self.state.lock();
                inner.loaded(&load, result);
                self.state.notify();
            } else {
                inner = self.state.wait_for_work(inner, None);
            }
        }
    }

    fn load(&self, load: &Load) -> Result<GraphProperties, LoadFailure> {
        match self.order(load) {
            Ok(Ok(loaded)) => match loaded.signature() {
                Some(signature) => Ok(GraphProperties { signature, resident: loaded.resident }),
                None => Err(self.give_up(load, Reason::InvalidReply)),
            },
            Ok(Err(refusal)) => Err(LoadFailure::Refused(refusal)),
            Err(error) => Err(match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => self.give_up(load, Reason::Loading),
                io::ErrorKind::InvalidData => self.give_up(load, Reason::InvalidReply),
                _ => LoadFailure::Ended(self.state.await_end(&load.process).reason),
            }),
        }
    }

    fn give_up(&self, load: &Load, reason: Reason) -> LoadFailure {
        self.state.kill_process(&load.process, reason.clone());
        LoadFailure::Ended(reason)
    }

    fn order(&self, load: &Load) -> io::Result<LoadAnswer> {
        let Load { process, id, file, bytes, shapes } = load;
        process.control.set_time(self.load_time)?;
        let order = Order::Load { graph: *id, bytes: *bytes, shapes: shapes.clone() };
        process.control.send(&order, &[file.as_fd()])?;
        let answer = process.control.receive()?;
        answer.map(|(answer, _)| answer).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
