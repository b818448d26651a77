//! Tenants and keys of the running host: limits that may change between two requests, and the resources that each tenant
//! uses now.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::keys::{KeyHash, Role, key_id};
use super::log_rate;
use super::meter::Meter;
use super::rate_limit::{Bucket, FuelLeft, OutOfFuel, TooManyActs};
use super::resident::Resident;
use super::usage::UsageBook;
use crate::config::TenantLimits;

/// The tenant of callers without a key.
pub const DEFAULT_TENANT: &str = "default";

/// Copies of requests that may wait for a tenant's shadows, or run in them, at once. Each holds its tensors, and takes a place
/// among the tenant's calls.
const SHADOWS: usize = 8;

/// Longest time between two looks at the expiry of a key whose caller has a stream open. The machine's clock may be set
/// meanwhile, and timers do not follow it.
const CLOCK_CHECK: Duration = Duration::from_secs(60);

/// A tenant: a party whose callers share limits, counters of usage and a namespace of models.
#[derive(Debug)]
pub struct Tenant {
    pub name: Arc<str>,
    pub usage: UsageBook,
    /// Units of the host's buffer budget that bodies and replies of its calls hold.
    pub buffered: Arc<AtomicUsize>,
    /// Permits for copies of requests that wait for a shadow of the tenant's, or run in it.
    pub shadows: Arc<Semaphore>,
    limits: ArcSwap<TenantLimits>,
    /// Counter of the bytes that all of its calls hold.
    pub(super) memory: Arc<Meter>,
    /// Counter of the bytes that its loaded versions hold.
    pub(super) resident: Arc<Meter>,
    fuel: Mutex<Bucket>,
    /// Counter of the administrative acts of its own keys.
    acts: Mutex<Bucket>,
    /// Bytes of log that its plugins have saved up.
    pub(super) log: Arc<Mutex<log_rate::State>>,
}

impl Tenant {
    pub fn new(name: &str, limits: TenantLimits) -> Tenant {
        Tenant {
            name: name.into(),
            usage: UsageBook::default(),
            buffered: Arc::default(),
            shadows: Arc::new(Semaphore::new(SHADOWS)),
            limits: ArcSwap::from_pointee(limits),
            memory: Arc::default(),
            resident: Arc::default(),
            fuel: Mutex::new(Bucket::new(Instant::now())),
            acts: Mutex::new(Bucket::new(Instant::now())),
            log: Arc::new(Mutex::new(log_rate::State::new(Instant::now()))),
        }
    }

    /// The same tenant, whose loaded versions also count within the host's bound.
    pub fn within(self, resident: &Resident) -> Tenant {
        Tenant { resident: Arc::new(Meter::part_of(&resident.meter)), ..self }
    }

    pub fn resident_bytes(&self) -> u64 {
        self.resident.used()
    }

    pub fn limits(&self) -> Arc<TenantLimits> {
        self.limits.load_full()
    }

    /// Replaces the limits, from the next request on.
    pub fn set_limits(&self, limits: TenantLimits) {
        self.limits.store(Arc::new(limits));
    }

    /// Refuses a call while the fuel that earlier calls used exceeds the tenant's rate. `None` if the tenant has no rate.
    pub fn check_fuel(&self) -> Result<Option<FuelLeft>, OutOfFuel> {
        let limits = self.limits.load();
        let Some(per_second) = limits.fuel_per_second else { return Ok(None) };
        let mut bucket = self.fuel.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.check(per_second, limits.fuel_burst, Instant::now()).map(Some)
    }

    pub fn burn(&self, fuel: u64) {
        if self.limits.load().fuel_per_second.is_some() {
            self.fuel.lock().unwrap_or_else(PoisonError::into_inner).burn(fuel);
        }
    }
}

impl Caller {
    /// True for a caller that sent no key.
    pub fn is_anonymous(&self) -> bool {
        self.key.is_none()
    }

    /// Counts an administrative act, or refuses it while the tenant's keys have performed too many. The acts of the operator
    /// are not bounded.
    pub fn count_act(&self) -> Result<(), TooManyActs> {
        if self.role == Role::Admin {
            return Ok(());
        }
        self.tenant.acts.lock().unwrap_or_else(PoisonError::into_inner).count_act(Instant::now())
    }
}

/// The host's record of a key, which holds the hash of the key in place of its text.
#[derive(Clone, Debug)]
pub struct KnownKey {
    pub tenant: Arc<str>,
    pub role: Role,
    pub hash: KeyHash,
    pub expires: Option<SystemTime>,
}

/// An authenticated client, or an anonymous one where these are allowed.
#[derive(Clone, Debug)]
pub struct Caller {
    pub tenant: Arc<Tenant>,
    pub role: Role,
    /// The name in the audit log: `key <id>`, or `anonymous`.
    pub name: Arc<str>,
    /// The id of its key; `None` for an anonymous caller.
    key: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AuthError {
    #[error("this host requires a key: send it in the header authorization: Bearer bh_…")]
    NoKey,
    #[error("the key is not one of this host's, or it has been revoked")]
    UnknownKey,
    #[error("the field authorization has another scheme than Bearer, or none: send authorization: Bearer and the key")]
    Scheme,
    #[error("the key has expired; ask the operator for another one")]
    Expired,
    #[error("the tenant \"{0}\" is disabled; ask the operator")]
    Disabled(Arc<str>),
    #[error("the request has {0} authorization fields; send one")]
    Repeated(usize),
    #[error(
        "\"{0}\" is not a name by which this host takes requests without a key, which protects it from web pages: address it by its IP address, send a key, or ask the operator to add the name to auth.hosts"
    )]
    ForeignHost(String),
    #[error(
        "a request from a web page of another site ({0}) needs a key, which protects this host from such pages: send a key, or leave the field Origin out if no page sends this"
    )]
    ForeignOrigin(String),
}

/// All tenants and keys of the host. Readers take no lock; a change replaces the whole.
#[derive(Debug, Default)]
pub struct Directory {
    members: ArcSwap<Members>,
    /// Wakes the streams that are open after each change, so that they look their caller up again.
    changes: watch::Sender<()>,
}

#[derive(Clone, Debug, Default)]
pub struct Members {
    pub tenants: BTreeMap<Arc<str>, Member>,
    pub keys: HashMap<String, KnownKey>,
}

#[derive(Clone, Debug)]
pub struct Member {
    pub tenant: Arc<Tenant>,
    pub disabled: bool,
}

impl Directory {
    pub fn replace(&self, members: Members) {
        self.members.store(Arc::new(members));
        self.changes.send_replace(());
    }

    pub fn members(&self) -> Arc<Members> {
        self.members.load_full()
    }

    /// A tenant that is there and not disabled.
    pub fn enabled(&self, name: &str) -> Option<Arc<Tenant>> {
        self.members.load().enabled(name).ok()
    }

    /// The caller to whom a key belongs. Fails for a key that is unknown, revoked or expired, and for a disabled tenant.
    pub fn caller(&self, key: &str) -> Result<Caller, AuthError> {
        let members = self.members.load();
        let id = key_id(key).ok_or(AuthError::UnknownKey)?;
        let known = members.keys.get(id).filter(|known| known.hash.fits(key)).ok_or(AuthError::UnknownKey)?;
        known.check_expiry()?;
        let tenant = members.enabled(&known.tenant)?;
        Ok(Caller { tenant, role: known.role, name: format!("key {id}").into(), key: Some(id.into()) })
    }

    /// The caller of a request without a key, which belongs to the tenant `default`. The configuration decides where such
    /// requests are allowed, and is checked before this call.
    pub fn anonymous(&self) -> Result<Caller, AuthError> {
        let tenant = self.members.load().enabled(DEFAULT_TENANT)?;
        Ok(Caller { tenant, role: Role::Infer, name: "anonymous".into(), key: None })
    }

    /// Looks a caller up again, who has proved its key before. Fails as [`Self::caller`] would fail for the key now.
    pub fn check(&self, caller: &Caller) -> Result<(), AuthError> {
        self.members.load().check(caller).map(drop)
    }

    /// Waits until [`Self::check`] fails, and returns its error. It looks the caller up only after a change of the members
    /// and when the key expires.
    pub fn end_of_rights(self: &Arc<Self>, caller: Caller) -> impl Future<Output = AuthError> + Send + use<> {
        let directory = self.clone();
        async move {
            let mut changes = directory.changes.subscribe();
            loop {
                let checked = directory.members.load().check(&caller);
                match checked {
                    Err(ended) => return ended,
                    Ok(None) => drop(changes.changed().await),
                    Ok(Some(expires)) => {
                        let left = expires.duration_since(SystemTime::now()).unwrap_or_default();
                        drop(timeout(left.min(CLOCK_CHECK), changes.changed()).await);
                    }
                }
            }
        }
    }
}

impl KnownKey {
    fn check_expiry(&self) -> Result<(), AuthError> {
        let expired = self.expires.is_some_and(|expires| expires <= SystemTime::now());
        if expired { Err(AuthError::Expired) } else { Ok(()) }
    }
}

impl Members {
    fn enabled(&self, name: &str) -> Result<Arc<Tenant>, AuthError> {
        let member = self.tenants.get(name).ok_or(AuthError::UnknownKey)?;
        if member.disabled { Err(AuthError::Disabled(member.tenant.name.clone())) } else { Ok(member.tenant.clone()) }
    }

    /// The time at which the caller's key expires. A new tenant with the name of the caller's is another tenant.
    fn check(&self, caller: &Caller) -> Result<Option<SystemTime>, AuthError> {
        let (tenant, expires) = match &caller.key {
            None => (DEFAULT_TENANT, None),
            Some(id) => {
                let known = self.keys.get(&**id).ok_or(AuthError::UnknownKey)?;
                known.check_expiry()?;
                (&*known.tenant, known.expires)
            }
        };
        let same = Arc::ptr_eq(&self.enabled(tenant)?, &caller.tenant);
        if same { Ok(expires) } else { Err(AuthError::UnknownKey) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Config;
    use crate::tenant::keys::ApiKey;

    fn tenant() -> Arc<Tenant> {
        Arc::new(Tenant::new("a", Config::default().tenant))
    }

    fn members(tenant: &Arc<Tenant>, key: &ApiKey, expires: Option<SystemTime>, disabled: bool) -> Members {
        let known = KnownKey { tenant: "a".into(), role: Role::Deploy, hash: key.hash(), expires };
        Members {
            tenants: BTreeMap::from([("a".into(), Member { tenant: tenant.clone(), disabled })]),
            keys: HashMap::from([(key.id.clone(), known)]),
        }
    }

    fn directory(key: &ApiKey, expires: Option<SystemTime>, disabled: bool) -> Directory {
        let directory = Directory::default();
        directory.replace(members(&tenant(), key, expires, disabled));
        directory
    }

    #[test]
    fn only_a_complete_valid_key_of_an_enabled_tenant_is_accepted() {
        let key = ApiKey::new().unwrap();
        let in_an_hour = SystemTime::now() + Duration::from_secs(3600);
        let caller = directory(&key, Some(in_an_hour), false).caller(key.reveal()).unwrap();
        assert_eq!((&*caller.tenant.name, caller.role), ("a", Role::Deploy));
        let forged = format!("{}{}", &key.reveal()[..key.reveal().len() - 1], "g");
        let refused = |directory: Directory, text: &str| directory.caller(text).unwrap_err();
        assert_eq!(refused(directory(&key, None, false), &forged), AuthError::UnknownKey);
        assert_eq!(refused(directory(&key, Some(SystemTime::UNIX_EPOCH), false), key.reveal()), AuthError::Expired);
        assert_eq!(refused(directory(&key, None, true), key.reveal()), AuthError::Disabled("a".into()));
        assert_eq!(directory(&key, None, false).anonymous().unwrap_err(), AuthError::UnknownKey);
    }

    #[tokio::test]
    async fn rights_end_when_the_key_or_the_tenant_does() {
        let (key, old) = (ApiKey::new().unwrap(), tenant());
        let valid = |tenant: &Arc<Tenant>| members(tenant, &key, None, false);
        let soon = SystemTime::now() + Duration::from_millis(30);
        let without_keys = Members { keys: HashMap::new(), ..valid(&old) };
        for (after, ended) in [
            (without_keys, AuthError::UnknownKey),
            (members(&old, &key, None, true), AuthError::Disabled("a".into())),
            (Members::default(), AuthError::UnknownKey),
            (valid(&tenant()), AuthError::UnknownKey),
            (members(&old, &key, Some(soon), false), AuthError::Expired),
        ] {
            let directory = Arc::new(Directory::default());
            directory.replace(valid(&old));
            let caller = directory.caller(key.reveal()).unwrap();
            let waiting = tokio::spawn(directory.end_of_rights(caller.clone()));
            directory.replace(valid(&old));
            assert_eq!(directory.check(&caller), Ok(()));
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished(), "an act about others ends nothing");
            directory.replace(after);
            assert_eq!(waiting.await.unwrap(), ended);
            assert_eq!(directory.check(&caller), Err(ended));
        }
    }
}
