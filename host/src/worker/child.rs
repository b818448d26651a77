//! The child's side of a worker: it lowers its own limits, confines itself, reads one job, does it, and writes the answer.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};

use super::{Job, OwnMemory, confine, frame};

/// Limits of a child in bytes and seconds, which it receives on its command line.
pub struct OwnLimits {
    pub memory: u64,
    pub cpu_seconds: u64,
}

/// Stack of the work in bytes. It is smaller than the stacks of the host's threads, so that a file that nests too deeply
/// for these fails in the child.
const WORK_STACK: usize = 1536 << 10;

/// Address space in bytes beyond the memory that counts: for the program itself, and for what its allocator reserves for
/// each thread without using it.
pub(crate) const ADDRESS_SPACE: u64 = 2 << 30;

/// Most open files: the three pipes, and what the standard library opens to count the processor's cores.
const OPEN_FILES: u64 = 16;

/// Priority of a child, below that of the host, so that requests come first.
const NICENESS: i32 = 10;

/// The main function of a child process.
pub fn main<J: Job>(limits: &OwnLimits) -> ExitCode {
    finish(lower(limits).and_then(|()| answer::<J>(limits)))
}

/// The exit code of a child, whose error goes to standard error.
pub(crate) fn finish(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn lower(limits: &OwnLimits) -> io::Result<()> {
    lower_limit(Resource::Core, 0, 0)?;
    lower_limit(Resource::Fsize, 0, 0)?;
    lower_limit(Resource::Nofile, OPEN_FILES, OPEN_FILES)?;
    // The soft limit sends a signal, which shows the parent the limit that was reached; the hard limit ends the child.
    lower_limit(Resource::Cpu, limits.cpu_seconds, limits.cpu_seconds + 1)?;
    lower_limit(Resource::Data, limits.memory, limits.memory)?;
    lower_limit(Resource::As, limits.memory + ADDRESS_SPACE, limits.memory + ADDRESS_SPACE)?;
    nice(NICENESS)?;
    Ok(())
}

/// Bytes of addresses that this process may have; none if they are not limited.
pub fn address_space() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// Lowers a limit, and never tries to raise one that this process was given.
pub(crate) fn lower_limit(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let given = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let limit = Rlimit { current: Some(soft.min(given)), maximum: Some(hard.min(given)) };
    Ok(setrlimit(resource, limit)?)
}

fn answer<J: Job>(limits: &OwnLimits) -> io::Result<()> {
    let memory = OwnMemory::open();
    confine::confine()?;
    let mut input = Vec::new();
    io::stdin().take(limits.memory).read_to_end(&mut input)?;
    let (job, bytes) = frame::parse::<J>(input.into()).map_err(io::Error::other)?;
    let work = std::thread::Builder::new().name(J::NAME.into()).stack_size(WORK_STACK);
    let work = work.spawn(move || job.work(&bytes, &memory))?;
    let (answer, bytes) = work.join().map_err(|_| io::Error::other("the work panicked"))?;
    let mut output = io::stdout();
    output.write_all(&frame::head(&answer, &bytes)?)?;
    output.write_all(&bytes)?;
    output.flush()
}
