//! Work on untrusted bytes: compiling a component, or loading a graph. It is done in a child process of this same program,
//! which has limits of its own and is confined, reads a job from its standard input, and writes an answer to its standard
//! output. A file that crashes its loader is therefore only an error to the host.

mod child;
mod confine;
mod error;
pub mod frame;
mod own_memory;
mod parent;

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::cache::Cache;
use crate::config::Compile;

pub(crate) use child::{ADDRESS_SPACE, finish, lower_limit};
pub use child::{OwnLimits, address_space, main};
pub(crate) use confine::confine;
pub use confine::missing as missing_confinement;
pub use error::WorkerError;
pub use own_memory::OwnMemory;
pub(crate) use parent::{OUT_OF_MEMORY, this_program};

/// A kind of work that a child can do.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// The name of the job as a subcommand of `bulkhead worker`.
    const NAME: &'static str;
    type Answer: Serialize + DeserializeOwned + Send + 'static;

    /// Does the work in a process whose memory is `memory`. Returns the answer, and raw bytes beside it, which may be empty.
    fn work(self, bytes: &[u8], memory: &OwnMemory) -> (Self::Answer, Vec<u8>);
}

/// The place where such work is done, and the cache that keeps its results from one start to the next.
#[derive(Clone)]
pub struct Workers {
    mode: WorkerMode,
    cache: Option<Arc<Cache>>,
}

#[derive(Clone)]
enum WorkerMode {
    InProcess,
    Children { io: Handle, limits: Compile },
}

impl Workers {
    /// Work in children of this program. Their pipes are served by `io`, a runtime with an I/O driver.
    pub fn children(limits: &Compile, io: Handle) -> Workers {
        Workers { mode: WorkerMode::Children { io, limits: limits.clone() }, cache: None }
    }

    /// Work in this process itself, without limits: for programs that are not `bulkhead`, and for bytes that they trust.
    pub fn in_process() -> Workers {
        Workers { mode: WorkerMode::InProcess, cache: None }
    }

    pub fn with_cache(self, cache: Cache) -> Workers {
        Workers { cache: Some(Arc::new(cache)), ..self }
    }

    pub fn cache(&self) -> Option<&Cache> {
        self.cache.as_deref()
    }

    /// True if a crash of the work would be a crash of this process.
    pub fn are_in_process(&self) -> bool {
        matches!(self.mode, WorkerMode::InProcess)
    }

    /// Does a job and waits for its answer. If the caller drops the future, the child is killed.
    pub async fn run<J: Job>(&self, job: J, bytes: &Bytes) -> Result<(J::Answer, Bytes), WorkerError> {
        let WorkerMode::Children { io, limits } = &self.mode else {
            let (answer, bytes) = job.work(bytes, &OwnMemory::open());
            return Ok((answer, bytes.into()));
        };
        // A `JoinSet` aborts its task when it is dropped.
        let mut task = JoinSet::new();
        task.spawn_on(parent::run(job, bytes.clone(), limits.clone()), io);
        match task.join_next().await {
            Some(Ok(result)) => result,
            Some(Err(_)) | None => Err(WorkerError::Start("the host is shutting down".into())),
        }
    }
}
