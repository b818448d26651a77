//! Bytes to tensors and back: JSON and protobuf. Nothing here knows of HTTP or of a model.
pub mod error;
pub mod json;
pub mod protobuf;
