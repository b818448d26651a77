//! Graphs in processes of their own. An operator of a graph cannot be stopped within a thread, so each tenant's graphs are
//! loaded and run in a process, its **runner**, which the host kills when a call is over its deadline, and starts again.
//!
//! A runner is confined as the children that compile are, and has limits on its memory. It is not trusted: what it sends is
//! bounded and checked, and the host charges the cost of a run before the run.
//!
//! - `child` is the runner's side, the subcommand `bulkhead worker run-graphs`.
//! - `control`, `lane` and `message` are the connection of both sides.
//! - `process`, `state`, `threads` and `model` are the host's side.

mod child;
mod control;
mod lane;
mod message;
mod model;
mod process;
mod state;
mod threads;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::digest::digest_of;
use super::{InputShapes, LoadError, Model};
use crate::config::Config;
use crate::telemetry::Metrics;
use model::{Handle, RunnerModel};
use process::Settings;
use state::{LoadFailure, LoadState, State};
use threads::Runner;

pub use child::{RunnerLimits, run_graphs};

/// Memory in bytes of a runner without graphs and calls.
const PROGRAM_MEMORY: u64 = 64 << 20;

/// Copies of a call's tensors in a runner: as they arrived, and as the graph takes them.
const COPIES: u64 = 2;

/// The runners of all tenants. Clones share them.
#[derive(Clone)]
pub struct Runners(Arc<Shared>);

struct Shared {
    settings: Settings,
    /// Bytes of memory that loading a graph may take.
    load_memory: u64,
    load_time: Duration,
    /// Folder for the files of graphs, which have no names there.
    folder: PathBuf,
    metrics: Arc<Metrics>,
    /// Held while a graph is loaded for the first time, so that one is at a time.
    turn: Mutex<()>,
    tenants: Mutex<HashMap<Arc<str>, Weak<Handle>>>,
}

impl Runners {
    /// Runners of this program. The files of graphs are kept in `folder`, without names, for as long as they are loaded.
    pub fn new(config: &Config, folder: &Path, metrics: Arc<Metrics>) -> Runners {
        Runners::of_program(None, config, folder, metrics)
    }

    /// Runners of another file of the program, for programs that are not `bulkhead`.
    pub fn of_program(program: Option<PathBuf>, config: &Config, folder: &Path, metrics: Arc<Metrics>) -> Runners {
        let settings = Settings { program, lanes: config.compute.threads, call_memory: config.call.memory };
        Runners(Arc::new(Shared {
            settings,
            load_memory: config.compile.memory,
            load_time: config.compile.longest(),
            folder: folder.to_owned(),
            metrics,
            turn: Mutex::default(),
            tenants: Mutex::default(),
        }))
    }

    /// Loads a graph in the runner of a tenant, whose loaded versions may hold `resident` bytes together. Blocks the thread
    /// until it is loaded, after the graphs that others load for the first time.
    pub fn load(
        &self,
        tenant: &Arc<str>,
        resident: u64,
        bytes: &[u8],
        shapes: &InputShapes,
    ) -> Result<Arc<dyn Model>, LoadError> {
        let Runners(shared) = self;
        let _turn = shared.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let file = keep(&shared.folder, bytes).map_err(LoadError::Kept)?;
        let handle = shared.runner(tenant, resident).map_err(LoadError::Kept)?;
        let state = &handle.0.state;
        let id = state.add(file, bytes.len() as u64, shapes.clone());
        let mut inner = state.lock();
        let result = loop {
            match inner.graphs.get(&id).map(|graph| (&graph.load_state, &graph.known)) {
                Some((LoadState::Loaded, Some(known))) => break Ok(known.clone()),
                Some((LoadState::Failed(failure, _), _)) => break Err(failure.clone()),
                None => break Err(LoadFailure::Refused("it was dropped".into())),
                Some(_) => {}
            }
            if let Some(error) = inner.start_error.clone() {
                break Err(LoadFailure::Refused(format!("no process could be started to run it: {error}")));
            }
            inner = state.wait(inner, None);
        };
        drop(inner);
        match result {
            Ok(known) => Ok(Arc::new(RunnerModel::new(handle, id, known, digest_of(bytes, shapes)))),
            Err(failure) => {
                state.remove(id);
                Err(match failure {
                    LoadFailure::Refused(text) => LoadError::Refused(text),
                    LoadFailure::Ended(reason) => LoadError::Ended(reason.label()),
                })
            }
        }
    }
}

impl Shared {
    /// The runner of a tenant, which is started if there is none.
    fn runner(&self, tenant: &Arc<str>, resident: u64) -> io::Result<Arc<Handle>> {
        let calls = (self.settings.lanes as u64).saturating_mul(self.settings.call_memory.saturating_mul(COPIES));
        let memory = resident.saturating_add(calls).saturating_add(self.load_memory + PROGRAM_MEMORY);
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = tenants.get(tenant).and_then(Weak::upgrade) {
            // A limit that was changed holds from the next process on.
            handle.0.memory.store(memory, Ordering::Relaxed);
            return Ok(handle);
        }
        tenants.retain(|_, runner| runner.strong_count() > 0);
        let runner = Arc::new(Runner {
            state: State::default(),
            settings: self.settings.clone(),
            memory: AtomicU64::new(memory),
            load_time: self.load_time,
            metrics: self.metrics.clone(),
        });
        runner.start()?;
        let handle = Arc::new(Handle(runner));
        tenants.insert(tenant.clone(), Arc::downgrade(&handle));
        Ok(handle)
    }
}

/// A file of these bytes that can only be read, and that has no name.
fn keep(folder: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    File::open(file.path())
}
