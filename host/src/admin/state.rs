//! The state that the handlers of the operator's port share.

use std::sync::Arc;

use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::config;
use crate::control::Control;
use crate::http::request_body::BodyReader;
use crate::telemetry::Metrics;
use crate::tenant::Directory;

/// Uploads that may be received to the disk at once, for each one that may be activated at once: a slow sender holds up few
/// others.
const RECEIVED_AHEAD: usize = 8;

/// Authentication of operators, reading of bodies and archives, and the acts on the stored state.
pub struct AdminState {
    pub(super) control: Arc<Control>,
    pub(super) directory: Arc<Directory>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) bodies: BodyReader,
    /// The operator's token.
    pub(super) admin_token: Zeroizing<String>,
    /// Permits for archives that are being received to the disk.
    pub(super) receiving: Arc<Semaphore>,
}

impl AdminState {
    pub(crate) fn new(
        control: Arc<Control>,
        directory: Arc<Directory>,
        metrics: Arc<Metrics>,
        bodies: BodyReader,
        admin_token: Zeroizing<String>,
        bundles: &config::Bundles,
    ) -> AdminState {
        let receiving = Arc::new(Semaphore::new(bundles.uploads * RECEIVED_AHEAD));
        AdminState { control, directory, metrics, bodies, admin_token, receiving }
    }
}
