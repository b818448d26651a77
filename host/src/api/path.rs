//! The part of an address after `/v2/models/`. A model's name may hold slashes, encoded or not, so the address is read
//! from its end.

use percent_encoding::percent_decode_str;

#[derive(Debug, PartialEq)]
pub struct ModelPath {
    pub model: String,
    pub version: Option<String>,
    pub action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Metadata,
    Ready,
    Infer,
}

/// Longer than any model's name.
const MAX_NAME: usize = 256;

impl ModelPath {
    /// `None` when there is no model's name in it, or what is encoded is not text.
    pub fn parse(path: &str) -> Option<ModelPath> {
        let mut parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        let action = match parts.last() {
            Some(&"infer") => Action::Infer,
            Some(&"ready") => Action::Ready,
            _ => Action::Metadata,
        };
        if action != Action::Metadata {
            parts.pop();
        }
        let version = match parts[..] {
            [_, .., "versions", version] => Some(decode(version)?),
            _ => None,
        };
        if version.is_some() {
            parts.truncate(parts.len() - 2);
        }
        let model = decode(&parts.join("/"))?;
        (1..=MAX_NAME).contains(&model.len()).then_some(ModelPath { model, version, action })
    }
}

fn decode(part: &str) -> Option<String> {
    percent_decode_str(part).decode_utf8().ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_from_the_end() {
        let parse = |path| ModelPath::parse(path).map(|p| (p.model, p.version, p.action));
        let path = |model: &str, version: Option<&str>, action| Some((model.into(), version.map(Into::into), action));
        assert_eq!(parse("digits"), path("digits", None, Action::Metadata));
        assert_eq!(parse("digits/infer"), path("digits", None, Action::Infer));
        assert_eq!(parse("digits/versions/1.0.0/infer"), path("digits", Some("1.0.0"), Action::Infer));
        assert_eq!(parse("acme/digits/versions/2/ready"), path("acme/digits", Some("2"), Action::Ready));
        assert_eq!(parse("acme%2Fdigits/infer"), path("acme/digits", None, Action::Infer));
        assert_eq!(parse("infer"), None);
        assert_eq!(parse("%ff/infer"), None);
    }
}
