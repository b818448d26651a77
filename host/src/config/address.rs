//! Addresses, names of hosts, and origins of web pages.

use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};

/// Reads `ADDRESS:PORT` or `NAME:PORT`, and resolves a name; else says what is wanted. Of several addresses of a name, the
/// first of version 4 is taken, because most clients try that, too.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let wanted = "an address with a port, such as \"127.0.0.1:8000\" or \"localhost:8000\" for this machine alone, or \"0.0.0.0:8000\" for all";
    let named = text.rsplit_once(':').filter(|(name, _)| is_name(name));
    let Some((name, port)) = named.and_then(|(name, port)| Some((name, port.parse::<u16>().ok()?))) else {
        return Err(wanted.into());
    };
    let found: Vec<SocketAddr> = match (name, port).to_socket_addrs() {
        Ok(found) => found.collect(),
        Err(_) => return Err(format!("{wanted}; the name \"{name}\" cannot be resolved here")),
    };
    let first = found.iter().find(|address| address.is_ipv4()).or_else(|| found.first());
    first.copied().ok_or_else(|| format!("{wanted}; the name \"{name}\" has no address"))
}

/// True for the name of a host.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// True for `SCHEME://HOST` and `SCHEME://HOST:PORT`, where the port is not the scheme's own.
pub(super) fn is_origin(text: &str) -> bool {
    let site = text.strip_prefix("https://").map(|site| (site, "443"));
    let Some((site, own)) = site.or_else(|| text.strip_prefix("http://").map(|site| (site, "80"))) else {
        return false;
    };
    let (host, port) = match site.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (site, None),
    };
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = inner.map_or_else(|| is_name(host), |inner| inner.parse::<Ipv6Addr>().is_ok());
    let is_port = port.is_none_or(|port| port != own && port.parse::<u16>().is_ok_and(|number| number > 0));
    is_host && is_port && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_resolved_and_what_is_no_address_is_refused() {
        assert_eq!(parse_address("0.0.0.0:80"), Ok(SocketAddr::from(([0, 0, 0, 0], 80))));
        assert_eq!(parse_address("[::1]:8000").map(|address| address.is_ipv6()), Ok(true));
        let local = parse_address("localhost:8000").unwrap();
        assert!(local.ip().is_loopback() && local.port() == 8000, "{local}");
        for wrong in [
            "8000",
            ":8000",
            "localhost",
            "localhost:",
            "localhost:http",
            "localhost:70000",
            "::1:8000",
            "http://localhost:8000",
            "",
        ] {
            let wanted = parse_address(wrong).unwrap_err();
            assert!(wanted.contains("\"127.0.0.1:8000\""), "{wrong}: {wanted}");
        }
        assert!(
            parse_address("no-such-name.invalid:8000")
                .unwrap_err()
                .contains("\"no-such-name.invalid\" cannot be resolved")
        );
    }

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for origin in ["https://app.example.com", "http://localhost:3000", "http://[::1]:8080", "https://[::1]"] {
            assert!(is_origin(origin), "{origin}");
        }
        for wrong in [
            "app.example.com",
            "https://app.example.com/",
            "https://App.example.com",
            "https://a:443",
            "http://a:80",
            "ftp://a",
            "https://",
            "https://a:b",
            "null",
            "",
        ] {
            assert!(!is_origin(wrong), "{wrong}");
        }
    }
}
