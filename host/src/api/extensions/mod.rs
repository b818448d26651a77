//! What clients of the protocol use beside inference: configuration, statistics, the repository, settings, and a plainer
//! form of requests.

pub(super) mod config;
pub(super) mod generate;
pub(super) mod repository;
pub(super) mod settings;
pub(super) mod statistics;

/// As clients know them; each is served in full.
pub(super) const SERVED: [&str; 8] = [
    "binary_tensor_data",
    "classification",
    "generate",
    "logging",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
];
