//! Parts of the audit log: files with its oldest entries, which are moved out of the database so that it does not grow for
//! ever. A part is JSON, one entry a line, with everything that the hash of the entry covers. So parts can be verified
//! without the host: each begins with the hash that the one before ends with.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::audit::{ChainVerifier, Record};
use crate::{AuditBroken, AuditHead, AuditSummary, Digest, StoreError, durable};

/// The folder of the parts, in the data folder.
pub(crate) const FOLDER: &str = "audit";

/// Upper bound on a line, several times the largest entry.
const LINE_BYTES: u64 = 64 << 20;

/// A part that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPart {
    pub path: PathBuf,
    /// Number of its first entry.
    pub first: u64,
    /// Its last entry. The next part, or the database, goes on after it.
    pub last: AuditHead,
}

/// An entry as it stands in a part. `before` and `after` are the texts that the hash covers, byte by byte.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    id: i64,
    at: i64,
    #[serde(borrow)]
    who: Cow<'a, str>,
    #[serde(borrow)]
    what: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow)]
    before: &'a RawValue,
    #[serde(borrow)]
    after: &'a RawValue,
    previous: String,
    hash: String,
}

/// Removes the parts whose entries are still in the database: the host ended after it had written them, and before it removed
/// the entries. The next part would repeat them, and with another length it would not even replace the file. `is_ours` says
/// if the database has an entry; a part of another log, which no other copy may exist of, stays.
pub(crate) fn remove_uncommitted(
    data: &Path,
    base: AuditHead,
    is_ours: impl Fn(&AuditHead) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    const DOING: &str = "looking for parts of the audit log that were not finished";
    let folder = data.join(FOLDER);
    let failed = |e| StoreError::io(DOING, FOLDER, e);
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let first =
            path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jsonl")?.split_once('-')?.0.parse().ok());
        if first.is_none_or(|first: u64| first <= base.count) {
            continue;
        }
        let Ok(AuditSummary { head, .. }) = verify_audit_parts(std::slice::from_ref(&path), None) else { continue };
        if is_ours(&head)? {
            std::fs::remove_file(&path).and_then(|()| durable::sync_folder(&folder)).map_err(failed)?;
        }
    }
    Ok(())
}

/// Writes entries, which were verified, as a part.
pub(crate) fn write(data: &Path, staging: &Path, records: &[Record], last: AuditHead) -> Result<AuditPart, StoreError> {
    const DOING: &str = "writing a part of the audit log";
    let first = last.count + 1 - records.len() as u64;
    let name = format!("{FOLDER}/{first:012}-{:012}.jsonl", last.count);
    let path = data.join(&name);
    let fill = |file: &mut File| {
        let mut file = BufWriter::new(file);
        records.iter().try_for_each(|record| write_line(&mut file, record))?;
        file.flush()
    };
    durable::replace(staging, &path, fill).map_err(|e| StoreError::io(DOING, name, e))?;
    Ok(AuditPart { path, first, last })
}

fn write_line(file: &mut impl io::Write, record: &Record) -> io::Result<()> {
    let line = Line {
        id: record.id,
        at: record.at,
        who: text(&record.who)?.into(),
        what: text(&record.what)?.into(),
        subject: text(&record.subject)?.into(),
        before: serde_json::from_slice(&record.before)?,
        after: serde_json::from_slice(&record.after)?,
        previous: hex::encode(&record.previous),
        hash: hex::encode(&record.hash),
    };
    serde_json::to_writer(&mut *file, &line)?;
    file.write_all(b"\n")
}

fn text(bytes: &[u8]) -> io::Result<&str> {
    str::from_utf8(bytes).map_err(io::Error::other)
}

/// Verifies parts, in their order, as [`crate::Metadata::verify_audit`] verifies the database. `noted` is a head that may be
/// in one of them. Returns the entry before the first one, and the last one, which must be the base of the database.
pub fn verify_audit_parts(paths: &[PathBuf], noted: Option<&AuditHead>) -> Result<AuditSummary, AuditPartError> {
    let mut verifier: Option<ChainVerifier<'_>> = None;
    for path in paths {
        let failed = |broken| AuditPartError { path: path.clone(), broken };
        for record in records(path).map_err(|e| failed(unreadable(e)))? {
            let record = record.map_err(|e| failed(unreadable(e)))?;
            let chain = match &mut verifier {
                Some(chain) => chain,
                none => {
                    let chain = none.insert(ChainVerifier::new(record.before(), noted));
                    chain.check_base().map_err(failed)?;
                    chain
                }
            };
            chain.step(&record).map_err(failed)?;
        }
    }
    Ok(verifier.map_or_else(AuditSummary::default, ChainVerifier::seen))
}

/// A part that does not hold what was written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {broken}", path.display())]
pub struct AuditPartError {
    pub path: PathBuf,
    pub broken: AuditBroken,
}

fn unreadable(error: io::Error) -> AuditBroken {
    AuditBroken::PartUnreadable { why: error.to_string() }
}

fn records(path: &Path) -> io::Result<impl Iterator<Item = io::Result<Record>>> {
    let mut file = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    Ok(std::iter::from_fn(move || {
        line.clear();
        match file.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => Some(parse(&line)),
            Err(error) => Some(Err(error)),
        }
    }))
}

fn parse(line: &[u8]) -> io::Result<Record> {
    let line: Line<'_> = serde_json::from_slice(line)?;
    let digest = |hex: &str| Digest::from_hex(hex).map(|digest| digest.as_bytes().to_vec());
    let not_hex = || io::Error::other("a hash is not 64 hexadecimal digits");
    Ok(Record {
        id: line.id,
        at: line.at,
        who: line.who.into_owned().into_bytes(),
        what: line.what.into_owned().into_bytes(),
        subject: line.subject.into_owned().into_bytes(),
        before: line.before.get().into(),
        after: line.after.get().into(),
        previous: digest(&line.previous).ok_or_else(not_hex)?,
        hash: digest(&line.hash).ok_or_else(not_hex)?,
    })
}
