//! The host's side of a worker: it starts a child, sends it a job, and accepts an answer only from a child that ended
//! successfully.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use bytes::Bytes;
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::{Job, WorkerError, frame};
use crate::config::Compile;

/// Divisor of the memory limit that bounds a child's answer, because the host must hold the answer, too.
const ANSWER_SHARE: u64 = 4;

/// Most bytes of standard error that are kept: the beginning is enough to tell why a child ended.
const MAX_COMPLAINT: u64 = 4096;

/// Messages at the memory limit: of Rust's allocator, of tract's, and of threads that cannot be started.
pub(crate) const OUT_OF_MEMORY: [&str; 4] =
    ["memory allocation of", "failed to allocate", "Cannot allocate memory", "Resource temporarily unavailable"];

pub(super) async fn run<J: Job>(job: J, bytes: Bytes, limits: Compile) -> Result<(J::Answer, Bytes), WorkerError> {
    let head = frame::head(&job, &bytes).map_err(|error| WorkerError::Start(error.to_string()))?;
    let mut child = start(J::NAME, &limits).map_err(|error| WorkerError::Start(error.to_string()))?;
    let talk = talk(&mut child, &head, &bytes, limits.memory / ANSWER_SHARE);
    let outcome = tokio::time::timeout(limits.longest(), talk).await;
    // The child must not stay behind, whatever the outcome.
    let _ = child.start_kill();
    let talk = outcome.map_err(|_| WorkerError::Time(limits.longest()))?;
    let Talk { answer, complaint, status } = talk.map_err(|error| WorkerError::Start(error.to_string()))?;
    let Some(answer) = answer else { return Err(WorkerError::Answer(limits.memory / ANSWER_SHARE)) };
    let said = String::from_utf8_lossy(&complaint);
    // A loader may take a lack of memory for a mistake in the file, and answer with that mistake.
    let starved = OUT_OF_MEMORY.iter().any(|words| said.contains(words));
    if status.success() && !starved {
        return frame::parse(answer).map_err(WorkerError::Garbage);
    }
    tracing::warn!(worker = J::NAME, %status, ?said, "a child process could not do its work");
    Err(if starved { WorkerError::Memory(limits.memory) } else { ended_badly(status, &said, &limits) })
}

/// Starts a child that sees nothing of the host: no environment, and no files but three pipes.
fn start(job: &str, limits: &Compile) -> std::io::Result<Child> {
    // The system counts whole seconds.
    let cpu_seconds = limits.time.as_secs() + u64::from(limits.time.subsec_nanos() > 0);
    let mut command = Command::new(this_program()?);
    command.arg0("bulkhead").arg("worker").arg(job).arg(limits.memory.to_string()).arg(cpu_seconds.to_string());
    command.env_clear().current_dir("/").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// The program that runs now, even if an upgrade has put another in its place.
pub(crate) fn this_program() -> std::io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}

/// Everything that a child sent, and the status that it ended with.
struct Talk {
    /// `None` if the answer was too large.
    answer: Option<Bytes>,
    complaint: Vec<u8>,
    status: ExitStatus,
}

async fn talk(child: &mut Child, head: &[u8], bytes: &[u8], most: u64) -> std::io::Result<Talk> {
    let (Some(mut input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(std::io::Error::other("its pipes are missing"));
    };
    let send = async {
        // A child that ends before it has read its whole job shows the reason in its exit status.
        let _ = async {
            input.write_all(head).await?;
            input.write_all(bytes).await
        }
        .await;
        drop(input);
    };
    let ((), answer, complaint) = tokio::join!(send, read(output, most), read_complaint(errors));
    let (answer, complaint) = (answer?, complaint?);
    if answer.is_none() {
        child.start_kill()?;
    }
    Ok(Talk { answer: answer.map(Bytes::from), complaint, status: child.wait().await? })
}

/// Everything that comes from the pipe, or `None` if it is more than `most` bytes.
async fn read(pipe: impl AsyncRead + Unpin, most: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    pipe.take(most + 1).read_to_end(&mut content).await?;
    Ok((content.len() as u64 <= most).then_some(content))
}

/// The beginning of standard error. The rest is discarded, so that the child does not wait to write it.
async fn read_complaint(mut pipe: impl AsyncRead + Unpin) -> std::io::Result<Vec<u8>> {
    let mut said = Vec::new();
    (&mut pipe).take(MAX_COMPLAINT).read_to_end(&mut said).await?;
    tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    Ok(said)
}

fn ended_badly(status: ExitStatus, said: &str, limits: &Compile) -> WorkerError {
    if said.contains("overflowed its stack") {
        return WorkerError::Crashed("it nests too deeply".into());
    }
    let Some(signal) = status.signal() else {
        return WorkerError::Crashed(format!("status {}", status.code().unwrap_or_default()));
    };
    match Signal::from_named_raw(signal) {
        Some(Signal::XCPU) => WorkerError::Processor(limits.time),
        Some(Signal::KILL) => WorkerError::Crashed("killed by the system, perhaps because memory ran out".into()),
        _ => WorkerError::Crashed(format!("signal {signal}")),
    }
}
