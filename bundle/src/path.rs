//! Paths of a bundle's files.
//!
//! A path consists of so few kinds of characters that it means the same file on every system, looks the same in every
//! terminal, and appears unescaped in the output of `sha256sum`: letters, marks and digits of all scripts, space, and
//! `-_.+@=,`, in parts separated by slashes. Text beyond ASCII is in Unicode's normalization form C (NFC, Unicode Standard
//! Annex 15), so that two names that look the same are the same. Characters that are not displayed, such as joiners and
//! those that change the direction of text, are not letters or are refused by their property Default_Ignorable_Code_Point.

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointSetData};

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
    #[error("the character '{0}' is not allowed: use letters and digits, space and -_.+@=, only")]
    Character(String),
    #[error("it is not in Unicode's normalization form C; it would be \"{0}\"")]
    NotNormal(String),
    #[error("one of its parts begins with a mark that belongs to a letter before it")]
    Mark,
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
    path.split('/').try_for_each(check_part)?;
    let form = ComposingNormalizerBorrowed::new_nfc();
    if form.is_normalized(path) { Ok(()) } else { Err(PathError::NotNormal(shown(form.normalize(path).as_bytes()))) }
}

/// The path as it is compared with others: two paths with the same key are the same to a file system, or to a reader, that
/// ignores case or does not tell apart variants of a character (full-width letters, ligatures).
pub(crate) fn collision_key(path: &str) -> String {
    match path.is_ascii() {
        true => path.to_ascii_lowercase(),
        // Upper case first, because only it makes one of `ß` and `ss`, and of the two forms of a final sigma.
        false => {
            let form = ComposingNormalizerBorrowed::new_nfkc();
            form.normalize(&form.normalize(path).to_uppercase().to_lowercase()).into_owned()
        }
    }
}

fn is_in(character: char, group: GeneralCategoryGroup) -> bool {
    group.contains(CodePointMapData::<GeneralCategory>::new().get(character))
}

/// True for letters and decimal digits of all scripts.
fn is_letter_or_digit(character: char) -> bool {
    let visible = |c| !CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c);
    character.is_ascii_alphanumeric()
        || !character.is_ascii()
            && is_in(character, GeneralCategoryGroup::Letter.union(GeneralCategoryGroup::DecimalNumber))
            && visible(character)
}

/// True for accents, vowel signs and other marks that change the letter before them.
fn is_mark(character: char) -> bool {
    let visible = |c| !CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c);
    !character.is_ascii() && is_in(character, GeneralCategoryGroup::Mark) && visible(character)
}

fn check_part(part: &str) -> Result<(), PathError> {
    let allowed = |c: char| is_letter_or_digit(c) || is_mark(c) || PUNCTUATION.contains(c);
    if let Some(character) = part.chars().find(|&c| !allowed(c)) {
        return Err(PathError::Character(character.escape_default().to_string()));
    }
    match part {
        _ if part.starts_with(is_mark) => Err(PathError::Mark),
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
    let escape = |c: char| match is_letter_or_digit(c) {
        true => c.to_string(),
        false => c.escape_default().to_string(),
    };
    let mut shown: String = text.chars().take(CHARACTERS).map(escape).collect();
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
        for path in [
            "bundle.toml",
            "assets/labels en.txt",
            "a/b/c",
            "..a",
            "a..b",
            "...",
            "-x",
            "x@2,y=1+z_",
            ".hidden",
            "caf\u{e9}.txt",
            "\u{6807}\u{7b7e}/\u{732b}.onnx",
            "\u{30c7}\u{30fc}\u{30bf}",
            "\u{43c}\u{43e}\u{434}\u{435}\u{43b}\u{44c}",
            "\u{939}\u{93f}\u{928}\u{94d}\u{926}\u{940}",
            "\u{5d0}\u{5d1}",
            "\u{661}\u{662}",
        ] {
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
            ("cafe\u{301}", "form C; it would be \"caf\u{e9}\""),
            ("\u{212b}ngstrom", "form C; it would be \"\u{c5}ngstrom\""),
            ("a/\u{301}b", "begins with a mark"),
            ("a\u{200d}b", "'\\u{200d}'"),
            ("a\u{ad}b", "'\\u{ad}'"),
            ("\u{3164}", "'\\u{3164}'"),
            ("a\u{fe0f}", "'\\u{fe0f}'"),
            ("a\u{34f}b", "'\\u{34f}'"),
            ("a\u{2028}b", "'\\u{2028}'"),
            ("a\u{a0}b", "'\\u{a0}'"),
            ("\u{1f600}", "'\\u{1f600}'"),
            ("\u{e000}", "'\\u{e000}'"),
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
    fn names_that_a_reader_or_a_file_system_takes_for_one_have_one_key() {
        for (one, other) in [
            ("README", "readme"),
            ("\u{c4}pfel", "\u{e4}PFEL"),
            ("stra\u{df}e", "STRASSE"),
            ("\u{3c3}\u{3bf}\u{3c6}\u{3bf}\u{3c2}", "\u{3a3}\u{39f}\u{3a6}\u{39f}\u{3a3}"),
            ("\u{ff4d}odel", "model"),
            ("\u{fb01}le", "file"),
            ("\u{1d400}", "a"),
            ("\u{1d2c}", "A"),
        ] {
            assert_eq!(collision_key(one), collision_key(other), "{one} {other}");
        }
        assert_ne!(collision_key("\u{732b}"), collision_key("\u{72ac}"));
    }

    #[test]
    fn untrusted_text_is_shortened_and_escaped() {
        assert_eq!(shown(b"a\x1b[31m\"x\"\xff"), "a\\u{1b}[31m\"x\"\\u{fffd}");
        assert_eq!(shown("\u{732b}\u{301}\u{202e}".as_bytes()), "\u{732b}\\u{301}\\u{202e}");
        let long = shown("\u{202e}".repeat(1000).as_bytes());
        assert!(long.starts_with("\\u{202e}") && long.ends_with("...") && long.len() < 1000, "{long}");
    }
}
