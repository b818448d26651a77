//! Who is calling: a key in the `authorization` header, or nobody in particular where that is allowed.

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, header};

use super::request_id::RequestId;
use crate::config::Anonymous;
use crate::error::ApiError;
use crate::inference::App;
use crate::inference::call::Client;
use crate::tenant::{AuthError, Caller, Role, Tenant};

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub SocketAddr);

impl Peer {
    /// Whether it is on this machine.
    pub fn is_local(self) -> bool {
        self.0.ip().to_canonical().is_loopback()
    }
}

/// What stands after `Bearer` in the header. `None` where there is no such header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().unwrap_or_default();
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    Some(if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" })
}

impl Client {
    /// Its name, as the catalog knows it.
    pub fn tenant(&self) -> &str {
        &self.caller.tenant.name
    }

    /// Roles contain each other.
    pub fn must_be(&self, needed: Role) -> Result<(), ApiError> {
        let has = self.caller.role;
        if has >= needed { Ok(()) } else { Err(ApiError::Role { needed: needed.name(), has: has.name() }) }
    }
}

impl App {
    /// Who sent a request.
    pub(crate) fn client(&self, request: &Request<Body>) -> Result<Client, ApiError> {
        let peer = request.extensions().get::<Peer>().copied();
        let caller = self.caller(request.headers(), peer)?;
        Ok(Client { request_id: RequestId::of(request.extensions()).0, caller })
    }

    /// A key that was sent must be good; only who sent none can be anonymous.
    pub(crate) fn caller(&self, headers: &HeaderMap, peer: Option<Peer>) -> Result<Caller, AuthError> {
        if let Some(key) = bearer(headers) {
            return self.directory.caller(key);
        }
        match self.anonymous {
            Anonymous::Everybody => self.directory.anonymous(),
            Anonymous::Loopback if peer.is_some_and(Peer::is_local) => self.directory.anonymous(),
            Anonymous::Loopback | Anonymous::Nobody => Err(AuthError::NoKey),
        }
    }
}

/// What is left of the tenant's fuel, where it has a rate: the fields of the IETF's draft on rate limits.
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
