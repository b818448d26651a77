//! Reads the two ends of a file from a tensor of files, without copying the bytes between them.

use std::ops::Range;

use bulkhead_guest::prelude::*;

/// The first and the last bytes of a file. They are the same bytes if the file is not longer than a block.
pub(crate) struct Ends {
    pub head: Vec<u8>,
    pub tail: Vec<u8>,
}

impl Ends {
    /// `file` is the range of the file's content in the tensor's data, and `block` the most bytes that are read at each
    /// end.
    pub(crate) fn read(files: &Tensor, file: Range<u64>, block: u64) -> Result<Ends, Failure> {
        let size = file.end - file.start;
        if size <= block {
            let head = files.raw(file)?;
            return Ok(Ends { tail: head.clone(), head });
        }
        let head = files.raw(file.start..file.start + block)?;
        let tail = files.raw(file.end - block..file.end)?;
        Ok(Ends { head, tail })
    }
}
