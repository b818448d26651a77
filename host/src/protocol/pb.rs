//! The gRPC wire types, generated from `host/proto` by `build.rs`.

#![allow(clippy::all, clippy::pedantic, reason = "generated")]

pub mod inference {
    tonic::include_proto!("inference");
}
pub mod tensorflow {
    tonic::include_proto!("tensorflow");
    pub mod error {
        tonic::include_proto!("tensorflow.error");
    }
    pub mod serving {
        tonic::include_proto!("tensorflow.serving");
    }
}
/// The descriptors of all messages and services, for the reflection service.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
