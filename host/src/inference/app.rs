//! The application state, created once by the host.

use std::sync::Arc;

use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::shadow::ShadowRunner;
use crate::catalog::Catalog;
use crate::config::{Anonymous, Config, Http};
use crate::control::Control;
use crate::http::buffer_budget::BufferBudget;
use crate::scheduler::Compute;
use crate::telemetry::Metrics;
use crate::tenant::Directory;

/// Uploads that may be received to the disk at once, for each one that may be activated at once: a slow sender holds up few
/// others.
const RECEIVED_AHEAD: usize = 8;

/// State that all request handlers share.
pub struct App {
    pub catalog: Arc<Catalog>,
    pub compute: Arc<Compute>,
    pub metrics: Arc<Metrics>,
    pub directory: Arc<Directory>,
    pub control: Arc<Control>,
    pub http: Http,
    /// The operator's token.
    pub(crate) admin_token: Zeroizing<String>,
    /// Permits for archives that are being received to the disk.
    pub(crate) receiving: Arc<Semaphore>,
    pub(crate) anonymous: Anonymous,
    /// Names by which anonymous clients may address the host.
    pub(crate) hosts: Vec<String>,
    pub(crate) shadow: Arc<ShadowRunner>,
    pub(crate) room: BufferBudget,
}

impl App {
    pub fn new(
        config: &Config,
        catalog: Arc<Catalog>,
        directory: Arc<Directory>,
        compute: Arc<Compute>,
        metrics: Arc<Metrics>,
        control: Arc<Control>,
        admin_token: Zeroizing<String>,
    ) -> App {
        let shadow = ShadowRunner::new(compute.clone(), metrics.clone(), directory.clone());
        App {
            catalog,
            compute,
            metrics,
            directory,
            control,
            http: config.http.clone(),
            admin_token,
            receiving: Arc::new(Semaphore::new(config.bundles.uploads * RECEIVED_AHEAD)),
            anonymous: config.anonymous,
            hosts: config.hosts.clone(),
            shadow,
            room: BufferBudget::new(&config.http),
        }
    }
}
