//! Secrets and tokens of the host, made at first use and kept in files that only its user may read.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::record_hash::record_hash;
use crate::{StoreError, durable};

/// 32 random bytes, wiped from memory when dropped.
pub type Secret = Zeroizing<[u8; 32]>;

/// A token that clients present, and the file in which an operator finds it.
pub struct Token {
    pub text: Zeroizing<String>,
    pub path: PathBuf,
}

/// Upper bound on what is read of a file; secrets and tokens are far smaller.
const MOST_BYTES: u64 = 4096;
const TOKEN_CHARACTERS: std::ops::RangeInclusive<usize> = 32..=256;

/// The secret with this name, which is made if it does not exist. The file holds the bytes and a checksum, because a
/// flipped bit would silently make it another secret.
pub(crate) fn secret(folder: &Path, staging: &Path, name: &str) -> Result<Secret, StoreError> {
    let file = format!("{name}.secret");
    let bytes = read_or_make(folder, staging, &file, || {
        let secret = random()?;
        Ok(Zeroizing::new([&secret[..], &check(&secret[..])[..]].concat()))
    })?;
    let unusable = || StoreError::SecretUnusable { file: file.clone(), why: "it is damaged".into() };
    let (secret, rest) = bytes.split_first_chunk::<32>().ok_or_else(unusable)?;
    if check(secret) != *rest {
        return Err(unusable());
    }
    Ok(Zeroizing::new(*secret))
}

/// The token with this name, which is made if it does not exist. An operator may write another token into the file.
pub(crate) fn token(folder: &Path, staging: &Path, name: &str) -> Result<Token, StoreError> {
    let file = format!("{name}.token");
    let bytes = read_or_make(folder, staging, &file, || {
        let digits = Zeroizing::new(hex::encode(&random()?[..]));
        Ok(Zeroizing::new(format!("bulkhead-{name}-{}\n", *digits).into_bytes()))
    })?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default().trim_ascii();
    if !TOKEN_CHARACTERS.contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let why = "a token is one line of 32 to 256 printable ASCII characters without spaces".into();
        return Err(StoreError::SecretUnusable { file, why });
    }
    Ok(Token { text: Zeroizing::new(text.to_owned()), path: folder.join(file) })
}

fn check(secret: &[u8]) -> [u8; 32] {
    *record_hash("bulkhead secret 1", &[secret]).as_bytes()
}

fn random() -> Result<Secret, StoreError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut bytes[..]).map_err(StoreError::Random)?;
    Ok(bytes)
}

type Contents = Zeroizing<Vec<u8>>;

fn read_or_make(
    folder: &Path,
    staging: &Path,
    file: &str,
    make: impl FnOnce() -> Result<Contents, StoreError>,
) -> Result<Contents, StoreError> {
    let path = folder.join(file);
    if !fs::exists(&path).map_err(|e| StoreError::io("reading a secret", file, e))? {
        let contents = make()?;
        match durable::create(staging, &path, |out| out.write_all(&contents)) {
            // Another thread was faster, and its secret is the one that counts.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(|e| StoreError::io("making a secret", file, e))?,
        }
    }
    read(&path, file)
}

fn read(path: &Path, name: &str) -> Result<Contents, StoreError> {
    let failed = |e| StoreError::io("reading a secret", name, e);
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let why = format!("other users have access to it (its mode is {mode:03o}, not 600), so they may know it");
        return Err(StoreError::SecretUnusable { file: name.into(), why });
    }
    let mut contents = Zeroizing::new(Vec::new());
    file.take(MOST_BYTES).read_to_end(&mut contents).map_err(failed)?;
    Ok(contents)
}
