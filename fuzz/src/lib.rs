//! Fuzz targets for the decoders of the wire. Each takes any bytes, gives them to a decoder, and panics where a promise is
//! broken:
//!
//! - whatever arrives, it is tensors or an error with a text;
//! - a tensor has as many bytes as its datatype and shape say;
//! - decoding takes memory in proportion to what arrived, or within a bound that was given;
//! - what is taken for JSON is JSON to serde_json too, and means the same;
//! - an array that is read in parts is what it is when it is read at once;
//! - a tensor that was decoded is the same tensor after it was written and read again, in every form of the wire.
//!
//! `tests/short.rs` tries each target for some seconds with changed seeds. `src/bin/fuzz.rs` hands one to libFuzzer, which
//! looks for inputs that reach new code and stops at one that takes too long: `cargo xtask fuzz`.

mod codecs;
mod forms;
mod invariants;
mod reference;
mod round_trip;
pub mod seeds;
mod signatures;
mod targets;

/// A decoder, or those of a protocol, with what must hold for any input.
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
