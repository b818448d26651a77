//! Checks of the fields `Host` and `Origin`. A request without a key is accepted for the place that it comes from, and a web
//! page in a browser comes from there, too. So an anonymous request must be addressed to a name that no page's owner can
//! point at this host (DNS rebinding), and must not come from a page of another site.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Request, Version, header};

use crate::error::ApiError;
use crate::tenant::AuthError;

/// Ends of names that nobody can register: RFC 6761 and 6762, and ICANN's `internal` of 2024.
const PRIVATE: [&str; 5] = [".localhost", ".local", ".internal", ".test", ".home.arpa"];

/// Most bytes of a name in an error.
const SHOWN: usize = 100;

/// Puts the authority that the target of the request names into the field `Host`, so that it is in one place for HTTP/1.1
/// and HTTP/2. Fails unless a request over HTTP/1.1 has exactly one such field (RFC 9112, section 3.2).
pub(super) fn normalize<B>(request: &mut Request<B>) -> Result<(), ApiError> {
    let fields = request.headers().get_all(header::HOST).iter().count();
    if fields > 1 || (fields == 0 && request.version() == Version::HTTP_11) {
        return Err(ApiError::HostFields { fields });
    }
    let authority = request.uri().authority().map(|authority| HeaderValue::from_str(authority.as_str()));
    if let Some(Ok(authority)) = authority {
        request.headers_mut().insert(header::HOST, authority);
    }
    Ok(())
}

/// Checks a request without a key. `known` are the names by which the operator lets anonymous clients address the host, and
/// `origins` those of the pages that may call; one that stands for every page includes none here.
pub(super) fn check_anonymous(headers: &HeaderMap, known: &[String], origins: &[String]) -> Result<(), AuthError> {
    // Browsers always send the field, so a request without it (HTTP/1.0) is from no page.
    let Some(host) = headers.get(header::HOST) else { return Ok(()) };
    let host = host.to_str().unwrap_or_default();
    let name = host.parse::<Authority>().ok();
    let name = name.as_ref().map(Authority::host).unwrap_or_default();
    if !is_private(name) && !known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Err(AuthError::ForeignHost(shown(host)));
    }
    for origin in headers.get_all(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        let site = origin.split_once("://").map_or("", |(_, site)| site);
        let may_call = || origins.iter().any(|known| known.eq_ignore_ascii_case(origin));
        if !site.eq_ignore_ascii_case(host) && !may_call() {
            return Err(AuthError::ForeignOrigin(shown(origin)));
        }
    }
    Ok(())
}

/// True for an address, and for a name that only this machine or its own network resolves.
fn is_private(name: &str) -> bool {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if bare.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    !name.is_empty() && (!name.contains('.') || PRIVATE.iter().any(|end| name.ends_with(end)))
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn anonymous_requests_are_addressed_to_a_name_that_no_page_can_have() {
        let known = ["models.example.com".to_owned()];
        for (host, taken) in [
            ("127.0.0.1:8000", true),
            ("[::1]:8000", true),
            ("192.168.1.7", true),
            ("localhost:8000", true),
            ("bulkhead", true),
            ("bulkhead.default.svc.cluster.local:8000", true),
            ("host.docker.internal:8000", true),
            ("Models.Example.com:8000", true),
            ("evil.example.com:8000", false),
            ("127.0.0.1.evil.example.com", false),
            ("localhost.evil.example.com", false),
            ("a@localhost", true),
            ("evil.example.com.", false),
            ("", false),
            ("a b", false),
        ] {
            let given = check_anonymous(&headers(&[("host", host)]), &known, &[]);
            let expected = if taken { Ok(()) } else { Err(AuthError::ForeignHost(host.into())) };
            assert_eq!(given, expected, "{host}");
        }
        assert_eq!(check_anonymous(&HeaderMap::new(), &[], &[]), Ok(()));
    }

    #[test]
    fn anonymous_requests_come_from_no_page_of_another_site() {
        for (origin, taken) in [
            ("http://localhost:8000", true),
            ("https://LOCALHOST:8000", true),
            ("http://localhost:3000", false),
            ("http://localhost", false),
            ("https://evil.example.com", false),
            ("null", false),
            ("", false),
        ] {
            let given = check_anonymous(&headers(&[("host", "localhost:8000"), ("origin", origin)]), &[], &[]);
            let expected = if taken { Ok(()) } else { Err(AuthError::ForeignOrigin(origin.into())) };
            assert_eq!(given, expected, "{origin}");
        }
        let own = ["https://app.example.com".to_owned(), "*".to_owned()];
        let from = |origin| check_anonymous(&headers(&[("host", "localhost"), ("origin", origin)]), &[], &own);
        assert_eq!(from("https://app.example.com"), Ok(()));
        assert_eq!(from("https://evil.example.com"), Err(AuthError::ForeignOrigin("https://evil.example.com".into())));
        let two = [("host", "a"), ("origin", "http://a"), ("origin", "http://b")];
        assert_eq!(check_anonymous(&headers(&two), &[], &[]), Err(AuthError::ForeignOrigin("http://b".into())));
    }

    #[test]
    fn the_authority_of_the_target_is_the_host() {
        let request = |version, uri: &str, hosts: &[&str]| {
            let mut request = Request::builder().version(version).uri(uri);
            for host in hosts {
                request = request.header(header::HOST, *host);
            }
            let mut request = request.body(()).unwrap();
            let host =
                |request: &Request<()>| request.headers().get(header::HOST).map(|h| h.to_str().unwrap().to_owned());
            normalize(&mut request).map(|()| host(&request)).map_err(|error| error.to_string())
        };
        assert_eq!(request(Version::HTTP_11, "/", &["a"]), Ok(Some("a".into())));
        assert_eq!(request(Version::HTTP_11, "http://b/", &["a"]), Ok(Some("b".into())));
        assert_eq!(request(Version::HTTP_2, "http://b/", &[]), Ok(Some("b".into())));
        assert_eq!(request(Version::HTTP_2, "/", &[]), Ok(None));
        assert_eq!(request(Version::HTTP_10, "/", &[]), Ok(None));
        assert!(request(Version::HTTP_11, "/", &[]).unwrap_err().contains("no field Host"));
        assert!(request(Version::HTTP_11, "/", &["a", "a"]).unwrap_err().contains("2 fields Host"));
    }
}
