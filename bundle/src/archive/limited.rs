//! A reader that ends with an error when more comes than may.

use std::io::{self, Read};

use crate::FilesError;

pub(super) struct Limited<R> {
    source: R,
    came: u64,
    bound: u64,
    /// What to say once.
    exceeded: Option<FilesError>,
}

impl<R: Read> Limited<R> {
    pub(super) fn new(source: R, bound: u64, exceeded: FilesError) -> Limited<R> {
        Limited { source, came: 0, bound, exceeded: Some(exceeded) }
    }

    /// How many bytes were read.
    pub(super) fn came(&self) -> u64 {
        self.came
    }

    fn exceeded(&mut self) -> io::Error {
        self.exceeded.take().map_or_else(|| io::ErrorKind::FileTooLarge.into(), io::Error::other)
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // One more than may come, to tell the end from too much.
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
