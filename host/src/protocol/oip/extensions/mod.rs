//! The extensions of the protocol that clients use beside inference: configuration, statistics, the repository, settings,
//! and `generate`, a plainer form of requests.

pub(crate) mod config;
pub(crate) mod generate;
pub(crate) mod repository;
pub(crate) mod settings;
pub(crate) mod statistics;

/// The names of the extensions in the server's metadata. Each is served in full.
pub(crate) const SERVED: [&str; 8] = [
    "binary_tensor_data",
    "classification",
    "generate",
    "logging",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
];
