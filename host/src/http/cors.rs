//! Cross-origin requests (CORS, in the Fetch standard): which web pages of other sites may read replies of the clients' port.

use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::binary_header::BINARY_HEADER;
use super::request_id::REQUEST_ID;

/// The value of `http.cors-origins` that stands for every origin.
const EVERY: &str = "*";

/// Time for which a browser need not ask again.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// Lets pages of these origins call a router, and answers their preflights. Without an origin, the router stays as it is.
pub(crate) fn allow_origins(router: Router, origins: &[String]) -> Router {
    if origins.is_empty() {
        return router;
    }
    let every = origins.iter().any(|origin| origin == EVERY);
    let listed = || AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()));
    let layer = CorsLayer::new()
        .allow_origin(if every { AllowOrigin::any() } else { listed() })
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        // A wildcard would not include the field `Authorization`.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            HeaderName::from_static(BINARY_HEADER),
            HeaderName::from_static(REQUEST_ID),
            HeaderName::from_static("ratelimit"),
            HeaderName::from_static("ratelimit-policy"),
            header::RETRY_AFTER,
        ])
        .max_age(MAX_AGE);
    router.layer(layer)
}
