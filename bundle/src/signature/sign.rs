//! Signing of a bundle by its publisher.

use super::envelope::{Envelope, signed_bytes};
use super::statement::Statement;
use crate::{Files, SigningKey};

#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error("there is nothing to sign")]
    Nothing,
    #[error("the signature cannot be made: {0}")]
    Signature(#[from] p256::ecdsa::Error),
    #[error("the signature cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// Returns the content of `bundle.sig`, by which this key states that all the other files make up `name`. The same files,
/// name and key give the same bytes.
pub fn sign(files: &Files, name: &str, key: &SigningKey) -> Result<Vec<u8>, SignError> {
    let digests = files.digests();
    if digests.is_empty() {
        return Err(SignError::Nothing);
    }
    let payload = serde_json::to_vec(&Statement::new(name, &digests)?)?;
    let signature = key.sign(&signed_bytes(&payload))?;
    Ok(serde_json::to_vec(&Envelope::new(key.public_key().hint(), &payload, &signature))?)
}
