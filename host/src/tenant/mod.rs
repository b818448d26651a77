//! Who calls, and what a call may use: keys and roles let a caller in, limits bound a tenant, grants say what a plugin may
//! import, a budget is what is left of a call's limits.

mod budget;
mod directory;
mod grants;
mod keys;
mod meter;
mod rate_limit;
mod recent_cost;
mod resident;
mod usage;

pub use budget::{Budget, Clock, Exceeded, Limit, Pause, Usage};
pub use directory::{Caller, DEFAULT_TENANT, Directory, KnownKey, Member, Members, NotAllowedIn, Tenant};
pub use grants::{Capability, Grants};
pub use keys::{ApiKey, KeyHash, Role};
pub use meter::Charge;
pub use rate_limit::{FuelLeft, OutOfFuel};
pub use recent_cost::{LIGHT_FUEL, Pace};
pub use resident::{NotResident, Reservation, Resident};
pub use usage::{ModelUsage, UsageCounts};
