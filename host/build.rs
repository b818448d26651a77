//! Compiles the wire formats in `proto/`, in Rust alone: no protoc is needed.

use std::error::Error;
use std::path::PathBuf;

use protox::prost::Message;

/// Messages that carry tensors. They come through as bytes, and are read on compute threads, within bounds, by code that
/// makes tensors of them without a message's worth of small allocations in between.
const READ_BY_HAND: [&str; 2] = [".inference.ModelInferRequest", ".tensorflow.serving.PredictRequest"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["inference.proto", "tensorflow_serving.proto"], ["proto"])?;
    let folder = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(folder.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut compile = tonic_prost_build::configure().build_client(false).build_transport(false).bytes(".");
    for message in READ_BY_HAND {
        compile = compile.extern_path(message, "crate::codec::protobuf::fields::RawMessage");
    }
    Ok(compile.compile_fds(descriptors)?)
}
