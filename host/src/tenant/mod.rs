//! Who calls, and what a call may use: grants say what a plugin may import, a budget is what is left of a call's limits.

mod budget;
mod grants;

pub use budget::{Budget, Charge, Exceeded, Limit, Usage};
pub use grants::{Capability, Grants};
