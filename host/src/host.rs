//! The running host: every part of the system, created and connected in one struct.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_bundle::{Bounds, Files};
use bulkhead_store::DataFolder;
use tempfile::TempDir;

use crate::activation::{self, Activator, Bundle, ContentsError, Dependencies};
use crate::admin::{self, AdminState};
use crate::cache::Cache;
use crate::catalog::{Catalog, Entry};
use crate::config::{Config, Isolation, TlsFiles, format_bytes};
use crate::control::{Control, ControlError, Parts, Trials};
use crate::http::client_port::ClientPort;
use crate::http::connection_limit::{ConnectionLimits, Connections};
use crate::http::listener::{Server, Shutdown};
use crate::http::request_body::BodyReader;
use crate::http::tls::{Tls, TlsError};
use crate::inference::DataPlane;
use crate::protocol::{self, ReflectionError};
use crate::runtime::Runners;
use crate::sandbox::Sandbox;
use crate::scheduler::Compute;
use crate::telemetry::{Metrics, MetricsError};
use crate::tenant::{DEFAULT_TENANT, Directory};
use crate::worker::{Workers, address_space, missing_confinement};

/// A host that serves requests until shutdown begins.
pub struct Host {
    catalog: Arc<Catalog>,
    clients: Arc<ClientPort>,
    operator: Arc<AdminState>,
    control: Arc<Control>,
    http: Server,
    grpc: Server,
    admin: Server,
    drain: Duration,
    grace: Duration,
    /// Temporary data folder of a host under `--dev` that was given none, removed together with the host.
    _data: Option<TempDir>,
}

/// Addresses that a host's ports are bound to.
pub struct Addresses {
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    pub admin: SocketAddr,
}

/// Error that prevents a start of the host.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{}", no_sandbox(.0))]
    Sandbox(#[from] crate::sandbox::EngineError),
    #[error("metrics: {0}")]
    Metrics(#[from] MetricsError),
    #[error("the gRPC services cannot be described: {0}")]
    Reflection(#[from] ReflectionError),
    #[error("the compute threads cannot start: {0}")]
    Compute(std::io::Error),
    #[error("{0}")]
    Store(#[from] bulkhead_store::StoreError),
    #[error("{0}")]
    Control(#[from] ControlError),
    #[error("cannot create a temporary data folder for --dev: {0}")]
    Temporary(std::io::Error),
    #[error("cannot listen on {address} ({key}): {}", why_not(.error))]
    Listen { address: SocketAddr, key: &'static str, error: std::io::Error },
    #[error("{key}: {error}")]
    Tls { key: &'static str, error: TlsError },
    #[error("the models folder {folder} cannot be read: {error}")]
    Models { folder: String, error: std::io::Error },
}

/// Time beyond the longest call after which a compute thread counts as stuck. It is also that of the waits inside of the host
/// that a call's deadline does not end.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// Time after which the host ends if all of its compute threads are stuck.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// Exit code of a host whose compute threads are all stuck: an internal error, by the convention of `sysexits.h`.
const EXIT_STUCK: i32 = 70;

/// Default of the folder for the host's state.
const DATA: &str = "bulkhead-data";

/// The reason why an address cannot be listened on, and what to do about it.
/// Why the sandbox cannot start. What it reserves is decided by the configuration, and what it may reserve by the system.
fn no_sandbox(error: &crate::sandbox::EngineError) -> String {
    let text = error.to_string();
    match address_space().filter(|_| text.contains("mmap failed")) {
        Some(bound) => format!(
            "the sandbox cannot start: it reserves addresses for the memory (call.memory, init.memory) of all calls and streams at once (compute.concurrency, compute.streams), and this process may have only {} of addresses: remove that limit (ulimit -v unlimited, or LimitAS=infinity of systemd); memory that is reserved and not used costs nothing",
            format_bytes(bound)
        ),
        None => text,
    }
}

fn why_not(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::AddrInUse => "another process listens there; stop it, or choose another port".into(),
        ErrorKind::AddrNotAvailable => "this machine has no such address; choose one of its own".into(),
        ErrorKind::PermissionDenied => "the system does not allow it; choose a port of 1024 or more".into(),
        _ => error.to_string(),
    }
}

impl Host {
    /// Creates the host without its models and binds its ports; `serve` accepts the first connection.
    pub async fn start(config: &Config) -> Result<Host, StartError> {
        let metrics = Arc::new(Metrics::new()?);
        let compute = Arc::new(Compute::new(&config.compute, metrics.clone()).map_err(StartError::Compute)?);
        let (catalog, directory) = (Arc::<Catalog>::default(), Arc::<Directory>::default());
        watch_threads(config, &compute, &catalog, &metrics).map_err(StartError::Compute)?;
        let (place, temporary) = data_folder(config)?;
        let folder = DataFolder::open(&place)?;
        let token = folder.token("admin")?;
        let cache = Cache::open(folder.cache(), *folder.secret("cache")?, config.compile.cache_bytes);
        let missing = missing_confinement();
        if !missing.is_empty() {
            tracing::warn!(missing = missing.join(" and "), "this system lacks a means to confine child processes");
        }
        let workers = Workers::children(&config.compile, tokio::runtime::Handle::current()).with_cache(cache);
        let sandbox = Sandbox::new(config, workers.clone())?;
        let runners = match config.graphs.isolation {
            Isolation::Process => Some(Runners::new(config, &folder.cache(), metrics.clone())),
            Isolation::None => None,
        };
        let parts = Parts {
            folder,
            directory: directory.clone(),
            catalog: catalog.clone(),
            compute: compute.clone(),
            activator: Activator { sandbox, workers, runners, metrics: metrics.clone() },
        };
        let (control, damaged) = Control::open(config, parts)?;
        for damaged in damaged {
            tracing::error!(%damaged, "a part of the state is damaged and left out");
        }
        let bodies = BodyReader::new(&config.http);
        let data_plane = Arc::new(DataPlane::new(catalog.clone(), compute, metrics.clone(), directory.clone()));
        let clients = ClientPort::new(
            data_plane,
            bodies.clone(),
            directory.clone(),
            config.auth.clone(),
            config.http.cors_origins.clone(),
        );
        let operator =
            AdminState::new(control.clone(), directory, metrics.clone(), bodies, token.text, &config.bundles);
        let limits = ConnectionLimits::make(&config.http);
        let refused = &metrics.refused_connections;
        let of_clients = Connections::new(limits.clients, metrics.connections.clone(), refused.clone());
        let of_operator = Connections::new(limits.operator, metrics.admin_connections.clone(), refused.clone());
        let listen = async |key, address, connections: &Arc<Connections>| {
            let server = Server::bind(address, &config.http, connections.clone()).await;
            server.map_err(|error| StartError::Listen { address, key, error })
        };
        let tls = |key, files: &Option<TlsFiles>| {
            files.as_ref().map(Tls::load).transpose().map_err(|error| StartError::Tls { key, error })
        };
        let (http_tls, grpc_tls) = (tls("tls.http", &config.tls.http)?, tls("tls.grpc", &config.tls.grpc)?);
        let admin_tls = tls("tls.admin", &config.tls.admin)?;
        let http = listen("listen.http", config.listen.http, &of_clients).await?.with_tls(http_tls);
        let grpc = listen("listen.grpc", config.listen.grpc, &of_clients).await?.with_tls(grpc_tls);
        let admin = listen("listen.admin", config.listen.admin, &of_operator).await?.with_tls(admin_tls);
        tracing::info!(data = %place.display(), token = %token.path.display(), "the admin token is in its file");
        let (clients, operator) = (Arc::new(clients), Arc::new(operator));
        Ok(Host {
            catalog,
            clients,
            operator,
            control,
            http,
            grpc,
            admin,
            drain: config.drain,
            grace: config.grace,
            _data: temporary,
        })
    }

    pub fn addresses(&self) -> std::io::Result<Addresses> {
        Ok(Addresses { http: self.http.address()?, grpc: self.grpc.address()?, admin: self.admin.address()? })
    }

    /// The TLS settings of the listeners that have some, which can be read anew.
    pub fn certificates(&self) -> Vec<Arc<Tls>> {
        [&self.http, &self.grpc, &self.admin].into_iter().filter_map(Server::tls).collect()
    }

    /// Activates every bundle in a folder, signed or not. The catalog keeps the reason of one that fails, and the others
    /// are not affected.
    pub async fn load_models(&self, folder: &Path) -> Result<(), StartError> {
        let unreadable = |error| StartError::Models { folder: folder.display().to_string(), error };
        for path in activation::find_bundles(folder).map_err(unreadable)? {
            self.load_model(&path).await;
        }
        Ok(())
    }

    async fn load_model(&self, path: &Path) {
        let folder = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bundle = match read_folder(path) {
            Ok(bundle) => Arc::new(bundle),
            Err(reason) => {
                self.catalog.note_unreadable();
                return tracing::error!(folder, reason, "not a usable bundle");
            }
        };
        let manifest = &bundle.manifest;
        let (name, version, model) = (&manifest.bundle.name, &manifest.bundle.version, manifest.model_name());
        let started = Instant::now();
        // An operator who serves a folder of bundles grants every import that they ask for.
        let grants = manifest.imports().into_iter().collect();
        let others = Arc::<Dependencies>::default();
        let activated = self.control.activate(
            DEFAULT_TENANT,
            bundle.clone(),
            grants,
            others,
            Trials::AtUpload,
            Arc::new(|_: &str| ()),
        );
        let entry = match activated.await {
            Ok(pipeline) => {
                let took =
                    humantime::format_duration(Duration::from_millis(crate::numbers::milliseconds(started.elapsed())));
                tracing::info!(bundle = name, %version, model, %took, "activated");
                Entry::Ready(pipeline)
            }
            Err(error) => {
                tracing::error!(bundle = name, %version, model, %error, "activation failed");
                Entry::Failed(error.to_string().into())
            }
        };
        if let Err(error) = self.catalog.add(DEFAULT_TENANT, model, version, entry) {
            tracing::error!(bundle = name, %version, %error, "not served");
        }
    }

    /// Brings back what was served before, one version after the other, while requests are already answered.
    pub async fn restore(&self) -> Result<(), StartError> {
        let restored = self.control.blocking(|control| {
            control.restore();
            Ok(())
        });
        Ok(restored.await?)
    }

    /// Serves until a shutdown is requested, serves on for the drain time, and then gives requests in progress the grace
    /// period to finish.
    pub async fn serve(self, shutdown: Shutdown) -> Result<(), StartError> {
        let usage = tokio::spawn(self.control.clone().keep_usage());
        let changes = tokio::spawn(self.control.clone().follow_changes());
        let calls = protocol::grpc_router(self.clients.clone(), self.control.clone(), &shutdown)?;
        let calls = self.grpc.serve(calls, shutdown.clone(), self.grace);
        let clients = protocol::client_router(self.clients, self.control.clone());
        let clients = self.http.serve(clients, shutdown.clone(), self.grace);
        let operator = self.admin.serve(admin::router(self.operator), shutdown.clone(), self.grace);
        let drained = drain(&self.catalog, &shutdown, self.drain);
        tokio::join!(clients, calls, operator, drained);
        usage.abort();
        changes.abort();
        if let Err(error) = self.control.blocking(|control| control.store_usage()).await {
            tracing::error!(%error, "the last usage could not be stored");
        }
        Ok(())
    }
}

/// Makes the host unready when a shutdown is requested, and begins the shutdown after the drain time, unless it began before.
async fn drain(catalog: &Catalog, shutdown: &Shutdown, time: Duration) {
    shutdown.requested().await;
    catalog.note_ending();
    tokio::select! {
        () = tokio::time::sleep(time) => shutdown.begin(),
        () = shutdown.begun() => {}
    }
}

/// Tells when compute threads do not come back from their calls: in the log, the metrics and the readiness. If all of them
/// are lost, the host serves nobody, and ends for its supervisor to start it again.
fn watch_threads(
    config: &Config,
    compute: &Compute,
    catalog: &Arc<Catalog>,
    metrics: &Arc<Metrics>,
) -> std::io::Result<()> {
    let mut longest = config.call.time.max(config.init.time);
    if config.graphs.isolation == Isolation::None {
        // A graph is loaded by a compute thread.
        longest = longest.max(config.compile.longest());
    }
    let (bound, threads) = (longest.saturating_add(STUCK_AFTER), config.compute.threads);
    let (catalog, metrics) = (catalog.clone(), metrics.clone());
    compute.watch(bound, move |stuck| {
        let (before, now) = (metrics.stuck_threads.get(), i64::try_from(stuck.len()).unwrap_or(i64::MAX));
        metrics.stuck_threads.set(now);
        catalog.note_stuck(now > 0);
        if now > before {
            tracing::error!(threads, stuck = now, bound = %humantime::format_duration(bound), "a compute thread does not come back from a call; the host is not ready");
        } else if now < before {
            tracing::warn!(threads, stuck = now, "a compute thread came back");
        }
        if stuck.len() >= threads && stuck.iter().all(|busy| *busy > bound.saturating_add(LOST_AFTER)) {
            tracing::error!(threads, "no compute thread comes back from its call; the process ends, to be started again");
            crate::telemetry::log::flush();
            #[expect(clippy::disallowed_methods, reason = "the threads that would run destructors do not come back")]
            std::process::exit(EXIT_STUCK);
        }
    })
}

fn data_folder(config: &Config) -> Result<(PathBuf, Option<TempDir>), StartError> {
    match &config.data {
        Some(place) => Ok((place.clone(), None)),
        None if config.dev => {
            let folder = tempfile::Builder::new().prefix("bulkhead-dev-").tempdir().map_err(StartError::Temporary)?;
            Ok((folder.path().join("data"), Some(folder)))
        }
        None => Ok((DATA.into(), None)),
    }
}

fn read_folder(path: &Path) -> Result<Bundle, String> {
    let files = Files::read_folder(path, &Bounds::default()).map_err(|error| error.to_string())?;
    Bundle::read(files).map_err(|error: ContentsError| error.to_string())
}
