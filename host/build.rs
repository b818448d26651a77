//! Build script that compiles the wire formats in `proto/`. The compiler is a Rust crate, so that protoc is not needed.

use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use protox::prost::Message;

/// Messages that carry tensors. Generated code passes them on as raw bytes; `codec::protobuf` reads them on compute
/// threads, within bounds, and writes tensors directly, without the small allocations of a generated message in between.
const READ_BY_HAND: [&str; 2] = [".inference.ModelInferRequest", ".tensorflow.serving.PredictRequest"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    // Results in the cache depend on the libraries that made them.
    println!("cargo:rerun-if-changed=../Cargo.lock");
    let mut libraries = DefaultHasher::new();
    std::fs::read("../Cargo.lock")?.hash(&mut libraries);
    println!("cargo:rustc-env=LIBRARIES={:016x}", libraries.finish());
    // For tests that measure.
    println!("cargo:rustc-env=OPT_LEVEL={}", std::env::var("OPT_LEVEL")?);
    let descriptors = protox::compile(["inference.proto", "tensorflow_serving.proto"], ["proto"])?;
    let folder = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(folder.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut compile = tonic_prost_build::configure().build_client(false).build_transport(false).bytes(".");
    for message in READ_BY_HAND {
        compile = compile.extern_path(message, "crate::codec::protobuf::fields::RawMessage");
    }
    Ok(compile.compile_fds(descriptors)?)
}
