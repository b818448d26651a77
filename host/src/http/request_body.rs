//! Reading of request bodies. A body is read whole, within its bounds of size and time, and within the buffer budget that
//! all bodies share.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::buffer_budget::{BufferBudget, BufferPermit};
use super::compression::Coding;
use super::media_type::check_json;
use crate::codec::json::scanner::without_mark;
use crate::config::Http;
use crate::error::ApiError;

/// Reader of request bodies, with the bounds and the buffer budget that all ports share.
#[derive(Clone)]
pub struct BodyReader {
    /// Bound on a request, in bytes. A tenant may have a lower one.
    pub(crate) request_bytes: u64,
    /// Bound on the time from a request's header to the last byte of its body.
    pub(crate) body_time: Duration,
    pub(crate) buffers: BufferBudget,
}

/// A request body as it arrived. It is charged to the buffer budget until the last slice of its bytes is dropped.
pub(crate) struct Received {
    bytes: Bytes,
    coding: Coding,
    bound: u64,
    budget: BufferBudget,
    permit: BufferPermit,
}

impl Received {
    /// Size of the body as it arrived, before decompression, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True if the body is decoded so quickly that inline execution is possible. `text` is the length of the JSON in front
    /// of binary tensors, which are not parsed; `None` means that the whole body is text.
    pub(crate) fn is_small(&self, text: Option<usize>) -> bool {
        let (text, whole) = (text.unwrap_or(self.len()), self.len());
        self.coding == Coding::Identity && text <= SMALL_TEXT && whole <= SMALL_BODY
    }

    /// The body after decompression, which is limited by the same bound and charged to the buffer budget. Decompression of
    /// a large body takes CPU time: call this on a compute thread.
    pub(crate) fn unpack(mut self) -> Result<Bytes, ApiError> {
        if self.coding == Coding::Identity {
            return Ok(self.permit.hold(self.bytes));
        }
        let mut unpacked = BufferPermit::default();
        let whole = self.coding.unpack(&self.bytes, self.bound, |more| self.budget.take(&mut unpacked, more))?;
        self.permit = unpacked;
        Ok(self.permit.hold(whole))
    }
}

/// Bound on text that is parsed, element by element, in a fraction of a millisecond; in bytes.
pub(crate) const SMALL_TEXT: usize = 32 << 10;

/// Bound on a whole body for the same time, in bytes. It is larger because binary tensors are not parsed: the strings of a
/// `BYTES` tensor are only located.
const SMALL_BODY: usize = 1 << 20;

impl BodyReader {
    pub(crate) fn new(http: &Http) -> BodyReader {
        let buffers = BufferBudget::new(http);
        BodyReader { request_bytes: http.request_bytes, body_time: http.body_time, buffers }
    }

    /// Reads a whole body of at most `bound` bytes within `http.body-time`, and charges it to the budget.
    pub(crate) async fn read_body(
        &self,
        headers: &HeaderMap,
        mut body: Body,
        bound: u64,
        budget: &BufferBudget,
    ) -> Result<Received, ApiError> {
        let coding = Coding::of_request(headers)?;
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > bound) {
            return Err(ApiError::BodyTooLarge { bound });
        }
        let waited = self.body_time;
        let collected = tokio::time::timeout(waited, collect(&mut body, announced, bound, budget)).await;
        let (bytes, permit) = collected.unwrap_or(Err(ApiError::BodyTooSlow { waited }))?;
        Ok(Received { bytes, coding, bound, budget: budget.clone(), permit })
    }

    /// Reads a JSON object from a small body (`SMALL`); an empty body means an empty object.
    pub(crate) async fn read_json<T: DeserializeOwned>(&self, headers: &HeaderMap, body: Body) -> Result<T, ApiError> {
        check_json(headers)?;
        let json = self.read_body(headers, body, SMALL, &self.buffers).await.and_then(Received::unpack);
        let json = json.map_err(|error| match error {
            ApiError::BodyTooLarge { bound } => ApiError::BodyNotSmall { bound },
            other => other,
        })?;
        let json = without_mark(&json);
        let json = if json.trim_ascii().is_empty() { b"{}" } else { json };
        // serde would also read a list, as the object's values in their order.
        if json.trim_ascii_start().starts_with(b"[") {
            return Err(ApiError::NotJson(serde::de::Error::custom("expected an object, found a list")));
        }
        serde_json::from_slice(json).map_err(ApiError::NotJson)
    }
}

/// Collects a body. Its bytes are charged as they arrive and not by the announced length: a client that announces much and
/// sends nothing takes nothing of the budget.
async fn collect(
    body: &mut Body,
    announced: Option<u64>,
    bound: u64,
    budget: &BufferBudget,
) -> Result<(Bytes, BufferPermit), ApiError> {
    let mut whole = Bytes::new();
    let mut parts = BytesMut::new();
    let mut permit = BufferPermit::default();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| ApiError::BodyTorn)?.into_data() else { continue };
        let arrived = whole.len() + parts.len() + data.len();
        if arrived as u64 > bound {
            return Err(ApiError::BodyTooLarge { bound });
        }
        // Not by the frame, which would count as a whole unit however small it is.
        budget.grow(&mut permit, arrived)?;
        // Most bodies come in one piece, and need no copy.
        if whole.is_empty() && parts.is_empty() {
            whole = data;
            continue;
        }
        let first = std::mem::take(&mut whole);
        grow(&mut parts, first.len() + data.len(), announced, bound);
        parts.extend_from_slice(&first);
        parts.extend_from_slice(&data);
    }
    Ok((if parts.is_empty() { whole } else { parts.freeze() }, permit))
}

/// Reserves space for `more` bytes: enough for the announced length, but at most `GROWTH` times the bytes that have
/// arrived.
fn grow(parts: &mut BytesMut, more: usize, announced: Option<u64>, bound: u64) {
    let arrived = parts.len() + more;
    if parts.capacity() < arrived {
        let whole = crate::numbers::to_usize(announced.unwrap_or_default().min(bound));
        let capacity = whole.min(arrived.saturating_mul(GROWTH)).max(arrived);
        parts.reserve(capacity - parts.len());
    }
}

/// Bound on reserved space, relative to the bytes that have arrived. It is generous because moving a large body as it grows
/// costs as much as receiving it.
const GROWTH: usize = 16;

/// Bound on a body that carries no tensors, in bytes; more than any such request needs.
const SMALL: u64 = 256 * 1024;
