//! Protobuf messages that carry tensors, read field by field within bounds.
pub mod fields;
pub mod repeated;
