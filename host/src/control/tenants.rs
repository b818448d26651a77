//! Tenants, their limits and their keys.

use std::collections::BTreeMap;

use bulkhead_store::RenamedUsage;
use serde_json::{Map, Value};

use super::names::check_name;
use super::records::{BundleState, KeyRecord, ModelSettings, StoredBundle, TenantRecord, Timestamp};
use super::state::ControlState;
use super::{Actor, BlockingControl, Control, ControlError};
use crate::config::TenantLimits;
use crate::tenant::{ApiKey, DEFAULT_TENANT, Role};

/// A tenant with its limits, and the storage and memory that it uses.
#[derive(Debug)]
pub struct TenantStatus {
    pub name: String,
    pub created: Timestamp,
    pub disabled: bool,
    /// Limits that it was given of its own; the others are those of the host's configuration.
    pub own_limits: Map<String, Value>,
    pub limits: TenantLimits,
    pub stored_bytes: u64,
    /// Memory that its loaded versions hold now.
    pub resident_bytes: u64,
}

/// A request for a new key.
#[derive(Debug)]
pub struct NewKey {
    pub role: Role,
    /// A note by which people tell keys apart.
    pub note: String,
    pub expires: Option<Timestamp>,
}

impl BlockingControl {
    /// Creates the default tenant if it does not exist. Callers without a key, and the operator's own models, belong to it.
    pub(super) fn ensure_default_tenant(&self) -> Result<(), ControlError> {
        if self.read(|state| state.tenants.contains_key(DEFAULT_TENANT)) {
            return Ok(());
        }
        self.create_tenant(&"host".into(), DEFAULT_TENANT, Map::new()).map(drop)
    }

    /// Creates a tenant. Usage that is stored under the name is that of a deleted tenant, and gets a name that no tenant can
    /// have: the new tenant must not read it, and the operator can still bill it.
    pub fn create_tenant(
        &self,
        who: &Actor,
        name: &str,
        limits: Map<String, Value>,
    ) -> Result<TenantStatus, ControlError> {
        check_name("tenant", name)?;
        self.commit(who, "tenant create", name, |state, change| {
            if state.tenants.contains_key(name) {
                return Err(ControlError::Exists { what: "tenant", name: name.into() });
            }
            let record = TenantRecord { created: Timestamp::now(), disabled: false, limits: limits.clone() };
            self.defaults.with(&record.limits)?;
            let view = self.view(state, name, &record);
            change.audit(&(), &record);
            change.forget_sharings(state, name);
            let to = format!("{name} (before {})", record.created);
            change.renamed_usage = Some(RenamedUsage { from: name.to_owned(), to });
            change.put(name, record);
            Ok(view)
        })
    }

    /// Sets some limits; `null` resets a limit to that of the host's configuration.
    pub fn set_limits(
        &self,
        who: &Actor,
        name: &str,
        limits: Map<String, Value>,
    ) -> Result<TenantStatus, ControlError> {
        self.change_tenant(who, "tenant limits", name, |before, record| {
            for (key, value) in &limits {
                match value {
                    Value::Null => drop(record.limits.remove(key)),
                    value => drop(record.limits.insert(key.clone(), value.clone())),
                }
            }
            let limits = self.defaults.with(&record.limits)?;
            let (before, held) = (self.limits_of(before).resident_bytes, self.resident_bytes(name));
            match limits.resident_bytes < before.min(held) {
                true => Err(ControlError::WouldNotFit { held, bound: limits.resident_bytes }),
                false => Ok(()),
            }
        })
    }

    pub fn set_disabled(&self, who: &Actor, name: &str, disabled: bool) -> Result<TenantStatus, ControlError> {
        let what = if disabled { "tenant disable" } else { "tenant enable" };
        self.change_tenant(who, what, name, |_, record| {
            record.disabled = disabled;
            Ok(())
        })
    }

    fn change_tenant(
        &self,
        who: &Actor,
        what: &str,
        name: &str,
        edit: impl Fn(&TenantRecord, &mut TenantRecord) -> Result<(), ControlError>,
    ) -> Result<TenantStatus, ControlError> {
        self.commit(who, what, name, |state, change| {
            let before = find_tenant(state, name)?;
            let mut record = before.clone();
            edit(before, &mut record)?;
            let view = self.view(state, name, &record);
            change.audit(before, &record);
            change.revokes = record.disabled && !before.disabled;
            change.put(name, record);
            Ok(view)
        })
    }

    /// Removes a tenant with its keys, models and bundles, and its name from the sharings of other tenants' models. Its usage
    /// stays, so that it can be billed.
    pub fn delete_tenant(&self, who: &Actor, name: &str) -> Result<(), ControlError> {
        if name == DEFAULT_TENANT {
            return Err(ControlError::Invalid(
                "the tenant \"default\" cannot be deleted: callers without a key use it; disable it instead".into(),
            ));
        }
        self.store_usage()?;
        let files = self.commit(who, "tenant delete", name, |state, change| {
            change.audit(find_tenant(state, name)?, &());
            let mut files = Vec::new();
            change.remove::<TenantRecord>(name);
            let (catalog, owner) = (self.catalog.clone(), name.to_owned());
            for (key, bundle) in state.bundles.iter().filter(|(_, bundle)| bundle.tenant == name) {
                change.remove::<StoredBundle>(key);
                files.extend(bundle.files.values().map(|file| file.digest));
                let (catalog, owner, gone) = (catalog.clone(), owner.clone(), bundle.clone());
                change.then(move |_| {
                    if let Some(model) = &gone.model {
                        catalog.remove(&owner, model, &gone.version);
                    }
                });
            }
            let prefix = format!("{name} ");
            let models = state.models.keys().filter(|key| key.starts_with(&prefix));
            models.for_each(|key| change.remove::<ModelSettings>(key));
            change.forget_sharings(state, name);
            let keys = state.keys.iter().filter(|(_, key)| key.tenant == name);
            keys.for_each(|(id, _)| change.remove::<KeyRecord>(id));
            Ok(files)
        })?;
        self.remove_unneeded(&files);
        Ok(())
    }

    pub fn tenants(&self) -> Result<Vec<TenantStatus>, ControlError> {
        self.read(|state| Ok(state.tenants.iter().map(|(name, record)| self.view(state, name, record)).collect()))
    }

    pub fn tenant(&self, name: &str) -> Result<TenantStatus, ControlError> {
        self.read(|state| Ok(self.view(state, name, find_tenant(state, name)?)))
    }

    /// Creates a key. The key itself is returned here and never again; the state keeps only its hash.
    pub fn create_key(&self, who: &Actor, tenant: &str, new: NewKey) -> Result<(ApiKey, KeyRecord), ControlError> {
        let key = ApiKey::new().map_err(|error| ControlError::Invalid(format!("no random numbers: {error}")))?;
        self.commit(who, "tenant key create", &format!("{} of tenant {tenant}", key.id), |state, change| {
            find_tenant(state, tenant)?;
            let (created, note) = (Timestamp::now(), crate::config::clip(new.note.clone()));
            if new.expires.is_some_and(|expires| expires <= created) {
                return Err(ControlError::Invalid("the key would have expired already; give a later time".into()));
            }
            let (tenant, hash) = (tenant.to_owned(), key.hash());
            let record = KeyRecord { tenant, role: new.role, hash, note, created, expires: new.expires, revoked: None };
            change.audit(&(), &record);
            change.put(&key.id, record.clone());
            Ok(record)
        })
        .map(|record| (key, record))
    }

    /// Revokes a key. The next request with it is refused.
    pub fn revoke_api_key(&self, who: &Actor, tenant: &str, id: &str) -> Result<KeyRecord, ControlError> {
        self.commit(who, "tenant key revoke", &format!("{id} of tenant {tenant}"), |state, change| {
            let before = state.keys.get(id).filter(|key| key.tenant == tenant);
            let before = before.ok_or_else(|| {
                let of = format!("tenant \"{tenant}\"");
                ControlError::NoSuchOf { what: "key", name: id.into(), of }
            })?;
            let mut record = before.clone();
            if record.revoked.is_none() {
                record.revoked = Some(Timestamp::now());
                change.audit(before, &record);
                change.revokes = true;
                change.put(id, record.clone());
            }
            Ok(record)
        })
    }

    pub fn keys(&self, tenant: &str) -> Result<BTreeMap<String, KeyRecord>, ControlError> {
        self.read(|state| {
            find_tenant(state, tenant)?;
            let keys = state.keys.iter().filter(|(_, key)| key.tenant == tenant);
            Ok(keys.map(|(id, key)| (id.clone(), key.clone())).collect())
        })
    }
}

impl Control {
    /// The limits of a tenant. Its own limits that no longer fit the host's configuration, because that was lowered, are left
    /// out; the others hold.
    pub(super) fn limits_of(&self, record: &TenantRecord) -> TenantLimits {
        self.defaults.with(&record.limits).unwrap_or_else(|_| {
            let own = |(key, value): (&String, &Value)| (key.clone(), value.clone());
            let fits = |limit: &(&String, &Value)| self.defaults.with(&Map::from_iter([own(*limit)])).is_ok();
            let fitting = record.limits.iter().filter(fits).map(own).collect();
            self.defaults.with(&fitting).unwrap_or_else(|_| self.defaults.clone())
        })
    }

    /// Warns of a tenant's own limits that do not fit this host's configuration, as they may after a change of that.
    pub(super) fn warn_of_limits(&self, tenant: &str, record: &TenantRecord) {
        if let Err(mistakes) = self.defaults.with(&record.limits) {
            tracing::warn!(tenant, %mistakes, "some of the tenant's own limits do not fit this host's configuration, whose limits hold in their place");
        }
    }

    fn view(&self, state: &ControlState, name: &str, record: &TenantRecord) -> TenantStatus {
        TenantStatus {
            name: name.into(),
            created: record.created,
            disabled: record.disabled,
            own_limits: record.limits.clone(),
            limits: self.limits_of(record),
            stored_bytes: state.stored_bytes(name),
            resident_bytes: self.resident_bytes(name),
        }
    }

    /// The memory that a tenant's loaded versions hold.
    fn resident_bytes(&self, tenant: &str) -> u64 {
        self.directory.members().tenants.get(tenant).map_or(0, |member| member.tenant.resident_bytes())
    }

    /// Checks that the tenant's limit allows `more` further active versions of models.
    pub(super) fn check_models(&self, state: &ControlState, tenant: &str, more: usize) -> Result<(), ControlError> {
        let bound = self.limits_of(find_tenant(state, tenant)?).models;
        let active = |bundle: &&StoredBundle| bundle.state == BundleState::Active && bundle.model.is_some();
        let used = state.bundles.values().filter(active).filter(|bundle| bundle.tenant == tenant).count();
        if more > 0 && used + more > bound { Err(ControlError::TooManyModels { used, bound }) } else { Ok(()) }
    }
}

fn find_tenant<'a>(state: &'a ControlState, name: &str) -> Result<&'a TenantRecord, ControlError> {
    state.tenants.get(name).ok_or_else(|| ControlError::no_such("tenant", name))
}
