//! Agreements of the house, kept by tests: the layers, the frozen contract, what the documents promise.

mod configuration;
mod contract;
mod layers;
mod status_codes;
mod threat_model;
