//! What the host keeps about bundles, publishers, tenants and models: small documents, all read at start, and written
//! only together with an entry of the audit log.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AuditBroken, AuditEntry, AuditHead, AuditSummary, StoreError};

pub trait Metadata: Send + Sync {
    /// All documents. Those that were damaged are named instead, and the others still load.
    fn load(&self) -> Result<Loaded, StoreError>;

    /// Writes all of the change and its audit entry, or nothing. Durable when it returns `Ok`.
    fn commit(&self, change: &Change) -> Result<AuditEntry, StoreError>;

    /// Entries with an id above `after`, oldest first; at most `limit`, and never more than 1000.
    fn audit(&self, after: u64, limit: u64) -> Result<Vec<AuditEntry>, StoreError>;

    /// Follows the chain of hashes from the first entry to the last. With `noted`, a head that was written down earlier
    /// and elsewhere, it also shows whether the log up to there was rewritten as a whole.
    fn verify_audit(&self, noted: Option<&AuditHead>) -> Result<AuditSummary, AuditBroken>;

    /// Adds to what was counted before, all rows or none.
    fn add_usage(&self, rows: &[UsageRow]) -> Result<(), StoreError>;

    /// What was counted, of one tenant or of all, ordered by tenant and model.
    fn usage(&self, tenant: Option<&str>) -> Result<StoredUsage, StoreError>;
}

#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub kind: String,
    pub key: String,
    pub value: Value,
}

#[derive(Debug, Default)]
pub struct Loaded {
    /// In the order in which they were first written.
    pub documents: Vec<Document>,
    pub damaged: Vec<Corrupt>,
    /// What was found damaged and could be made again from what is sound. The disk still deserves a look.
    pub repaired: Vec<String>,
}

/// Something whose contents are not what was written. Its name may be damaged too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {kind} `{key}` is damaged: {why}. Write it again, or restore a backup")]
pub struct Corrupt {
    pub kind: String,
    pub key: String,
    pub why: String,
}

/// One administrative act: what it writes, and what the audit log says of it.
#[derive(Clone, Debug)]
pub struct Change {
    /// Done in order. Several of one document are fine; the last one stays.
    pub writes: Vec<Write>,
    pub act: Act,
}

#[derive(Clone, Debug)]
pub struct Write {
    pub kind: &'static str,
    pub key: String,
    /// `None` removes the document; that it is not there is fine.
    pub value: Option<Value>,
}

/// What an audit entry says; the store adds the time and the place in the chain.
#[derive(Clone, Debug)]
pub struct Act {
    pub who: String,
    pub what: String,
    pub subject: String,
    pub before: Value,
    pub after: Value,
}

/// What one tenant used of one model. Counters stop at 2^63 - 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    pub tenant: String,
    pub model: String,
    pub requests: u64,
    pub refused: u64,
    pub fuel: u64,
    pub cpu_nanoseconds: u64,
    pub request_bytes: u64,
    pub reply_bytes: u64,
}

#[derive(Debug, Default)]
pub struct StoredUsage {
    pub rows: Vec<UsageRow>,
    /// Rows that are left out, because their numbers are not what was counted. What came later is counted in a new row.
    pub damaged: Vec<Corrupt>,
}
