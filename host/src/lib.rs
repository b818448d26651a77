//! Bulkhead serves models with other people's code around them, and nobody on board can sink the ship.
//!
//! The modules are layers, lowest first: each uses only those above it in this list. A test keeps it so;
//! `docs/architecture.md` is the map.

pub mod tensor;
pub mod config;
pub mod tenant;
pub mod telemetry;
pub mod cache;
pub mod worker;
pub mod runtime;
pub mod sandbox;
pub mod scheduler;
pub mod pipeline;
pub mod codec;
pub mod catalog;
pub mod activation;
pub mod control;
pub mod error;
pub mod inference;
pub mod http;
pub mod openapi;
pub mod protocol;
pub mod admin;
pub mod host;
pub mod cli;
