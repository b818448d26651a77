//! Why a child gave no answer.

use std::time::Duration;

use crate::config::format_bytes;

/// The texts complete "compiling it …", and are fit for clients to read: what a child said of itself goes into the log.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error("took longer than {}, which is as long as it may (compile.time)", humantime::format_duration(*.0))]
    Time(Duration),
    #[error("needed more memory than {}, which is as much as it may have (compile.memory)", format_bytes(*.0))]
    Memory(u64),
    #[error("gave more than {}, a quarter of what it may have (compile.memory)", format_bytes(*.0))]
    Answer(u64),
    #[error("crashed ({0}), which a good file never makes it do")]
    Crashed(String),
    #[error("gave an answer that makes no sense: {0}")]
    Garbage(&'static str),
    #[error("could not begin: {0}")]
    Start(String),
}
