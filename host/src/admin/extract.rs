//! Extractors for bodies and queries of the operator's API. They replace axum's, so that a bad body or query is an
//! [`ApiError`].

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::state::AdminState;
use crate::error::ApiError;

/// A small body of JSON. An empty body counts as `{}`.
pub(super) struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<AdminState>> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Arc<AdminState>) -> Result<JsonBody<T>, ApiError> {
        let (head, body) = request.into_parts();
        state.bodies.read_json(&head.headers, body).await.map(JsonBody)
    }
}

/// The parameters in the query of the request's URL.
pub(super) struct QueryParams<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<AdminState>> for QueryParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<AdminState>) -> Result<QueryParams<T>, ApiError> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        query.map(|query| QueryParams(query.0)).map_err(|error| ApiError::Malformed(format!("the query: {error}")))
    }
}
