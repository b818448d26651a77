//! The two ends of a file, read from a tensor of files without reading what lies between them.

use std::ops::Range;

use bulkhead_guest::prelude::*;

/// The first and the last bytes of a file: the same ones where it has no more than a block of them.
pub struct Ends {
    pub head: Vec<u8>,
    pub tail: Vec<u8>,
}

impl Ends {
    /// `file` is where its content lies in the tensor's data, `block` the most bytes that are read at either end.
    pub fn read(files: &Tensor, file: Range<u64>, block: u64) -> Result<Ends, Failure> {
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
