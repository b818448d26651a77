//! Tests of conventions: the layers, the frozen contract, and the promises of the documents.

mod circles;
mod configuration;
mod contract;
mod layers;
mod threat_model;
