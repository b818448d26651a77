//! Rust bindings of the plugin contract, with one module for each frozen version.
pub mod v0_1;
