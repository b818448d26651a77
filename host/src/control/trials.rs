//! Trials of a bundle: the requests that its publisher packed with it, which run before it is served.

use std::sync::Arc;

use super::state::ControlState;
use super::{BlockingControl, Control, ControlError};
use crate::activation::{Bundle, Dependencies, run_trials};
use crate::cache::{CacheKey, CacheKeyBuilder};
use crate::config::TenantLimits;
use crate::pipeline::Pipeline;
use crate::sandbox::ACTIVATION_SLOTS;
use crate::scheduler::{Permit, Placement, Work};
use crate::tenant::{ModelUsage, Tenant};

/// Bound on the queue of trials, which is more than there are uploads and loads at once.
const TRIALS_WAITING: usize = 1024;

/// The time at which the trials of a bundle run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trials {
    /// At an upload: they must pass within the limits that the tenant has now.
    AtUpload,
    /// When a version is loaded that was accepted before. Trials that passed then do not run again unless the host's
    /// configuration of calls has changed: limits of the tenant that were lowered since stop nothing, and a restart must not.
    AtLoad,
}

/// The tenant as which the trials of a bundle run, and the counters of its owner's usage.
struct TrialRun {
    tenant: Arc<Tenant>,
    usage: Arc<ModelUsage>,
    /// The entries that say that they passed: with the tenant's limits, and with the host's configuration.
    passed: [CacheKey; 2],
}

impl Control {
    /// Runs the trials of a bundle, and charges them to the usage of its owner. A restart does not run them again, because
    /// their result is in the cache.
    pub(super) async fn try_out(
        self: &Arc<Self>,
        owner: &str,
        bundle: &Arc<Bundle>,
        others: &Arc<Dependencies>,
        pipeline: &Arc<Pipeline>,
        when: Trials,
    ) -> Result<(), ControlError> {
        let prepared = self.prepare_trials(owner, bundle, others, pipeline, when).await?;
        let Some(TrialRun { tenant, usage, passed }) = prepared else { return Ok(()) };
        let permit = self.compute.admit(&tenant, usage).await?;
        let (bundle, pipeline, bound) = (bundle.clone(), pipeline.clone(), self.trial_time);
        let trying = |permit: Permit| -> Work<_> {
            Box::pin(async move { run_trials(&bundle, &pipeline, &permit, bound).await })
        };
        let tried = self.compute.run(permit, Placement::ComputeThread, trying).await;
        tried.map_err(|_| ControlError::Panicked)??;
        let noted = self.blocking(move |control| {
            if let Some(cache) = control.activator.workers.cache() {
                passed.iter().for_each(|passed| cache.put(passed, &[]));
            }
            Ok(())
        });
        noted.await
    }

    /// `None` if the trials passed before.
    async fn prepare_trials(
        self: &Arc<Self>,
        owner: &str,
        bundle: &Arc<Bundle>,
        others: &Arc<Dependencies>,
        pipeline: &Arc<Pipeline>,
        when: Trials,
    ) -> Result<Option<TrialRun>, ControlError> {
        let (owner, bundle, others, model) = (owner.to_owned(), bundle.clone(), others.clone(), pipeline.model.clone());
        let prepare = move |control: &BlockingControl| {
            let tenant = control.read(|state| control.trial_tenant(state, &owner, when))?;
            let at_load = passed(&owner, &bundle, &others, Trials::AtLoad, &control.defaults);
            let enough = match when {
                Trials::AtUpload => passed(&owner, &bundle, &others, when, &tenant.limits()),
                Trials::AtLoad => at_load,
            };
            if control.activator.workers.cache().is_some_and(|cache| cache.get(&enough).is_some()) {
                return Ok(None);
            }
            let members = control.directory.members();
            let member = members.tenants.get(owner.as_str());
            let member = member.ok_or_else(|| ControlError::no_such("tenant", &owner))?;
            Ok(Some(TrialRun { tenant, usage: member.tenant.usage.of(&model), passed: [enough, at_load] }))
        };
        self.blocking(prepare).await
    }

    /// The tenant that the trials of a tenant's bundles run as. It has the call limits of that tenant at an upload, and those of
    /// the configuration when a version is loaded, but turns, a queue,
    /// fuel and memory of its own, so that a tenant whose calls use these up can still be served again after a restart.
    fn trial_tenant(&self, state: &ControlState, tenant: &str, when: Trials) -> Result<Arc<Tenant>, ControlError> {
        let record = state.tenants.get(tenant).ok_or_else(|| ControlError::no_such("tenant", tenant))?;
        let own = self.limits_of(record);
        let call = if when == Trials::AtUpload { own.call.clone() } else { self.defaults.call.clone() };
        let limits = TenantLimits {
            fuel_per_second: None,
            concurrency: ACTIVATION_SLOTS as usize,
            queue: TRIALS_WAITING,
            call,
            ..own
        };
        // This name is free, because no tenant's name has parentheses.
        Ok(Arc::new(Tenant::new(&format!("(trial of {tenant})"), limits)))
    }
}

/// The key of an entry that exists if the trials of this bundle passed with these other bundles and limits, or passed at an
/// upload under this configuration. The owner is a part, so that the time of an upload does not tell what other tenants have.
fn passed(owner: &str, bundle: &Bundle, others: &Dependencies, when: Trials, limits: &TenantLimits) -> CacheKey {
    let key = CacheKeyBuilder::of("trials that passed 2").part(owner).part(bundle.files().digest().as_bytes());
    let key = key.part(format!("{when:?}")).part(format!("{:?}", limits.call));
    let part = |key: CacheKeyBuilder, (stage, (other, _)): (&String, &(Arc<Bundle>, _))| {
        key.part(stage).part(other.files().digest().as_bytes())
    };
    others.iter().fold(key, part).finish()
}
