//! Listeners: each accepts connections within the connection limit, and serves them until they end or the host shuts down.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::auth::Peer;
use super::connection::{ConnectionService, serve_connection};
use super::connection_limit::{ConnectionPermit, Connections};
use super::reply_timeout::ReplyWatch;
use super::repoll::repoll_on_self_wake;
use super::tls::Tls;
use crate::config::Http;

/// The phases of the host's end, which every listener follows.
#[derive(Clone)]
pub struct Shutdown(watch::Sender<Phase>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// The host was asked to end, and serves on until load balancers have noticed.
    Draining,
    /// No connection is accepted any more, and running requests finish.
    Closing,
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown(watch::Sender::new(Phase::Serving))
    }
}

impl Shutdown {
    /// Asks the host to end, after its drain time.
    pub fn request(&self) {
        self.reach(Phase::Draining);
    }

    /// Stops accepting connections.
    pub fn begin(&self) {
        self.reach(Phase::Closing);
    }

    pub fn has_begun(&self) -> bool {
        *self.0.borrow() == Phase::Closing
    }

    pub async fn requested(&self) {
        self.reached(Phase::Draining).await;
    }

    pub async fn begun(&self) {
        self.reached(Phase::Closing).await;
    }

    fn reach(&self, phase: Phase) {
        self.0.send_if_modified(|present| {
            let later = phase > *present;
            *present = phase.max(*present);
            later
        });
    }

    async fn reached(&self, phase: Phase) {
        // An error would mean that the sender was dropped, and `self` holds one.
        let _ = self.0.subscribe().wait_for(|present| *present >= phase).await;
    }
}

/// A listener that is bound to its address and does not accept yet.
pub struct Server {
    listener: TcpListener,
    connections: Arc<Connections>,
    http: Arc<Http>,
    tls: Option<Arc<Tls>>,
}

impl Server {
    pub async fn bind(address: SocketAddr, http: &Http, connections: Arc<Connections>) -> io::Result<Server> {
        let listener = TcpListener::bind(address).await?;
        Ok(Server { listener, connections, http: Arc::new(http.clone()), tls: None })
    }

    /// Makes the listener accept only TLS; with `None` it accepts only plain connections.
    pub fn with_tls(self, tls: Option<Tls>) -> Server {
        Server { tls: tls.map(Arc::new), ..self }
    }

    /// The TLS settings of the listener.
    pub fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.clone()
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the shutdown begins, then waits at most `grace` for connections with a request in progress.
    pub async fn serve(self, router: Router, shutdown: Shutdown, grace: Duration) {
        let graceful = GracefulShutdown::new();
        // Tasks that are aborted when the set is dropped, at the end of this function.
        let mut background = JoinSet::new();
        if let Some(tls) = &self.tls {
            background.spawn(tls.clone().stay_fresh());
        }
        loop {
            let stream = tokio::select! {
                stream = self.accept() => stream,
                () = shutdown.begun() => break,
            };
            let Some((stream, peer, permit)) = stream else { continue };
            let service = ConnectionService {
                router: router.clone(),
                peer,
                reply_watch: ReplyWatch::default(),
                begun: Arc::default(),
            };
            let (tls, http, watcher) = (self.tls.clone(), self.http.clone(), graceful.watcher());
            tokio::spawn(repoll_on_self_wake(async move {
                serve_connection(stream, tls.as_deref(), &http, service, watcher).await;
                drop(permit);
            }));
        }
        drop(self.listener);
        let _ = tokio::time::timeout(grace, graceful.shutdown()).await;
    }

    /// Accepts a connection and waits for its permit before the next one is accepted, so that clients beyond the bound wait
    /// in the kernel's queue. A connection is closed (`None`) if its address has its share already, because waiting would
    /// not help it.
    async fn accept(&self) -> Option<(TcpStream, Peer, ConnectionPermit)> {
        match self.listener.accept().await {
            Ok((stream, peer)) => {
                let permit = self.connections.take(peer.ip()).await?;
                let _ = stream.set_nodelay(true);
                Some((stream, Peer(peer), permit))
            }
            Err(error) => {
                // The process is out of file descriptors, or the client left before it was accepted.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }
}
