//! Work on bytes that nobody has vouched for: compiling a component, loading a graph. It is done in a child process with
//! limits of its own, started from this very program, which gets a job through its standard input and gives an answer
//! through its output. Whatever a strange file makes of its loader, the host learns of it as an error.

mod child;
mod error;
pub mod frame;
mod parent;

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::cache::Cache;
use crate::config::Compile;

pub use child::{OwnLimits, main};
pub use error::WorkerError;

/// A kind of work that a child can do.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// As `bulkhead worker` knows it.
    const NAME: &'static str;
    type Answer: Serialize + DeserializeOwned + Send + 'static;

    /// Answers, with bytes beside it if there is more than words to say.
    fn work(self, bytes: &[u8]) -> (Self::Answer, Vec<u8>);
}

/// Where such work is done, and what is remembered of it from one start to the next.
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
    /// Children of this program. Their pipes are served by `io`, a runtime with an I/O driver.
    pub fn children(limits: &Compile, io: Handle) -> Workers {
        Workers { mode: WorkerMode::Children { io, limits: limits.clone() }, cache: None }
    }

    /// This process itself, without limits: for programs that are not `bulkhead`, and bytes that they trust.
    pub fn in_process() -> Workers {
        Workers { mode: WorkerMode::InProcess, cache: None }
    }

    pub fn with_cache(self, cache: Cache) -> Workers {
        Workers { cache: Some(Arc::new(cache)), ..self }
    }

    pub fn cache(&self) -> Option<&Cache> {
        self.cache.as_deref()
    }

    /// Whether a crash of the work would be a crash of this process.
    pub fn are_in_process(&self) -> bool {
        matches!(self.mode, WorkerMode::InProcess)
    }

    /// When the caller goes away, the child is killed.
    pub async fn run<J: Job>(&self, job: J, bytes: &Bytes) -> Result<(J::Answer, Bytes), WorkerError> {
        let WorkerMode::Children { io, limits } = &self.mode else {
            let (answer, bytes) = job.work(bytes);
            return Ok((answer, bytes.into()));
        };
        // A set ends its task when it is dropped.
        let mut task = JoinSet::new();
        task.spawn_on(parent::run(job, bytes.clone(), limits.clone()), io);
        match task.join_next().await {
            Some(Ok(result)) => result,
            Some(Err(_)) | None => Err(WorkerError::Start("the host is shutting down".into())),
        }
    }
}
