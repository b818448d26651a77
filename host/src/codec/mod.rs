//! The codecs of the wire: JSON and protobuf to tensors and back. They depend on neither HTTP nor models.
pub mod error;
pub mod json;
pub mod json_mistake;
pub mod parameters;
pub mod protobuf;
pub mod tensor_head;
