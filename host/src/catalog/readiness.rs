//! Readiness: of the host as a whole, and of one model that is being loaded.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use semver::Version;

use super::{Catalog, Entry, LookupError, Place, Versions};
use crate::tenant::DEFAULT_TENANT;

/// Upper bound on the time for which a client waits for the load of a model: it is longer than clients wait, and ends the
/// wait for a load that has no turn because others take all of them.
const LONGEST_LOAD: Duration = Duration::from_secs(300);

impl Catalog {
    /// Records that there was a bundle without a readable manifest.
    pub fn note_unreadable(&self) {
        self.unreadable.store(true, Ordering::Relaxed);
    }

    /// Records whether a compute thread does not come back from a call. The host is not ready while one does not.
    pub fn note_stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Ordering::Relaxed);
    }

    /// Records that the host was asked to end, from which on it is not ready: a load balancer stops sending requests to it
    /// while it still answers them.
    pub fn note_ending(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// True if everything that should be served is ready. A version that is being loaded counts only if it was served before
    /// the start, until its first load has ended, and a failed one only if it belongs to the default tenant: no tenant's act
    /// may take the host out of service for all.
    pub fn all_ready(&self) -> bool {
        let models = self.models.load();
        let operators = models.values().filter_map(|owners| owners.get(DEFAULT_TENANT));
        let mut entries = operators.flat_map(|model| model.versions.values());
        let flags = [&self.unreadable, &self.stuck, &self.ending];
        flags.iter().all(|flag| !flag.load(Ordering::Relaxed))
            && self.starting.load().is_empty()
            && !entries.any(|entry| matches!(entry, Entry::Failed(_)))
    }

    /// Records that the catalog has all versions that were served before the start. The host is not ready until each of them
    /// that is being loaded now was loaded, or has failed.
    pub fn note_restored(&self) {
        self.starting.store(Arc::new(self.loading()));
    }

    /// Records that the load of a version has ended.
    pub fn note_loaded(&self) {
        if !self.starting.load().is_empty() {
            let loading = self.loading();
            self.starting.rcu(|starting| starting.intersection(&loading).cloned().collect::<BTreeSet<_>>());
        }
    }

    fn loading(&self) -> BTreeSet<Place> {
        let models = self.models.load();
        let owned =
            models.iter().flat_map(|(name, owners)| owners.iter().map(move |(owner, model)| (name, owner, model)));
        let places = owned.flat_map(|(name, owner, model)| {
            let loading = model.versions.iter().filter(|(_, entry)| matches!(entry, Entry::Loading));
            loading.map(move |(version, _)| (owner.clone(), name.clone(), version.clone()))
        });
        places.collect()
    }

    /// Gives a version that is being loaded the entry of one that could not be. False if it is not being loaded.
    pub fn fail_loading(&self, owner: &str, model: &str, version: &Version, reason: &str) -> bool {
        let loading = matches!(self.entry(owner, model, version), Some(Entry::Loading));
        if loading {
            self.set(owner, model, version, Entry::Failed(reason.into()));
        }
        loading
    }

    /// Waits until no version of an owner's model is being loaded, for [`LONGEST_LOAD`] at most. Fails if one could not be
    /// activated, or is still being loaded.
    pub async fn loaded(&self, owner: &str, model: &str) -> Result<(), LookupError> {
        self.loaded_within(LONGEST_LOAD, owner, model).await
    }

    async fn loaded_within(&self, time: Duration, owner: &str, model: &str) -> Result<(), LookupError> {
        let mut changes = self.changes.subscribe();
        let all = async {
            while self.versions(owner, model).values().any(|entry| matches!(entry, Entry::Loading)) {
                // An error would mean that the sender was dropped, and `self` holds it.
                let _ = changes.changed().await;
            }
        };
        // If the time is over, the versions say that they are being loaded.
        let _ = tokio::time::timeout(time, all).await;
        let name: Arc<str> = model.into();
        self.versions(owner, model).iter().try_for_each(|(version, entry)| entry.to_ready(&name, version).map(drop))
    }

    /// The versions of an owner's model that failed.
    pub fn failed(&self, owner: &str, model: &str) -> BTreeSet<Version> {
        let versions = self.versions(owner, model).into_iter();
        versions.filter(|(_, entry)| matches!(entry, Entry::Failed(_))).map(|(version, _)| version).collect()
    }

    fn versions(&self, owner: &str, model: &str) -> Versions {
        let models = self.models.load();
        let model = models.get(model).and_then(|owners| owners.get(owner));
        model.map(|model| model.versions.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_act_of_a_tenant_makes_the_host_unready() {
        let (catalog, version) = (Catalog::default(), Version::new(1, 0, 0));
        catalog.set("shop", "digits", &version, Entry::Loading);
        catalog.note_restored();
        assert!(!catalog.all_ready(), "it is still loading what was served before");
        catalog.set("shop", "digits", &version, Entry::Failed("its memory is too small".into()));
        catalog.note_loaded();
        assert!(catalog.all_ready());
        for entry in [Entry::Loading, Entry::Failed("its memory is too small".into())] {
            catalog.set("shop", "other", &version, entry);
            assert!(catalog.all_ready());
        }
        catalog.set(DEFAULT_TENANT, "digits", &version, Entry::Loading);
        assert!(catalog.all_ready());
        catalog.set(DEFAULT_TENANT, "digits", &version, Entry::Failed("its file is damaged".into()));
        assert!(!catalog.all_ready(), "what the operator serves has failed");
    }

    #[test]
    fn what_is_uploaded_during_the_start_does_not_delay_readiness() {
        let (catalog, version) = (Catalog::default(), Version::new(1, 0, 0));
        for model in ["one", "two"] {
            catalog.set("shop", model, &version, Entry::Loading);
        }
        catalog.note_restored();
        catalog.set("shop", "new", &version, Entry::Loading);
        catalog.set("shop", "one", &version, Entry::Failed("its file is damaged".into()));
        catalog.note_loaded();
        assert!(!catalog.all_ready(), "the other version is still being loaded");
        catalog.remove("shop", "two", &version);
        catalog.note_loaded();
        assert!(catalog.all_ready(), "the new version was not served before the start");
        catalog.set("shop", "one", &version, Entry::Loading);
        assert!(catalog.all_ready(), "its first load has ended");
    }

    #[test]
    fn a_host_that_ends_is_not_ready() {
        let catalog = Catalog::default();
        assert!(catalog.all_ready());
        catalog.note_ending();
        assert!(!catalog.all_ready());
    }

    #[tokio::test]
    async fn nobody_waits_for_ever_for_a_load() {
        let (catalog, version) = (Catalog::default(), Version::new(1, 0, 0));
        catalog.set("shop", "digits", &version, Entry::Loading);
        let waited = catalog.loaded_within(Duration::from_millis(1), "shop", "digits").await;
        assert!(matches!(waited, Err(LookupError::Loading { .. })), "{waited:?}");
        assert!(catalog.fail_loading("shop", "digits", &version, "the host failed"));
        assert!(matches!(catalog.loaded("shop", "digits").await, Err(LookupError::NotActive { .. })));
        assert!(!catalog.fail_loading("shop", "digits", &version, "the host failed"), "it is not being loaded");
    }

    #[tokio::test]
    async fn a_load_ends_with_the_last_version_and_fails_with_any() {
        let (catalog, one, two) = (Arc::new(Catalog::default()), Version::new(1, 0, 0), Version::new(2, 0, 0));
        catalog.set("shop", "digits", &one, Entry::Loading);
        catalog.set("shop", "digits", &two, Entry::Loading);
        let waiting = tokio::spawn({
            let catalog = catalog.clone();
            async move { catalog.loaded("shop", "digits").await }
        });
        tokio::task::yield_now().await;
        catalog.set("shop", "digits", &one, Entry::Failed("its file is damaged".into()));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "one version is still being loaded");
        catalog.remove("shop", "digits", &two);
        let failed = waiting.await.unwrap().unwrap_err().to_string();
        assert!(failed.contains("version 1.0.0") && failed.contains("damaged"), "{failed}");
        assert_eq!(catalog.failed("shop", "digits"), BTreeSet::from([one]));
        assert_eq!(catalog.loaded("shop", "other").await, Ok(()));
    }
}
