//! The whole system, wired in one place.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api::{self, App, Server, Shutdown, Tls, TlsError};
use crate::bundle::{self, Activator, Bundle};
use crate::catalog::Catalog;
use crate::config::{Config, TlsFiles};
use crate::sandbox::Sandbox;
use crate::schedule::Compute;
use crate::telemetry::{Gauge, Metrics, MetricsError};
use crate::worker::Workers;

/// A host that answers requests until it is told to stop.
pub struct Host {
    app: Arc<App>,
    activator: Arc<Activator>,
    http: Server,
    admin: Server,
    grace: Duration,
}

/// The host cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Sandbox(#[from] crate::sandbox::EngineError),
    #[error("metrics: {0}")]
    Metrics(#[from] MetricsError),
    #[error("the compute threads cannot start: {0}")]
    Compute(std::io::Error),
    #[error("cannot listen on {address} ({key}): {error}")]
    Listen { address: SocketAddr, key: &'static str, error: std::io::Error },
    #[error("{key}: {error}")]
    Tls { key: &'static str, error: TlsError },
    #[error("the models folder {folder} cannot be read: {error}")]
    Models { folder: String, error: std::io::Error },
}

impl Host {
    /// Everything but the models; nothing is accepted yet.
    pub async fn start(config: &Config) -> Result<Host, StartError> {
        let metrics = Arc::new(Metrics::new()?);
        let workers = Workers::children(&config.compile, tokio::runtime::Handle::current());
        let sandbox = Sandbox::new(config, workers.clone())?;
        let compute = Compute::new(&config.compute, metrics.clone()).map_err(StartError::Compute)?;
        let app = App::new(Arc::new(Catalog::default()), compute, metrics.clone(), config.http.clone());
        let activator = Arc::new(Activator { sandbox, workers, metrics: metrics.clone(), call: config.call.clone() });
        let listen = async |key, address, open: &Gauge| {
            let server = Server::bind(address, &config.http, open.clone()).await;
            server.map_err(|error| StartError::Listen { address, key, error })
        };
        let tls = |key, files: &Option<TlsFiles>| {
            files.as_ref().map(Tls::load).transpose().map_err(|error| StartError::Tls { key, error })
        };
        let (http_tls, admin_tls) = (tls("tls.http", &config.tls.http)?, tls("tls.admin", &config.tls.admin)?);
        let http = listen("listen.http", config.listen.http, &metrics.connections).await?.with_tls(http_tls);
        let admin = listen("listen.admin", config.listen.admin, &metrics.admin_connections).await?.with_tls(admin_tls);
        Ok(Host { app: Arc::new(app), activator, http, admin, grace: config.grace })
    }

    /// Where clients and the operator reach it.
    pub fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.http.address()?, self.admin.address()?))
    }

    /// Activates every bundle in a folder. One that fails is known by its reason and hurts no other.
    pub async fn load_models(&self, folder: &Path) -> Result<(), StartError> {
        let unreadable = |error| StartError::Models { folder: folder.display().to_string(), error };
        for path in bundle::find_bundles(folder).map_err(unreadable)? {
            self.load_model(&path).await;
        }
        Ok(())
    }

    async fn load_model(&self, path: &Path) {
        let folder = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let manifest = match Bundle::read_manifest(path) {
            Ok(manifest) => manifest,
            Err(error) => {
                self.app.catalog.note_unreadable();
                return tracing::error!(folder, %error, "not a usable bundle");
            }
        };
        let (name, version) = (manifest.bundle.name.clone(), manifest.bundle.version.clone());
        let model: Arc<str> = manifest.model_name().into();
        let started = Instant::now();
        let (activator, path) = (self.activator.clone(), path.to_owned());
        let activation = async move {
            let bundle = Bundle::open(manifest, &path).map_err(|error| error.to_string())?;
            activator.activate(&bundle).await.map_err(|error| error.to_string())
        };
        let outcome = match self.app.compute.run(activation).await {
            Ok(Ok(pipeline)) => self.app.catalog.add_ready(version.clone(), pipeline),
            Ok(Err(reason)) => self.note_failure(&model, &version, reason),
            Err(panicked) => self.note_failure(&model, &version, panicked.to_string()),
        };
        match outcome {
            Ok(()) => {
                let took = humantime::format_duration(Duration::from_millis(started.elapsed().as_millis() as u64));
                tracing::info!(bundle = name, %version, %model, %took, "activated");
            }
            Err(error) => tracing::error!(bundle = name, %version, %error, "not served"),
        }
    }

    fn note_failure(
        &self,
        model: &Arc<str>,
        version: &semver::Version,
        reason: String,
    ) -> Result<(), crate::catalog::AlreadyThere> {
        tracing::error!(%model, %version, reason, "activation failed");
        self.app.catalog.add_failed(model.clone(), version.clone(), reason)
    }

    /// Serves until shutdown begins, then lets what runs finish within the grace period.
    pub async fn serve(self, shutdown: Shutdown) {
        let clients = self.http.serve(api::client_router(self.app.clone()), shutdown.clone(), self.grace);
        let operator = self.admin.serve(api::admin_router(self.app), shutdown, self.grace);
        tokio::join!(clients, operator);
    }
}
