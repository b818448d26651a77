//! Reasons why a bundle is not trusted.

use std::fmt;

use crate::{Digest, KeyHint, PathError};

/// The reason why a bundle is not trusted. Each text is written for the publisher.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the bundle is not signed: it has no file bundle.sig")]
    NoSignature,
    #[error("bundle.sig has {bytes} bytes, and the bound is {bound}")]
    Oversized { bytes: u64, bound: u64 },
    #[error("bundle.sig is not in the OpenSSF Model Signing format: {0}")]
    Envelope(String),
    #[error("bundle.sig has the media type \"{0}\"; only application/vnd.dev.sigstore.bundle.v0.3+json is known")]
    MediaType(String),
    #[error("bundle.sig comes with {0}, which is not checked here; sign with a key: `model_signing sign key`")]
    Material(&'static str),
    #[error("bundle.sig does not say which key signed it; sign again with model-signing 1.1 or later")]
    NoKeyHint,
    #[error("bundle.sig names its key \"{0}\"; the SHA-256 of the public key's PEM text is expected, in lowercase hex")]
    KeyHint(String),
    #[error("bundle.sig has {0} signatures; exactly one is expected")]
    Signatures(usize),
    #[error("bundle.sig signs a payload of the type \"{0}\"; only application/vnd.in-toto+json is known")]
    PayloadType(String),
    #[error("the {0} in bundle.sig is not base64")]
    Base64(&'static str),
    #[error("the bundle is signed with the key {0}, which is not trusted here")]
    UnknownKey(KeyHint),
    #[error("the signature is wrong: the trusted key {0}, which bundle.sig names, did not sign this payload")]
    WrongSignature(KeyHint),
    #[error("the signed statement cannot be read: {0}")]
    Statement(String),
    #[error("the signed statement has the type \"{0}\"; only https://in-toto.io/Statement/v1 is known")]
    StatementType(String),
    #[error(
        "the signed statement's predicate has the type \"{0}\"; only https://model_signing/signature/v1.0 is known"
    )]
    PredicateType(String),
    #[error("the signed statement has {0} subjects; exactly one is expected")]
    Subjects(usize),
    #[error("the files were signed by the method \"{0}\"; only \"files\" is known, which lists whole files")]
    Method(String),
    #[error("the signed statement leaves out \"{0}\", which would not be protected; list every file of the bundle")]
    Ignores(String),
    #[error("the digest of {what} is made by \"{algorithm}\"; only sha256 is known")]
    Algorithm { what: String, algorithm: String },
    #[error("the digest of {0} does not have the form of a SHA-256, 64 digits of 0-9 and a-f")]
    DigestForm(String),
    #[error("the signed statement lists the path \"{path}\", which cannot be in a bundle: {reason}")]
    ResourcePath { path: String, reason: PathError },
    #[error("the signed statement lists \"{0}\" twice")]
    ListedTwice(String),
    #[error("the signed statement lists bundle.sig, which cannot contain its own digest")]
    ListsItself,
    #[error("the signed statement contradicts itself: its files have the digest {found}, its subject {said}")]
    SubjectDigest { said: Digest, found: Digest },
    #[error("\"{from}\" was renamed to \"{to}\" after the bundle was signed")]
    Renamed { from: String, to: String },
    #[error("signed, but missing from the bundle: {0}")]
    Missing(Paths),
    #[error("in the bundle, but not signed: {0}")]
    Added(Paths),
    #[error("changed after the bundle was signed: {0}")]
    Changed(Paths),
}

/// Paths of files, of which a message shows the first ones only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths(Vec<String>);

impl Paths {
    pub(super) fn of<'a>(paths: impl IntoIterator<Item = &'a str>) -> Option<Paths> {
        let paths: Vec<_> = paths.into_iter().map(str::to_owned).collect();
        if paths.is_empty() { None } else { Some(Paths(paths)) }
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMED: usize = 3;
        let named: Vec<_> = self.iter().take(NAMED).map(|path| format!("\"{path}\"")).collect();
        f.write_str(&named.join(", "))?;
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
