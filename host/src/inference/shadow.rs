//! Shadow traffic: a version gets copies of requests that another version has answered. Its responses are compared and
//! counted, and never returned. The tenant that owns the model pays for it: it runs within that tenant's limits, in its turns.

use std::sync::Arc;

use crate::catalog::ShadowTarget;
use crate::sandbox::Parameters;
use crate::scheduler::{Compute, Permit, Placement, Work};
use crate::telemetry::ShadowOutcome;
use crate::tenant::{Directory, Tenant};
use crate::tensor::{self, NamedTensors, Tolerance};

/// A copied request, and the response that its client got.
pub(crate) struct Copied {
    target: ShadowTarget,
    inputs: NamedTensors,
    parameters: Parameters,
    answer: NamedTensors,
}

/// Differences that may come from rounding: responses within this tolerance count as the same.
const SAME: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-4 };

impl Copied {
    /// Copies a request; the copy shares the bytes of the tensors.
    pub(crate) fn new(target: ShadowTarget, inputs: &NamedTensors, parameters: &Parameters) -> Copied {
        Copied { target, inputs: inputs.clone(), parameters: parameters.clone(), answer: NamedTensors::new() }
    }

    /// Adds the response that the client got.
    pub(crate) fn answered(self, answer: &NamedTensors) -> Copied {
        Copied { answer: answer.clone(), ..self }
    }
}

/// Runs copied requests, and counts the outcomes.
pub(crate) struct ShadowRunner {
    compute: Arc<Compute>,
    directory: Arc<Directory>,
}

impl ShadowRunner {
    pub(crate) fn new(compute: Arc<Compute>, directory: Arc<Directory>) -> Arc<ShadowRunner> {
        Arc::new(ShadowRunner { compute, directory })
    }

    /// Runs a copied request in the background. Skipped, and counted so, if too many copies wait, the owner has no fuel left,
    /// or the owner is disabled.
    pub(crate) fn start(self: &Arc<Self>, copied: Copied, request_id: &Arc<str>) {
        let pipeline = copied.target.pipeline.clone();
        let owner = self.directory.enabled(&copied.target.owner);
        let admitted = owner.and_then(|owner| Some((owner.shadows.clone().try_acquire_owned().ok()?, owner)));
        let Some((permit, owner)) = admitted else {
            return pipeline.metrics.shadowed(ShadowOutcome::Skipped);
        };
        let (runner, id) = (self.clone(), request_id.clone());
        tokio::spawn(async move {
            let outcome = runner.run(copied, &owner, id).await;
            drop(permit);
            pipeline.metrics.shadowed(outcome);
        });
    }

    async fn run(&self, copied: Copied, owner: &Arc<Tenant>, id: Arc<str>) -> ShadowOutcome {
        let usage = owner.usage.of(&copied.target.pipeline.model);
        let Ok(permit) = self.compute.admit(owner, usage).await else { return ShadowOutcome::Skipped };
        let work = |permit: Permit| -> Work<_> {
            Box::pin(async move {
                let Copied { target: ShadowTarget { pipeline, .. }, inputs, parameters, answer } = copied;
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
