//! The JSON codec: a scanner of request bodies, and readers and writers of the elements of tensors.
mod array;
mod element_types;
pub mod elements;
pub mod parallel_read;
pub mod parallel_write;
pub mod scanner;
mod swar_float;
pub mod writer;
