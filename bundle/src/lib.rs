//! Bundles as bytes: a folder, an archive, and a signature over all of their files.
//!
//! All input here is untrusted. So each step is bounded before it begins (bytes, files, depth, lengths of names), memory
//! grows only with bytes that arrived, and no content of a bundle is interpreted before its signature is verified. The
//! steps are types: [`Files`] are contents under paths that are safe to use, and [`Verified`] are files whose every byte a
//! trusted key signed; only [`verify`] makes one.
//!
//! Signatures are in the OpenSSF Model Signing format (v1.0): what PyPI's `model_signing sign key` signs is accepted,
//! and `model_signing verify key` accepts what [`sign`] signs.

mod archive;
mod bounds;
mod files;
mod files_builder;
mod folder;
mod key;
mod key_hint;
mod path;
mod private_key;
mod signature;

pub use crate::archive::Compression;
pub use crate::bounds::Bounds;
pub use crate::files::{Files, FilesError};
pub use crate::key::{Curve, KeyError, PublicKey, SigningKey};
pub use crate::key_hint::{KeyHint, ParseKeyHintError};
pub use crate::path::PathError;
pub use crate::signature::{Paths, Refused, SignError, Verified, claimed_key, sign, verify};
pub use bulkhead_digest::{Digest, ParseDigestError};
pub use p256::elliptic_curve::zeroize::Zeroizing;

/// The manifest, which makes a folder a bundle.
pub const MANIFEST: &str = "bundle.toml";

/// The signature over all other files.
pub const SIGNATURE: &str = "bundle.sig";
