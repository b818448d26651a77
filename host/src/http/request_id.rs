//! What a request is called in replies and in the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderValue, Request, Response, StatusCode, header};
use axum::middleware::{self, Next};
use tower::Layer;

use crate::error::{ApiError, ErrorResponse, HandlerError};

/// Given back on every reply, and taken from the client where it sent one.
pub(crate) const REQUEST_ID: &str = "x-request-id";

#[derive(Clone)]
pub(crate) struct RequestId(pub Arc<str>);

impl RequestId {
    pub fn of(extensions: &Extensions) -> RequestId {
        extensions.get().cloned().unwrap_or_else(fresh)
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<RequestId, ApiError> {
        Ok(RequestId::of(&parts.extensions))
    }
}

/// Puts [`with_request_id`] around a whole router, and not around each of its routes: only there it is seen what the router
/// itself refuses, and what an address would have taken.
pub(crate) fn around(router: Router) -> Router {
    Router::new().fallback_service(middleware::from_fn(with_request_id).layer(router))
}

/// Names the request, and tells problems that handlers gave under its name.
pub(crate) async fn with_request_id(mut request: Request<Body>, next: Next) -> Response<Body> {
    let id = given(&request).unwrap_or_else(fresh);
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    if let Some(problem) = problem_of(&mut response) {
        let refusal = ErrorResponse { request: id.0.clone(), model: None, problem };
        refusal.log();
        response = refusal.into_response();
    }
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// What a handler gave, or the router: it knows what an address takes, and says so without a word of ours.
fn problem_of(response: &mut Response<Body>) -> Option<Arc<ApiError>> {
    if let Some(HandlerError(problem)) = response.extensions_mut().remove::<HandlerError>() {
        return Some(problem);
    }
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return None;
    }
    let allowed = response.headers().get(header::ALLOW)?.to_str().ok()?;
    // HEAD goes without saying where there is GET.
    let allowed: Vec<&str> = allowed.split(',').map(str::trim).filter(|method| *method != "HEAD").collect();
    Some(Arc::new(ApiError::Method { allowed: allowed.join(", ").into() }))
}

/// The client's own, if it is short and plain.
fn given(request: &Request<Body>) -> Option<RequestId> {
    let plain = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let given = request.headers().get(REQUEST_ID)?.to_str().ok().filter(plain)?;
    Some(RequestId(given.into()))
}

/// Unique in this process.
fn fresh() -> RequestId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Asking for it is a call of the kernel.
    static PROCESS: LazyLock<u32> = LazyLock::new(std::process::id);
    RequestId(format!("{:x}-{:x}", *PROCESS, NEXT.fetch_add(1, Ordering::Relaxed)).into())
}
