//! Datatypes, and the rules that a tensor keeps: the number of its elements, the length of its data, the forms of its
//! strings. The host and the SDK of plugins both check tensors by this crate, so that what passes a plugin's native tests
//! passes in the host too, and what fails has the same text in both.

mod builder;
mod byte_strings;
mod datatype;
mod error;
mod match_datatype;
mod rules;

pub use builder::TensorBuilder;
pub use byte_strings::{ByteStrings, push_byte_string};
pub use datatype::Datatype;
pub use error::TensorError;
pub use rules::{MAX_DIMENSIONS, check_data, check_range, check_reshape, element_count, extent};

/// A size in bytes in the machine's word. A plugin has words of 32 bits, where a size that does not fit becomes the largest,
/// which no data has.
fn to_usize(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
