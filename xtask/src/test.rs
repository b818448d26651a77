//! `cargo xtask test`: formatting, lints and all tests, which must pass before a change is merged.

use std::process::Command;

use anyhow::Result;

use crate::bundles::{self, Example};
use crate::setup::{Workspace, cargo, run, step};

/// Do all the set-up and run every test
#[derive(clap::Args)]
pub(crate) struct Test {
    /// Only the tests whose name contains this
    filter: Option<String>,
}

impl Test {
    pub(crate) fn run(self) -> Result<()> {
        let workspace = Workspace::find()?;
        step("formatting");
        run(cargo().current_dir(&workspace.root).args(["fmt", "--all", "--check"]))?;
        workspace.build_host()?;
        workspace.build_plugins()?;
        let models = workspace.target.join("models");
        for example in Example::all(&workspace)? {
            example.assemble(&workspace, &models)?;
        }
        let hostile = workspace.target.join("hostile-models");
        bundles::hostile(&workspace, &hostile)?;
        let python = workspace.python("file-type", &workspace.root.join("examples/file-type/requirements.txt"))?;
        let romanize = workspace.python("romanize", &workspace.root.join("examples/romanize/requirements.txt"))?;
        let signing = workspace.python("signing", &workspace.root.join("bundle/tests/requirements.txt"))?;
        let grpc = workspace.python("grpc", &workspace.root.join("tests/clients/requirements-grpc.txt"))?;
        let tfserving =
            workspace.python("tfserving", &workspace.root.join("tests/clients/requirements-tfserving.txt"))?;
        let contract = workspace.python("contract", &workspace.root.join("tests/clients/requirements-contract.txt"))?;
        let clients = workspace.python("clients", &workspace.root.join("tests/clients/requirements.txt"))?;
        let others =
            workspace.python_with_only("others", &workspace.root.join("tests/clients/requirements-others.txt"))?;
        let perf_analyzer = workspace.perf_analyzer()?;
        let [onnx_nodes, onnx_graphs, onnx_estimators] = workspace.onnx_cases()?;
        step("lints");
        run(cargo().current_dir(&workspace.root).args([
            "clippy",
            "--release",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ]))?;
        step("testing");
        let mut tests = self.tests(&workspace);
        tests.env("BULKHEAD_BINARY", workspace.host_binary()).env("BULKHEAD_MODELS", models);
        tests.env("BULKHEAD_HOSTILE", hostile).env("BULKHEAD_PYTHON", python);
        tests.env("BULKHEAD_PYTHON_ROMANIZE", romanize);
        tests.env("BULKHEAD_COMPONENTS", workspace.components()).env("BULKHEAD_CLIENTS", clients);
        tests.env("BULKHEAD_MODEL_SIGNING", signing.with_file_name("model_signing"));
        tests.env("BULKHEAD_SCHEMATHESIS", contract.with_file_name("schemathesis"));
        tests.env("BULKHEAD_PYTHON_GRPC", grpc).env("BULKHEAD_PYTHON_TFSERVING", tfserving);
        tests.env("BULKHEAD_PERF_ANALYZER", perf_analyzer).env("BULKHEAD_PYTHON_OTHERS", others);
        tests.env("BULKHEAD_ONNX_NODES", onnx_nodes).env("BULKHEAD_ONNX_GRAPHS", onnx_graphs);
        tests.env("BULKHEAD_ONNX_ESTIMATORS", onnx_estimators);
        run(&mut tests)
    }

    fn tests(&self, workspace: &Workspace) -> Command {
        let mut tests = cargo();
        tests.current_dir(&workspace.root).args(["test", "--release", "--workspace", "--no-fail-fast"]);
        if let Some(filter) = &self.filter {
            tests.args(["--", filter]);
        }
        tests
    }
}
