//! `cargo xtask bench`: the benchmark of what isolation costs, printed as ratios within one run.

use anyhow::Result;

use crate::bundles::Example;
use crate::dist::Trained;
use crate::setup::{Workspace, run};

/// Measure what isolation costs, as ratios within one run
#[derive(clap::Args)]
pub(crate) struct Bench {
    /// Print JSON for machines instead of a table
    #[arg(long)]
    json: bool,
    /// Only comparisons whose title contains this
    filter: Option<String>,
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        let workspace = Workspace::find()?;
        let trained = Trained::of(&workspace)?;
        let host = trained.host()?;
        workspace.build_plugins()?;
        let models = workspace.target.join("models");
        for example in Example::digits(&workspace) {
            example.assemble(&workspace, &models)?;
        }
        let mut bench = trained.cargo("run");
        bench.args(["--quiet", "--package", "bulkhead-bench", "--"]);
        bench.arg("--models").arg(&models).arg("--components").arg(workspace.components());
        bench.arg("--host").arg(host);
        if self.json {
            bench.arg("--json");
        }
        bench.args(self.filter);
        run(&mut bench)
    }
}
