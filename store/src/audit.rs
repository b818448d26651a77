//! The audit log: a chain in which the hash of each entry covers the hash of the one before, so that no entry can be
//! changed, removed or moved without breaking the chain. The head (count and last hash) is kept apart, so that removing
//! entries at the end is detected, too.
//!
//! A program that can write to the database can also rewrite the whole chain with its head. Only a head that was noted in
//! another place reveals that.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::record_hash::record_hash;
use crate::{Act, Digest, Revision, StoreError};

#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Number of the entry: 1 for the first, then without gaps. It is the revision that the act made.
    pub id: u64,
    /// Milliseconds since 1970 by the clock of the host.
    pub at: u64,
    pub who: String,
    pub what: String,
    pub subject: String,
    pub before: Value,
    pub after: Value,
    /// Hash of the entry before; zeros in the first entry.
    pub previous: Digest,
    pub hash: Digest,
    /// True if the entry matches its own hash; `verify_audit` checks the chain as a whole.
    pub intact: bool,
}

/// The end of the log at some time, written as `count:hash`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditHead {
    pub count: u64,
    /// Hash of the last entry; zeros if there is none.
    pub hash: Digest,
}

impl AuditEntry {
    pub fn revision(&self) -> Revision {
        Revision(self.id)
    }
}

impl AuditHead {
    pub(crate) fn revision(&self) -> Revision {
        Revision(self.count)
    }
}

/// Result of a verification that found the log whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditSummary {
    /// The last entry that was moved to a part; the log in the database begins after it.
    pub base: AuditHead,
    pub head: AuditHead,
}

#[derive(Debug, thiserror::Error)]
pub enum AuditBroken {
    #[error("audit entry {id} was changed after it was written, or moved there: it does not fit its hash")]
    Changed { id: u64 },
    #[error("audit entries {first} to {last} were removed")]
    Removed { first: u64, last: u64 },
    #[error("audit entry {id} does not follow the one before it: one of the two was replaced or moved")]
    Unlinked { id: u64 },
    #[error("the audit log ends with entry {found}, but {written} were written: its end was cut off")]
    CutOff { found: u64, written: u64 },
    #[error("the audit log has {found} entries, but the host wrote {written}: something else added to it")]
    Added { found: u64, written: u64 },
    #[error("the last audit entry ({id}) is not the one that the head of the log names: it was replaced")]
    Replaced { id: u64 },
    #[error("audit entry {id} is not the one that was noted: the log was rewritten, or is another one")]
    NotAsNoted { id: u64 },
    #[error(
        "audit entry {id}, which was noted, is in a part: entries up to {base} were moved to files in the folder `audit` \
         of the data folder. Name these files, too: `bulkhead audit verify --part FILE`"
    )]
    InPart { id: u64, base: u64 },
    #[error("the part cannot be read: {why}")]
    PartUnreadable { why: String },
    #[error(transparent)]
    Unreadable(#[from] StoreError),
}

/// An entry as it is stored; the hash is over exactly these bytes.
#[derive(Clone, Default)]
pub(crate) struct Record {
    pub(crate) id: i64,
    pub(crate) at: i64,
    pub(crate) who: Vec<u8>,
    pub(crate) what: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
    pub(crate) previous: Vec<u8>,
    pub(crate) hash: Vec<u8>,
}

impl Record {
    /// The next entry after `head`. `before` and `after` are the JSON texts of the act's values.
    pub(crate) fn next(head: &AuditHead, at: i64, act: &Act, before: String, after: String) -> Record {
        let mut record = Record {
            id: i64::try_from(head.count).unwrap_or(i64::MAX).saturating_add(1),
            at,
            who: act.who.clone().into_bytes(),
            what: act.what.clone().into_bytes(),
            subject: act.subject.clone().into_bytes(),
            before: before.into_bytes(),
            after: after.into_bytes(),
            previous: head.hash.as_bytes().to_vec(),
            hash: Vec::new(),
        };
        record.hash = record.computed_hash().as_bytes().to_vec();
        record
    }

    fn computed_hash(&self) -> Digest {
        let (id, at) = (self.id.to_be_bytes(), self.at.to_be_bytes());
        let texts = [&self.who, &self.what, &self.subject, &self.before, &self.after, &self.previous];
        let fields: Vec<&[u8]> = [&id[..], &at[..]].into_iter().chain(texts.map(Vec::as_slice)).collect();
        record_hash("bulkhead audit entry 1", &fields)
    }

    fn is_intact(&self) -> bool {
        self.computed_hash().as_bytes()[..] == self.hash[..]
    }

    /// The head of the log before this entry, as the entry says.
    pub(crate) fn before(&self) -> AuditHead {
        let count = u64::try_from(self.id).unwrap_or_default().saturating_sub(1);
        AuditHead { count, hash: Digest::try_from(&self.previous[..]).unwrap_or_default() }
    }

    /// The entry for readers of the log. A damaged entry is shown as well as possible, and marked.
    pub(crate) fn entry(&self) -> AuditEntry {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let digest = |bytes: &[u8]| Digest::try_from(bytes).unwrap_or_default();
        AuditEntry {
            id: self.id.max(0).cast_unsigned(),
            at: self.at.max(0).cast_unsigned(),
            who: text(&self.who),
            what: text(&self.what),
            subject: text(&self.subject),
            before: serde_json::from_slice(&self.before).unwrap_or_default(),
            after: serde_json::from_slice(&self.after).unwrap_or_default(),
            previous: digest(&self.previous),
            hash: digest(&self.hash),
            intact: self.is_intact(),
        }
    }
}

/// Verification of the chain, entry by entry: `step` for each entry in order, then `end`.
pub(crate) struct ChainVerifier<'n> {
    base: AuditHead,
    seen: AuditHead,
    noted: Option<&'n AuditHead>,
}

impl<'n> ChainVerifier<'n> {
    /// A verifier of the entries after `base`.
    pub(crate) fn new(base: AuditHead, noted: Option<&'n AuditHead>) -> Self {
        ChainVerifier { base, seen: base, noted }
    }

    /// Checks a head that was noted at or before the first entry of this verifier.
    pub(crate) fn check_base(&self) -> Result<(), AuditBroken> {
        match self.noted {
            Some(noted) if noted.count < self.base.count => {
                Err(AuditBroken::InPart { id: noted.count, base: self.base.count })
            }
            Some(noted) if noted.count == self.base.count && noted.hash != self.base.hash => {
                Err(AuditBroken::NotAsNoted { id: noted.count })
            }
            _ => Ok(()),
        }
    }

    /// The entries that were verified: those after the base, up to the head.
    pub(crate) fn seen(self) -> AuditSummary {
        AuditSummary { base: self.base, head: self.seen }
    }

    pub(crate) fn step(&mut self, record: &Record) -> Result<(), AuditBroken> {
        let id = self.seen.count + 1;
        match u64::try_from(record.id) {
            Ok(found) if found > id => return Err(AuditBroken::Removed { first: id, last: found - 1 }),
            Ok(found) if found == id && record.is_intact() => {}
            _ => return Err(AuditBroken::Changed { id }),
        }
        if record.previous != self.seen.hash.as_bytes() {
            return Err(AuditBroken::Unlinked { id });
        }
        self.seen = AuditHead { count: id, hash: record.computed_hash() };
        match self.noted {
            Some(noted) if noted.count == id && noted.hash != self.seen.hash => Err(AuditBroken::NotAsNoted { id }),
            _ => Ok(()),
        }
    }

    /// Checks the end of the log, after the last entry. `head` is the head that the host keeps apart from the entries.
    pub(crate) fn end(self, head: &AuditHead) -> Result<AuditSummary, AuditBroken> {
        self.check_base()?;
        let found = self.seen.count;
        let written = self.noted.map_or(0, |noted| noted.count).max(head.count);
        if found < written {
            return Err(AuditBroken::CutOff { found, written });
        }
        if found > head.count {
            return Err(AuditBroken::Added { found, written: head.count });
        }
        if self.seen.hash != head.hash {
            return Err(AuditBroken::Replaced { id: found });
        }
        Ok(AuditSummary { base: self.base, head: *head })
    }
}

impl fmt::Display for AuditHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:x}", self.count, self.hash)
    }
}

impl FromStr for AuditHead {
    type Err = String;

    fn from_str(text: &str) -> Result<AuditHead, String> {
        let parsed = text.split_once(':').and_then(|(count, hash)| {
            let count = count.parse().ok().filter(|count| *count <= i64::MAX as u64)?;
            Some(AuditHead { count, hash: Digest::from_hex(hash)? })
        });
        parsed.ok_or_else(|| {
            "the head of an audit log is written as `count:hash`, the hash as 64 hexadecimal digits".into()
        })
    }
}
