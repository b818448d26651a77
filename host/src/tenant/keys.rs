//! API keys: a key is random, is shown once, and is stored as a hash. It has so much randomness that a plain SHA-256 of it
//! is as safe as a slow hash, and fast enough to be computed for each request.

use std::fmt;
use std::str::FromStr;

use bulkhead_digest::Digest;
use subtle::ConstantTimeEq;

/// The rights of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Role {
    /// Call models.
    Infer,
    /// Also upload bundles, and change which versions of the tenant's own models are served.
    Deploy,
    /// Everything, in every tenant.
    Admin,
}

impl Role {
    pub const ALL: [Role; 3] = [Role::Infer, Role::Deploy, Role::Admin];

    pub fn name(self) -> &'static str {
        match self {
            Role::Infer => "infer",
            Role::Deploy => "deploy",
            Role::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Role, String> {
        let found = Role::ALL.into_iter().find(|role| role.name() == name);
        found.ok_or_else(|| format!("\"{name}\" is not a role; the roles are infer, deploy and admin"))
    }
}

impl TryFrom<String> for Role {
    type Error = String;

    fn try_from(name: String) -> Result<Role, String> {
        name.parse()
    }
}

/// A new key with its secret, as its owner receives it: `bh_<id>_<secret>`. The host does not store it.
pub struct ApiKey {
    pub id: String,
    text: String,
}

/// The SHA-256 of a key's text in hexadecimal, which the host stores in place of the key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KeyHash(String);

const PREFIX: &str = "bh_";

/// Length of a key's id in characters. The id is not a secret: listings and the audit log show it.
const ID_LETTERS: usize = 12;

impl ApiKey {
    /// A key from the operating system's source of random numbers. Fails only if the system has none.
    pub fn new() -> Result<ApiKey, getrandom::Error> {
        let mut bytes = [0; ID_LETTERS / 2 + 32];
        getrandom::fill(&mut bytes)?;
        let (id, secret) = bytes.split_at(ID_LETTERS / 2);
        let id = hex::encode(id);
        Ok(ApiKey { text: format!("{PREFIX}{id}_{}", hex::encode(secret)), id })
    }

    /// The text of the key, which is shown to its owner once.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.text)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.id)
    }
}

impl KeyHash {
    pub fn of(text: &str) -> KeyHash {
        KeyHash(Digest::of(text).hex())
    }

    /// True if this is the hash of `text`. The comparison takes constant time, so that its time does not reveal a part of
    /// the hash.
    pub fn fits(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(KeyHash::of(text).0.as_bytes()).into()
    }
}

/// The id within a key's text, by which the key is looked up. `None` if the text does not have the form of a key.
pub(super) fn key_id(text: &str) -> Option<&str> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    (id.len() == ID_LETTERS && secret.len() == 64).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_id_and_proved_by_its_whole() {
        let (key, other) = (ApiKey::new().unwrap(), ApiKey::new().unwrap());
        assert_eq!(key_id(key.reveal()), Some(&*key.id));
        assert!(key.hash().fits(key.reveal()));
        assert!(!key.hash().fits(other.reveal()));
        assert!(!format!("{key:?}").contains(key.reveal()));
        for wrong in ["", "bh_", "bh_0123456789ab_", "bh_0123456789ab_short", "Bearer x"] {
            assert_eq!(key_id(wrong), None, "{wrong}");
        }
    }
}
