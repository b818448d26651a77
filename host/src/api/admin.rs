//! The operator's port: metrics, health, and the host's settings.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde::Serialize;

use super::refusal::{Problem, Refusal};
use super::{App, reply};

pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/v2/health/live", get(|| async { StatusCode::OK }))
        .route("/v2/logging", any(logging))
        .route("/v2/trace/setting", any(trace))
        .fallback(|| async {
            (
                StatusCode::NOT_FOUND,
                "the operator's port has /metrics, /v2/health/live, /v2/logging and /v2/trace/setting\n",
            )
        })
        .with_state(app)
}

async fn logging(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    answer(app.logging(&head, body).await)
}

async fn trace(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    answer(app.tracing(None, &head, body).await)
}

fn answer(answer: Result<impl Serialize, Problem>) -> Response {
    let refuse = |problem| Refusal { request: "operator".into(), model: None, problem }.into_response();
    answer.map_or_else(refuse, |answer| reply::json(&answer))
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    app.metrics.buffered_bytes.set(app.room.taken() as i64);
    match app.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
