//! The state that the handlers of the operator's port share.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::config;
use crate::control::Control;
use crate::http::request_body::BodyReader;
use crate::scheduler::{HeldTurn, Party, Turns};
use crate::telemetry::Metrics;
use crate::tenant::Directory;

/// Uploads that may be received to the disk at once, for each one that may be activated at once: a slow sender holds up few
/// others of its tenant.
const RECEIVED_AHEAD: usize = 4;

/// Authentication of operators, reading of bodies and archives, and the acts on the stored state.
pub struct AdminState {
    pub(super) control: Arc<Control>,
    pub(super) directory: Arc<Directory>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) bodies: BodyReader,
    /// The operator's token.
    pub(super) admin_token: Zeroizing<String>,
    /// Turns for archives of tenants that are received to the disk, or wait there to be unpacked.
    receiving: Turns,
    /// The same for archives that the operator sends.
    receiving_of_operator: Turns,
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
        let received = bundles.uploads * RECEIVED_AHEAD;
        let receiving = Turns::with_newcomers(received);
        let receiving_of_operator = Turns::all_but_one(received);
        AdminState { control, directory, metrics, bodies, admin_token, receiving, receiving_of_operator }
    }

    /// Waits until the party may send an archive. Tenants cannot hold up the operator, and a tenant can hold up others only
    /// together with many.
    pub(super) async fn receiving_turn(&self, party: &Party) -> HeldTurn {
        match party {
            Party::Operator => self.receiving_of_operator.take(party).await,
            Party::Tenant(_) => self.receiving.take(party).await,
        }
    }
}
