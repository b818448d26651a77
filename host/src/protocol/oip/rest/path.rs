//! The parser of addresses after `/v2/models/`. A model's name may contain slashes, encoded or not, so that an address is
//! read from its end.

use axum::http::Method;

use crate::http::model_name::{decode, parse_name};

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
    Config,
    Statistics,
    Infer,
    Generate,
    GenerateStream,
    TraceSetting,
}

/// The ends of addresses, and their actions. An address with none of these ends is for metadata.
const ENDS: [(&str, Action); 7] = [
    ("/ready", Action::Ready),
    ("/config", Action::Config),
    ("/stats", Action::Statistics),
    ("/infer", Action::Infer),
    ("/generate", Action::Generate),
    ("/generate_stream", Action::GenerateStream),
    ("/trace/setting", Action::TraceSetting),
];

impl Action {
    pub fn takes(self, method: &Method) -> bool {
        let name = if method == Method::HEAD { "GET" } else { method.as_str() };
        self.allowed().split(", ").any(|allowed| allowed == name)
    }

    /// The methods of the action, as the value of an `Allow` header.
    pub fn allowed(self) -> &'static str {
        match self {
            Action::Infer | Action::Generate | Action::GenerateStream => "POST",
            Action::TraceSetting => "GET, POST",
            _ => "GET",
        }
    }

    /// The end of the refusal of another method, for clients that left the end of the address out.
    pub fn instead(self) -> &'static str {
        match self {
            Action::Metadata => "; add /infer to call the model with POST",
            _ => "",
        }
    }
}

impl ModelPath {
    /// Parses an address; `None` if it has no model's name, or its percent-encoding is not UTF-8.
    pub fn parse(path: &str) -> Option<ModelPath> {
        let path = path.trim_end_matches('/');
        let end = ENDS.iter().find_map(|(end, action)| Some((path.strip_suffix(end)?, *action)));
        let is_end = |path: &str| ENDS.iter().any(|(end, _)| end[1..] == *path);
        if is_end(path) {
            return None;
        }
        let (path, action) = end.unwrap_or((path, Action::Metadata));
        let (model, version) = match path.rsplit_once("/versions/") {
            Some((model, version)) if !version.contains('/') => (model, Some(decode(version)?)),
            _ => (path, None),
        };
        Some(ModelPath { model: parse_name(model)?, version, action })
    }
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
        assert_eq!(parse("digits/versions/1.0.0/config"), path("digits", Some("1.0.0"), Action::Config));
        assert_eq!(parse("acme/digits/trace/setting"), path("acme/digits", None, Action::TraceSetting));
        assert_eq!(parse("digits/generate_stream/"), path("digits", None, Action::GenerateStream));
        assert_eq!(parse("infer"), None);
        assert_eq!(parse("trace/setting"), None);
        assert_eq!(parse("%ff/infer"), None);
    }
    #[test]
    fn methods_are_those_of_the_action() {
        assert!(Action::Metadata.takes(&Method::HEAD) && !Action::Metadata.takes(&Method::POST));
        assert!(Action::Infer.takes(&Method::POST) && !Action::Infer.takes(&Method::GET));
        assert!(Action::TraceSetting.takes(&Method::GET) && Action::TraceSetting.takes(&Method::POST));
    }
}
