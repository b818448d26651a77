//! A reader that fails once more than a bound of bytes arrives.

use std::io::{self, Read};

use crate::FilesError;

pub(super) struct Limited<R> {
    source: R,
    came: u64,
    bound: u64,
    /// The error to return when the bound is exceeded; taken by the first read that exceeds it.
    exceeded: Option<FilesError>,
}

impl<R: Read> Limited<R> {
    pub(super) fn new(source: R, bound: u64, exceeded: FilesError) -> Limited<R> {
        Limited { source, came: 0, bound, exceeded: Some(exceeded) }
    }

    /// Number of bytes read so far.
    pub(super) fn came(&self) -> u64 {
        self.came
    }

    fn exceeded(&mut self) -> io::Error {
        self.exceeded.take().map_or_else(|| io::ErrorKind::FileTooLarge.into(), io::Error::other)
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Reads one byte beyond the bound, to distinguish the end of the source from too much data.
        let most = (self.bound - self.came).saturating_add(1);
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.source.read(&mut buffer[..most])?;
        if read as u64 > self.bound - self.came {
            return Err(self.exceeded());
        }
        self.came += read as u64;
        Ok(read)
    }
}
