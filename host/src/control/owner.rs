//! The tenant that an upload is for.

use super::ControlError;
use super::records::Timestamp;
use super::state::ControlState;

/// The tenant of an upload, as it was when the upload began. One that was made anew under the name is another tenant.
#[derive(Clone, Debug)]
pub struct Owner {
    pub name: String,
    pub created: Timestamp,
}

impl Owner {
    /// Fails if the tenant is gone.
    pub(super) fn check(&self, state: &ControlState) -> Result<(), ControlError> {
        let record = state.tenants.get(&self.name).filter(|record| record.created == self.created);
        record.map(drop).ok_or_else(|| ControlError::no_such("tenant", &self.name))
    }
}
