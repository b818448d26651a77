//! The Open Inference Protocol's bodies, to tensors and back. Numbers go straight from the text into the bytes of a tensor
//! and from there into the text: no tree of values is built. Binary tensors stay where they arrived.

mod decode;
mod encode;
mod generate;
mod raw;
mod request;

pub use decode::{decode_json, tensor_head, tensor_shape};
pub use encode::{encode, encode_as, encode_generated};
pub use generate::decode_generate;
pub use raw::{Raw, decode_raw};
pub use request::WireRequest;
