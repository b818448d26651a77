//! Changes of the stored state by other hosts. An act that was decided without them is refused by the store, and the state
//! is read again before it is decided once more. Without an act, a host looks for them once a second.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_store::{Changes, Corrupt};

use super::blocking::{LockedState, log_repaired};
use super::records::StoredBundle;
use super::state::{ControlState, Record as _};
use super::{BlockingControl, Control, ControlError};
use crate::catalog::Entry;
use crate::telemetry::log::with_causes;

const STEP: Duration = Duration::from_secs(1);

impl Control {
    /// Looks once a second for changes by other hosts, for as long as the host runs.
    pub async fn follow_changes(self: Arc<Self>) {
        let mut steps = tokio::time::interval(STEP);
        steps.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            steps.tick().await;
            if let Err(error) = self.blocking(|control| control.catch_up(&mut control.lock())).await {
                let cause = with_causes(&error);
                tracing::warn!(cause, "changes by other hosts could not be read; they are looked for again");
            }
        }
    }

    /// Takes versions out of the catalog whose entry there is not that of the new state: they are gone or have other
    /// contents. A version that failed to load leaves it, too, so that it is loaded again if another host activated it.
    fn drop_outdated(&self, before: &ControlState, now: &ControlState, changed: &BTreeSet<String>) {
        for (key, old) in changed.iter().filter_map(|key| before.bundles.get_key_value(key)) {
            let Some(model) = &old.model else { continue };
            let same = now.bundles.get(key).is_some_and(|new| new.digest == old.digest);
            let failed = matches!(self.catalog.entry(&old.tenant, model, &old.version), Some(Entry::Failed(_)));
            if !same || failed {
                self.catalog.remove(&old.tenant, model, &old.version);
            }
        }
    }
}

impl BlockingControl {
    /// Brings the state up to the store's revision, and reconciles what is live if anything changed.
    pub(super) fn catch_up(&self, locked: &mut LockedState) -> Result<(), ControlError> {
        let (revision, state, changed, damaged) = match self.metadata().changes_since(locked.revision)? {
            Changes::Known { revision, documents } if documents.is_empty() => {
                locked.revision = revision;
                return Ok(());
            }
            Changes::Known { revision, documents } => {
                let bundles = documents.iter().filter(|document| document.kind == StoredBundle::KIND);
                let changed = bundles.map(|document| document.key.clone()).collect();
                let mut state = locked.state.clone();
                let damaged = state.update(documents);
                locked.damaged |= !damaged.is_empty();
                (revision, state, changed, damaged)
            }
            Changes::Unknown => {
                let loaded = self.metadata().load()?;
                log_repaired(&loaded);
                let (revision, changed) = (loaded.revision, locked.state.bundles.keys().cloned().collect());
                let (state, damaged) = ControlState::load(loaded);
                locked.damaged = !damaged.is_empty();
                (revision, state, changed, damaged)
            }
        };
        report(&damaged);
        tracing::info!(from = %locked.revision, to = %revision, "another host changed the state");
        self.drop_outdated(&locked.state, &state, &changed);
        (locked.state, locked.revision) = (state, revision);
        self.reconcile(&locked.state);
        Ok(())
    }
}

fn report(damaged: &[Corrupt]) {
    for damaged in damaged {
        tracing::error!(%damaged, "a part of the state is damaged and left out");
    }
}
