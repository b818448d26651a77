//! Where the state of the host lives.
