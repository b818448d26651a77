//! HTTP on one connection: detects the version that the client speaks, and bounds what the connection may cost. hyper is
//! configured only here.

use std::io::{self, Cursor};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tower::Service;

use super::auth::Peer;
use super::refused_head::RefusalWriter;
use super::reply_timeout::{ReplyWatch, WatchedBody};
use super::tls::Tls;
use crate::config::Http;

/// Bound on all header fields of a request, in bytes. Real requests have a few kilobytes.
const HEADER_BYTES: u32 = 32 << 10;

/// Bound on the read buffer of an HTTP/1.1 connection, in bytes. An idle connection may keep it.
const BUFFER: usize = 128 << 10;

/// Bound on the requests in progress on one HTTP/2 connection.
const STREAMS: u32 = 128;

/// Bound on streams that the client reset before the host accepted them. A client that changes its mind does not reach it;
/// beyond it the connection ends.
const RESETS: usize = 64;

/// Bound on streams that the host reset because of what the client sent, or because there were too many. Beyond it the
/// connection ends.
const ERRORS: usize = 1024;

/// Window of a request over HTTP/2: bytes that it may send before they are read.
const WINDOW: u32 = 256 << 10;

/// Window of an HTTP/2 connection: bytes that all its requests may send before they are read. h2 also ends a connection on
/// which too many small frames wait: each costs 256 bytes less its length, and half of this window is the bound. The window
/// must be so large that the requests of one stream stay below that, however small they are.
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Preface of an HTTP/2 connection; no HTTP/1 request begins with it.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The service that answers the requests of one connection.
pub(super) struct ConnectionService {
    pub router: Router,
    pub peer: Peer,
    pub reply_watch: ReplyWatch,
    /// True from the first request.
    pub begun: Arc<AtomicBool>,
}

impl hyper::service::Service<Request<Incoming>> for ConnectionService {
    type Response = Response<WatchedBody>;
    type Error = std::convert::Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        self.begun.store(true, Ordering::Relaxed);
        // A router is always ready, so `poll_ready` is not called.
        let answer = self.router.clone().call(request.map(Body::new));
        let reply_watch = self.reply_watch.clone();
        Box::pin(async move { Ok(reply_watch.watch(answer.await?)) })
    }
}

/// Serves a connection until either side ends it, or a timeout (`http.header-time`, `http.reply-time`) passes.
pub(super) async fn serve_connection(
    stream: TcpStream,
    tls: Option<&Tls>,
    http: &Http,
    service: ConnectionService,
    watcher: Watcher,
) {
    let reply_watch = service.reply_watch.clone();
    let served = async {
        let Some(tls) = tls else {
            let (reader, writer) = stream.into_split();
            return serve_stream(reader, writer, http.header_time, service, watcher).await;
        };
        let Ok(Some(stream)) = tokio::time::timeout(http.header_time, tls.accept(stream)).await else { return };
        let (reader, writer) = tokio::io::split(stream);
        serve_stream(reader, writer, http.header_time, service, watcher).await;
    };
    tokio::select! {
        biased;
        () = served => {}
        () = reply_watch.overdue(http.reply_time) => {
            tracing::debug!("a client took nothing of a reply for http.reply-time; its connection is closed");
        }
    }
}

async fn serve_stream<R, W>(
    mut reader: R,
    writer: W,
    header_time: Duration,
    service: ConnectionService,
    watcher: Watcher,
) where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    // hyper's timeouts begin when the protocol is known, so this one covers the time before.
    let Ok(Ok(begin)) = tokio::time::timeout(header_time, read_begin(&mut reader)).await else { return };
    let http2 = begin == PREFACE;
    let reader = Cursor::new(begin).chain(reader);
    // An error means that the client broke the connection or the protocol, which needs no report.
    let _ = if http2 {
        let stream = TokioIo::new(tokio::io::join(reader, writer));
        watcher.watch(http2_settings(header_time).serve_connection(stream, service)).await
    } else {
        let stream =
            TokioIo::new(tokio::io::join(reader, RefusalWriter::new(writer, HEADER_BYTES, service.begun.clone())));
        watcher.watch(http1_settings(header_time).serve_connection(stream, service)).await
    };
}

fn http1_settings(header_time: Duration) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(header_time);
    builder.max_header_size(HEADER_BYTES as usize).max_buf_size(BUFFER);
    builder
}

fn http2_settings(header_time: Duration) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(header_time).keep_alive_timeout(header_time);
    builder.max_concurrent_streams(STREAMS).max_header_list_size(HEADER_BYTES);
    builder.max_pending_accept_reset_streams(RESETS).max_local_error_reset_streams(ERRORS);
    builder.initial_stream_window_size(WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

/// Reads as many bytes as are needed to detect the protocol.
async fn read_begin(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut begin = Vec::with_capacity(PREFACE.len());
    while begin.len() < PREFACE.len() && PREFACE.starts_with(&begin) {
        if reader.take((PREFACE.len() - begin.len()) as u64).read_buf(&mut begin).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(begin)
}
