//! HTTP on a connection: which version of it the client speaks, and what either may cost. The only place that tells hyper.

use std::io::{self, Cursor};
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
use super::reply_timeout::{ReplyWatch, WatchedBody};
use super::tls::Tls;
use crate::config::Http;

/// All of a request's header fields. Real ones have some kilobytes.
const HEADER_BYTES: u32 = 32 << 10;

/// What is read from a connection at once over HTTP/1.1, and what it may hold of that when it is idle.
const BUFFER: usize = 128 << 10;

/// Requests of one HTTP/2 connection at once.
const STREAMS: u32 = 128;

/// Streams that their client reset before anybody had looked at them. More are no change of mind.
const RESETS: usize = 64;

/// Streams that the host had to reset because of what their client sent, or because there were too many.
const ERRORS: usize = 1024;

/// What one request over HTTP/2 may send before anybody reads it.
const WINDOW: u32 = 256 << 10;

/// What all requests of a connection may so send. h2 ends connections on which many small frames wait: half of this, at 256
/// bytes less its length for each. So the requests of a stream must not fill it, however small they are.
const CONNECTION_WINDOW: u32 = 4 << 20;

/// HTTP/2 without TLS begins with words that no HTTP/1 request begins with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection's requests are answered by.
pub struct ConnectionService {
    pub router: Router,
    pub peer: Peer,
    pub reply_watch: ReplyWatch,
}

impl hyper::service::Service<Request<Incoming>> for ConnectionService {
    type Response = Response<WatchedBody>;
    type Error = std::convert::Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        // A router is always ready.
        let answer = self.router.clone().call(request.map(Body::new));
        let reply_watch = self.reply_watch.clone();
        Box::pin(async move { Ok(reply_watch.watch(answer.await?)) })
    }
}

/// Serves a connection until either side ends it, or has had its time.
pub async fn serve_connection(
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
            tracing::debug!("a client took nothing of its reply for http.reply-time, and was left");
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
    // Until the protocol is known nobody else looks at the clock.
    let Ok(Ok(begin)) = tokio::time::timeout(header_time, read_begin(&mut reader)).await else { return };
    let http2 = begin == PREFACE;
    let stream = TokioIo::new(tokio::io::join(Cursor::new(begin).chain(reader), writer));
    // That a client breaks off is its own business.
    let _ = match http2 {
        true => watcher.watch(http2_settings(header_time).serve_connection(stream, service)).await,
        false => watcher.watch(http1_settings(header_time).serve_connection(stream, service)).await,
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

/// As much as is needed to see which protocol it is.
async fn read_begin(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut begin = Vec::with_capacity(PREFACE.len());
    while begin.len() < PREFACE.len() && PREFACE.starts_with(&begin) {
        if reader.take((PREFACE.len() - begin.len()) as u64).read_buf(&mut begin).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(begin)
}
