//! The state of the data plane. It knows no connection and no body, and its clients are authenticated.

use std::sync::Arc;

use super::shadow::ShadowRunner;
use crate::catalog::Catalog;
use crate::scheduler::Compute;
use crate::telemetry::Metrics;
use crate::tenant::{AuthError, Caller, Directory};

/// The part of the host that finds models and runs them, for clients of any protocol.
pub struct DataPlane {
    pub(crate) catalog: Arc<Catalog>,
    pub(super) compute: Arc<Compute>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) shadow: Arc<ShadowRunner>,
    directory: Arc<Directory>,
}

impl DataPlane {
    /// `directory` has the callers of open streams, and the tenants that shadow traffic is charged to.
    pub(crate) fn new(
        catalog: Arc<Catalog>,
        compute: Arc<Compute>,
        metrics: Arc<Metrics>,
        directory: Arc<Directory>,
    ) -> DataPlane {
        let shadow = ShadowRunner::new(compute.clone(), directory.clone());
        DataPlane { catalog, compute, metrics, shadow, directory }
    }

    /// Waits until the caller's key is revoked or expires, or its tenant is disabled or deleted.
    pub(crate) fn end_of_rights(&self, caller: Caller) -> impl Future<Output = AuthError> + Send + use<> {
        self.directory.end_of_rights(caller)
    }
}
