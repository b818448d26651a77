//! Private keys in the files of a bundle. Whoever uploads one gives it away, so files with one are refused where they are
//! read for the first time: in a folder, and in an archive.

use memchr::memmem;

const BEGIN: &[u8] = b"-----BEGIN ";
const LABEL: &[u8] = b"PRIVATE KEY";
const DASHES: &[u8] = b"-----";

/// The first line of PuTTY's own format.
const PUTTY: &[u8] = b"PuTTY-User-Key-File-";

/// Bytes behind a label in which a key's first line must come.
const HEAD_BYTES: usize = 512;

/// Characters of base64 that a key's first line has, at least. Programs that read keys contain the label alone, and documents
/// an ellipsis behind it.
const BASE64: usize = 32;

/// True if a private key is in the file: as PEM text of any kind (PKCS#8, SEC1, RSA, OpenSSH, PGP, encrypted or not), alone,
/// within another text, or in a string of JSON.
pub(crate) fn holds_private_key(content: &[u8]) -> bool {
    content.starts_with(PUTTY) || memmem::find_iter(content, LABEL).any(|at| is_key(content, at))
}

/// True if the label at `at` belongs to the first line of a key, and a key follows it.
fn is_key(content: &[u8], at: usize) -> bool {
    let (before, behind) = content.split_at(at);
    let start = memmem::rfind(&before[before.len().saturating_sub(64)..], BEGIN);
    let rest = &behind[LABEL.len()..];
    let rest = rest.strip_prefix(b" BLOCK").unwrap_or(rest);
    let (Some(_), Some(rest)) = (start, rest.strip_prefix(DASHES)) else { return false };
    let head = String::from_utf8_lossy(&rest[..rest.len().min(HEAD_BYTES)]);
    let head = head.replace("\\r", "\r").replace("\\n", "\n");
    if !head.starts_with(['\r', '\n']) {
        return false;
    }
    // Old formats have fields, such as `Proc-Type: 4,ENCRYPTED`, above the key.
    let first = head.lines().map(str::trim).find(|line| !line.is_empty() && !line.contains(": "));
    let base64 = |c: &char| c.is_ascii_alphanumeric() || "+/=".contains(*c);
    first.is_some_and(|line| line.chars().take_while(base64).count() >= BASE64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Curve, SigningKey};

    const BODY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg";

    #[test]
    fn private_keys_are_found_in_every_text_form() {
        let own = SigningKey::generate(Curve::P256).unwrap().to_pem().unwrap();
        let rsa =
            format!("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A\n\n{BODY}\n");
        for text in [
            own.to_string(),
            format!("remarks\n\n{}", &*own),
            own.replace('\n', "\r\n"),
            format!("{{\"private_key\": \"{}\"}}", own.replace('\n', "\\n")),
            own.replace('\n', "\n    "),
            rsa,
            format!("-----BEGIN EC PRIVATE KEY-----\n{BODY}"),
            format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{BODY}"),
            format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{BODY}"),
            format!("-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\n\n{BODY}"),
            "PuTTY-User-Key-File-2: ssh-ed25519\n".to_owned(),
        ] {
            assert!(holds_private_key(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_only_speaks_of_keys_is_none() {
        let public = SigningKey::generate(Curve::P384).unwrap().public_key().to_pem().to_owned();
        for text in [
            public,
            "-----BEGIN PRIVATE KEY-----".to_owned(),
            "it starts with -----BEGIN PRIVATE KEY----- and ends".to_owned(),
            "-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----\n".to_owned(),
            format!("-----BEGIN PRIVATE KEY----------BEGIN EC PRIVATE KEY-----{BODY}"),
            format!("PRIVATE KEY-----\n{BODY}"),
            "PRIVATE KEY".to_owned(),
        ] {
            assert!(!holds_private_key(text.as_bytes()), "{text}");
        }
    }
}
