//! Shadow traffic: a version gets copies of requests that another version has answered. Its responses are compared and
//! counted, and never returned; its cost is not charged to any tenant.

use std::sync::Arc;

use crate::config::TenantLimits;
use crate::pipeline::Pipeline;
use crate::sandbox::Parameters;
use crate::scheduler::{Compute, Permit, Placement, Work};
use crate::telemetry::{Metrics, ShadowOutcome};
use crate::tenant::Tenant;
use crate::tensor::{self, NamedTensors, Tolerance};

/// A copied request, and the response that its client got.
pub(crate) struct Copied {
    pipeline: Arc<Pipeline>,
    inputs: NamedTensors,
    parameters: Parameters,
    answer: NamedTensors,
}

/// Differences that may come from rounding: responses within this tolerance count as the same.
const SAME: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-4 };

impl Copied {
    /// Copies a request; the copy shares the bytes of the tensors.
    pub(crate) fn new(pipeline: Arc<Pipeline>, inputs: &NamedTensors, parameters: &Parameters) -> Copied {
        Copied { pipeline, inputs: inputs.clone(), parameters: parameters.clone(), answer: NamedTensors::new() }
    }

    /// Adds the response that the client got.
    pub(crate) fn answered(self, answer: &NamedTensors) -> Copied {
        Copied { answer: answer.clone(), ..self }
    }
}

/// Runs copied requests, and counts the outcomes.
pub(crate) struct ShadowRunner {
    compute: Arc<Compute>,
    metrics: Arc<Metrics>,
    /// The host's own tenant for shadows, which run within its limits and in its turns.
    tenant: Arc<Tenant>,
}

impl ShadowRunner {
    pub(crate) fn new(compute: Arc<Compute>, metrics: Arc<Metrics>, host: &TenantLimits) -> Arc<ShadowRunner> {
        let limits = TenantLimits { concurrency: 2, queue: 64, fuel_per_second: None, ..host.clone() };
        // The name of a real tenant never has parentheses.
        Arc::new(ShadowRunner { compute, metrics, tenant: Arc::new(Tenant::new("(shadow)", limits)) })
    }

    /// Runs a copied request in the background. If it is not admitted, it is skipped, and counted as skipped.
    pub(crate) fn start(self: &Arc<Self>, copied: Copied, request_id: &Arc<str>) {
        let (runner, id) = (self.clone(), request_id.clone());
        tokio::spawn(async move {
            let pipeline = copied.pipeline.clone();
            let outcome = runner.run(copied, id).await;
            runner.metrics.shadowed(&pipeline.model, &pipeline.version, outcome);
        });
    }

    async fn run(&self, copied: Copied, id: Arc<str>) -> ShadowOutcome {
        let usage = self.tenant.usage.of(&copied.pipeline.model);
        let Ok(permit) = self.compute.admit(&self.tenant, usage).await else { return ShadowOutcome::Skipped };
        let work = |permit: Permit| -> Work<_> {
            Box::pin(async move {
                let Copied { pipeline, inputs, parameters, answer } = copied;
                let inputs = tensor::bind_tensors(&pipeline.signature.inputs, inputs).ok()?;
                let outputs = pipeline.run(&permit, &id, inputs, &parameters).await.ok()?;
                Some(same(&answer, &outputs))
            })
        };
        match self.compute.run(permit, Placement::ComputeThread, work).await {
            Ok(Some(true)) => ShadowOutcome::Same,
            Ok(Some(false)) => ShadowOutcome::Different,
            Ok(None) | Err(_) => ShadowOutcome::Failed,
        }
    }
}

/// True if the shadow gave every output that the client got, within the tolerance; it may have given more.
fn same(answer: &NamedTensors, shadow: &NamedTensors) -> bool {
    answer.iter().all(|(name, tensor)| {
        let other = shadow.iter().find(|(other, _)| other == name);
        other.is_some_and(|(_, other)| other.differs(tensor, SAME).is_none())
    })
}
