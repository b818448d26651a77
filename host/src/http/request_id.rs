//! The id of a request, in replies and in the log.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderValue, Request, Response, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use tower::Layer;
use uuid::{NoContext, Timestamp, Uuid};

use super::drain::read_unread;
use super::host_header;
use super::request_body::BodyReader;
use crate::error::{ApiError, ErrorResponse, HandlerError};

/// The header of every reply that carries the id; a client may send its own in the same header.
pub(crate) const REQUEST_ID: &str = "x-request-id";

#[derive(Clone)]
pub(crate) struct RequestId(pub Arc<str>);

impl RequestId {
    pub(crate) fn of(extensions: &Extensions) -> RequestId {
        extensions.get().cloned().unwrap_or_else(RequestId::fresh)
    }

    /// A UUID of version 7: unique over hosts and restarts, and sorted by time. It is random but for the time, so that it does
    /// not tell how many requests others sent.
    pub(super) fn fresh() -> RequestId {
        let id = Uuid::new_v7(Timestamp::now(NoContext));
        RequestId((&*id.hyphenated().encode_lower(&mut Uuid::encode_buffer())).into())
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<RequestId, ApiError> {
        Ok(RequestId::of(&parts.extensions))
    }
}

/// Wraps a whole router in [`with_request_id`] and [`read_unread`], and in [`tell_error`]. Around each route they would not
/// see what the router itself refuses. `between` adds what must see each request that has an id, and each reply as it is sent.
pub(crate) fn around(router: Router, bodies: BodyReader, between: impl FnOnce(Router) -> Router) -> Router {
    let told = Router::new().fallback_service(middleware::from_fn(tell_error).layer(router));
    Router::new().fallback_service(middleware::from_fn_with_state(bodies, answer).layer(between(told)))
}

async fn answer(State(bodies): State<BodyReader>, request: Request<Body>, next: Next) -> Response<Body> {
    read_unread(&bodies, request, |request| with_request_id(request, next)).await
}

/// Gives the request its id, and refuses one whose field `Host` is not right.
pub(crate) async fn with_request_id(mut request: Request<Body>, next: Next) -> Response<Body> {
    let id = given(&request).unwrap_or_else(RequestId::fresh);
    request.extensions_mut().insert(id.clone());
    let mut response = match host_header::normalize(&mut request) {
        Ok(()) => next.run(request).await,
        Err(error) => told(&id, request.uri(), Arc::new(error)),
    };
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Turns the error of a handler into the reply that names the request's id.
pub(crate) async fn tell_error(request: Request<Body>, next: Next) -> Response<Body> {
    let (id, address) = (RequestId::of(request.extensions()), request.uri().clone());
    let mut response = next.run(request).await;
    match error_of(&mut response) {
        Some(error) => told(&id, &address, error),
        None => response,
    }
}

fn told(id: &RequestId, address: &Uri, error: Arc<ApiError>) -> Response<Body> {
    let error = ErrorResponse { request: id.0.clone(), model: None, error };
    error.log_at(Some(address.path()));
    error.into_response()
}

/// The error of a handler, or of the router: it refuses a method with the allowed ones and without a body.
fn error_of(response: &mut Response<Body>) -> Option<Arc<ApiError>> {
    if let Some(HandlerError(error)) = response.extensions_mut().remove::<HandlerError>() {
        return Some(error);
    }
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return None;
    }
    let allowed = response.headers().get(header::ALLOW)?.to_str().ok()?;
    // HEAD is allowed wherever GET is.
    let allowed: Vec<&str> = allowed.split(',').map(str::trim).filter(|method| *method != "HEAD").collect();
    Some(Arc::new(ApiError::Method { allowed: allowed.join(", ").into(), instead: "" }))
}

/// The id that the client sent, if it is short and plain.
fn given(request: &Request<Body>) -> Option<RequestId> {
    let plain = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let given = request.headers().get(REQUEST_ID)?.to_str().ok().filter(plain)?;
    Some(RequestId(given.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_ids_are_uuids_of_version_7_and_do_not_count() {
        let ids: Vec<Uuid> = (0..1000).map(|_| RequestId::fresh().0.parse().unwrap()).collect();
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
        let low = |id: &Uuid| (id.as_u128() & 0xffff_ffff) as u32;
        assert!(ids.windows(2).all(|pair| low(&pair[0]).abs_diff(low(&pair[1])) > 1), "a counter shows");
    }
}
