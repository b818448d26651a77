//! `bulkhead serve`: reads the configuration, starts the log, and runs the host until it is shut down.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::supervisor::Supervisor;
use crate::config::{Config, ConfigErrors, LogFormat, parse_address, parse_directives};
use crate::host::{Addresses, Host, StartError};
use crate::http::listener::Shutdown;
use crate::http::tls::Tls;
use crate::telemetry::log::{self, LogError};

/// Exit code if the configuration cannot be used.
const BAD_CONFIGURATION: u8 = 2;

/// Time after which an idle thread for blocking work ends. Idle threads take such work in turn, so with a longer time the
/// work of once a second would keep as many of them as there are seconds in it, for ever.
const BLOCKING_IDLE: Duration = Duration::from_secs(2);

/// Serve models until stopped
///
/// Works without any argument, on loopback: HTTP on port 8000, gRPC on 8001, the operator's port on 8002. All state is in
/// the folder bulkhead-data, with the operator's token in its file admin.token. Once the host accepts requests, it prints
/// its addresses to standard output as one line of JSON. SIGTERM or Ctrl-C shuts it down: running requests finish, new ones
/// are not accepted. SIGHUP reads the TLS certificates anew.
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead serve
  bulkhead serve --config /etc/bulkhead.toml --log-format json
  bulkhead serve --dev --models ./models --http 127.0.0.1:0     (unsigned bundles, any free port)")]
pub(super) struct Serve {
    /// The data folder: bundles, publishers, tenants, the audit log [default: bulkhead-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Serve unsigned bundles, to try things out: on loopback only, and every line of the log says so
    #[arg(long)]
    dev: bool,
    /// A folder of bundle folders to serve, signed or not; only with --dev
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// A TOML file; flags override it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address for HTTP clients [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    http: Option<SocketAddr>,
    /// Address for gRPC clients [default: 127.0.0.1:8001]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    grpc: Option<SocketAddr>,
    /// Address of the operator's port [default: 127.0.0.1:8002]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    admin: Option<SocketAddr>,
    /// A log level, or directives such as warn,bulkhead=debug [default: info]
    #[arg(long, value_name = "LEVEL", value_parser = directives)]
    log_level: Option<String>,
    /// The form of the log's lines [default: text]
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"])]
    log_format: Option<String>,
}

impl Serve {
    pub(super) fn run(self) -> ExitCode {
        let config = match self.configuration() {
            Ok(config) => config,
            Err(mistakes) => return fail(BAD_CONFIGURATION, &mistakes),
        };
        if let Err(error) = log::start(&config.log, config.dev) {
            return match error {
                LogError::Directives { .. } => {
                    fail(BAD_CONFIGURATION, &ConfigErrors::one(format!("log.level {error}")))
                }
                LogError::Thread(_) | LogError::NotOurs => fail(1, &error),
            };
        }
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.enable_all().thread_name("io").thread_keep_alive(BLOCKING_IDLE).build();
        let served = match runtime {
            Ok(runtime) => runtime.block_on(serve(&config)),
            Err(error) => return fail(1, &error),
        };
        if let Err(error) = &served {
            let cause = log::with_causes(error);
            if cause != error.to_string() {
                tracing::error!(cause, "the host stops because of an error");
            }
        }
        let is_read = log::flush();
        match served {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) if is_read => fail(1, &error),
            Err(_) => ExitCode::FAILURE,
        }
    }

    fn configuration(self) -> Result<Config, ConfigErrors> {
        let mut config = match &self.config {
            Some(file) => Config::from_file(file)?,
            None => Config::default(),
        };
        config.data = self.data.or(config.data);
        config.dev = self.dev;
        config.models = self.models.or(config.models);
        config.listen.http = self.http.unwrap_or(config.listen.http);
        config.listen.grpc = self.grpc.unwrap_or(config.listen.grpc);
        config.listen.admin = self.admin.unwrap_or(config.listen.admin);
        config.log.level = self.log_level.unwrap_or(config.log.level);
        match self.log_format.as_deref() {
            Some("json") => config.log.format = LogFormat::Json,
            Some(_) => config.log.format = LogFormat::Text,
            None => {}
        }
        config.check_dev()?;
        config.check_admin()?;
        Ok(config)
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    parse_address(text).map_err(|wanted| format!("must be {wanted}"))
}

fn directives(text: &str) -> Result<String, String> {
    parse_directives(text).map_err(|wanted| format!("must be {wanted}"))
}

fn fail(code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("bulkhead: {error}");
    ExitCode::from(code)
}

async fn serve(config: &Config) -> Result<(), StartError> {
    if config.is_admin_plain() {
        tracing::warn!(address = %config.listen.admin, "other machines can reach the operator's port, and it has no TLS: the admin token can be read on the way. Set [tls.admin], or listen on loopback; listen.plain-admin = \"refuse\" forbids it");
    }
    let host = Host::start(config).await?;
    host.restore().await?;
    if let Some(folder) = &config.models {
        host.load_models(folder).await?;
    }
    let (shutdown, supervisor) = (Shutdown::default(), Supervisor::from_environment());
    follow_signals(shutdown.clone(), host.certificates(), supervisor.clone(), config.drain);
    announce(&host);
    supervisor.tell(Supervisor::READY);
    let watched = tokio::spawn(supervisor.keep_watchdog());
    host.serve(shutdown).await?;
    watched.abort();
    tracing::info!("stopped");
    Ok(())
}

/// Prints the addresses for the program that started the host, which cannot know them if a port is 0, and logs them.
fn announce(host: &Host) {
    if let Ok(Addresses { http, grpc, admin }) = host.addresses() {
        let line =
            serde_json::json!({ "http": http.to_string(), "grpc": grpc.to_string(), "admin": admin.to_string() });
        // Standard output may be closed, which is not an error.
        let _ = writeln!(std::io::stdout(), "{line}");
        tracing::info!(%http, %grpc, %admin, "serving");
    }
}

/// Installs the handlers of signals before it returns: a program that reads the announced addresses may send a signal at
/// once. The first request to end lets the host drain, and the second ends the drain time.
fn follow_signals(shutdown: Shutdown, certificates: Vec<Arc<Tls>>, supervisor: Supervisor, drain: Duration) {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = signals else {
        return tracing::error!("signals cannot be received; kill the process to stop it");
    };
    tokio::spawn(async move {
        let mut asked = false;
        loop {
            let ends = tokio::select! {
                _ = terminate.recv() => true,
                _ = interrupt.recv() => true,
                _ = hangup.recv() => false,
            };
            match (ends, asked) {
                (false, _) => read_certificates(&certificates).await,
                (true, false) => {
                    supervisor.tell(Supervisor::STOPPING);
                    announce_end(drain);
                    shutdown.request();
                    asked = true;
                }
                (true, true) => {
                    tracing::info!("asked to end again: the drain time is over");
                    shutdown.begin();
                }
            }
        }
    });
}

async fn read_certificates(certificates: &[Arc<Tls>]) {
    tracing::info!(
        listeners = certificates.len(),
        "SIGHUP: TLS certificates are read anew; restart for other settings"
    );
    let certificates = certificates.to_vec();
    let reading = tokio::task::spawn_blocking(move || certificates.iter().for_each(|tls| tls.reload()));
    if let Err(error) = reading.await {
        tracing::error!(%error, "certificates could not be read anew");
    }
}

fn announce_end(drain: Duration) {
    if drain.is_zero() {
        tracing::info!("shutting down: running requests finish, new ones are not accepted");
    } else {
        let drain = humantime::format_duration(drain);
        tracing::info!(%drain, "shutting down: not ready, and serving on for shutdown.drain");
    }
}
