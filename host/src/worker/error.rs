//! Errors of work that gave no answer.

use std::time::Duration;

use crate::config::{WALL_SHARE, format_bytes};

/// The texts complete "compiling it …" or "loading it …", and are fit for clients to read: a child's own words go to the
/// log only.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error("used more than {} of processor time, which is its limit (compile.time)", humantime::format_duration(*.0))]
    Processor(Duration),
    #[error(
        "took longer than {}, which is {WALL_SHARE} times its limit of processor time (compile.time), because the machine is busy; try again later, or raise the limit",
        humantime::format_duration(*.0)
    )]
    Time(Duration),
    #[error("needed more memory than {}, which is its limit (compile.memory)", format_bytes(*.0))]
    Memory(u64),
    #[error("returned more than {}, which is a quarter of its memory limit (compile.memory)", format_bytes(*.0))]
    Answer(u64),
    #[error("crashed ({0}), which a valid file never causes")]
    Crashed(String),
    #[error("returned an invalid answer: {0}")]
    Garbage(&'static str),
    #[error("could not be started: {0}")]
    Start(String),
}
