//! The process of a runner, as the host sees it.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::control::{Control, Order};
use super::lane::Lane;
use crate::worker::{OUT_OF_MEMORY, this_program};

/// Most bytes of standard error that are kept.
const MAX_COMPLAINT: usize = 4096;

/// Settings of every process of a runner.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The program `bulkhead`; `None` is the one that runs now.
    pub program: Option<PathBuf>,
    pub lanes: usize,
    /// Bytes of the tensors of a call.
    pub call_memory: u64,
}

/// The reason why a process ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reason {
    /// A call was over its deadline, and the host killed the process.
    Deadline,
    /// Loading took too long, and the host killed the process.
    Loading,
    /// It sent an answer that cannot be, and the host killed it.
    InvalidReply,
    /// It had no memory left.
    Memory,
    /// It ended in another way.
    Crash(String),
    /// Its last graph was dropped.
    Closed,
}

impl Reason {
    /// The value of the metrics' label.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Reason::Deadline => "deadline",
            Reason::Loading => "loading",
            Reason::InvalidReply => "invalid-reply",
            Reason::Memory => "memory",
            Reason::Crash(_) => "crash",
            Reason::Closed => "closed",
        }
    }
}

/// The end of a process.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub reason: Reason,
    /// True if it did nothing beside the one call that was in progress.
    pub exclusive: bool,
}

pub(super) struct Process {
    pub control: Control,
    child: Mutex<Child>,
    /// The reason why the host killed it.
    killed: OnceLock<Reason>,
    pub end: OnceLock<End>,
}

impl Process {
    /// Starts a process that sees nothing of the host: no environment, and no files but its lanes and three others. The
    /// thread that calls this must outlive the process, which the system ends with the thread.
    pub(super) fn start(settings: &Settings, memory: u64) -> io::Result<(Process, ChildStderr, Vec<Lane>)> {
        let (control, theirs) = Control::pair()?;
        let program = settings.program.clone().map_or_else(this_program, Ok)?;
        let mut child = {
            let mut command = Command::new(program);
            command.arg0("bulkhead").args(["worker", "run-graphs"]);
            command.args([settings.lanes as u64, memory, settings.call_memory].map(|number| number.to_string()));
            command.env_clear().current_dir("/");
            command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?
        };
        let errors = child.stderr.take().ok_or_else(|| io::Error::other("no standard error"))?;
        let process = Process { control, child: Mutex::new(child), killed: OnceLock::new(), end: OnceLock::new() };
        match process.open_lanes(settings.lanes) {
            Ok(lanes) => Ok((process, errors, lanes)),
            Err(error) => {
                process.kill(Reason::Closed);
                process.wait()?;
                Err(error)
            }
        }
    }

    fn open_lanes(&self, lanes: usize) -> io::Result<Vec<Lane>> {
        let open = |_| {
            let (lane, theirs) = Lane::pair()?;
            self.control.send(&Order::Lane, &theirs.each_ref().map(OwnedFd::as_fd))?;
            Ok(lane)
        };
        (0..lanes).map(open).collect()
    }

    /// Ends the process at once. The first reason counts.
    pub(super) fn kill(&self, reason: Reason) {
        let _ = self.killed.set(reason);
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = child.kill() {
            tracing::error!(%error, "a process that runs graphs could not be killed");
        }
    }

    /// Waits for the end of the process, and returns its reason.
    pub(super) fn attend(&self, errors: ChildStderr) -> Reason {
        let said = read_complaint(errors);
        // A process that closed its standard error is over, or must be.
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let status = match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            _ => self.wait_shortly(&mut child),
        };
        drop(child);
        let (status, said) = (status.ok(), String::from_utf8_lossy(&said).into_owned());
        let reason = self.killed.get().cloned().unwrap_or_else(|| reason(status, &said));
        if reason != Reason::Closed {
            let status = status.map(|status| status.to_string()).unwrap_or_default();
            tracing::warn!(reason = reason.label(), status, ?said, "a process that runs graphs ended");
        }
        reason
    }

    /// A process that ends closes its files first, so its status is there a moment later.
    fn wait_shortly(&self, child: &mut Child) -> io::Result<ExitStatus> {
        const STEP: std::time::Duration = std::time::Duration::from_millis(1);
        for _ in 0..200 {
            std::thread::sleep(STEP);
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
        }
        child.kill()?;
        child.wait()
    }

    fn wait(&self) -> io::Result<()> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).wait().map(drop)
    }
}

/// The last part of standard error, which tells why the process ended.
fn read_complaint(mut errors: ChildStderr) -> Vec<u8> {
    let (mut said, mut piece) = (Vec::new(), [0; MAX_COMPLAINT]);
    // An end of the pipe by an error is an end, too.
    while let Ok(read @ 1..) = errors.read(&mut piece) {
        said.extend_from_slice(&piece[..read]);
        let old = said.len().saturating_sub(MAX_COMPLAINT);
        said.drain(..old);
    }
    said
}

fn reason(status: Option<ExitStatus>, said: &str) -> Reason {
    if OUT_OF_MEMORY.iter().any(|words| said.contains(words)) {
        return Reason::Memory;
    }
    if said.contains("overflowed its stack") {
        return Reason::Crash("its stack overflowed".into());
    }
    Reason::Crash(match status.map(|status| (status, status.signal())) {
        Some((_, Some(9))) => "signal 9: killed by the system, perhaps because memory ran out".into(),
        Some((_, Some(signal))) => format!("signal {signal}"),
        Some((status, None)) => status.to_string(),
        None => "unknown status".into(),
    })
}
