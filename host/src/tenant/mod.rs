//! Tenants, and what a call may use: keys and roles let a caller in, limits bound a tenant, grants name the imports that a
//! plugin may have, and a budget is what is left of a call's limits.

mod budget;
mod directory;
mod grants;
mod keys;
mod log_rate;
mod meter;
mod rate_limit;
mod recent_cost;
mod resident;
mod usage;

pub use budget::{Budget, CallUsage, Clock, Exceeded, Limit, Pause};
pub use directory::{AuthError, Caller, DEFAULT_TENANT, Directory, KnownKey, Member, Members, Tenant};
pub use grants::{Capability, Grants};
pub use keys::{ApiKey, KeyHash, Role};
pub use log_rate::{Admission, LogRate};
pub use meter::Charge;
pub use rate_limit::{FuelLeft, OutOfFuel, TooManyActs};
pub use recent_cost::{CHEAP_CALL_FUEL, RecentCost};
pub use resident::{NotResident, Reservation, Resident};
pub use usage::{ModelUsage, UsageCounts};
