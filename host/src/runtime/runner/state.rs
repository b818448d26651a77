//! The state of a tenant's runner: the process that is there now, its graphs, and the calls that are in it. Calls wait here
//! for a process, for their graph to be loaded, and for a lane.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::lane::Lane;
use super::process::{End, Process, Reason};
use crate::runtime::InputShapes;
use crate::tensor::Signature;

/// Time that a call waits to learn why its process ended.
const END_TIME: Duration = Duration::from_secs(5);

/// Time after which a graph that could not be loaded again is tried once more.
const RETRY_TIME: Duration = Duration::from_secs(30);

/// Processes that may end while they load one graph, before the graph is given up.
const MAX_ATTEMPTS: u32 = 2;

#[derive(Default)]
pub(super) struct State {
    inner: Mutex<Inner>,
    /// Wakes calls, and threads that wait for a graph.
    changed: Condvar,
    /// Wakes the threads that keep the runner. A call that ends does not wake them.
    work: Condvar,
}

#[derive(Default)]
pub(super) struct Inner {
    pub live: Option<Live>,
    pub graphs: BTreeMap<u64, Graph>,
    /// Graphs that the process has loaded, and that the host needs no more.
    pub dropped: Vec<u64>,
    /// True while the only lease is exclusive.
    exclusive: bool,
    /// Calls that wait for an exclusive lease.
    want_exclusive: usize,
    /// Calls that wait for a change.
    waiting: usize,
    /// The reason why no process could be started.
    pub start_error: Option<String>,
    pub closed: bool,
    next_graph: u64,
}

/// The process that runs now.
pub(super) struct Live {
    pub process: Arc<Process>,
    lanes: Vec<Lane>,
    /// Calls that are in it.
    busy: usize,
    /// True while it loads a graph.
    pub loading: bool,
    /// True if it has done anything.
    has_worked: bool,
}

/// A graph of the tenant.
pub(super) struct Graph {
    pub file: Arc<File>,
    pub bytes: u64,
    pub shapes: InputShapes,
    /// Its signature and memory, from the first time that it was loaded.
    pub known: Option<Arc<GraphProperties>>,
    /// True if a call waits for it.
    pub wanted: bool,
    /// Processes that ended while they loaded it.
    pub attempts: u32,
    pub load_state: LoadState,
}

impl Graph {
    fn fail(&mut self, failure: LoadFailure) {
        self.load_state = LoadState::Failed(failure, Instant::now() + RETRY_TIME);
    }
}

/// The state of a graph in the process.
pub(super) enum LoadState {
    /// To be loaded by the process that runs now, or by the next one.
    Waiting,
    Loading,
    Loaded,
    /// It could not be loaded, for this reason. A graph that was loaded before is tried again when a call wants it, after
    /// this time.
    Failed(LoadFailure, Instant),
}

/// The reason why a runner cannot load a graph that a child has loaded.
#[derive(Clone, Debug)]
pub(super) enum LoadFailure {
    /// The words of the loader.
    Refused(String),
    /// The process ended.
    Ended(Reason),
}

/// The lease of a lane to a call, and with it the permission to use the process.
pub(super) struct Lease {
    pub process: Arc<Process>,
    pub lane: Lane,
    exclusive: bool,
}

/// The reason why a call got no lane.
#[derive(Debug)]
pub(super) enum NoLease {
    /// The deadline passed before.
    Time,
    Start(String),
    Graph(LoadFailure),
}

impl State {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, at most until the deadline.
    pub(super) fn wait<'a>(&self, mut inner: MutexGuard<'a, Inner>, until: Option<Instant>) -> MutexGuard<'a, Inner> {
        inner.waiting += 1;
        let mut inner = wait_on(&self.changed, inner, until);
        inner.waiting -= 1;
        inner
    }

    /// Waits for work of the threads that keep the runner.
    pub(super) fn wait_for_work<'a>(
        &self,
        inner: MutexGuard<'a, Inner>,
        until: Option<Instant>,
    ) -> MutexGuard<'a, Inner> {
        wait_on(&self.work, inner, until)
    }

    pub(super) fn notify(&self) {
        self.changed.notify_all();
        self.work.notify_all();
    }

    /// Adds a graph, which the runner then loads, and returns its number.
    pub(super) fn add(&self, file: File, bytes: u64, shapes: InputShapes) -> u64 {
        let mut inner = self.lock();
        let id = inner.next_graph;
        inner.next_graph += 1;
        let (file, load_state) = (Arc::new(file), LoadState::Waiting);
        inner.graphs.insert(id, Graph { file, bytes, shapes, known: None, wanted: false, attempts: 0, load_state });
        self.notify();
        id
    }

    pub(super) fn remove(&self, graph: u64) {
        let mut inner = self.lock();
        if inner.graphs.remove(&graph).is_some() {
            inner.dropped.push(graph);
        }
        self.notify();
    }

    /// Leases a lane to a call of a graph, once the graph is loaded. An exclusive lease is the only one of its process.
    pub(super) fn acquire(&self, graph: u64, exclusive: bool, deadline: Instant) -> Result<Lease, NoLease> {
        let mut inner = self.lock();
        inner.want_exclusive += usize::from(exclusive);
        let mut told = false;
        let lease = loop {
            match inner.try_lease(graph, exclusive) {
                Ok(None) if Instant::now() < deadline => {
                    // The graph may be one to load now.
                    if !std::mem::replace(&mut told, true) {
                        self.notify();
                    }
                    inner = self.wait(inner, Some(deadline));
                }
                Ok(None) => break Err(NoLease::Time),
                Ok(Some(lease)) => break Ok(lease),
                Err(error) => break Err(error),
            }
        };
        if exclusive {
            inner.want_exclusive -= 1;
            self.notify();
        }
        lease
    }

    /// Takes a lane back, after a reply.
    pub(super) fn release(&self, lease: Lease) {
        let mut inner = self.lock();
        inner.exclusive &= !lease.exclusive;
        if let Some(live) = &mut inner.live
            && Arc::ptr_eq(&live.process, &lease.process)
        {
            live.busy -= 1;
            live.has_worked = true;
            live.lanes.push(lease.lane);
        }
        if inner.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Waits until it is known why a process ended, and ends the lease of a lane of it.
    pub(super) fn end_of(&self, lease: Lease) -> End {
        let end = self.await_end(&lease.process);
        self.lock().exclusive &= !lease.exclusive;
        self.notify();
        end
    }

    pub(super) fn await_end(&self, process: &Process) -> End {
        let until = Instant::now() + END_TIME;
        let mut inner = self.lock();
        loop {
            if let Some(end) = process.end.get() {
                return end.clone();
            }
            if Instant::now() >= until {
                process.kill(Reason::InvalidReply);
                return End { reason: Reason::InvalidReply, exclusive: false };
            }
            inner = self.wait(inner, Some(until));
        }
    }

    /// Ends the process of a call, and with it the lease. No further call gets a lane of it.
    pub(super) fn kill(&self, lease: Lease, reason: Reason) {
        self.kill_process(&lease.process, reason);
        self.lock().exclusive &= !lease.exclusive;
        self.notify();
    }

    pub(super) fn kill_process(&self, process: &Arc<Process>, reason: Reason) {
        process.kill(reason.clone());
        self.lock().finish(process, reason);
        self.notify();
    }

    /// Ends the process for good.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let process = inner.live.as_ref().map(|live| live.process.clone());
        drop(inner);
        if let Some(process) = process {
            self.kill_process(&process, Reason::Closed);
        }
        self.notify();
    }
}

fn wait_on<'a>(changed: &Condvar, inner: MutexGuard<'a, Inner>, until: Option<Instant>) -> MutexGuard<'a, Inner> {
    let Some(until) = until else { return changed.wait(inner).unwrap_or_else(PoisonError::into_inner) };
    let left = until.saturating_duration_since(Instant::now());
    changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0
}

impl Inner {
    fn try_lease(&mut self, graph: u64, exclusive: bool) -> Result<Option<Lease>, NoLease> {
        let Some(live) = &mut self.live else {
            return match &self.start_error {
                Some(error) => Err(NoLease::Start(error.clone())),
                None => Ok(None),
            };
        };
        let Some(entry) = self.graphs.get_mut(&graph) else {
            return Err(NoLease::Graph(LoadFailure::Ended(Reason::Closed)));
        };
        match &entry.load_state {
            LoadState::Loaded => {}
            LoadState::Failed(failure, until) if entry.known.is_none() || Instant::now() < *until => {
                return Err(NoLease::Graph(failure.clone()));
            }
            LoadState::Failed(..) => {
                (entry.load_state, entry.attempts, entry.wanted) = (LoadState::Waiting, 0, true);
                return Ok(None);
            }
            LoadState::Waiting | LoadState::Loading => {
                entry.wanted = true;
                return Ok(None);
            }
        }
        let is_free = if exclusive { live.busy == 0 } else { self.want_exclusive == 0 };
        if self.exclusive || !is_free {
            return Ok(None);
        }
        let Some(lane) = live.lanes.pop() else { return Ok(None) };
        live.busy += 1;
        self.exclusive = exclusive;
        Ok(Some(Lease { process: live.process.clone(), lane, exclusive }))
    }

    /// Puts a new process in service. It has no graph yet.
    pub(super) fn begin(&mut self, process: Arc<Process>, lanes: Vec<Lane>) {
        self.live = Some(Live { process, lanes, busy: 0, loading: false, has_worked: false });
        self.start_error = None;
        self.dropped.clear();
        for graph in self.graphs.values_mut() {
            if matches!(graph.load_state, LoadState::Loaded | LoadState::Loading) {
                graph.load_state = LoadState::Waiting;
            }
        }
    }

    /// Takes a process out of service. Returns true if it had done anything, or was out of service before.
    pub(super) fn finish(&mut self, process: &Arc<Process>, reason: Reason) -> bool {
        let live = self.live.take_if(|live| Arc::ptr_eq(&live.process, process));
        // Only the first end of a process counts.
        let exclusive = live.as_ref().is_some_and(|live| live.busy <= 1 && !live.loading);
        let _ = process.end.set(End { reason, exclusive });
        live.is_none_or(|live| live.has_worked)
    }

    /// The next graph to load, if the process is ready for it. Graphs that calls wait for go first, then those that were
    /// loaded before, and of them the smallest, so that most models are there again soon.
    pub(super) fn next_load(&mut self) -> Option<Load> {
        let live = self.live.as_mut().filter(|live| !live.loading)?;
        let waiting = self.graphs.iter().filter(|(_, graph)| matches!(graph.load_state, LoadState::Waiting));
        let order =
            |graph: &Graph| (!graph.wanted, graph.known.is_none(), graph.known.as_ref().map(|known| known.resident));
        let (&id, _) = waiting.min_by_key(|(_, graph)| order(graph))?;
        let graph = self.graphs.get_mut(&id)?;
        graph.load_state = LoadState::Loading;
        live.loading = true;
        let (file, bytes, shapes) = (graph.file.clone(), graph.bytes, graph.shapes.clone());
        Some(Load { process: live.process.clone(), id, file, bytes, shapes })
    }

    /// The graphs that the process can drop.
    pub(super) fn next_drops(&mut self) -> Option<(Arc<Process>, Vec<u64>)> {
        let live = self.live.as_ref().filter(|live| !live.loading && !self.dropped.is_empty())?;
        Some((live.process.clone(), std::mem::take(&mut self.dropped)))
    }

    /// Notes the result of loading a graph in a process.
    pub(super) fn loaded(&mut self, load: &Load, result: Result<GraphProperties, LoadFailure>) {
        let live = self.live.as_mut().filter(|live| Arc::ptr_eq(&live.process, &load.process));
        let is_live = live.is_some();
        if let Some(live) = live {
            live.loading = false;
            live.has_worked |= result.is_ok();
        }
        let Some(graph) = self.graphs.get_mut(&load.id) else { return };
        match result {
            Ok(known) if graph.known.as_ref().is_some_and(|before| before.signature != known.signature) => {
                graph.fail(LoadFailure::Refused("it is another graph than before".into()));
            }
            Ok(known) => {
                graph.known.get_or_insert_with(|| Arc::new(known));
                graph.wanted = false;
                graph.attempts = 0;
                if is_live {
                    graph.load_state = LoadState::Loaded;
                }
            }
            Err(LoadFailure::Ended(_)) if graph.attempts + 1 < MAX_ATTEMPTS => {
                graph.attempts += 1;
                graph.load_state = LoadState::Waiting;
            }
            Err(failure) => graph.fail(failure),
        }
    }
}

/// A graph to load.
pub(super) struct Load {
    pub process: Arc<Process>,
    pub id: u64,
    pub file: Arc<File>,
    pub bytes: u64,
    pub shapes: InputShapes,
}

/// The properties of a graph that the runner has loaded.
pub(super) struct GraphProperties {
    pub signature: Signature,
    pub resident: u64,
}
