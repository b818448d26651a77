//! A lane: the connection of one thread of the host with one thread of a runner, for one run at a time. A message and its
//! small tensors go through a socket. Larger tensors go through a file in memory that both sides have open. They are written
//! and read, and not mapped: neither side can change bytes that the other one is looking at.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};
use rustix::net::{RecvFlags, recv};

use crate::numbers::to_usize;

/// Most bytes of tensors that are sent behind their message. They fit into the socket's buffer, so that sending never waits.
const MAX_INLINE: usize = 48 << 10;

/// Most bytes of a message without tensors: a description of each tensor that a message may have.
const MAX_MESSAGE: usize = 2 << 20;

/// Bytes of the file in memory that stay allocated between two runs.
const KEPT_MEMORY: u64 = 4 << 20;

/// Bytes before a message: its length, and the length of the tensors behind it, or `IN_MEMORY`.
const PREFIX: usize = 8;

/// Stands for the length of tensors that are in the file.
const IN_MEMORY: u32 = u32::MAX;

/// Time for which a side looks for a message before it sleeps. To be woken takes about as long.
const LOOK: Duration = Duration::from_micros(50);

/// Time that the host waits for a runner to take a part of a message.
const SEND_TIME: Duration = Duration::from_secs(1);

pub(super) struct Lane {
    socket: UnixStream,
    memory: File,
    /// Bytes that arrived.
    buffer: Vec<u8>,
}

/// A message that arrived, and the place of the tensors that belong to it.
pub(super) struct Received {
    message: (usize, usize),
    inline: bool,
    /// Bytes of the tensors that were read.
    taken: u64,
}

impl Lane {
    /// Both ends of a new lane: the host's, and what a runner makes its own from.
    pub(super) fn pair() -> io::Result<(Lane, [OwnedFd; 2])> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_write_timeout(Some(SEND_TIME))?;
        let memory = file_in_memory()?;
        let their_memory = memory.try_clone()?;
        Ok((Lane::new(ours, memory), [theirs.into(), their_memory.into()]))
    }

    pub(super) fn of([socket, memory]: [OwnedFd; 2]) -> Lane {
        Lane::new(socket.into(), memory.into())
    }

    fn new(socket: UnixStream, memory: File) -> Lane {
        Lane { socket, memory, buffer: Vec::new() }
    }

    /// Sends a message and the tensors that it describes.
    pub(super) fn send(&mut self, message: &[u8], tensors: &[&[u8]]) -> io::Result<()> {
        let bytes: usize = tensors.iter().map(|tensor| tensor.len()).sum();
        let inline = bytes <= MAX_INLINE;
        let mut frame = Vec::with_capacity(PREFIX + message.len() + if inline { bytes } else { 0 });
        frame.extend_from_slice(&length(message.len())?.to_le_bytes());
        if inline {
            frame.extend_from_slice(&length(bytes)?.to_le_bytes());
            frame.extend_from_slice(message);
            tensors.iter().for_each(|tensor| frame.extend_from_slice(tensor));
        } else {
            let mut at = 0;
            for tensor in tensors {
                self.memory.write_all_at(tensor, at)?;
                at += tensor.len() as u64;
            }
            frame.extend_from_slice(&IN_MEMORY.to_le_bytes());
            frame.extend_from_slice(message);
        }
        (&self.socket).write_all(&frame)
    }

    /// Waits for a message. Fails with `TimedOut` at the deadline.
    pub(super) fn receive(&mut self, deadline: Option<Instant>) -> io::Result<Received> {
        self.buffer.clear();
        self.fill(PREFIX, deadline)?;
        let length =
            |at: usize| self.buffer[at..at + 4].iter().rev().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte));
        let (message, tensors) = (length(0) as usize, length(4));
        let inline = tensors != IN_MEMORY;
        let behind = if inline { tensors as usize } else { 0 };
        if message > MAX_MESSAGE || behind > MAX_INLINE {
            return Err(io::Error::new(ErrorKind::InvalidData, "a message is too long"));
        }
        self.fill(PREFIX + message + behind, deadline)?;
        if self.buffer.len() > PREFIX + message + behind {
            return Err(io::Error::new(ErrorKind::InvalidData, "there is more than one message"));
        }
        Ok(Received { message: (PREFIX, PREFIX + message), inline, taken: 0 })
    }

    pub(super) fn message(&self, received: &Received) -> &[u8] {
        &self.buffer[received.message.0..received.message.1]
    }

    /// The next tensor of a message. The caller has bounded its bytes.
    pub(super) fn take(&self, received: &mut Received, bytes: u64) -> io::Result<Vec<u8>> {
        let at = received.taken;
        let (length, end) = (to_usize(bytes), at.checked_add(bytes).ok_or(ErrorKind::InvalidData)?);
        received.taken = end;
        if received.inline {
            let tensors = &self.buffer[received.message.1..];
            let tensor = tensors.get(to_usize(at)..to_usize(end)).ok_or(ErrorKind::InvalidData)?;
            return Ok(tensor.to_vec());
        }
        let mut tensor = Vec::new();
        tensor.try_reserve_exact(length).map_err(|_| ErrorKind::OutOfMemory)?;
        while tensor.len() < length {
            let offset = at + tensor.len() as u64;
            if pread(&self.memory, spare_capacity(&mut tensor), offset)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        // A vector may have more room than was asked for, and the file more bytes.
        tensor.truncate(length);
        Ok(tensor)
    }

    /// Gives back the memory of large tensors. The host calls this between two runs.
    pub(super) fn trim(&mut self) -> io::Result<()> {
        if self.memory.metadata()?.len() > KEPT_MEMORY {
            self.memory.set_len(0)?;
        }
        if self.buffer.capacity() > MAX_INLINE * 2 {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// Reads until the buffer has this many bytes or more.
    fn fill(&mut self, wanted: usize, deadline: Option<Instant>) -> io::Result<()> {
        let began = Instant::now();
        while self.buffer.len() < wanted {
            let room = (wanted - self.buffer.len()).max(PREFIX + MAX_INLINE);
            self.buffer.reserve(room);
            match recv(&self.socket, spare_capacity(&mut self.buffer), RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) if began.elapsed() < LOOK => std::thread::yield_now(),
                Err(Errno::AGAIN) => self.sleep(deadline)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits until bytes arrive, and reads some.
    fn sleep(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.socket.set_read_timeout(Some(left))?;
        }
        match recv(&self.socket, spare_capacity(&mut self.buffer), RecvFlags::empty()) {
            Ok((0, _)) => Err(ErrorKind::UnexpectedEof.into()),
            // The caller looks at the deadline.
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn length(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes).map_err(io::Error::other)
}

/// A file that has no name and no place on a disk.
#[cfg(target_os = "linux")]
fn file_in_memory() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    Ok(memfd_create("bulkhead-lane", MemfdFlags::CLOEXEC)?.into())
}

/// A file that has no name; other systems have none in memory.
#[cfg(not(target_os = "linux"))]
fn file_in_memory() -> io::Result<File> {
    tempfile::tempfile()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes() -> (Lane, Lane) {
        let (host, theirs) = Lane::pair().unwrap();
        (host, Lane::of(theirs))
    }

    fn soon() -> Option<Instant> {
        Some(Instant::now() + Duration::from_secs(20))
    }

    #[test]
    fn messages_and_tensors_of_every_size_arrive() {
        let (mut host, mut runner) = lanes();
        for size in [0, 1, 1000, MAX_INLINE / 2, MAX_INLINE / 2 + 1, 1 << 20, 9 << 20] {
            let (first, second) = (vec![1; size], vec![2; size]);
            host.send(b"message", &[&first, &second]).unwrap();
            let mut received = runner.receive(None).unwrap();
            assert_eq!(runner.message(&received), b"message");
            assert_eq!(runner.take(&mut received, size as u64).unwrap(), first);
            assert_eq!(runner.take(&mut received, size as u64).unwrap(), second);
            assert!(size == 0 || runner.take(&mut received, 1).is_err(), "more than was sent");
            host.trim().unwrap();
            assert!(host.memory.metadata().unwrap().len() <= KEPT_MEMORY);
        }
    }

    #[test]
    fn a_side_that_is_silent_or_gone_is_noticed() {
        let (mut host, runner) = lanes();
        let began = Instant::now();
        let deadline = began + Duration::from_millis(20);
        assert_eq!(host.receive(Some(deadline)).err().unwrap().kind(), ErrorKind::TimedOut);
        assert!(began.elapsed() >= Duration::from_millis(20));
        drop(runner);
        assert_eq!(host.receive(soon()).err().unwrap().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn hostile_lengths_are_refused() {
        for (message, tensors) in
            [(u32::MAX, 0), (length(MAX_MESSAGE + 1).unwrap(), 0), (0, IN_MEMORY - 1), (1, 1 << 20)]
        {
            let (mut host, runner) = lanes();
            (&runner.socket).write_all(&[message.to_le_bytes(), tensors.to_le_bytes()].concat()).unwrap();
            assert_eq!(host.receive(soon()).err().unwrap().kind(), ErrorKind::InvalidData, "{message} {tensors}");
        }
        let (mut host, mut runner) = lanes();
        runner.send(b"one", &[]).unwrap();
        runner.send(b"two", &[]).unwrap();
        assert_eq!(host.receive(soon()).err().unwrap().kind(), ErrorKind::InvalidData, "two replies to a request");
        let (mut host, runner) = lanes();
        (&runner.socket).write_all(&[0u32.to_le_bytes(), IN_MEMORY.to_le_bytes()].concat()).unwrap();
        let mut received = host.receive(soon()).unwrap();
        assert!(host.take(&mut received, 1 << 20).is_err(), "tensors that are not there");
    }
}
