//! The Open Inference Protocol's bodies, to tensors and back. Numbers go straight from the text into the bytes of a tensor
//! and from there into the text: no tree of values is built. Binary tensors stay where they arrived.

mod decode;
mod describe;
pub mod elements;
mod encode;
mod generate;
mod large;
mod raw;
mod request;
mod walk;

pub use decode::{DecodeError, InferRequest, WantedOutput, decode_json, tensor_head, tensor_shape};
pub use describe::{InferReply, ModelMetadata, ModelReady, ServerLive, ServerMetadata, ServerReady, StageMetadata};
pub use encode::{Bounded, EncodeError, Encoded, encode, encode_as, encode_generated};
pub use generate::decode_generate;
pub use raw::{Raw, decode_raw};
pub use request::WireRequest;
pub use walk::{Walk, value_length};
