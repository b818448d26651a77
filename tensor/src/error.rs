//! The error of a tensor whose parts do not fit each other.

use std::fmt;

use crate::Datatype;
use crate::rules::MAX_DIMENSIONS;

/// A tensor whose parts do not fit each other, or an access outside of it. The text completes "the tensor …", and says what
/// would be right.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorError {
    TooManyElements { shape: Vec<u64> },
    TooManyDimensions { dimensions: usize },
    Length { datatype: Datatype, shape: Vec<u64>, bytes: usize, expected: u64, elements: u64, width: u64 },
    ByteStrings { shape: Vec<u64>, elements: u64, found: u64 },
    Torn { element: u64, announced: u64, left: u64 },
    Reshape { shape: Vec<u64>, elements: u64, present: u64 },
    SizeUnknown,
    NoRoom { appended: u64, room: u64 },
    Range { bytes: usize, offset: u64, length: u64 },
}

impl TensorError {
    /// The text as a whole sentence, which is what a plugin gets.
    pub fn sentence(&self) -> String {
        format!("the tensor {self}")
    }
}

impl fmt::Display for TensorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyElements { shape } => {
                write!(f, "has shape {shape:?}, whose dimensions other than zero multiply to over 2^63")
            }
            Self::TooManyDimensions { dimensions } => {
                write!(f, "has {dimensions} dimensions; at most {MAX_DIMENSIONS} are allowed")
            }
            Self::Length { datatype, shape, bytes, expected, elements, width } => write!(
                f,
                "has {bytes} bytes of data, and {datatype} of shape {shape:?} needs {expected} ({elements} elements of {width})"
            ),
            Self::ByteStrings { shape, elements, found } => {
                write!(f, "of datatype BYTES and shape {shape:?} needs {elements} elements, and its data holds {found}")
            }
            Self::Torn { element, announced, left } => write!(
                f,
                "of datatype BYTES is truncated: element {element} announces {announced} bytes, and {left} are left; before each element stands its length, as 4 bytes in little-endian order"
            ),
            Self::Reshape { shape, elements, present } => {
                write!(f, "cannot be reshaped: {shape:?} has {elements} elements, and the tensor has {present}")
            }
            Self::SizeUnknown => {
                f.write_str("of datatype BYTES cannot be built in pieces: its shape does not determine its size")
            }
            Self::NoRoom { appended, room } => {
                write!(f, "takes {room} more bytes, and {appended} were appended")
            }
            Self::Range { bytes, offset, length } => {
                write!(f, "has {bytes} bytes, and the range of {length} bytes from offset {offset} ends beyond them")
            }
        }
    }
}

impl std::error::Error for TensorError {}
