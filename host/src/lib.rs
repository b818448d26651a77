//! Bulkhead is a model server that runs other people's plugins around its models, isolated so that none of them can bring
//! down the host.
//!
//! The modules are layers, lowest first: each uses only those above it in this list. A test enforces this, and
//! `docs/architecture.md` is the map.

pub mod numbers;
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
