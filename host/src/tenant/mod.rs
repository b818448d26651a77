//! Who calls, and what a call may use: keys and roles let a caller in, limits bound a tenant, grants say what a plugin may
//! import, a budget is what is left of a call's limits.

mod budget;
mod grants;
mod identity;
mod keys;
mod meter;
mod pace;
mod rate;
mod resident;
mod usage;

pub use budget::{Budget, Clock, Exceeded, Limit, Pause, Usage};
pub use grants::{Capability, Grants};
pub use identity::{Caller, DEFAULT_TENANT, Directory, KnownKey, Member, Members, NotAllowedIn, Tenant};
pub use keys::{ApiKey, KeyHash, Role};
pub use meter::Charge;
pub use pace::{LIGHT_FUEL, Pace};
pub use rate::{FuelLeft, OutOfFuel};
pub use resident::{NotResident, Reservation, Resident};
pub use usage::{ModelUsage, UsageCounts};
