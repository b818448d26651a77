//! The state of the data plane. It knows no connection, no body and no key: its clients are authenticated.

use std::sync::Arc;

use super::shadow::ShadowRunner;
use crate::catalog::Catalog;
use crate::scheduler::Compute;
use crate::telemetry::Metrics;
use crate::tenant::Directory;

/// The part of the host that finds models and runs them, for clients of any protocol.
pub struct DataPlane {
    pub(crate) catalog: Arc<Catalog>,
    pub(super) compute: Arc<Compute>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) shadow: Arc<ShadowRunner>,
}

impl DataPlane {
    /// `directory` has the tenants that shadow traffic is charged to.
    pub(crate) fn new(
        catalog: Arc<Catalog>,
        compute: Arc<Compute>,
        metrics: Arc<Metrics>,
        directory: Arc<Directory>,
    ) -> DataPlane {
        let shadow = ShadowRunner::new(compute.clone(), metrics.clone(), directory);
        DataPlane { catalog, compute, metrics, shadow }
    }
}
