//! The last steps of an upload: the bundle is activated, then published. The fields of the state between them are private
//! to this file.

use std::sync::Arc;

use super::claims::Claim;
use super::owner::Owner;
use super::records::{ModelSettings, StoredBundle};
use super::staging::{Progress, Report, Staged, Uploaded};
use super::state::{Change, ControlState, bundle_key, model_key};
use super::{BlockingControl, Control, ControlError, Trials};
use crate::catalog::{Entry, STABLE};
use crate::pipeline::Pipeline;
use crate::scheduler::Party;

/// A bundle that passed every step before it is published. Only [`Publishable::activate`] makes it, so that a bundle
/// with a pipeline cannot be published without its pipeline.
pub(super) struct Publishable {
    owner: Owner,
    stored: StoredBundle,
    serves: Serves,
    warnings: Vec<String>,
}

const NO_TRIAL: &str =
    "the bundle has no trial requests, so it was activated, but not tried; see [[trial]] in the authors' guide";

/// The part of a published bundle that is served.
enum Serves {
    Model {
        name: String,
        pipeline: Arc<Pipeline>,
    },
    /// A bundle without a pipeline lends its plugins to others.
    Plugins,
}

impl Publishable {
    /// Activates the bundle if it has a pipeline. The claim is returned whether that succeeds or not.
    pub(super) async fn activate(
        control: &Arc<Control>,
        party: &Party,
        staged: Staged,
        report: Report,
    ) -> (Claim, Result<Publishable, ControlError>) {
        let Staged { owner, stored, others, trusted, claim } = staged;
        let Some(model) = &stored.model else {
            return (claim, Ok(Publishable { owner, stored, serves: Serves::Plugins, warnings: Vec::new() }));
        };
        let name = model.clone();
        let told = move |part: &str| report(Progress { step: "activated", detail: part.to_owned() });
        let _turn = control.activations.take(party).await;
        let (bundle, others) = (Arc::new(trusted.bundle), Arc::new(others));
        let untried = bundle.manifest.trials.is_empty().then(|| NO_TRIAL.to_owned());
        let activated =
            control.activate(&stored.tenant, bundle, trusted.grants, others, Trials::AtUpload, Arc::new(told)).await;
        let publishable = activated.map(|pipeline| {
            let warnings = pipeline.warnings.iter().cloned().chain(untried).collect();
            Publishable { owner, stored, serves: Serves::Model { name, pipeline }, warnings }
        });
        (claim, publishable)
    }
}

impl BlockingControl {
    /// Checks the state once more, commits the bundle, and puts it into the catalog, as one act.
    pub(super) fn publish(&self, who: &str, publishable: Publishable) -> Result<Uploaded, ControlError> {
        let Publishable { owner, stored, serves, warnings } = publishable;
        let key = bundle_key(&stored.tenant, &stored.name, &stored.version);
        let subject = format!("{} {} of tenant {}", stored.name, stored.version, stored.tenant);
        let published = self.commit(who, "bundle upload", &subject, |state, change| {
            owner.check(state)?;
            self.check_room(state, &stored)?;
            if let Some(reason) = state.why_not(&stored, self.dev) {
                let (name, version) = (stored.name.clone(), stored.version.clone());
                return Err(ControlError::Withdrawn { name, version, reason });
            }
            if self.is_served(state, &stored) {
                return Ok(Uploaded { already: true, ..Uploaded::new(&stored) });
            }
            let note =
                |stored: &StoredBundle| serde_json::json!({ "version": stored.version, "digest": stored.digest });
            change.audit(&state.bundles.get(&key).map(note), &note(&stored));
            change.put(&key, stored.clone());
            if let Serves::Model { name, pipeline } = &serves {
                match state.kept_versions(&stored.tenant, name).next() {
                    Some(_) => self.note_served(state, change, &stored, name),
                    None => change.forget_settings(state, &stored.tenant, name),
                }
                self.serve_once_durable(change, key.clone(), &stored, name.clone(), pipeline.clone());
            }
            Ok(Uploaded::new(&stored))
        });
        let mut uploaded = Uploaded { warnings, ..published? };
        self.note_routes(&mut uploaded);
        Ok(uploaded)
    }

    /// Notes how clients call the uploaded version, and adds a warning if requests without a version go to another version than the uploaded one.
    pub(super) fn note_routes(&self, uploaded: &mut Uploaded) {
        let Uploaded { version, tenant, model: Some(model), .. } = &uploaded else { return };
        let settings = self.read(|state| state.models.get(&model_key(tenant, model)).cloned()).unwrap_or_default();
        let split = settings.routing.split.as_ref();
        let served = self.catalog.served(tenant, model);
        let entry = self.catalog.entry(tenant, model, version);
        uploaded.streams = matches!(&entry, Some(Entry::Ready(pipeline)) if pipeline.streams());
        let Uploaded { version, tenant, model: Some(model), .. } = &uploaded else { return };
        let warning = if entry.is_none() {
            format!("{version} is not served: the model's policy leaves it out; change it with: bulkhead model policy")
        } else if split.is_some_and(|split| split.weights.contains_key(version)) {
            return;
        } else if split.is_some() {
            format!("requests without a version do not go to {version}: the model's split divides them between others")
        } else if served.as_ref() == Some(version) {
            return;
        } else if let Some(stable) = settings.routing.labels.get(STABLE) {
            format!(
                "requests without a version stay on {stable}, which is labelled {STABLE}; move them with: bulkhead model label {model} {STABLE} {version} --tenant {tenant}"
            )
        } else if !version.pre.is_empty() {
            format!("{version} is a pre-release: it serves only requests that name it")
        } else {
            let instead = served.map_or("they are refused".into(), |newer| format!("they go to {newer}"));
            format!("requests without a version do not go to {version}: {instead}")
        };
        uploaded.warnings.push(warning);
    }

    /// Puts the pipeline into the catalog after the commit, unless the model's policy leaves this version out.
    fn serve_once_durable(
        &self,
        change: &mut Change,
        key: String,
        stored: &StoredBundle,
        model: String,
        pipeline: Arc<Pipeline>,
    ) {
        let (catalog, dev) = (self.catalog.clone(), self.dev);
        let (tenant, version) = (stored.tenant.clone(), stored.version.clone());
        change.then(move |state| {
            if state.wanted(dev).contains(&key) {
                catalog.set(&tenant, &model, &version, Entry::Ready(pipeline));
            }
        });
    }

    /// Remembers the version that served until now, if a newer one takes over.
    fn note_served(&self, state: &ControlState, change: &mut Change, stored: &StoredBundle, model: &str) {
        let key = model_key(&stored.tenant, model);
        let mut settings = state.models.get(&key).cloned().unwrap_or_default();
        let Some(before) = self.catalog.served(&stored.tenant, model) else { return };
        let takes_over = stored.version.pre.is_empty() && stored.version > before;
        if settings.routing.labels.contains_key(STABLE) || !takes_over {
            return;
        }
        settings.remember(before);
        change.put::<ModelSettings>(&key, settings);
    }
}
