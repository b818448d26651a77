//! `bundle.sig`: the OpenSSF Model Signing format, v1.0.
//!
//! Outside, an envelope (a Sigstore bundle v0.3) that says which key signed, with one signature of one payload. Inside,
//! the payload (an in-toto statement) that lists the SHA-256 of every file. The order of trust: the envelope is read
//! within bounds, its key is a trusted one, the key signed exactly the payload's bytes; only then is the payload parsed,
//! and the files must be exactly those that it lists.

mod envelope;
mod error;
mod sign;
mod statement;
mod verify;
#[cfg(test)]
mod tests;

pub use error::{Paths, Refused};
pub use sign::{SignError, sign};
pub use verify::{Verified, claimed_key, verify};
