//! What the host says of itself and its models, before a protocol gives it its form.

use std::time::Duration;

use super::App;
use crate::catalog::{Listed, NotServed};
use crate::pipeline::Pipeline;

pub const NAME: &str = "bulkhead";
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What all models of this host are, to a client that asks for the platform.
pub const PLATFORM: &str = "bulkhead_pipeline";

/// The extensions of the Open Inference Protocol that are served over gRPC.
pub const EXTENSIONS: [&str; 4] = ["model_configuration", "model_repository", "parameters", "statistics"];

/// How often something was done, and how long that took in all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    pub count: u64,
    pub time: Duration,
}

/// What was counted of one version of a model since it was activated.
pub struct Statistics {
    pub model: String,
    pub version: String,
    pub success: Timing,
    pub fail: Timing,
    /// All stages together.
    pub infer: Timing,
}

impl Statistics {
    fn of(pipeline: &Pipeline) -> Statistics {
        let (calls, time) = pipeline.metrics.calls();
        let done = pipeline.metrics.ok.get().min(calls);
        Statistics {
            model: pipeline.model.to_string(),
            version: pipeline.version.to_string(),
            success: Timing { count: done, time },
            fail: Timing { count: calls - done, time: Duration::ZERO },
            infer: Timing { count: calls, time },
        }
    }
}

impl App {
    /// Of one version of a model, of all its versions that are ready, or of all models (an empty name).
    pub(super) fn statistics(&self, model: &str, version: Option<&str>) -> Result<Vec<Statistics>, NotServed> {
        if !model.is_empty() {
            let pipeline = self.catalog.find(model, version)?;
            if version.is_some() {
                return Ok(vec![Statistics::of(&pipeline)]);
            }
        }
        let listed = self.catalog.list();
        let wanted =
            listed.iter().filter(|listed| listed.failed.is_none() && (model.is_empty() || *listed.model == *model));
        let found = wanted.filter_map(|listed| self.catalog.find(&listed.model, Some(&listed.version)).ok());
        Ok(found.map(|pipeline| Statistics::of(&pipeline)).collect())
    }

    /// Everything in the catalog, served or not.
    pub(super) fn index(&self) -> Vec<Listed> {
        self.catalog.list()
    }
}
