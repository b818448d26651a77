//! JSON of the Open Inference Protocol, to tensors and back. Numbers go straight from the text into the bytes of a tensor
//! and from there into the text: no tree of values is built.

mod decode;
mod elements;
mod encode;

pub use decode::{DecodeError, InferRequest, WantedOutput, decode_json, decode_raw, tensor_head};
pub use encode::{EncodeError, encode_json};
