//! The JSON and binary bodies of the Open Inference Protocol, to tensors and back. Numbers go straight between the text and
//! the bytes of a tensor, so that no tree of values is built. Binary tensors are slices of the body that arrived.

mod decode;
mod encode;
mod form;
mod generate;
mod raw;
mod request;

pub use decode::{decode_json, take_binary_output};
pub use encode::{encode, encode_as, encode_generated};
pub use form::{GenerateForm, InferForm, JsonForm};
pub use generate::decode_generate;
pub use raw::{Raw, decode_raw};
pub use request::WireRequest;
