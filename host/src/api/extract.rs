//! Bodies and queries of the operator's API, with our own words for what is wrong with them.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::App;
use super::refusal::Problem;

/// The largest body of the operator's API that is no archive: a key, limits, names.
const MAX_BODY: usize = 1 << 20;

/// A JSON body. An empty one is an empty object.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Body<T>, Problem> {
        let collected = Limited::new(request.into_body(), MAX_BODY).collect().await;
        let bytes = collected.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => Problem::BodyTooLarge { bound: MAX_BODY as u64 },
            None => Problem::BodyTorn,
        })?;
        let bytes = bytes.to_bytes();
        let json = if bytes.trim_ascii().is_empty() { b"{}" } else { &bytes[..] };
        serde_json::from_slice(json).map(Body).map_err(|error| Problem::Malformed(format!("the body: {error}")))
    }
}

/// What stands after the question mark.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Query<T>, Problem> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        query.map(|query| Query(query.0)).map_err(|error| Problem::Malformed(format!("the query: {error}")))
    }
}
