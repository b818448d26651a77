//! The generated types of the contract, one module for each frozen version. The calls of plugins (`bindings`) and the
//! functions that plugins import (`imports`) both use them.

pub(crate) mod v0_1;
