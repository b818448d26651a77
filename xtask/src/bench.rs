//! The benchmark, printed as ratios within one run.

use anyhow::Result;

use crate::bundles::Example;
use crate::setup::{Profile, Workspace, cargo, run};

/// Measure what isolation costs, as ratios within one run
#[derive(clap::Args)]
pub struct Bench {
    /// Print JSON for machines instead of a table
    #[arg(long)]
    json: bool,
    /// Only comparisons whose title contains this
    filter: Option<String>,
}

impl Bench {
    pub fn run(self) -> Result<()> {
        let workspace = Workspace::find()?;
        workspace.build_host(Profile::Dist)?;
        workspace.build_plugins()?;
        let models = workspace.target.join("models");
        for example in Example::digits(&workspace) {
            example.assemble(&workspace, &models)?;
        }
        let mut bench = cargo();
        bench.current_dir(&workspace.root).args([
            "run",
            "--quiet",
            "--profile",
            "dist",
            "--package",
            "bulkhead-bench",
            "--",
        ]);
        bench.arg("--models").arg(&models).arg("--components").arg(workspace.components());
        bench.arg("--host").arg(workspace.host_binary(Profile::Dist));
        if self.json {
            bench.arg("--json");
        }
        bench.args(self.filter);
        run(&mut bench)
    }
}
