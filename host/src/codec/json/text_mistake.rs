//! The mistake in a text that is not valid JSON, in words for the client that sent it.

/// Says what is wrong in a quoted text that the JSON reader refused, and at which byte after its first quote.
#[cold]
pub(super) fn find(quoted: &[u8]) -> String {
    let text = quoted.strip_prefix(b"\"").unwrap_or(quoted);
    let text = text.strip_suffix(b"\"").unwrap_or(text);
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += match byte {
            0..=0x1f => {
                return format!(
                    "the text has the control character 0x{byte:02x} at its byte {at}; JSON writes it as \\u{byte:04x}"
                );
            }
            b'\\' => match escape_length(&text[at..]) {
                Ok(length) => length,
                Err(problem) => return format!("the text has {problem} at its byte {at}"),
            },
            _ => 1,
        };
    }
    match std::str::from_utf8(text) {
        Err(error) => {
            let at = error.valid_up_to();
            let byte = text.get(at).copied().unwrap_or_default();
            format!("the text has the byte 0x{byte:02x} at its byte {at}, which is not UTF-8, and JSON is UTF-8")
        }
        Ok(_) => "the text is not valid JSON".to_owned(),
    }
}

/// Length of the escape that a text begins with, or what is wrong with it.
fn escape_length(text: &[u8]) -> Result<usize, String> {
    let shown = |length: usize| {
        text.get(..length.min(text.len())).unwrap_or_default().escape_ascii().to_string().replace("\\\\", "\\")
    };
    match text.get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
        Some(b'u') => match (unit(text), text.get(6..).and_then(unit)) {
            (None, _) => Err(format!("the escape {}, and \\u wants four hexadecimal digits", shown(6))),
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => Ok(12),
            (Some(0xd800..=0xdfff), _) => {
                Err(format!("the escape {}, half of a surrogate pair without the other half,", shown(6)))
            }
            (Some(_), _) => Ok(6),
        },
        _ => Err(format!("the escape {}", shown(2))),
    }
}

/// The code unit that an escape like `\u0041` stands for.
fn unit(escape: &[u8]) -> Option<u16> {
    let digits = escape.strip_prefix(b"\\u")?.get(..4)?;
    let digits =
        std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mistake_and_its_place_are_named() {
        for (quoted, wanted) in [
            (&b"\"a\\x41\""[..], "the escape \\x at its byte 1"),
            (b"\"\\ud800\"", "the escape \\ud800, half of a surrogate pair"),
            (b"\"\\ud83d\\ude00\\udc00\"", "\\udc00, half of a surrogate pair without the other half, at its byte 12"),
            (b"\"\\u00g0\"", "four hexadecimal digits"),
            (b"\"\\u\"", "four hexadecimal digits"),
            (b"\"ab\ncd\"", "the control character 0x0a at its byte 2; JSON writes it as \\u000a"),
            (b"\"caf\xe9\"", "the byte 0xe9 at its byte 3, which is not UTF-8"),
        ] {
            assert!(serde_json::from_slice::<String>(quoted).is_err());
            let error = find(quoted);
            assert!(error.contains(wanted), "{error}");
        }
    }
}
