//! The protobuf codec: a reader of messages that carry tensors, field by field and within bounds.
pub mod fields;
pub mod repeated;
