//! Conversions of numbers that cannot fail: each loses nothing, or saturates.

use std::time::Duration;

const _: () = assert!(usize::BITS == 64, "the host runs on 64-bit machines only");

/// A size of 64 bits, as tensors and limits have them, in the word of the machine.
#[expect(clippy::cast_possible_truncation, reason = "the assertion above: both types have 64 bits")]
pub const fn to_usize(size: u64) -> usize {
    size as usize
}

/// Whole milliseconds; at most `u64::MAX`.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
