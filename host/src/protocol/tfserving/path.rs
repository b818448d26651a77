//! The parser of addresses after `/v1/models/`: a model, optionally one of its versions or labels, and the operation on it.

use crate::http::model_name::parse_name;

#[derive(Debug, PartialEq)]
pub(super) struct Wanted {
    pub model: String,
    /// A version's number, or a label.
    pub version: Option<String>,
    pub verb: Verb,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Status,
    Metadata,
    Predict,
    Classify,
    Regress,
}

const ENDS: [(&str, Verb); 4] = [
    (":predict", Verb::Predict),
    (":classify", Verb::Classify),
    (":regress", Verb::Regress),
    ("/metadata", Verb::Metadata),
];

impl Verb {
    pub(super) fn allowed(self) -> &'static str {
        match self {
            Verb::Status | Verb::Metadata => "GET",
            Verb::Predict | Verb::Classify | Verb::Regress => "POST",
        }
    }

    /// The end of the refusal of another method, for clients that left the operation out.
    pub(super) fn instead(self) -> &'static str {
        match self {
            Verb::Status => "; add :predict to call the model with POST",
            _ => "",
        }
    }
}

/// The version that clients send who want the newest: ovmsclient does so by default.
pub(super) const NEWEST: &str = "0";

impl Wanted {
    /// Parses an address; `None` if it has no model's name, or an operation that there is not.
    pub(super) fn parse(path: &str) -> Option<Wanted> {
        // Some clients encode the colon.
        let path = &path.replace("%3A", ":").replace("%3a", ":")[..];
        let end = ENDS.iter().find_map(|(end, verb)| Some((path.strip_suffix(end)?, *verb)));
        let (path, verb) = end.unwrap_or((path, Verb::Status));
        let version = ["/versions/", "/labels/"].iter().find_map(|word| {
            let (model, version) = path.rsplit_once(word)?;
            (!version.contains('/')).then_some((model, version))
        });
        let (model, version) = match version {
            Some((model, version)) => (model, Some(parse_name(version)?).filter(|version| version != NEWEST)),
            None => (path, None),
        };
        Some(Wanted { model: parse_name(model)?, version, verb }).filter(|wanted| !wanted.model.contains(':'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_their_end() {
        let parse = |path| Wanted::parse(path).map(|wanted| (wanted.model, wanted.version, wanted.verb));
        let path = |model: &str, version: Option<&str>, verb| Some((model.into(), version.map(Into::into), verb));
        assert_eq!(parse("half"), path("half", None, Verb::Status));
        assert_eq!(parse("half:predict"), path("half", None, Verb::Predict));
        assert_eq!(parse("acme/half/versions/12:classify"), path("acme/half", Some("12"), Verb::Classify));
        assert_eq!(parse("half/labels/stable/metadata"), path("half", Some("stable"), Verb::Metadata));
        assert_eq!(parse("half/versions/1"), path("half", Some("1"), Verb::Status));
        assert_eq!(parse("half/versions/0:predict"), path("half", None, Verb::Predict));
        assert_eq!(parse("half%3Apredict"), path("half", None, Verb::Predict));
        assert_eq!(parse("half:explain"), None);
        assert_eq!(parse(":predict"), None);
    }
}
