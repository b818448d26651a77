//! Forms with one part (`multipart/form-data`, RFC 7578), as `curl -F` and browsers send a file.

use bytes::Bytes;
use memchr::memmem;

/// The reason why a form has no part that can be a model's input.
#[derive(Debug, PartialEq)]
pub(super) enum FormError {
    /// It is no form.
    Malformed(&'static str),
    /// It is one, but not of one part with plain contents.
    NotOne(String),
}

/// Most bytes of a boundary (RFC 2046, section 5.1.1).
const BOUNDARY: usize = 70;

/// The boundary in the parameters of a content type; empty if there is none.
pub(super) fn boundary(parameters: &str) -> String {
    let named = parameters.split(';').filter_map(|parameter| parameter.trim().split_once('='));
    let boundary =
        named.filter(|(name, _)| name.trim().eq_ignore_ascii_case("boundary")).map(|(_, value)| value).next();
    boundary.unwrap_or_default().trim().trim_matches('"').to_owned()
}

/// The content type and the contents of a form's only part.
pub(super) fn only_part(body: &Bytes, boundary: &str) -> Result<(Option<String>, Bytes), FormError> {
    if boundary.is_empty() || boundary.len() > BOUNDARY {
        return Err(FormError::Malformed("needs a boundary of 1 to 70 characters in its content-type"));
    }
    let delimiter = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(&delimiter);
    // The delimiter of the first part may stand at the very beginning, without a line break before it.
    let mut at = if body.starts_with(&delimiter.as_bytes()[2..]) {
        delimiter.len() - 2
    } else {
        finder.find(body).ok_or(NO_PART)? + delimiter.len()
    };
    let (mut first, mut parts) = (None, 0_usize);
    loop {
        let rest = &body[at..];
        if rest.starts_with(b"--") {
            break;
        }
        let blank = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if !rest[blank..].starts_with(b"\r\n") {
            return Err(FormError::Malformed("has something else than a line break after a boundary"));
        }
        // The head of a part may be empty, and its contents, too, so that line breaks are shared with the delimiters.
        let begin = at + blank;
        let end =
            finder.find(&body[begin..]).ok_or(FormError::Malformed("has no end: its last boundary is missing"))?;
        first.get_or_insert(begin..begin + end);
        parts += 1;
        at = begin + end + delimiter.len();
    }
    match (first, parts) {
        (Some(part), 1) => split_part(&body.slice(part)),
        (None, _) => Err(NO_PART),
        _ => Err(FormError::NotOne(format!("of {parts} parts"))),
    }
}

const NO_PART: FormError = FormError::Malformed("has no part with the boundary of its content-type");

/// Splits a part, which begins with a line break, into its content type and its contents.
fn split_part(part: &Bytes) -> Result<(Option<String>, Bytes), FormError> {
    let blank = memmem::find(part, b"\r\n\r\n")
        .ok_or(FormError::Malformed("has a part without an empty line after its head"))?;
    let head = String::from_utf8_lossy(&part[..blank]);
    let field = |wanted: &str| {
        let fields = head.lines().filter_map(|line| line.split_once(':'));
        fields
            .filter(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.trim().to_owned())
            .next()
    };
    match field("content-transfer-encoding").map(|encoding| encoding.to_ascii_lowercase()).as_deref() {
        None | Some("" | "binary" | "8bit" | "7bit") => Ok((field("content-type"), part.slice(blank + 4..))),
        Some(other) => {
            Err(FormError::NotOne(format!("with a part encoded as \"{}\"", crate::config::clip(other.to_owned()))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(body: &str) -> Result<(Option<String>, Bytes), FormError> {
        only_part(&Bytes::copy_from_slice(body.as_bytes()), "x-y")
    }

    #[test]
    fn the_only_part_is_taken_byte_for_byte() {
        let head = "Content-Disposition: form-data; name=\"f\"\r\n";
        for (content, text) in [("hello", "hello"), ("", ""), ("a\r\n--x\r\n\r\nb\n", "a\r\n--x\r\n\r\nb\n")] {
            let taken = part(&format!("--x-y\r\n{head}\r\n{content}\r\n--x-y--\r\n"));
            assert_eq!(taken, Ok((None, Bytes::copy_from_slice(text.as_bytes()))), "{content}");
        }
        let typed = part(&format!("preamble\r\n--x-y \r\n{head}content-type: image/png\r\n\r\nPNG\r\n--x-y--"));
        assert_eq!(typed, Ok((Some("image/png".into()), Bytes::from_static(b"PNG"))));
        assert_eq!(part("--x-y\r\n\r\nbare\r\n--x-y--"), Ok((None, Bytes::from_static(b"bare"))));
    }

    #[test]
    fn what_is_no_form_of_one_part_is_refused() {
        for wrong in [
            "",
            "hello",
            "--x-y",
            "--x-y--",
            "--x-y\r\n\r\nno end",
            "--x-y\r\nhead\r\n--x-y--",
            "--x-yz\r\n\r\na\r\n--x-y--",
        ] {
            assert!(matches!(part(wrong), Err(FormError::Malformed(_))), "{wrong}");
        }
        let two = part("--x-y\r\n\r\na\r\n--x-y\r\n\r\nb\r\n--x-y--");
        assert_eq!(two, Err(FormError::NotOne("of 2 parts".into())));
        let coded = part("--x-y\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==\r\n--x-y--");
        assert!(matches!(coded, Err(FormError::NotOne(_))));
        assert!(matches!(only_part(&Bytes::from_static(b"a"), ""), Err(FormError::Malformed(_))));
    }

    #[test]
    fn a_boundary_is_quoted_or_not() {
        for parameters in ["boundary=x", " charset=utf-8; BOUNDARY=\"x\"", " a=b;boundary = x "] {
            assert_eq!(boundary(parameters), "x", "{parameters}");
        }
        assert_eq!(boundary(" charset=utf-8"), "");
    }
}
