//! Fuzz targets for the wire decoders. Each target passes arbitrary bytes to a decoder and panics if an invariant is
//! violated:
//!
//! - every input gives tensors, or an error with a text;
//! - a tensor has as many bytes as its datatype and shape require;
//! - decoding takes memory in proportion to the input, or within a given bound;
//! - input that is accepted as JSON is also JSON to serde_json, with the same meaning;
//! - an array gives the same result when it is read in parts and when it is read at once;
//! - a decoded tensor stays the same when it is encoded and decoded again, in every wire format.
//!
//! `tests/short.rs` runs each target for some seconds with mutated seeds. `src/bin/fuzz.rs` runs one target under
//! libFuzzer, which searches for inputs that reach new code and stops at an input that takes too long: `cargo xtask fuzz`.

mod codecs;
mod forms;
pub mod graphs;
mod invariants;
mod reference;
mod round_trip;
pub mod seeds;
mod signatures;
mod targets;

/// A fuzz target: the decoders of one format, with their invariants.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
}

pub const TARGETS: [Target; 7] = [
    Target { name: "json", run: targets::json },
    Target { name: "binary", run: targets::binary },
    Target { name: "grpc", run: targets::grpc },
    Target { name: "tensorflow-rest", run: targets::tensorflow_rest },
    Target { name: "tensorflow-grpc", run: targets::tensorflow_grpc },
    Target { name: "round-trip", run: targets::round_trip },
    Target { name: "parts", run: targets::parts },
];

impl Target {
    pub fn find(name: &str) -> Option<Target> {
        TARGETS.into_iter().find(|target| target.name == name)
    }
}
