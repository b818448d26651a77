//! Private keys in the files of a bundle. Whoever uploads one gives it away, so files with one are refused where they are
//! read for the first time: in a folder, and in an archive.

use memchr::memmem;

const BEGIN: &[u8] = b"-----BEGIN ";
const LABEL: &[u8] = b"PRIVATE KEY";
const DASHES: &[u8] = b"-----";

/// Begin of the first line of PuTTY's own format, and of its second line.
const PUTTY: &[u8] = b"PuTTY-User-Key-File-";
const PUTTY_SECOND: &[u8] = b"Encryption: ";

/// Bytes behind a label in which a key's first line must come.
const HEAD_BYTES: usize = 512;

/// Characters of base64 that a key's first line has, at least. Programs that read keys contain the label alone, and documents
/// an ellipsis behind it.
const BASE64: usize = 32;

/// True if a private key is in the file: as PEM text of any kind (PKCS#8, SEC1, RSA, OpenSSH, PGP, encrypted or not) or as
/// PuTTY writes it, alone, within another text, or in a string of JSON; or if the whole file is one in binary form (DER, or
/// PKCS#12).
pub(crate) fn holds_private_key(content: &[u8]) -> bool {
    memmem::find_iter(content, LABEL).any(|at| is_key(content, at))
        || memmem::find_iter(content, PUTTY).any(|at| is_putty(&content[at + PUTTY.len()..]))
        || is_binary(content)
}

/// True if what follows the begin of PuTTY's first line are the rest of it and the second one.
fn is_putty(rest: &[u8]) -> bool {
    let head = &rest[..rest.len().min(HEAD_BYTES)];
    head.first().is_some_and(u8::is_ascii_digit) && memmem::find(head, PUTTY_SECOND).is_some()
}

/// Tags of DER.
const INTEGER: u8 = 2;
const OCTETS: u8 = 4;
const OBJECT: u8 = 6;
const SEQUENCE: u8 = 0x30;

/// An object identifier's first bytes, those of PKCS (1.2.840.113549.1), of which 5 are encryptions by a password, and 7 the
/// contents of a PKCS#12 file.
const PKCS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01];

/// True if the file is one private key in DER: PKCS#8 (RFC 5958), SEC1 (RFC 5915), RSA (RFC 8017, appendix A.1.2), encrypted
/// PKCS#8, or PKCS#12 (RFC 7292). Certificates and public keys begin otherwise.
fn is_binary(content: &[u8]) -> bool {
    let Some((SEQUENCE, inner, [])) = element(content) else { return false };
    match element(inner) {
        Some((INTEGER, [version], rest)) => match (version, element(rest)) {
            (0 | 1, Some((SEQUENCE, algorithm, rest))) => begins_with(OBJECT, algorithm) && begins_with(OCTETS, rest),
            (1, Some((OCTETS, secret, _))) => (16..=80).contains(&secret.len()),
            // A modulus, and eight further numbers.
            (0, Some((INTEGER, modulus, rest))) => modulus.len() >= 64 && begins_with(INTEGER, rest),
            (3, Some((SEQUENCE, contents, _))) => is_of_pkcs(contents, 7),
            _ => false,
        },
        Some((SEQUENCE, algorithm, rest)) => {
            (is_of_pkcs(algorithm, 5) || is_of_pkcs(algorithm, 12)) && begins_with(OCTETS, rest)
        }
        _ => false,
    }
}

fn begins_with(tag: u8, content: &[u8]) -> bool {
    element(content).is_some_and(|(found, ..)| found == tag)
}

fn is_of_pkcs(content: &[u8], part: u8) -> bool {
    let identifier = element(content).filter(|(tag, ..)| *tag == OBJECT).map(|(_, identifier, _)| identifier);
    identifier.and_then(|identifier| identifier.strip_prefix(PKCS)).is_some_and(|rest| rest.first() == Some(&part))
}

/// The first element of DER: its tag, its contents, and what follows it.
fn element(content: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = content.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0x80 | 0x85.. => return None,
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        short => (usize::from(*short), rest),
    };
    let (inner, rest) = rest.split_at_checked(length)?;
    Some((*tag, inner, rest))
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
    // Some environments keep a key on one line, with a space in the place of each break.
    if !head.starts_with(char::is_whitespace) {
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
            own.replace("-----\n", "----- \t\n"),
            own.replace('\n', " "),
            "PuTTY-User-Key-File-2: ssh-ed25519\nEncryption: none\n".to_owned(),
            "my key:\r\nPuTTY-User-Key-File-3: ssh-rsa\r\nEncryption: aes256-cbc\r\n".to_owned(),
        ] {
            assert!(holds_private_key(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn private_keys_are_found_in_binary_forms() {
        let wrap = |tag: u8, inner: &[u8]| {
            let length = u16::try_from(inner.len()).unwrap();
            [&[tag, 0x82], &length.to_be_bytes()[..], inner].concat()
        };
        let ec = [OBJECT, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
        let by_password = [&[OBJECT, 9][..], PKCS, &[5, 13]].concat();
        let data = [&[OBJECT, 9][..], PKCS, &[7, 1]].concat();
        let number = |number: u8| vec![INTEGER, 1, number];
        let public = SigningKey::generate(Curve::P256).unwrap().public_key().to_pem().to_owned();
        let forms = [
            [number(0), wrap(SEQUENCE, &ec), wrap(OCTETS, &[7; 32])].concat(),
            [wrap(SEQUENCE, &by_password), wrap(OCTETS, &[7; 48])].concat(),
            [number(1), wrap(OCTETS, &[7; 32])].concat(),
            [number(0), wrap(INTEGER, &[7; 256]), wrap(INTEGER, &[1, 0, 1])].concat(),
            [number(3), wrap(SEQUENCE, &data)].concat(),
        ];
        for form in forms {
            let file = wrap(SEQUENCE, &form);
            assert!(holds_private_key(&file), "{file:x?}");
            assert!(!holds_private_key(&file[..file.len() - 1]), "it is torn");
            assert!(!holds_private_key(&[&file[..], b"more"].concat()), "something follows it");
        }
        // A public key, a certificate's begin, a list of numbers.
        for other in [
            [wrap(SEQUENCE, &ec), wrap(3, &[0; 65])].concat(),
            wrap(SEQUENCE, &[&[0xa0, 3][..], &number(2)].concat()),
            [number(0), number(1)].concat(),
            public.into_bytes(),
        ] {
            assert!(!holds_private_key(&wrap(SEQUENCE, &other)), "{other:x?}");
        }
        assert!(
            !holds_private_key(&[]) && !holds_private_key(&[SEQUENCE]) && !holds_private_key(&[SEQUENCE, 0x84, 255])
        );
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
            "PuTTY-User-Key-File-".to_owned(),
            "a key begins with PuTTY-User-Key-File-2: and its kind".to_owned(),
        ] {
            assert!(!holds_private_key(text.as_bytes()), "{text}");
        }
    }
}
