//! Handlers of `/v1/bundles`: listing, upload, deletion and revocation of bundles.

use std::io::{Read, Seek, Write};
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Response, header};
use axum::response::IntoResponse;
use bulkhead_bundle::Digest;
use bytes::Bytes;
use http_body_util::BodyExt;
use serde::Serialize;
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::extract::{JsonBody, QueryParams};
use super::operator::{Operator, Scope};
use super::state::AdminState;
use super::wire::bundles::{BundleView, Progress, Reason, Uploaded};
use crate::control::{self, ControlError, Owner};
use crate::error::ApiError;
use crate::http::request_id::RequestId;
use crate::scheduler::{HeldTurn, Party};

pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    QueryParams(scope): QueryParams<Scope>,
) -> Result<Json<Vec<BundleView>>, ApiError> {
    let tenant = operator.tenants(scope)?;
    let view = |(stored, not_served_because)| BundleView::new(stored, not_served_because);
    let bundles = state.control.blocking(move |control| Ok(control.bundles(tenant.as_deref()))).await?;
    Ok(Json(bundles.into_iter().map(view).collect()))
}

pub(super) async fn remove(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path(digest): Path<String>,
    QueryParams(scope): QueryParams<Scope>,
) -> Result<Json<()>, ApiError> {
    let tenant = operator.tenant(scope)?;
    let digest = parse(&digest)?;
    Ok(Json(state.control.blocking(move |control| control.delete_bundle(&operator.who, &tenant, &digest)).await?))
}

/// Revokes a bundle's contents. Only the operator may, because it applies to every tenant that has these contents.
pub(super) async fn revoke(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path(digest): Path<String>,
    JsonBody(reason): JsonBody<Reason>,
) -> Result<Json<()>, ApiError> {
    operator.must_be_admin()?;
    let digest = parse(&digest)?;
    let revoked = state.control.blocking(move |control| control.revoke_bundle(&operator.who, &digest, &reason.reason));
    Ok(Json(revoked.await?))
}

fn parse(digest: &str) -> Result<Digest, ControlError> {
    digest.parse().map_err(|error| ControlError::Invalid(format!("\"{digest}\": {error}")))
}

/// Uploads a bundle; the body is an archive. With `accept: application/x-ndjson` the reply is a stream with one JSON object
/// for each step as it is done, one a line, then the warnings, and the outcome at the end. Otherwise the reply is the outcome
/// alone, with its status.
pub(super) async fn upload(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    request_id: RequestId,
    QueryParams(scope): QueryParams<Scope>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response<Body>, ApiError> {
    let tenant = operator.tenant(scope)?;
    let known = tenant.clone();
    let created = state.control.blocking(move |control| control.tenant(&known)).await?.created;
    let owner = Owner { name: tenant, created };
    let party = operator.party();
    let archive = state.receive(&party, &headers, body).await?;
    operator.check_again(&state.directory)?;
    let wants_steps = headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes() == b"application/x-ndjson");
    if !wants_steps {
        let uploaded = state.control.upload(operator.who, party, owner, archive, |_| ()).await?;
        return Ok(Json(Uploaded::from(uploaded)).into_response());
    }
    let (sender, lines) = mpsc::unbounded_channel();
    let steps = sender.clone();
    tokio::spawn(async move {
        // The upload continues after its client has left and no longer reads the steps.
        let report = move |progress: control::Progress| drop(steps.send(line(&Progress::from(progress))));
        let outcome = state.control.upload(operator.who, party, owner, archive, report).await;
        for warning in outcome.iter().flat_map(|uploaded| &uploaded.warnings) {
            let _ = sender.send(line(&Progress::warning(warning.clone())));
        }
        let _ = sender.send(last_line(outcome, &request_id));
    });
    let body = Body::from_stream(UnboundedReceiverStream::new(lines).map(Ok::<Bytes, std::convert::Infallible>));
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

fn line(what: &impl Serialize) -> Bytes {
    let mut line = serde_json::to_vec(what).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

fn last_line(outcome: Result<control::Uploaded, ControlError>, request_id: &RequestId) -> Bytes {
    match outcome {
        Ok(uploaded) => line(&json!({ "step": "done", "bundle": Uploaded::from(uploaded) })),
        Err(error) => {
            let response = ApiError::from(error).refuse(&request_id.0);
            response.log();
            let status = response.error.code().status();
            line(&json!({ "step": "failed", "status": status.as_u16(), "refusal": response.reply() }))
        }
    }
}

/// A received archive, in a temporary file. Dropping it removes the file, and ends its turn.
struct Archive {
    file: NamedTempFile,
    _turn: HeldTurn,
}

impl Read for Archive {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.file.read(buffer)
    }
}

impl AdminState {
    /// Receives the whole archive into a file of the data folder. The number of archives there is bounded; an upload beyond
    /// that waits for its turn before its body is read.
    async fn receive(&self, party: &Party, headers: &HeaderMap, mut body: Body) -> Result<Archive, ApiError> {
        let limits = self.control.upload_limits();
        let bound = limits.upload_bytes;
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: u64| length > bound) {
            return Err(ApiError::UploadTooLarge { bound });
        }
        let turn = self.receiving_turn(party).await;
        let mut file = self.control.blocking(|control| control.staging_file()).await?;
        let waited = limits.upload_time;
        let received = async {
            let mut bytes = 0;
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame.map_err(|_| ApiError::BodyTorn)?.into_data() else { continue };
                bytes += data.len() as u64;
                if bytes > bound {
                    return Err(ApiError::UploadTooLarge { bound });
                }
                // A blocking write is acceptable: frames are small, and the page cache takes them at once.
                file.write_all(&data).map_err(ApiError::Staging)?;
            }
            Ok(())
        };
        match tokio::time::timeout(waited, received).await {
            Ok(Ok(())) => {
                file.rewind().map_err(ApiError::Staging)?;
                Ok(Archive { file, _turn: turn })
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ApiError::UploadTooSlow { waited }),
        }
    }
}
