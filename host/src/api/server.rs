//! Listens, accepts, and serves each connection until it ends or the host shuts down.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

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

    async fn begun(&self) {
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
}

impl Server {
    pub async fn bind(address: SocketAddr, http: &Http, open: Gauge) -> io::Result<Server> {
        let listener = TcpListener::bind(address).await?;
        let connections = Arc::new(Semaphore::new(http.connections));
        Ok(Server { listener, connections, open, http: http.clone() })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until shutdown begins; then waits for the connections that run a request, at most for `grace`.
    pub async fn serve(self, router: Router, shutdown: Shutdown, grace: Duration) {
        let graceful = GracefulShutdown::new();
        let builder = connection_builder(&self.http);
        loop {
            let stream = tokio::select! {
                stream = self.accept() => stream,
                () = shutdown.begun() => break,
            };
            let Some((stream, place)) = stream else { continue };
            let service = TowerToHyperService::new(router.clone());
            let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
            let connection = graceful.watch(connection);
            let open = self.open.clone();
            open.inc();
            tokio::spawn(async move {
                // A client that breaks off is its own business.
                let _ = connection.await;
                open.dec();
                drop(place);
            });
        }
        drop(self.listener);
        let _ = tokio::time::timeout(grace, graceful.shutdown()).await;
    }

    /// Waits for a place before it accepts, so that clients beyond the bound wait in the kernel's queue.
    async fn accept(&self) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
        let place = self.connections.clone().acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                Some((stream, place))
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

fn connection_builder(http: &Http) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(http.header_time);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(http.header_time);
    builder
}
