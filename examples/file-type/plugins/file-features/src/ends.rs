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

/// Where the elements of a `BYTES` tensor lie in its data. Only their lengths are read.
pub fn elements(tensor: &Tensor) -> impl Iterator<Item = Result<Range<u64>, Failure>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= tensor.byte_size() {
            return None;
        }
        let element = element(tensor, at);
        // After an error there is no next element to be found.
        at = element.as_ref().map_or(u64::MAX, |element| element.end);
        Some(element)
    })
}

fn element(tensor: &Tensor, at: u64) -> Result<Range<u64>, Failure> {
    let start = at + size_of::<u32>() as u64;
    let length = tensor.raw(at..start)?;
    let length = <[u8; 4]>::try_from(length.as_slice()).map_err(|_| {
        Failure::internal(format!("the host gave {} bytes at {at}, and 4 were asked for", length.len()))
    })?;
    Ok(start..start + u64::from(u32::from_le_bytes(length)))
}
