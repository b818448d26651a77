//! `bundle.sig`: the OpenSSF Model Signing format, v1.0.
//!
//! The envelope (a Sigstore bundle v0.3) names the key and contains one signature of one payload. The payload (an in-toto
//! statement) lists the SHA-256 of every file. Verification proceeds in this order: the envelope is read within bounds, its
//! key must be trusted, and the key must have signed exactly the payload's bytes. Only then is the payload parsed, and the
//! files must be exactly those that it lists.

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
