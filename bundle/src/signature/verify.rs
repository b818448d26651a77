//! Verification: turns untrusted bytes into files that a trusted key signed.

use std::collections::BTreeMap;

use super::envelope::Envelope;
use super::error::{Paths, Refused};
use super::statement::Statement;
use crate::files::identity;
use crate::{Bounds, Digest, Files, KeyHint, PublicKey};

/// Proof that a trusted key signed exactly these files. Only [`verify`] makes it.
#[derive(Debug)]
pub struct Verified {
    files: Files,
    digest: Digest,
    key: KeyHint,
}

impl Verified {
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The digest that [`Files::digest`] would compute.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The key that signed them.
    pub fn key(&self) -> KeyHint {
        self.key
    }

    pub fn into_files(self) -> Files {
        self.files
    }
}

/// Verifies the signature of a bundle. `trusted` returns the key of a hint if that key is trusted; a key with another hint
/// is ignored.
pub fn verify(
    files: Files,
    bounds: &Bounds,
    trusted: impl FnOnce(&KeyHint) -> Option<PublicKey>,
) -> Result<Verified, Refused> {
    let envelope = Envelope::read(&files, bounds)?;
    let hint = envelope.key_hint()?;
    let key = trusted(&hint).filter(|key| key.hint() == hint).ok_or(Refused::UnknownKey(hint))?;
    let signed = Statement::read(&envelope.payload(&key)?, bounds)?;
    let found = files.digests();
    compare(&signed, &found)?;
    let digest = identity(&found);
    Ok(Verified { digest, key: hint, files })
}

/// The key that the signature claims, without verification. Use it only for display, and to find the key that could be
/// trusted.
pub fn claimed_key(files: &Files, bounds: &Bounds) -> Result<KeyHint, Refused> {
    Envelope::read(files, bounds)?.key_hint()
}

fn compare(signed: &BTreeMap<String, Digest>, found: &BTreeMap<&str, Digest>) -> Result<(), Refused> {
    let missing: Vec<_> = signed.iter().filter(|(path, _)| !found.contains_key(path.as_str())).collect();
    let added: Vec<_> = found.iter().filter(|(path, _)| !signed.contains_key(**path)).collect();
    if let ([(from, before)], [(to, after)]) = (&missing[..], &added[..])
        && before == after
    {
        return Err(Refused::Renamed { from: (*from).clone(), to: (**to).to_owned() });
    }
    if let Some(missing) = Paths::of(missing.iter().map(|(path, _)| path.as_str())) {
        return Err(Refused::Missing(missing));
    }
    if let Some(added) = Paths::of(added.iter().map(|(path, _)| **path)) {
        return Err(Refused::Added(added));
    }
    let changed = found.iter().filter(|(path, digest)| signed.get(**path) != Some(*digest));
    Paths::of(changed.map(|(path, _)| *path)).map_or(Ok(()), |changed| Err(Refused::Changed(changed)))
}
