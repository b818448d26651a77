//! Authentication of callers: by a key in the `authorization` header, or as the anonymous caller where that is allowed.

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, header};

use super::client_port::ClientPort;
use super::host_header;
use super::request_id::RequestId;
use crate::config::Anonymous;
use crate::error::ApiError;
use crate::inference::call::Client;
use crate::tenant::{AuthError, Caller, Tenant};

/// The address of the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub SocketAddr);

impl Peer {
    /// True if the peer is on this machine.
    pub(crate) fn is_local(self) -> bool {
        self.0.ip().to_canonical().is_loopback()
    }
}

/// The token after `Bearer` in the `authorization` header: `None` without the header. Fails for any other scheme, and if there
/// are several such headers, because a proxy in front may have checked another one than the host would take.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, AuthError> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    match fields.count() {
        0 => {}
        others => return Err(AuthError::Repeated(others + 1)),
    }
    let value = field.to_str().unwrap_or_default();
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(token.trim())) } else { Err(AuthError::Scheme) }
}

impl ClientPort {
    /// Authenticates the sender of a request.
    pub(crate) fn client(&self, request: &Request<Body>) -> Result<Client, ApiError> {
        let peer = request.extensions().get::<Peer>().copied();
        let caller = self.caller(request.headers(), peer)?;
        Ok(Client { request_id: RequestId::of(request.extensions()).0, caller })
    }

    /// Authenticates a caller by its headers and address. A key that was sent must be valid: only a request without a key
    /// can be anonymous.
    pub(crate) fn caller(&self, headers: &HeaderMap, peer: Option<Peer>) -> Result<Caller, AuthError> {
        if let Some(key) = bearer(headers)? {
            return self.directory.caller(key);
        }
        let may_be_anonymous = match self.auth.anonymous {
            Anonymous::Everybody => true,
            Anonymous::Loopback => peer.is_some_and(Peer::is_local),
            Anonymous::Nobody => false,
        };
        if !may_be_anonymous {
            return Err(AuthError::NoKey);
        }
        host_header::check_anonymous(headers, &self.auth.hosts, &self.origins)?;
        self.directory.anonymous()
    }

    /// Looks a caller up again, at a later message of its call.
    pub(crate) fn check_again(&self, caller: &Caller) -> Result<(), AuthError> {
        self.directory.check(caller)
    }
}

/// Adds the rest of the tenant's fuel to the headers, if it has a rate, in the fields of the IETF draft on rate limits.
pub(crate) fn add_rate_limit(tenant: &Tenant, headers: &mut HeaderMap) {
    let limits = tenant.limits();
    let Some(per_second) = limits.fuel_per_second else { return };
    let burst = limits.fuel_burst;
    let (left, seconds) = match tenant.check_fuel() {
        Ok(Some(fuel)) => (fuel.left, fuel.full_in.as_secs()),
        Ok(None) => return,
        Err(out) => (0, out.wait.as_secs() + 1),
    };
    let window = burst.div_ceil(per_second.max(1));
    let fields = [
        ("ratelimit-policy", format!("\"fuel\";q={burst};w={window}")),
        ("ratelimit", format!("\"fuel\";r={left};t={seconds}")),
    ];
    for (name, text) in fields {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
}
