//! Storage of usage: what tenants used is moved from the counters of requests into the store, so that it can be billed
//! after a restart. A host that is killed loses the usage since the last step.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_store::{StoredUsage, UsageRow};

use super::{BlockingControl, Control, ControlError};
use crate::telemetry::log::with_causes;
use crate::tenant::Tenant;

const STEP: Duration = Duration::from_secs(1);

impl Control {
    /// Stores usage once a second, for as long as the host runs.
    pub async fn keep_usage(self: Arc<Self>) {
        let mut steps = tokio::time::interval(STEP);
        steps.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            steps.tick().await;
            let stored = self.blocking(|control| control.store_usage()).await;
            if let Err(error) = stored {
                tracing::warn!(
                    cause = with_causes(&error),
                    "usage could not be stored; it is kept in memory and tried again"
                );
            }
        }
    }
}

impl BlockingControl {
    /// Stores the usage counted until now. If that fails, the counts return to the counters. The lock keeps the usage of a
    /// deleted tenant from being stored under its name after a new tenant took the name.
    pub fn store_usage(&self) -> Result<(), ControlError> {
        let _locked = self.lock();
        let members = self.directory.members();
        let tenants: Vec<&Arc<Tenant>> = members.tenants.values().map(|member| &member.tenant).collect();
        let taken: Vec<_> = tenants.iter().map(|tenant| (*tenant, tenant.usage.take())).collect();
        let row = |tenant: &Tenant, model: &str, counts: &crate::tenant::UsageCounts| UsageRow {
            tenant: tenant.name.to_string(),
            model: model.to_owned(),
            requests: counts.requests,
            refused: counts.refused,
            fuel: counts.fuel,
            cpu_nanoseconds: counts.cpu_nanoseconds,
            request_bytes: counts.request_bytes,
            reply_bytes: counts.reply_bytes,
        };
        let rows =
            taken.iter().flat_map(|(tenant, counts)| counts.iter().map(|(model, counts)| row(tenant, model, counts)));
        let rows: Vec<UsageRow> = rows.collect();
        if rows.is_empty() {
            return Ok(());
        }
        self.metadata().add_usage(&rows).map_err(|error| {
            taken.into_iter().for_each(|(tenant, counts)| tenant.usage.put_back(counts));
            error.into()
        })
    }

    /// The usage until now, of one tenant or of all tenants.
    pub fn usage(&self, tenant: Option<&str>) -> Result<StoredUsage, ControlError> {
        self.store_usage()?;
        Ok(self.metadata().usage(tenant)?)
    }
}
