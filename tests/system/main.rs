//! The whole system from outside: the real program, over HTTP.

mod bad_input;
mod binary;
mod bundles;
mod cli;
mod compression;
mod configuration;
mod digits;
mod extensions;
mod file_type;
mod guide;
mod hostile;
mod metrics;
mod protocol;
mod shutdown;
