//! Paths of a bundle's files.
//!
//! A path consists of so few kinds of characters that it means the same file on every system, looks the same in every
//! terminal, and appears unescaped in the output of `sha256sum`: ASCII letters and digits, space, and `-_.+@=,`, in parts
//! separated by slashes.

use crate::Bounds;

const PUNCTUATION: &str = " -_.+@=,";

/// Names that `model_signing` leaves out of its signatures, so that files under them could not be trusted.
pub(crate) const VERSION_CONTROL: [&str; 4] = [".git", ".gitattributes", ".github", ".gitignore"];

/// The reason why a text cannot be the path of a bundle's file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("it is not UTF-8")]
    NotText,
    #[error("it is empty")]
    Empty,
    #[error("it has {bytes} bytes, and the bound is {bound}")]
    TooLong { bytes: u64, bound: usize },
    #[error("it has {parts} parts, and the bound is {bound}")]
    TooDeep { parts: usize, bound: usize },
    #[error("it is absolute")]
    Absolute,
    #[error("its part \"..\" leads out of its folder")]
    Climbs,
    #[error("it has an empty part, or a part \".\"")]
    EmptyPart,
    #[error("one of its parts begins or ends with a space")]
    Space,
    #[error("the character '{0}' is not allowed: use ASCII letters and digits, space and -_.+@=, only")]
    Character(String),
    #[error("\"{0}\" belongs to version control, and is never signed; take it out of the bundle")]
    VersionControl(String),
}

pub(crate) fn check(path: &str, bounds: &Bounds) -> Result<(), PathError> {
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    if path.len() > bounds.path_bytes {
        return Err(PathError::TooLong { bytes: path.len() as u64, bound: bounds.path_bytes });
    }
    if path.starts_with('/') {
        return Err(PathError::Absolute);
    }
    let parts = path.split('/').count();
    if parts > bounds.depth {
        return Err(PathError::TooDeep { parts, bound: bounds.depth });
    }
    path.split('/').try_for_each(check_part)
}

fn check_part(part: &str) -> Result<(), PathError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || PUNCTUATION.contains(c);
    if let Some(character) = part.chars().find(|&c| !allowed(c)) {
        return Err(PathError::Character(character.escape_default().to_string()));
    }
    match part {
        ".." => Err(PathError::Climbs),
        "" | "." => Err(PathError::EmptyPart),
        _ if part.starts_with(' ') || part.ends_with(' ') => Err(PathError::Space),
        _ if VERSION_CONTROL.iter().any(|name| part.eq_ignore_ascii_case(name)) => {
            Err(PathError::VersionControl(part.to_owned()))
        }
        _ => Ok(()),
    }
}

/// Untrusted text for a message: shortened, and escaped so that a terminal only displays it.
pub(crate) fn shown(text: &[u8]) -> String {
    const CHARACTERS: usize = 120;
    // A character has at most four bytes, so a longer text need not be decoded.
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * CHARACTERS + 4)]);
    let mut shown: String = text.chars().take(CHARACTERS).flat_map(char::escape_default).collect();
    if text.chars().nth(CHARACTERS).is_some() {
        shown.push_str("...");
    }
    shown.replace("\\\"", "\"").replace("\\'", "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_are_accepted() {
        for path in
            ["bundle.toml", "assets/labels en.txt", "a/b/c", "..a", "a..b", "...", "-x", "x@2,y=1+z_", ".hidden"]
        {
            assert_eq!(check(path, &Bounds::default()), Ok(()), "{path}");
        }
    }

    #[test]
    fn paths_that_could_mean_something_else_are_not() {
        let deep = ["a"; 17].join("/");
        let long = "a".repeat(256);
        for (path, wanted) in [
            ("", "empty"),
            ("/etc/passwd", "absolute"),
            ("../x", "leads out"),
            ("a/../../x", "leads out"),
            ("a/..", "leads out"),
            ("a//b", "empty part"),
            ("a/", "empty part"),
            ("./a", "part \".\""),
            ("a/./b", "part \".\""),
            (" a", "space"),
            ("a /b", "space"),
            ("a\\b", "'\\\\'"),
            ("c:/x", "':'"),
            ("a\nb", "'\\n'"),
            ("a\0b", "'\\u{0}'"),
            ("photo\u{202e}gpj.exe", "'\\u{202e}'"),
            ("caf\u{e9}", "'\\u{e9}'"),
            ("cafe\u{301}", "'\\u{301}'"),
            ("\u{ff0f}etc", "'\\u{ff0f}'"),
            (".git/config", "version control"),
            ("a/.GitIgnore", "version control"),
            (&deep, "17 parts, and the bound is 16"),
            (&long, "256 bytes, and the bound is 255"),
        ] {
            let error = check(path, &Bounds::default()).unwrap_err().to_string();
            assert!(error.contains(wanted), "{path:?}: {error}");
        }
    }

    #[test]
    fn untrusted_text_is_shortened_and_escaped() {
        assert_eq!(shown(b"a\x1b[31m\"x\"\xff"), "a\\u{1b}[31m\"x\"\\u{fffd}");
        let long = shown("\u{202e}".repeat(1000).as_bytes());
        assert!(long.starts_with("\\u{202e}") && long.ends_with("...") && long.len() < 1000, "{long}");
    }
}
