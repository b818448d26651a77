//! The set-up of `perf_analyzer`, NVIDIA's load generator, from its Python package. It is linked with two libraries that it
//! needs only for graphics cards. No graphics card is used here, so the libraries are not installed. Instead, stubs are
//! compiled that have the same functions, and end the program if one of them is called.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::setup::{Workspace, run};

const LIBRARIES: [(&str, &[&str]); 2] = [
    (
        "libb64.so.0d",
        &[
            "base64_decode_block",
            "base64_encode_block",
            "base64_encode_blockend",
            "base64_init_decodestate",
            "base64_init_encodestate",
        ],
    ),
    (
        "libcudart.so.12",
        &[
            "cudaFree",
            "cudaGetErrorName",
            "cudaGetErrorString",
            "cudaIpcGetMemHandle",
            "cudaMalloc",
            "cudaMemcpy",
            "cudaSetDevice",
        ],
    ),
];

impl Workspace {
    /// The program `perf_analyzer`, ready to run.
    pub(crate) fn perf_analyzer(&self) -> Result<PathBuf> {
        let requirements = self.root.join("tests/clients/requirements-perf-analyzer.txt");
        let program = self.python_with_only("perf-analyzer", &requirements)?.with_file_name("perf_analyzer");
        let folder = self.target.join("perf-analyzer");
        fs::create_dir_all(&folder)?;
        for (name, functions) in LIBRARIES {
            make_library(&folder, name, functions)?;
        }
        let launcher = folder.join("perf_analyzer");
        let libraries = [("LD_LIBRARY_PATH", folder.display().to_string())];
        self.launcher(&launcher, &libraries, &[program.display().to_string()])?;
        Ok(launcher)
    }
}

fn make_library(folder: &Path, name: &str, functions: &[&str]) -> Result<()> {
    let (source, versions) = (folder.join(name).with_extension("c"), folder.join(name).with_extension("map"));
    let ends = |function: &&str| format!("void {function}(void) {{ __builtin_trap(); }}\n");
    fs::write(&source, functions.iter().map(ends).collect::<String>())?;
    // The program asks for the functions under a symbol version that has the library's name.
    fs::write(&versions, format!("{name} {{ global: *; }};\n"))?;
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-o"]).arg(folder.join(name)).arg(source);
    run(compile.arg(format!("-Wl,-soname,{name},--version-script,{}", versions.display())))
}
