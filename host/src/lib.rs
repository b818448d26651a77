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
pub mod graph;
pub mod sandbox;
pub mod schedule;
pub mod pipeline;
pub mod catalog;
pub mod bundle;
pub mod control;
pub mod api;
pub mod host;
pub mod cli;
