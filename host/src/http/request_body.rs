//! Bodies of requests: read whole, within their bounds of size and time, and within what all bodies together may take.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::buffer_budget::{BufferBudget, BufferPermit};
use super::compression::Coding;
use crate::error::ApiError;
use crate::inference::App;

/// A body as it arrived. It is counted for as long as anyone holds any of its bytes.
pub(crate) struct Received {
    bytes: Bytes,
    coding: Coding,
    bound: u64,
    room: BufferBudget,
    taken: BufferPermit,
}

impl Received {
    /// Bytes as they came.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it is read in no time. `text` is what stands before tensors as bytes, which are not read.
    pub fn is_small(&self, text: Option<usize>) -> bool {
        let (text, whole) = (text.unwrap_or(self.len()), self.len());
        self.coding == Coding::Identity && text <= SMALL_TEXT && whole <= SMALL_BODY
    }

    /// The body as its sender meant it. Unpacking takes its time: this is work for a compute thread.
    pub fn unpack(mut self) -> Result<Bytes, ApiError> {
        if self.coding == Coding::Identity {
            return Ok(self.taken.hold(self.bytes));
        }
        let mut unpacked = BufferPermit::default();
        let whole = self.coding.unpack(&self.bytes, self.bound, |more| self.room.take(&mut unpacked, more))?;
        self.taken = unpacked;
        Ok(self.taken.hold(whole))
    }
}

/// What is read in a fraction of a millisecond, element by element.
pub(crate) const SMALL_TEXT: usize = 32 << 10;

/// The same for texts of a `BYTES` tensor, each of which is only found.
const SMALL_BODY: usize = 1 << 20;

impl App {
    /// A whole body of at most `bound` bytes, for which there is room.
    pub(crate) async fn read_body(
        &self,
        headers: &HeaderMap,
        mut body: Body,
        bound: u64,
        room: &BufferBudget,
    ) -> Result<Received, ApiError> {
        let coding = match Coding::of_request(headers) {
            Ok(coding) => coding,
            Err(problem) => {
                self.drain(body).await;
                return Err(problem);
            }
        };
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > bound) {
            self.drain(body).await;
            return Err(ApiError::BodyTooLarge { bound });
        }
        let waited = self.http.body_time;
        let collected = tokio::time::timeout(waited, collect(&mut body, announced, bound, room)).await;
        let collected = collected.unwrap_or(Err(ApiError::BodyTooSlow { waited }));
        if matches!(collected, Err(ApiError::BodyTooLarge { .. } | ApiError::TooMuchBuffered { .. })) {
            self.drain(body).await;
        }
        let (bytes, taken) = collected?;
        Ok(Received { bytes, coding, bound, room: room.clone(), taken })
    }

    /// A small body of JSON; none is an empty object.
    pub(crate) async fn read_json<T: DeserializeOwned>(&self, headers: &HeaderMap, body: Body) -> Result<T, ApiError> {
        let json = self.read_body(headers, body, SMALL, &self.room).await.and_then(Received::unpack);
        let json = json.map_err(|problem| match problem {
            ApiError::BodyTooLarge { bound } => ApiError::BodyNotSmall { bound },
            other => other,
        })?;
        let json = if json.trim_ascii().is_empty() { b"{}" } else { &json[..] };
        // A list would be taken for an object's values in their order.
        if json.trim_ascii_start().starts_with(b"[") {
            return Err(ApiError::NotJson(serde::de::Error::custom("an object is wanted, and this is a list")));
        }
        serde_json::from_slice(json).map_err(ApiError::NotJson)
    }

    /// Reads a body that nobody wants, for as long as it comes without a pause: a client that still sends when the
    /// connection closes never sees the answer, and one that waits for the answer should not have to.
    pub(crate) async fn drain(&self, mut body: Body) {
        let reading = async {
            let mut read = 0;
            while read <= self.http.request_bytes {
                match tokio::time::timeout(DRAIN_PAUSE, body.frame()).await {
                    Ok(Some(Ok(frame))) => read += frame.data_ref().map_or(0, Bytes::len) as u64,
                    _ => return,
                }
            }
        };
        // Who sends a byte now and then never pauses.
        let _ = tokio::time::timeout(self.http.body_time, reading).await;
    }
}

/// Bytes are counted as they arrive, not as they are announced: who announces much and sends nothing takes nothing.
async fn collect(
    body: &mut Body,
    announced: Option<u64>,
    bound: u64,
    room: &BufferBudget,
) -> Result<(Bytes, BufferPermit), ApiError> {
    let mut whole = Bytes::new();
    let mut parts = BytesMut::new();
    let mut taken = BufferPermit::default();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| ApiError::BodyTorn)?.into_data() else { continue };
        if (whole.len() + parts.len() + data.len()) as u64 > bound {
            return Err(ApiError::BodyTooLarge { bound });
        }
        room.take(&mut taken, data.len())?;
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
    Ok((if parts.is_empty() { whole } else { parts.freeze() }, taken))
}

/// Makes room for so many bytes more: as for all that is announced, but at most for many times of what has arrived.
fn grow(parts: &mut BytesMut, more: usize, announced: Option<u64>, bound: u64) {
    let arrived = parts.len() + more;
    if parts.capacity() < arrived {
        let whole = announced.unwrap_or_default().min(bound) as usize;
        let room = whole.min(arrived.saturating_mul(GROWTH)).max(arrived);
        parts.reserve(room - parts.len());
    }
}

/// Moving a large body as it grows costs as much as receiving it.
const GROWTH: usize = 16;

/// More than any request has that is no inference.
const SMALL: u64 = 256 * 1024;

/// A sender that says nothing for so long waits for an answer.
const DRAIN_PAUSE: Duration = Duration::from_millis(100);
