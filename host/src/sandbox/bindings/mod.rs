//! The plugin contract: the traits behind which the sandbox knows it, and one module for each frozen version.

mod contract;
mod v0_1;

pub(crate) use contract::{Contract, InitResult, Linked};

/// The contract of all components. A second version of it will be chosen here, by the names of a component's imports and
/// exports.
pub(crate) fn contract() -> &'static dyn Contract {
    &v0_1::V0_1
}
