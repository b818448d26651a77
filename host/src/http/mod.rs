//! Transport: listeners, connections and their limits, TLS, bodies, and authentication.
pub mod auth;
pub mod binary_header;
pub mod buffer_budget;
pub mod compression;
mod connection;
pub mod connection_limit;
pub mod drain;
mod fair_share;
pub mod inference;
pub mod listener;
pub mod model_name;
mod reply_timeout;
mod repoll;
pub mod request_body;
pub mod request_id;
pub mod response;
pub mod sse;
pub mod tls;
