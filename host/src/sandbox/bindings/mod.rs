//! The contract in Rust, a module for each frozen version of it.
pub mod v0_1;
