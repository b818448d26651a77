//! The cases of the tests of ONNX's operators, which programs in `tests/onnx` write.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::setup::{Workspace, run, step};

impl Workspace {
    /// The folders of ONNX's own operator tests, of graphs with the results of ONNX Runtime, and of scikit-learn's estimators.
    /// They are written once, and again when a program or its packages change.
    pub(crate) fn onnx_cases(&self) -> Result<[PathBuf; 3]> {
        let sources = self.root.join("tests/onnx");
        let python = self.python("onnx", &sources.join("requirements.txt"))?;
        let write = |name: &str, program: &str| {
            let program = sources.join(program);
            let target = self.target.join("onnx").join(name);
            self.write_cases(&python, &program, &target).map(|()| target)
        };
        Ok([
            write("nodes", "node_cases.py")?,
            write("graphs", "graph_cases.py")?,
            write("estimators", "estimator_cases.py")?,
        ])
    }

    fn write_cases(&self, python: &Path, program: &Path, target: &Path) -> Result<()> {
        let packages = fs::read_to_string(program.with_file_name("requirements.txt"))?;
        let wanted = format!("{packages}{}", fs::read_to_string(program)?);
        let written = target.with_extension("written");
        if fs::read_to_string(&written).is_ok_and(|content| content == wanted) {
            return Ok(());
        }
        step(&format!("writing the cases of {}", program.display()));
        if target.exists() {
            fs::remove_dir_all(target)?;
        }
        run(Command::new(python).arg(program).arg(target))?;
        fs::write(written, wanted)?;
        Ok(())
    }
}
