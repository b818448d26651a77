//! The protocol of TensorFlow Serving, so that its clients work unchanged: REST under `/v1/models` on the port for HTTP,
//! and its gRPC services beside the others. The models are the same; only the form of tensors differs.
//!
//! TensorFlow's versions are whole numbers: N stands for the newest version N.x.y of a bundle.

mod describe;
pub mod encode;
pub mod examples;
mod grpc;
mod path;
pub mod proto;
mod rest;
pub mod rows;
mod signature;
mod status;
mod values;

pub use describe::{
    Classified, Examples, MetadataReply, ModelNames, PredictReply, PredictRequest, Regressed, VersionStatuses,
};
pub use grpc::{Models, PredictParts, Predictions};
pub use rest::router;
