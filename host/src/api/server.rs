//! Listens, accepts, and serves each connection until it ends or the host shuts down.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::auth::Peer;
use super::tls::{self, Tls};
use crate::config::Http;
use crate::telemetry::Gauge;

/// Tells every listener to stop accepting.
#[derive(Clone)]
pub struct Shutdown(watch::Sender<bool>);

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown(watch::Sender::new(false))
    }
}

impl Shutdown {
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    pub async fn begun(&self) {
        // An error means that the sender is gone, and we hold one.
        let _ = self.0.subscribe().wait_for(|begun| *begun).await;
    }
}

/// A bound address that is not served yet.
pub struct Server {
    listener: TcpListener,
    connections: Arc<Semaphore>,
    open: Gauge,
    http: Http,
    tls: Option<Arc<Tls>>,
}

impl Server {
    pub async fn bind(address: SocketAddr, http: &Http, open: Gauge) -> io::Result<Server> {
        let listener = TcpListener::bind(address).await?;
        let connections = Arc::new(Semaphore::new(http.connections));
        Ok(Server { listener, connections, open, http: http.clone(), tls: None })
    }

    /// Speaks only TLS, if there is one.
    pub fn with_tls(self, tls: Option<Tls>) -> Server {
        Server { tls: tls.map(Arc::new), ..self }
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until shutdown begins; then waits for the connections that run a request, at most for `grace`.
    pub async fn serve(self, router: Router, shutdown: Shutdown, grace: Duration) {
        let graceful = GracefulShutdown::new();
        // Ends with this set, when the last connection is accepted.
        let mut background = JoinSet::new();
        if let Some(tls) = &self.tls {
            background.spawn(tls.clone().stay_fresh());
        }
        loop {
            let stream = tokio::select! {
                stream = self.accept() => stream,
                () = shutdown.begun() => break,
            };
            let Some((stream, peer, place)) = stream else { continue };
            let (router, tls) = (router.clone().layer(Extension(peer)), self.tls.clone());
            let connection = serve_connection(stream, tls, router, self.http.header_time, graceful.watcher());
            let open = self.open.clone();
            open.inc();
            tokio::spawn(async move {
                connection.await;
                open.dec();
                drop(place);
            });
        }
        drop(self.listener);
        let _ = tokio::time::timeout(grace, graceful.shutdown()).await;
    }

    /// Waits for a place before it accepts, so that clients beyond the bound wait in the kernel's queue.
    async fn accept(&self) -> Option<(TcpStream, Peer, tokio::sync::OwnedSemaphorePermit)> {
        let place = self.connections.clone().acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                Some((stream, Peer(peer), place))
            }
            Err(error) => {
                // Out of file descriptors, or a client that was gone before it was accepted.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }
}

/// Serves one connection until either side ends it. That a client breaks off is its own business.
async fn serve_connection(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    router: Router,
    header_time: Duration,
    watcher: Watcher,
) {
    // Until the protocol is known nobody else looks at the clock.
    match tls {
        None => {
            let Ok(Ok(http2)) = tokio::time::timeout(header_time, speaks_http2(&stream)).await else { return };
            speak(stream, http2, router, header_time, watcher).await;
        }
        Some(tls) => {
            let Ok(Some(stream)) = tokio::time::timeout(header_time, tls.accept(stream)).await else { return };
            let http2 = tls::agreed_on_http2(&stream);
            speak(stream, http2, router, header_time, watcher).await;
        }
    }
}

async fn speak<S>(stream: S, http2: bool, router: Router, header_time: Duration, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router);
    let stream = TokioIo::new(stream);
    if http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(header_time).max_concurrent_streams(MAX_STREAMS);
        let _ = watcher.watch(builder.serve_connection(stream, service)).await;
    } else {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(header_time);
        let _ = watcher.watch(builder.serve_connection(stream, service)).await;
    }
}

/// Requests of one HTTP/2 connection at once.
const MAX_STREAMS: u32 = 128;

/// HTTP/2 without TLS begins with words that no HTTP/1 request begins with.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut begin = [0; PREFACE.len()];
    let mut seen = 0;
    loop {
        let length = stream.peek(&mut begin).await?;
        let begin = &begin[..length];
        if length == PREFACE.len() || !PREFACE.starts_with(begin) || length == 0 {
            return Ok(begin == PREFACE);
        }
        if length == seen {
            // The same bytes again: peek does not wait for more.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        seen = length;
    }
}
