//! The JSON codec: a scanner of request bodies, and readers and writers of the elements of tensors.
mod array;
mod base64;
mod element_types;
pub mod elements;
mod nesting;
pub mod parallel_read;
pub mod parallel_write;
pub mod scanner;
mod swar_float;
mod text_mistake;
pub mod writer;
