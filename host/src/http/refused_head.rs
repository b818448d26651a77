//! Refusals of heads that cannot be parsed. The HTTP library answers these itself, with an empty body, before any handler
//! sees them. This writer puts the JSON of every other refusal into such an answer on its way to the client. It does so only
//! until the connection's first request: after that, what is written may be a piece of a model's output, which can look like
//! such an answer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use super::request_id::RequestId;
use crate::error::ApiError;

/// More bytes than the library's answer ever has.
const ANSWER: usize = 512;

/// The field by which the library's answer says that it has no body. No refusal by a handler has it.
const NO_BODY: &str = "content-length: 0\r\n";

pub(super) struct RefusalWriter<W> {
    writer: W,
    /// The rest of an answer that is being written in place of the library's, and the length of the latter.
    replacing: Option<(Bytes, usize)>,
    /// Bound on a head, in bytes.
    bound: u32,
    /// True from the connection's first request.
    begun: Arc<AtomicBool>,
}

impl<W: AsyncWrite + Unpin> RefusalWriter<W> {
    pub(super) fn new(writer: W, bound: u32, begun: Arc<AtomicBool>) -> RefusalWriter<W> {
        RefusalWriter { writer, replacing: None, bound, begun }
    }

    /// Writes what replaces the library's answer; `None` if `bytes` is no such answer.
    fn poll_replace(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Option<Poll<io::Result<usize>>> {
        if self.replacing.is_none() && !self.begun.load(Ordering::Relaxed) {
            self.replacing = replacement(bytes, self.bound).map(|answer| (answer, bytes.len()));
        }
        let (rest, length) = self.replacing.as_mut()?;
        while rest.has_remaining() {
            match Pin::new(&mut self.writer).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(written)) => rest.advance(written),
                Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
                Poll::Pending => return Some(Poll::Pending),
            }
        }
        let length = *length;
        self.replacing = None;
        Some(Poll::Ready(Ok(length)))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for RefusalWriter<W> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.poll_replace(context, bytes) {
            Some(replaced) => replaced,
            None => Pin::new(&mut this.writer).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let first = slices.iter().find(|slice| !slice.is_empty());
        match first.and_then(|first| this.poll_replace(context, first)) {
            Some(replaced) => replaced,
            None => Pin::new(&mut this.writer).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.writer.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.writer).poll_shutdown(context))?;
        Poll::Ready(Ok(()))
    }
}

/// The library's answer with a body; `None` if `bytes` is not one.
fn replacement(bytes: &[u8], bound: u32) -> Option<Bytes> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ").or_else(|| bytes.strip_prefix(b"HTTP/1.0 "))?;
    if !status.starts_with(b"4") || bytes.len() > ANSWER || !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let head = std::str::from_utf8(bytes).ok().filter(|head| head.contains(NO_BODY))?;
    let error = match &status[..3] {
        b"431" => ApiError::HeadTooLarge { bound: bound.into() },
        b"414" => ApiError::TargetTooLong,
        _ => ApiError::MalformedHead,
    };
    let refusal = error.refuse(&RequestId::fresh().0);
    refusal.log();
    let (id, body) = (&refusal.request, refusal.body());
    let fields = format!("content-type: application/json\r\nx-request-id: {id}\r\ncontent-length: {}\r\n", body.len());
    let mut answer = head.replacen(NO_BODY, &fields, 1).into_bytes();
    answer.extend_from_slice(&body);
    Some(answer.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answers_of_the_library_get_a_body() {
        let head = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: now\r\n\r\n";
        let answer = replacement(head.as_bytes(), 7).unwrap();
        let answer = std::str::from_utf8(&answer).unwrap();
        let (head_now, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head_now.contains(&format!("content-length: {}", body.len())) && head_now.contains("connection: close")
        );
        assert!(body.contains("\"code\":\"malformed_request\""), "{body}");
        for other in [
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\nHTTP",
            "",
        ] {
            assert_eq!(replacement(other.as_bytes(), 7), None, "{other}");
        }
    }
}
