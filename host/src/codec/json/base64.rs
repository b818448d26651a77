//! The reader of bytes in base64, as clients' libraries write it: in the standard or the URL-safe alphabet, with or without
//! padding, and with line breaks where a tool has wrapped it.

use std::borrow::Cow;

use base64::DecodeError;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes; an error says what is wrong with the base64.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, String> {
    let is_standard = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
    let standard = if is_standard { Cow::Borrowed(text.as_bytes()) } else { Cow::Owned(in_standard_alphabet(text)) };
    BASE64.decode(&*standard).map_err(|error| match error {
        DecodeError::InvalidByte(..) | DecodeError::InvalidPadding => match wrong_letter(text) {
            Some((at, letter)) => format!("the base64 has '{}' at its byte {at}", letter.escape_default()),
            None => "the base64 has padding (=) in the wrong place".to_owned(),
        },
        DecodeError::InvalidLength(_) => {
            format!("the base64 has {} letters, with which no base64 can end", standard.len())
        }
        DecodeError::InvalidLastSymbol(..) => {
            "the last letter of the base64 has bits that belong to no byte".to_owned()
        }
    })
}

fn in_standard_alphabet(text: &str) -> Vec<u8> {
    let standard = |byte: u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    };
    text.bytes().filter(|byte| !byte.is_ascii_whitespace()).map(standard).collect()
}

/// The first letter that no base64 has, and its place.
fn wrong_letter(text: &str) -> Option<(usize, char)> {
    let is_letter =
        |letter: char| letter.is_ascii_alphanumeric() || letter.is_ascii_whitespace() || "+/-_=".contains(letter);
    text.char_indices().find(|(_, letter)| !is_letter(*letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_alphabets_padding_and_line_breaks_are_read() {
        for text in ["/+8/", "_-8_", "_-8\r\n_", " /+ 8/\t"] {
            assert_eq!(decode(text).unwrap(), b"\xff\xef\x3f", "{text}");
        }
        for text in ["YQ==", "YQ", "Y\nQ=="] {
            assert_eq!(decode(text).unwrap(), b"a", "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, wanted) in [
            ("YQ*=", "has '*' at its byte 2"),
            ("Yé==", "at its byte 1"),
            ("YWJjZ", "has 5 letters"),
            ("YR==", "the last letter"),
            ("Y=Q=", "padding"),
        ] {
            let error = decode(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
