//! The elements of `BYTES`: a u32 length, followed by that many bytes.

use crate::to_usize;

/// Iterates over the elements of a `BYTES` tensor.
pub struct ByteStrings<'a> {
    rest: &'a [u8],
}

impl<'a> ByteStrings<'a> {
    /// The data of a tensor that [`check_data`](crate::check_data) found right. A wrong length would end the iteration.
    pub fn new(data: &'a [u8]) -> ByteStrings<'a> {
        ByteStrings { rest: data }
    }
}

impl<'a> Iterator for ByteStrings<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, tail) = split_length(self.rest)?;
        let (element, rest) = tail.split_at_checked(to_usize(length))?;
        self.rest = rest;
        Some(element)
    }
}

/// Appends an element of `BYTES`. The limits of requests keep it below 4 GiB; a longer one is counted as several elements
/// when the tensor is made, which refuses it.
#[inline]
pub fn push_byte_string(data: &mut Vec<u8>, value: &[u8]) {
    data.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
    data.extend_from_slice(value);
}

/// The length of the first element, and the data behind the length.
#[inline]
pub(crate) fn split_length(data: &[u8]) -> Option<(u64, &[u8])> {
    let (length, rest) = data.split_first_chunk::<4>()?;
    Some((u64::from(u32::from_le_bytes(*length)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_back_as_they_were_pushed() {
        let mut data = Vec::new();
        for element in [&b"hi"[..], b"", b"you"] {
            push_byte_string(&mut data, element);
        }
        assert_eq!(ByteStrings::new(&data).collect::<Vec<_>>(), [&b"hi"[..], b"", b"you"]);
    }
}
